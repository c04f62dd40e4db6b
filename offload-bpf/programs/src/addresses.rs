//! The tables of addresses: arrays of buckets, which the agent fills.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, macros::map, maps::Array};
use selvedge_abi::{
    Address, AddressEntry, AddressKey, Bucket, End, Half, Ipv4Bucket, Ipv6Bucket, Layout, Lengths, MAX_ENDS,
    MAX_IPV4, MAX_IPV6, MAX_PREFIX_LENGTHS, MAX_PREFIXES, SLOTS, buckets, find, ipv4_prefix, ipv6_prefix,
};

#[map]
pub(crate) static LAYOUT: Array<Layout> = Array::with_max_entries(1, 0);
/// An array that can be mapped begins at a page, and so its buckets at cache lines; others begin anywhere.
#[map]
static IPV4: Array<Ipv4Bucket> = Array::with_max_entries(buckets::<Ipv4Bucket>(MAX_IPV4), BPF_F_MMAPABLE);
#[map]
static IPV6: Array<Ipv6Bucket> = Array::with_max_entries(buckets::<Ipv6Bucket>(MAX_IPV6), BPF_F_MMAPABLE);
#[map]
static IPV4_PREFIXES: Array<Ipv4Bucket> =
    Array::with_max_entries(buckets::<Ipv4Bucket>(MAX_PREFIXES), BPF_F_MMAPABLE);
#[map]
static IPV6_PREFIXES: Array<Ipv6Bucket> =
    Array::with_max_entries(buckets::<Ipv6Bucket>(MAX_PREFIXES), BPF_F_MMAPABLE);
#[map]
static LENGTHS: Array<Lengths> = Array::with_max_entries(SLOTS, BPF_F_MMAPABLE);
#[map]
static ENDS: Array<AddressEntry> = Array::with_max_entries(SLOTS * MAX_ENDS, BPF_F_MMAPABLE);

/// What is known of an address: by itself, else by the longest prefix that holds it.
#[inline(always)]
pub(crate) fn lookup(key: &AddressKey) -> Option<AddressEntry> {
    let AddressKey { slot, address } = *key;
    let [high, low] = address.halves();
    match selvedge_search(slot, high, low) {
        0 => None,
        number => entry(slot, number),
    }
}

/// The number of an [`End`], 0 for none. A function of its own with numbers as arguments, and global, so that the
/// verifier follows its loops once and not once a call.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn selvedge_search(slot: u32, high: u64, low: u64) -> u32 {
    let (Some(layout), Some(lengths)) = (LAYOUT.get(0), LENGTHS.get(slot)) else { return 0 };
    let found = match Address::from_halves(high, low).ipv4() {
        Some(address) => {
            let half = Half { slot, buckets: layout.ipv4 };
            let prefixes = Half { slot, buckets: layout.ipv4_prefixes };
            find(address, &layout.seeds, half, |at| IPV4.get(at)).copied().or_else(|| {
                by_prefix(layout, &lengths.ipv4, prefixes, &IPV4_PREFIXES, |length| {
                    ipv4_prefix(address, length)
                })
            })
        }
        None => {
            let half = Half { slot, buckets: layout.ipv6 };
            let prefixes = Half { slot, buckets: layout.ipv6_prefixes };
            let address = [high, low];
            find(address, &layout.seeds, half, |at| IPV6.get(at)).copied().or_else(|| {
                by_prefix(layout, &lengths.ipv6, prefixes, &IPV6_PREFIXES, |length| {
                    ipv6_prefix(address, length)
                })
            })
        }
    };
    found.unwrap_or(0)
}

#[inline(always)]
fn by_prefix<B: Bucket<Value = u32>>(
    layout: &Layout,
    lengths: &[u8; MAX_PREFIX_LENGTHS],
    half: Half,
    table: &'static Array<B>,
    key: impl Fn(u8) -> B::Key,
) -> Option<u32> {
    for next in lengths {
        let length = next.checked_sub(1)?;
        let found = find(key(length), &layout.seeds, half, |at| table.get(at));
        if found.is_some() {
            return found.copied();
        }
    }
    None
}

#[inline(always)]
fn entry(slot: u32, number: u32) -> Option<AddressEntry> {
    match End::from_number(number) {
        End::Elsewhere(identity) => Some(AddressEntry { identity, class: identity, ifindex: 0 }),
        End::Indexed(index) => ENDS.get((slot * MAX_ENDS).wrapping_add(index)).copied(),
    }
}
