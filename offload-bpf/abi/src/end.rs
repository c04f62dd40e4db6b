//! Addresses and prefixes as keys of buckets, and what the buckets say of them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{AddressEntry, NoteSeeds, Seeds};

/// Distinct lengths of IPv6 prefixes that one slot may have. Those of IPv4 can't be more than 32 in any case.
pub const MAX_PREFIX_LENGTHS: usize = 32;

/// The one entry of [`map::LAYOUT`](crate::map::LAYOUT): written once, before any table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Layout {
    /// Keys of the hash that places addresses, prefixes and policies.
    pub seeds: Seeds,
    /// Keys of the hashes of notes.
    pub notes: NoteSeeds,
    /// Buckets of a slot in the table of IPv4 addresses.
    pub ipv4: u32,
    /// Buckets of a slot in the table of IPv6 addresses.
    pub ipv6: u32,
    /// Buckets of a slot in the table of IPv4 prefixes.
    pub ipv4_prefixes: u32,
    /// Buckets of a slot in the table of IPv6 prefixes.
    pub ipv6_prefixes: u32,
    /// Buckets of a slot in the table of policies.
    pub policies: u32,
    /// Buckets of passages.
    pub passages: u32,
    /// Buckets of denials.
    pub denials: u32,
    /// Zero.
    pub reserved: u32,
}

/// The lengths of the prefixes that a slot has, in bits of their own family, the longest first: what a lookup that
/// finds no address tries. Each is noted plus one; zero ends the list.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Lengths {
    /// Of IPv4 prefixes, 0 to 31.
    pub ipv4: [u8; MAX_PREFIX_LENGTHS],
    /// Of IPv6 prefixes, 0 to 127.
    pub ipv6: [u8; MAX_PREFIX_LENGTHS],
}

/// The key of the IPv4 prefix of `length` bits (0 to 31) that holds `address`: its network, then a one, then zeroes.
/// No two prefixes share a key.
#[inline(always)]
pub fn ipv4_prefix(address: u32, length: u8) -> u32 {
    let bits = length as u32 & 31;
    (address & !(u32::MAX >> bits)) | ((1 << 31) >> bits)
}

/// The key of the IPv6 prefix of `length` bits (0 to 127) that holds `address`, made likewise.
#[inline(always)]
pub fn ipv6_prefix([high, low]: [u64; 2], length: u8) -> [u64; 2] {
    let bits = length as u32 & 63;
    let cut = |word: u64| (word & !(u64::MAX >> bits)) | ((1 << 63) >> bits);
    if length < 64 { [cut(high), 0] } else { [high, cut(low)] }
}

/// What a bucket says of an address: for most an identity that is the class too, of an address elsewhere; for the
/// others the index of an [`AddressEntry`] in the slot's part of [`map::ENDS`](crate::map::ENDS). Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The identity and class of an address that isn't behind this node.
    Elsewhere(u32),
    /// The index of its entry.
    Indexed(u32),
}

const INDEXED: u32 = 1 << 31;

impl End {
    /// The end that needs no entry, if `entry` is one.
    pub fn elsewhere(entry: &AddressEntry) -> Option<Self> {
        let AddressEntry { identity, class, ifindex } = *entry;
        let fits = identity == class && ifindex == 0 && identity != 0 && identity < INDEXED;
        fits.then_some(Self::Elsewhere(identity))
    }

    /// As buckets have it.
    pub fn to_number(self) -> u32 {
        match self {
            Self::Elsewhere(identity) => identity,
            Self::Indexed(index) => index | INDEXED,
        }
    }

    /// From a bucket.
    #[inline(always)]
    pub fn from_number(number: u32) -> Self {
        if number & INDEXED == 0 { Self::Elsewhere(number) } else { Self::Indexed(number & !INDEXED) }
    }
}
