//! The tables of addresses and prefixes of both families.

use selvedge_abi::{
    Address, AddressEntry, AddressKey, Ipv4Bucket, Ipv6Bucket, Layout, Lengths, PrefixKey, ipv4_prefix,
    ipv6_prefix,
};

use super::cuckoo::{Cuckoo, Full, Memory};
use super::ends::Ends;
use super::lengths::{Family, LengthLists};
use crate::tables::{Slot, SlotTables};

/// The array maps.
pub struct AddressArrays {
    /// IPv4 addresses.
    pub ipv4: Box<dyn Memory<Ipv4Bucket> + Send>,
    /// IPv6 addresses.
    pub ipv6: Box<dyn Memory<Ipv6Bucket> + Send>,
    /// IPv4 prefixes.
    pub ipv4_prefixes: Box<dyn Memory<Ipv4Bucket> + Send>,
    /// IPv6 prefixes.
    pub ipv6_prefixes: Box<dyn Memory<Ipv6Bucket> + Send>,
    /// Lengths of prefixes, by slot.
    pub lengths: Box<dyn Memory<Lengths> + Send>,
    /// Entries that buckets point at.
    pub ends: Box<dyn Memory<AddressEntry> + Send>,
}

/// All that is known of addresses, in both slots.
pub struct AddressTables {
    ipv4: Cuckoo<Ipv4Bucket>,
    ipv6: Cuckoo<Ipv6Bucket>,
    ipv4_prefixes: Cuckoo<Ipv4Bucket>,
    ipv6_prefixes: Cuckoo<Ipv6Bucket>,
    lengths: LengthLists,
    ends: Ends,
}

/// Which table a key is of, and as what.
#[derive(Clone, Copy)]
enum Place {
    Ipv4(u32),
    Ipv6([u64; 2]),
    Ipv4Prefix(u32, u8),
    Ipv6Prefix([u64; 2], u8),
}

impl Place {
    fn of_address(address: Address) -> Self {
        address.ipv4().map_or(Self::Ipv6(address.halves()), Self::Ipv4)
    }

    /// Family and length of a prefix.
    fn length(self) -> Option<(Family, u8)> {
        match self {
            Self::Ipv4(_) | Self::Ipv6(_) => None,
            Self::Ipv4Prefix(_, length) => Some((Family::Ipv4, length)),
            Self::Ipv6Prefix(_, length) => Some((Family::Ipv6, length)),
        }
    }

    /// `None` for a length that no prefix of the family has.
    fn of_prefix(key: &PrefixKey) -> Option<Self> {
        let length = |bits: u32, below: u8| u8::try_from(bits).ok().filter(|length| *length < below);
        match key.address.ipv4() {
            Some(address) if key.is_ipv4() => {
                let length = length(key.length - PrefixKey::MAPPED_BITS, 32)?;
                Some(Self::Ipv4Prefix(ipv4_prefix(address, length), length))
            }
            _ => {
                let length = length(key.length, 128)?;
                Some(Self::Ipv6Prefix(ipv6_prefix(key.address.halves(), length), length))
            }
        }
    }
}

impl AddressTables {
    /// The tables as the arrays have them.
    pub fn new(layout: &Layout, arrays: AddressArrays) -> Self {
        let seeds = layout.seeds;
        let mut tables = Self {
            ipv4: Cuckoo::new(arrays.ipv4, seeds, layout.ipv4),
            ipv6: Cuckoo::new(arrays.ipv6, seeds, layout.ipv6),
            ipv4_prefixes: Cuckoo::new(arrays.ipv4_prefixes, seeds, layout.ipv4_prefixes),
            ipv6_prefixes: Cuckoo::new(arrays.ipv6_prefixes, seeds, layout.ipv6_prefixes),
            lengths: LengthLists::new(arrays.lengths),
            ends: Ends::new(arrays.ends),
        };
        Slot::BOTH.into_iter().for_each(|slot| tables.take_stock(slot));
        tables
    }

    fn take_stock(&mut self, slot: Slot) {
        let Self { ipv4, ipv6, ipv4_prefixes, ipv6_prefixes, lengths, ends } = self;
        ipv4.entries(slot).for_each(|(_, number)| ends.note(slot, number));
        ipv6.entries(slot).for_each(|(_, number)| ends.note(slot, number));
        for (key, number) in ipv4_prefixes.entries(slot) {
            ends.note(slot, number);
            lengths.note(slot, (Family::Ipv4, of_ipv4_prefix(key).1));
        }
        for (key, number) in ipv6_prefixes.entries(slot) {
            ends.note(slot, number);
            lengths.note(slot, (Family::Ipv6, of_ipv6_prefix(key).1));
        }
    }

    /// As [`Memory::rest`](super::Memory::rest). Lengths are few, and stay.
    pub fn rest(&mut self) {
        let Self { ipv4, ipv6, ipv4_prefixes, ipv6_prefixes, lengths: _, ends } = self;
        ipv4.rest();
        ipv6.rest();
        ipv4_prefixes.rest();
        ipv6_prefixes.rest();
        ends.rest();
    }

    /// Reads the addresses and prefixes of a slot.
    pub fn read(&self, slot: Slot, into: &mut SlotTables) {
        let Self { ipv4, ipv6, ipv4_prefixes, ipv6_prefixes, lengths: _, ends } = self;
        let v4 = ipv4.entries(slot).map(|(key, number)| (ipv4_address(key), number));
        let v6 = ipv6.entries(slot).map(|([high, low], number)| (Address::from_halves(high, low), number));
        into.addresses = v4
            .chain(v6)
            .map(|(address, number)| {
                (AddressKey { slot: slot.number(), address }, ends.resolve(slot, number))
            })
            .collect();
        let v4 = ipv4_prefixes.entries(slot).map(|(key, number)| {
            let (network, length) = of_ipv4_prefix(key);
            (ipv4_address(network), PrefixKey::MAPPED_BITS + u32::from(length), number)
        });
        let v6 = ipv6_prefixes.entries(slot).map(|(key, number)| {
            let ([high, low], length) = of_ipv6_prefix(key);
            (Address::from_halves(high, low), u32::from(length), number)
        });
        into.prefixes = v4
            .chain(v6)
            .map(|(address, length, number)| {
                (PrefixKey { slot: slot.number(), length, address }, ends.resolve(slot, number))
            })
            .collect();
    }

    /// Writes the entry of an address.
    pub fn put_address(&mut self, key: &AddressKey, entry: AddressEntry) -> Result<(), Full> {
        self.put(Slot::of(key.slot), Place::of_address(key.address), entry)
    }

    /// Writes the entry of a prefix.
    pub fn put_prefix(&mut self, key: &PrefixKey, entry: AddressEntry) -> Result<(), Full> {
        self.put(Slot::of(key.slot), Place::of_prefix(key).ok_or(Full)?, entry)
    }

    /// Deletes the entry of an address, if there is one.
    pub fn delete_address(&mut self, key: &AddressKey) {
        self.delete(Slot::of(key.slot), Place::of_address(key.address));
    }

    /// Deletes the entry of a prefix, if there is one.
    pub fn delete_prefix(&mut self, key: &PrefixKey) {
        if let Some(place) = Place::of_prefix(key) {
            self.delete(Slot::of(key.slot), place);
        }
    }

    fn put(&mut self, slot: Slot, place: Place, entry: AddressEntry) -> Result<(), Full> {
        let before = self.get(slot, place);
        // The length first: a length too many finds nothing, a prefix of no length is never found.
        if before.is_none() {
            self.lengths.add(slot, place.length())?;
        }
        let number = self.ends.acquire(slot, entry)?;
        if let Err(full) = self.insert(slot, place, number) {
            self.forget(slot, place, number);
            return Err(full);
        }
        before.into_iter().for_each(|number| self.ends.release(slot, number));
        Ok(())
    }

    fn insert(&mut self, slot: Slot, place: Place, number: u32) -> Result<(), Full> {
        match place {
            Place::Ipv4(key) => self.ipv4.insert(slot, key, number),
            Place::Ipv6(key) => self.ipv6.insert(slot, key, number),
            Place::Ipv4Prefix(key, _) => self.ipv4_prefixes.insert(slot, key, number),
            Place::Ipv6Prefix(key, _) => self.ipv6_prefixes.insert(slot, key, number),
        }
    }

    fn delete(&mut self, slot: Slot, place: Place) {
        let Some(number) = self.get(slot, place) else { return };
        match place {
            Place::Ipv4(key) => self.ipv4.remove(slot, key),
            Place::Ipv6(key) => self.ipv6.remove(slot, key),
            Place::Ipv4Prefix(key, _) => self.ipv4_prefixes.remove(slot, key),
            Place::Ipv6Prefix(key, _) => self.ipv6_prefixes.remove(slot, key),
        }
        self.forget(slot, place, number);
    }

    fn forget(&mut self, slot: Slot, place: Place, number: u32) {
        self.lengths.remove(slot, place.length());
        self.ends.release(slot, number);
    }

    fn get(&self, slot: Slot, place: Place) -> Option<u32> {
        match place {
            Place::Ipv4(key) => self.ipv4.get(slot, key),
            Place::Ipv6(key) => self.ipv6.get(slot, key),
            Place::Ipv4Prefix(key, _) => self.ipv4_prefixes.get(slot, key),
            Place::Ipv6Prefix(key, _) => self.ipv6_prefixes.get(slot, key),
        }
    }
}

fn ipv4_address(number: u32) -> Address {
    Address::from_ipv4(number.to_be_bytes())
}

/// Network and length of the prefix that [`ipv4_prefix`] made the key of: what is before its last one, and where that is.
fn of_ipv4_prefix(key: u32) -> (u32, u8) {
    let marker = key.trailing_zeros();
    (key & (key.wrapping_sub(1)), 31 - marker.min(31) as u8)
}

fn of_ipv6_prefix([high, low]: [u64; 2]) -> ([u64; 2], u8) {
    let key = u128::from(high) << 64 | u128::from(low);
    let network = key & key.wrapping_sub(1);
    ([(network >> 64) as u64, network as u64], 127 - key.trailing_zeros().min(127) as u8)
}
