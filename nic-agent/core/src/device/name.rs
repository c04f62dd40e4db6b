//! What a program in a NIC is known by.

use std::fmt;

use selvedge_codegen::{DeviceProgram, Map, Relocation};
use sha2::{Digest, Sha256};

/// A program's name in the kernel: 15 bytes at most (`BPF_OBJ_NAME_LEN` less its zero), made from all that the program is, so that
/// an agent after a restart knows what runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramName(String);

impl ProgramName {
    /// That of `program`.
    pub fn of(program: &DeviceProgram) -> Self {
        let DeviceProgram { instructions, relocations, maps, .. } = program;
        let mut digest = Sha256::new();
        instructions.iter().for_each(|instruction| digest.update(instruction.0.to_le_bytes()));
        for Relocation { instruction, map } in relocations {
            digest.update(instruction.to_le_bytes());
            digest.update(map.to_le_bytes());
        }
        for Map { name, kind, key_size, value_size, max_entries, entries } in maps {
            digest.update(name);
            digest.update(kind.name());
            for number in [key_size, value_size, max_entries] {
                digest.update(number.to_le_bytes());
            }
            for (key, value) in entries {
                digest.update(key);
                digest.update(value);
            }
        }
        let digest = digest.finalize();
        let digits: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("sv_{digits}"))
    }

    /// One that the kernel gave.
    pub fn found(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProgramName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
