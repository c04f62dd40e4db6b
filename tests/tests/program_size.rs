//! What the kernel makes of each program, as golden text: a change that costs instructions is seen where it is reviewed.
//!
//! The numbers are of one compiler, kernel and architecture. Where all three are those of the text, instructions must be as
//! many; elsewhere a tenth more is allowed. Machine code may be a tenth more everywhere, for it depends on what the CPU has
//! to be guarded against. Needs root.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

use std::env::consts::ARCH;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use aya::Ebpf;
use aya::programs::Program;

/// Bytes of an eBPF instruction.
const INSTRUCTION: u32 = 8;

/// What numbers depend on that are not of the programs' own making.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Makers {
    rustc: String,
    kernel: String,
    machine: String,
}

/// What became of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Size {
    program: String,
    /// Instructions after verification, helpers inlined.
    instructions: u32,
    /// Bytes of machine code.
    machine_code: u32,
    /// Instructions that the verifier followed, of the million that it would.
    followed: u32,
}

/// The golden text: makers, then a line for each program.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sizes {
    makers: Makers,
    sizes: Vec<Size>,
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Makers { rustc, kernel, machine } = &self.makers;
        writeln!(f, "makers rustc {rustc} linux {kernel} machine {machine}")?;
        self.sizes.iter().try_for_each(|Size { program, instructions, machine_code, followed }| {
            writeln!(
                f,
                "{program} instructions {instructions} machine-code {machine_code} followed {followed}"
            )
        })
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let makers = match lines.next().as_deref() {
            Some(["makers", "rustc", rustc, "linux", kernel, "machine", machine]) => {
                Makers { rustc: (*rustc).into(), kernel: (*kernel).into(), machine: (*machine).into() }
            }
            other => return Err(format!("no makers in {other:?}")),
        };
        let number = |word: &str| word.parse().map_err(|_| format!("{word} is no number"));
        let size = |line: Vec<&str>| match line[..] {
            [program, "instructions", instructions, "machine-code", machine_code, "followed", followed] => {
                Ok(Size {
                    program: program.into(),
                    instructions: number(instructions)?,
                    machine_code: number(machine_code)?,
                    followed: number(followed)?,
                })
            }
            _ => Err(format!("no size in {line:?}")),
        };
        Ok(Self { makers, sizes: lines.map(size).collect::<Result<_, _>>()? })
    }
}

/// Of whom the object and the kernel are.
fn makers() -> Makers {
    let object = String::from_utf8_lossy(selvedge_object::OBJECT);
    let (_, version) = object.split_once("rustc version ").expect("the object says who compiled it");
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    Makers {
        rustc: version.split_whitespace().next().unwrap_or_default().to_owned(),
        kernel: release.splitn(3, '.').take(2).collect::<Vec<_>>().join("."),
        machine: ARCH.to_owned(),
    }
}

fn measured() -> Sizes {
    let mut object = Ebpf::load(selvedge_object::OBJECT).expect("the object loads (as root)");
    let mut sizes = Vec::new();
    for (name, program) in object.programs_mut() {
        let info = match program {
            Program::Xdp(program) => program.load().and_then(|()| program.info()),
            Program::SchedClassifier(program) => program.load().and_then(|()| program.info()),
            other => panic!("{name} is {:?}, which this test can't load", other.prog_type()),
        };
        let info = info.expect("the verifier accepts the program");
        sizes.push(Size {
            program: name.into(),
            instructions: info.size_translated().unwrap() / INSTRUCTION,
            machine_code: info.size_jitted(),
            followed: info.verified_instruction_count().unwrap(),
        });
    }
    sizes.sort_by(|one, other| one.program.cmp(&other.program));
    Sizes { makers: makers(), sizes }
}

#[test]
fn programs_are_of_the_size_that_was_reviewed() {
    let file: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/snapshots/program_size.txt"].iter().collect();
    let golden: Sizes = fs::read_to_string(&file).unwrap().parse().unwrap();
    let now = measured();
    println!("{now}");
    let same_makers = now.makers == golden.makers;
    let may_be = |now: u32, then: u32| if same_makers { now == then } else { now <= then + then / 10 };
    assert_eq!(now.sizes.len(), golden.sizes.len(), "{golden}");
    for (now, golden) in now.sizes.iter().zip(&golden.sizes) {
        assert_eq!(now.program, golden.program);
        let as_reviewed = may_be(now.instructions, golden.instructions)
            && may_be(now.followed, golden.followed)
            && now.machine_code <= golden.machine_code + golden.machine_code / 10;
        assert!(as_reviewed, "not {golden:?}; if this is meant, write it to {}: {now:?}", file.display());
    }
}
