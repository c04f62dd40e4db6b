use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use selvedge_abi::{
    Address, AddressEntry, AddressKey, Bucket, Interval, Ipv4Bucket, Ipv6Bucket, Layout, ListNumber,
    MAX_ENDS, MAX_POLICIES, NoteSeeds, PolicyBucket, PolicyEntry, PolicyKey, PrefixKey, Run, SLOTS, Seeds,
    buckets,
};

use super::cuckoo::Cuckoo;
use super::*;
use crate::tables::{Slot, SlotTables};

/// An array that several tables may look at, as the pinned ones.
#[derive(Clone)]
pub(super) struct Shared<B>(Arc<Mutex<Vec<B>>>);

impl<B: Copy + Default> Shared<B> {
    pub(super) fn of(length: u32) -> Self {
        Self(Arc::new(Mutex::new(vec![B::default(); length as usize])))
    }
}

impl<B: Copy> Memory<B> for Shared<B> {
    fn load(&self, index: u32) -> B {
        self.0.lock().unwrap()[index as usize]
    }

    fn store(&mut self, index: u32, bucket: &B) {
        self.0.lock().unwrap()[index as usize] = *bucket;
    }
}

/// A small generator (xorshift64*), so that a failing seed can be run again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn seeds(&mut self) -> Seeds {
        let mut seeds = Seeds { start: self.next(), ..Seeds::default() };
        seeds.terms.fill_with(|| self.next());
        seeds
    }
}

/// Values that tests tell apart.
trait Numbered: std::fmt::Debug + PartialEq {
    fn numbered(number: u32) -> Self;
}

impl Numbered for u32 {
    fn numbered(number: u32) -> Self {
        number
    }
}

impl Numbered for ListNumber {
    fn numbered(number: u32) -> Self {
        Self::of(number)
    }
}

/// A short list for an even number, a run for an odd one.
fn policy(number: u32) -> PolicyEntry {
    if number.is_multiple_of(2) {
        PolicyEntry::inline(&[Interval { start: 0, rule: number, decision: 0 }]).unwrap()
    } else {
        PolicyEntry::indexed(Run { first: number, count: 4 })
    }
}

/// Fills a table to its load limit with keys of `key`, deletes and overwrites some, and holds it to a map all along.
fn answers_as_a_map_does<B: Bucket<Value: Numbered, Key: std::fmt::Debug> + Default + Send>(
    entries: u32,
    key: impl Fn(u32, &mut Random) -> B::Key,
) {
    for seed in 1..=3 {
        let mut random = Random(seed);
        let total = buckets::<B>(entries);
        let mut table = Cuckoo::<B>::new(Box::new(Shared::of(total)), random.seeds(), total / SLOTS);
        let mut map = BTreeMap::new();
        for number in 0..entries {
            let key = key(number, &mut random);
            let value = B::Value::numbered(number + 1);
            table.insert(Slot::B, key, value).expect("there is room up to the limit");
            map.insert(key, value);
        }
        let known: Vec<B::Key> = map.keys().copied().collect();
        for key in known.iter().step_by(3) {
            table.remove(Slot::B, *key);
            map.remove(key);
        }
        for key in known.iter().step_by(2) {
            table.insert(Slot::B, *key, B::Value::numbered(7)).unwrap();
            map.insert(*key, B::Value::numbered(7));
        }
        for key in &known {
            assert_eq!(table.get(Slot::B, *key), map.get(key).copied());
            assert_eq!(table.get(Slot::A, *key), None);
        }
        let read: Vec<_> = table.entries(Slot::B).collect();
        assert_eq!(read.len(), map.len(), "each key is there once");
        assert_eq!(read.into_iter().collect::<BTreeMap<_, _>>(), map);
        assert_eq!(table.entries(Slot::A).count(), 0);
    }
}

#[test]
fn tables_answer_as_a_map_does_up_to_their_load_limit() {
    answers_as_a_map_does::<Ipv4Bucket>(150_000, |_, random| random.next() as u32);
    answers_as_a_map_does::<Ipv6Bucket>(50_000, |_, random| [random.next(), random.next()]);
    answers_as_a_map_does::<PolicyBucket>(20_000, |_, random| [random.next() as u32, random.next() as u32]);
}

#[test]
fn keys_in_a_row_spread_as_well_as_random_ones() {
    answers_as_a_map_does::<Ipv4Bucket>(100_000, |number, _| 0x0a00_0000 + number);
    answers_as_a_map_does::<Ipv4Bucket>(60_000, |number, _| number << 16);
    answers_as_a_map_does::<Ipv6Bucket>(50_000, |number, _| [0xfd00 << 48, u64::from(number) << 32]);
    // Both directions of a hundred workloads, towards hundreds of peers.
    answers_as_a_map_does::<PolicyBucket>(20_000, |number, _| {
        let (subject, direction) = (256 + number % 100, number / 100 % 2);
        PolicyKey { slot: 1, subject, peer: 256 + number / 200, direction }.to_words()
    });
}

#[test]
fn a_table_beyond_its_room_refuses_and_keeps_what_it_has() {
    let mut random = Random(5);
    let total = buckets::<Ipv4Bucket>(1_000);
    let mut table = Cuckoo::<Ipv4Bucket>::new(Box::new(Shared::of(total)), random.seeds(), total / SLOTS);
    let mut held = BTreeMap::new();
    let refused = (1..10_000).find(|number| match table.insert(Slot::A, *number, *number) {
        Ok(()) => held.insert(*number, *number).is_some(),
        Err(Full) => true,
    });
    assert!(refused.is_some_and(|number| number > 1_400), "of 1,504 places: {refused:?}");
    assert_eq!(table.entries(Slot::A).collect::<BTreeMap<_, _>>(), held);
}

#[test]
fn a_crash_at_any_write_loses_nothing_and_what_is_there_twice_heals() {
    #[derive(Clone)]
    struct Dying(Shared<Ipv4Bucket>, Arc<Mutex<u32>>);
    impl Memory<Ipv4Bucket> for Dying {
        fn load(&self, index: u32) -> Ipv4Bucket {
            self.0.load(index)
        }
        fn store(&mut self, index: u32, bucket: &Ipv4Bucket) {
            let mut left = self.1.lock().unwrap();
            if *left > 0 {
                *left -= 1;
                self.0.store(index, bucket);
            }
        }
    }
    let (mut moved, seeds) = (0, Random(9).seeds());
    for writes in 1..6 {
        let (memory, left) = (Shared::of(SLOTS * 8), Arc::new(Mutex::new(u32::MAX)));
        let mut table = Cuckoo::new(Box::new(Dying(memory.clone(), left.clone())), seeds, 8);
        let count = (1..=64).take_while(|key| table.insert(Slot::A, *key, *key).is_ok()).count() as u32;
        table.remove(Slot::A, 1);
        *left.lock().unwrap() = writes;
        let _died = table.insert(Slot::A, 1_000, 1);
        let mut after = Cuckoo::<Ipv4Bucket>::new(Box::new(memory), seeds, 8);
        moved += (after.entries(Slot::A).count() as u32 > count - 1) as u32;
        (2..=count).for_each(|key| assert_eq!(after.get(Slot::A, key), Some(key), "after {writes} writes"));
        (2..=count).for_each(|key| after.insert(Slot::A, key, key).unwrap());
        assert!(after.entries(Slot::A).count() as u32 <= count);
        (2..=count).for_each(|key| after.remove(Slot::A, key));
        assert!(after.entries(Slot::A).all(|(key, _)| key == 1_000));
    }
    assert!(moved > 0, "no crash left an entry twice");
}

struct Arrays {
    ipv4: Shared<Ipv4Bucket>,
    ipv6: Shared<Ipv6Bucket>,
    prefixes: (Shared<Ipv4Bucket>, Shared<Ipv6Bucket>),
    lengths: Shared<selvedge_abi::Lengths>,
    ends: Shared<AddressEntry>,
}

const SEEDS: Seeds = Seeds { start: 1, terms: [0x9e37_79b9_7f4a_7c15; 14] };

impl Arrays {
    const LAYOUT: Layout = Layout {
        seeds: SEEDS,
        notes: NoteSeeds { flow: SEEDS, check: SEEDS },
        ipv4: 64,
        ipv6: 64,
        ipv4_prefixes: 64,
        ipv6_prefixes: 64,
        policies: 64,
        passages: 0,
        denials: 0,
        reserved: 0,
    };

    fn new() -> Self {
        Self {
            ipv4: Shared::of(128),
            ipv6: Shared::of(128),
            prefixes: (Shared::of(128), Shared::of(128)),
            lengths: Shared::of(SLOTS),
            ends: Shared::of(SLOTS * MAX_ENDS),
        }
    }

    fn open(&self) -> AddressTables {
        let arrays = AddressArrays {
            ipv4: Box::new(self.ipv4.clone()),
            ipv6: Box::new(self.ipv6.clone()),
            ipv4_prefixes: Box::new(self.prefixes.0.clone()),
            ipv6_prefixes: Box::new(self.prefixes.1.clone()),
            lengths: Box::new(self.lengths.clone()),
            ends: Box::new(self.ends.clone()),
        };
        AddressTables::new(&Self::LAYOUT, arrays)
    }
}

#[test]
fn what_is_written_is_read_again_also_by_an_agent_started_since() {
    let arrays = Arrays::new();
    let mut random = Random(3);
    let mut wanted = SlotTables::default();
    let mut tables = arrays.open();
    for round in 0..400_u32 {
        if round % 50 == 0 {
            tables = arrays.open();
        }
        let v4 = Address::from_ipv4([10, 0, 0, random.next() as u8 & 127]);
        let v6 = Address::from_halves(0xfd00 << 48, random.next() & 63);
        let address = if random.next() & 1 == 0 { v4 } else { v6 };
        let key = AddressKey { slot: 1, address };
        let entry = AddressEntry {
            identity: 256 + random.next() as u32 % 3,
            class: 256 + random.next() as u32 % 3,
            ifindex: random.next() as u32 % 3,
        };
        let (length, address) = match random.next() % 4 {
            0 => (96 + 8, Address::from_ipv4([10, 0, 0, 0])),
            1 => (96, Address::from_ipv4([0; 4])),
            2 => (0, Address([0; 16])),
            _ => (16, Address::from_halves(0xfd00 << 48, 0)),
        };
        let prefix = PrefixKey { slot: 1, length, address };
        if random.next() & 3 > 0 {
            tables.put_address(&key, entry).unwrap();
            tables.put_prefix(&prefix, entry).unwrap();
            wanted.addresses.insert(key, entry);
            wanted.prefixes.insert(prefix, entry);
        } else {
            tables.delete_address(&key);
            tables.delete_prefix(&prefix);
            wanted.addresses.remove(&key);
            wanted.prefixes.remove(&prefix);
        }
        let mut found = SlotTables::default();
        tables.read(Slot::B, &mut found);
        assert_eq!(found, wanted);
        let listed = |all: [u8; 32]| all.into_iter().take_while(|length| *length > 0).collect::<Vec<_>>();
        let lengths = arrays.lengths.load(1);
        let of = |v4| {
            let of_family = wanted.prefixes.keys().filter(move |key| key.is_ipv4() == v4);
            let mut all: Vec<u8> =
                of_family.map(|key| (key.length - if v4 { 96 } else { 0 }) as u8 + 1).collect();
            all.sort_unstable_by(|a, b| b.cmp(a));
            all
        };
        assert_eq!((listed(lengths.ipv4), listed(lengths.ipv6)), (of(true), of(false)), "the longest first");
        tables.read(Slot::A, &mut found);
        assert_eq!((found.addresses.len(), found.prefixes.len()), (0, 0));
    }
}

#[test]
fn policies_that_are_written_are_read_again_also_by_an_agent_started_since() {
    let buckets = Shared::<PolicyBucket>::of(SLOTS * Arrays::LAYOUT.policies);
    let lists = Shared::<PolicyEntry>::of(SLOTS * MAX_POLICIES);
    let mut random = Random(4);
    let layout = Layout { seeds: random.seeds(), ..Arrays::LAYOUT };
    let arrays = || PolicyArrays { policies: Box::new(buckets.clone()), lists: Box::new(lists.clone()) };
    let open = || PolicyTable::new(&layout, arrays());
    let mut wanted = BTreeMap::new();
    let mut table = open();
    for round in 0..600_u32 {
        if round % 50 == 0 {
            table = open();
        }
        let mut below = |limit: u64| (random.next() >> 32) as u32 % limit as u32;
        // Of one number in both directions and as the peer of each other, up to the highest.
        let ends = [0, 1, 256, 257, PolicyKey::SUBJECTS - 1];
        let (subject, peer) = (ends[below(5) as usize], ends[below(5) as usize]);
        let key = PolicyKey { slot: 1, subject, peer, direction: below(2) };
        if below(4) > 0 {
            let entry = policy(1 + below(50));
            table.put(&key, entry).unwrap();
            wanted.insert(key, entry);
        } else {
            table.delete(&key);
            wanted.remove(&key);
        }
        assert_eq!(table.get(&key), wanted.get(&key).copied());
        assert_eq!(table.get(&PolicyKey { slot: 0, ..key }), None);
        let mut found = SlotTables::default();
        table.read(Slot::B, &mut found);
        assert_eq!(found, SlotTables { policies: wanted.clone(), ..SlotTables::default() });
    }
    assert!(wanted.len() > 30, "{}", wanted.len());
}
