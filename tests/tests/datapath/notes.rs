//! What programs note of packets, as their maps hold it.

use std::{
    cell::Cell,
    fs,
    time::{Duration, Instant},
};

use aya::maps::{MapData, PerCpuArray, PerCpuValues};
use selvedge_abi::{
    Counter, Denial, DenialBucket, EventShare, Note, NotedCounters, Passage, PassageBucket, Reason, map,
    port_place,
};
use selvedge_classifier::testing::{MemoryTables, PORT, SECOND};

use super::{Bytes, Kernel, Plain};

/// Jiffies are at least as long.
const MILLISECOND: u64 = SECOND / 1000;

/// Buckets of passages, and of denials.
pub(super) const BUCKETS: u32 = 2;

type Words = [Cell<u64>; 8];

impl Kernel {
    /// Fills the notes with those of `tables`; those without room are left out. What is old there is as old here, or older.
    pub(super) fn fill_notes(&mut self, tables: &MemoryTables) {
        let now = self.jiffies();
        let (passages, denials): ([Words; BUCKETS as usize], [Words; BUCKETS as usize]) = Default::default();
        let at = |noted: u64| now - (tables.clock.get() - noted) / MILLISECOND;
        for (passage, noted) in tables.passages.borrow().iter() {
            let note = Note::new(passage, at(*noted), &self.layout.notes);
            let words = &passages[note.place(BUCKETS) as usize];
            note.write(|at| words[at].get(), |at, word| words[at].set(word));
        }
        for (opening, (rule, noted)) in tables.denials.borrow().iter() {
            let denial = Denial::new(opening, at(*noted), &self.layout.notes);
            let words = &denials[denial.place(BUCKETS) as usize];
            denial.write(*rule, |at| words[at].get(), |at, word| words[at].set(word));
        }
        self.fill_buckets::<PassageBucket>(map::PASSAGES, passages.map(bucket));
        self.fill_buckets::<DenialBucket>(map::DENIALS, denials.map(bucket));
        let (zero, idle) = (Plain(NotedCounters::default()), Plain(EventShare::default()));
        self.set_all(map::NOTED_COUNTERS, port_place(PORT, 0), zero);
        self.set_all(map::EVENT_SHARES, 0, idle);
    }

    /// Programs' clock for notes, as it was a tenth of a second ago at most.
    fn jiffies(&mut self) -> u64 {
        match self.clock {
            Some((read, jiffies)) if read.elapsed() < Duration::from_millis(100) => jiffies,
            _ => {
                let timers =
                    fs::read_to_string("/proc/timer_list").expect("the kernel lists its timers (as root)");
                let jiffies = timers.lines().find_map(|line| line.strip_prefix("jiffies: "));
                let jiffies = jiffies.expect("and says what time it is").parse().unwrap();
                self.clock = Some((Instant::now(), jiffies));
                jiffies
            }
        }
    }

    fn fill_buckets<B: Bytes>(&mut self, name: &str, buckets: [B; BUCKETS as usize]) {
        let mut map = self.array::<B>(name);
        (0..).zip(buckets).for_each(|(at, bucket)| map.set(at, Plain(bucket), 0).unwrap());
    }

    fn set_all<V: Bytes>(&mut self, name: &str, at: u32, value: Plain<V>) {
        let values = PerCpuValues::try_from(vec![value; self.cpus]).unwrap();
        self.own::<V>(name).set(at, values, 0).unwrap();
    }

    fn own<V: Bytes>(&mut self, name: &str) -> PerCpuArray<&mut MapData, Plain<V>> {
        PerCpuArray::try_from(self.ebpf.map_mut(name).unwrap()).unwrap()
    }

    /// What notes counted on [`PORT`].
    pub(super) fn noted(&mut self) -> [(Reason, Counter); 2] {
        let counters = self.own::<NotedCounters>(map::NOTED_COUNTERS).get(&port_place(PORT, 0), 0).unwrap();
        let sum = |of: fn(&NotedCounters) -> Counter| {
            counters.iter().fold(Counter::default(), |sum, Plain(counters)| Counter {
                packets: sum.packets + of(counters).packets,
                bytes: sum.bytes + of(counters).bytes,
            })
        };
        [(Reason::Established, sum(|of| of.passed)), (Reason::PolicyDeny, sum(|of| of.denied))]
    }

    /// Events that were not written.
    pub(super) fn events_lost(&mut self) -> u64 {
        let shares = self.own::<EventShare>(map::EVENT_SHARES).get(&0, 0).unwrap();
        shares.iter().map(|Plain(share)| share.lost).sum()
    }

    /// Whether the program's map has a note of the passage that is still believed.
    #[allow(dead_code, reason = "one of the tests that share this asks")]
    pub(crate) fn has_note(&mut self, passage: &Passage) -> bool {
        let note = Note::new(passage, self.jiffies(), &self.layout.notes);
        let passages = self.array::<PassageBucket>(map::PASSAGES);
        let Plain(PassageBucket(words)) = passages.get(&note.place(BUCKETS), 0).unwrap();
        note.is_in(|at| words[at])
    }
}

fn bucket(words: Words) -> PassageBucket {
    PassageBucket(words.map(Cell::into_inner))
}
