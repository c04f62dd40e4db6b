//! What a device takes, as numbers: out of its profile, and where only the device can say, what is known of such devices.

use std::collections::BTreeSet;

use selvedge_hw_profiles::profile::{Limit, MapType, OffloadLimits, Verdict};
use selvedge_hw_profiles::units::{Bytes, Entries, Instructions, Maps};

/// What a device takes of programs. Figures that were learnt from the very device may take the place of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Kinds of maps.
    pub map_types: BTreeSet<MapType>,
    /// How many maps.
    pub maps: Maps,
    /// Entries of one map.
    pub entries_each: Entries,
    /// Entries of all maps together.
    pub entries: Entries,
    /// A key.
    pub key: Bytes,
    /// A value.
    pub value: Bytes,
    /// Key and value, each rounded up to eight bytes.
    pub entry: Bytes,
    /// The program.
    pub instructions: Instructions,
    /// Its stack.
    pub stack: Bytes,
    /// Helpers that it may call, by their names in profiles.
    pub helpers: BTreeSet<String>,
    /// Verdicts that it may give.
    pub verdicts: BTreeSet<Verdict>,
}

/// What the kernel takes where the device sets no limit of its own.
mod kernel {
    /// `MAX_USED_MAPS`, include/linux/bpf_verifier.h.
    pub(super) const MAPS: u32 = 64;
    /// `MAX_BPF_STACK`, include/linux/filter.h; a HASH key is at most as large.
    pub(super) const STACK: u32 = 512;
    /// Not the kernel's own limit: as many as one jump can reach over.
    pub(super) const INSTRUCTIONS: u32 = i16::MAX as u32;
    /// An element of an ARRAY that user space may still write at once (`KMALLOC_MAX_SIZE`).
    pub(super) const VALUE: u32 = 1 << 22;
}

/// What is assumed of a device that says its limits only itself; the device refuses where it has less.
mod assumed {
    /// A map takes an entry of 64 B with firmware of nfp (max_elem_sz).
    pub(super) const ENTRY: u32 = 64;
    /// `BPF_MAXINSNS`, include/uapi/linux/bpf_common.h: what device programs were written for.
    pub(super) const INSTRUCTIONS: u32 = 4096;
    /// Maps for one program.
    pub(super) const MAPS: u32 = 32;
    /// Elements of all maps.
    pub(super) const ENTRIES: u32 = 1 << 16;
}

impl Limits {
    /// Those of a profile.
    pub fn of(limits: &OffloadLimits) -> Self {
        use Limit::{AtMost, Learnt, Unlimited};
        let OffloadLimits {
            map_types,
            maps,
            entries_each,
            entries,
            key,
            value,
            entry,
            instructions,
            stack,
            helpers,
            verdicts,
            exchange: _,
        } = limits;
        Self {
            map_types: map_types.value.iter().copied().collect(),
            maps: match maps {
                AtMost(maps, _) => *maps,
                Learnt(..) => Maps(assumed::MAPS),
                Unlimited(_) => Maps(kernel::MAPS),
            },
            entries_each: entries_of(entries_each),
            entries: entries_of(entries),
            key: bytes_of(key, kernel::STACK),
            value: bytes_of(value, kernel::VALUE),
            entry: bytes_of(entry, kernel::VALUE),
            instructions: match instructions {
                AtMost(instructions, _) => *instructions,
                Learnt(..) => Instructions(assumed::INSTRUCTIONS),
                Unlimited(_) => Instructions(kernel::INSTRUCTIONS),
            },
            stack: match stack {
                AtMost(stack, _) => *stack,
                Learnt(..) | Unlimited(_) => Bytes(kernel::STACK),
            },
            helpers: helpers.value.iter().cloned().collect(),
            verdicts: verdicts.value.iter().copied().collect(),
        }
    }
}

fn entries_of(limit: &Limit<Entries>) -> Entries {
    match limit {
        Limit::AtMost(entries, _) => *entries,
        Limit::Learnt(..) => Entries(assumed::ENTRIES),
        Limit::Unlimited(_) => Entries(u32::MAX),
    }
}

fn bytes_of(limit: &Limit<Bytes>, kernel: u32) -> Bytes {
    match limit {
        Limit::AtMost(bytes, _) => *bytes,
        Limit::Learnt(..) => Bytes(assumed::ENTRY),
        Limit::Unlimited(_) => Bytes(kernel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::limits;

    #[test]
    fn a_profile_gives_its_figures_and_what_it_leaves_open_is_the_kernels_or_what_is_known() {
        let (nfp, netdevsim) = (limits("nfp"), limits("netdevsim"));
        assert_eq!((nfp.key, nfp.entry, nfp.instructions), (Bytes(64), Bytes(64), Instructions(4096)));
        assert_eq!((netdevsim.entries_each, netdevsim.entries), (Entries(2), Entries(u32::MAX)));
        assert_eq!((netdevsim.maps, netdevsim.instructions), (Maps(64), Instructions(32_767)));
        assert!(nfp.helpers.contains("map_lookup_elem") && !netdevsim.helpers.contains("adjust_head"));
    }
}
