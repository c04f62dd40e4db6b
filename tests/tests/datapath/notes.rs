//! What programs note of packets, as their maps hold it.

use std::{
    cell::Cell,
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use aya::maps::{MapData, PerCpuArray, PerCpuValues};
use selvedge_abi::{
    Denial, DenialBucket, EventShare, NOTE_TICKS, Note, Passage, PassageBucket, TICK_BITS, map,
};
use selvedge_classifier::testing::{MemoryTables, SECOND};

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
        let [passages, denials] =
            [passages, denials].map(|notes| notes.map(|words| words.map(Cell::into_inner)));
        self.fill_buckets(map::PASSAGES, passages.map(PassageBucket));
        self.fill_buckets(map::DENIALS, denials.map(DenialBucket));
        self.set_all(map::EVENT_SHARES, 0, Plain(EventShare::default()));
    }

    /// Programs' clock for notes, as it was a tenth of a second ago at most. All notes are worthless when it comes to a certain
    /// multiple, which tables in memory know nothing of; so that moment is waited for where it is near.
    fn jiffies(&mut self) -> u64 {
        /// 2⁸ jiffies a tick, 2¹² ticks.
        const ROUND: u64 = 1 << 20;
        const NEAR: u64 = (NOTE_TICKS as u64 + 1) << TICK_BITS;
        if let Some((read, jiffies)) = self.clock
            && read.elapsed() < Duration::from_millis(100)
        {
            return jiffies;
        }
        let jiffies = loop {
            let jiffies = read_jiffies();
            if (NEAR..ROUND - NEAR).contains(&(jiffies % ROUND)) {
                break jiffies;
            }
            sleep(Duration::from_millis(50));
        };
        self.clock = Some((Instant::now(), jiffies));
        jiffies
    }

    fn fill_buckets<B: Bytes>(&mut self, name: &str, buckets: [B; BUCKETS as usize]) {
        let mut map = self.array::<B>(name);
        (0..).zip(buckets).for_each(|(at, bucket)| map.set(at, Plain(bucket), 0).unwrap());
    }

    pub(super) fn set_all<V: Bytes>(&mut self, name: &str, at: u32, value: Plain<V>) {
        let values = PerCpuValues::try_from(vec![value; self.cpus]).unwrap();
        self.own::<V>(name).set(at, values, 0).unwrap();
    }

    pub(super) fn own<V: Bytes>(&mut self, name: &str) -> PerCpuArray<&mut MapData, Plain<V>> {
        PerCpuArray::try_from(self.ebpf.map_mut(name).unwrap()).unwrap()
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

fn read_jiffies() -> u64 {
    let timers = fs::read_to_string("/proc/timer_list").expect("the kernel lists its timers (as root)");
    let jiffies = timers.lines().find_map(|line| line.strip_prefix("jiffies: "));
    jiffies.expect("and says what time it is").parse().unwrap()
}
