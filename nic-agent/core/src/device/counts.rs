//! What programs in NICs have dropped, by rule, over all the programs that there were.
//!
//! A device counts in words of 32 bits, which wrap, in maps that go with their program. So what is new in each word since it was last
//! read is added to sums here, and the sums are kept: whoever takes them up again goes on from the word that they are up to.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_topology::model::RuleId;
use selvedge_topology::names::PortName;
use serde::{Deserialize, Serialize};

/// The words of one program, as they were read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The kernel's number of the program: no other has it before the machine starts anew.
    pub program: u32,
    /// Packets that it dropped, by rule, modulo 2^32.
    pub words: BTreeMap<RuleId, u32>,
}

/// Sums, and the words that are in them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCounts {
    packets: BTreeMap<RuleId, u64>,
    last: BTreeMap<PortName, Reading>,
}

impl DeviceCounts {
    /// Adds what is new in the words of the program in the NIC of `port`. They are to be read once in 2^32 packets.
    pub fn add(&mut self, port: &PortName, reading: Reading) {
        let known = self.last.get(port).filter(|last| last.program == reading.program);
        for (rule, word) in &reading.words {
            let added = known.and_then(|last| last.words.get(rule)).copied().unwrap_or(0);
            *self.packets.entry(*rule).or_default() += u64::from(word.wrapping_sub(added));
        }
        self.last.insert(port.clone(), reading);
    }

    /// Packets that NICs have dropped, by rule; only rules that dropped any.
    pub fn packets(&self) -> impl Iterator<Item = (RuleId, u64)> {
        self.packets.iter().map(|(rule, packets)| (*rule, *packets)).filter(|(_, packets)| *packets > 0)
    }

    /// Forgets rules that are no more, as their counters in the kernel go.
    pub fn keep(&mut self, rules: &BTreeSet<RuleId>) {
        self.packets.retain(|rule, _| rules.contains(rule));
    }

    /// Ports whose last program is not among `running` (by the kernel's numbers): what it counted since it was last read is lost.
    pub fn bereft(&mut self, running: &BTreeMap<PortName, u32>) -> Vec<PortName> {
        let gone = |(port, last): &(&PortName, &Reading)| running.get(*port) != Some(&last.program);
        let bereft: Vec<PortName> = self.last.iter().filter(gone).map(|(port, _)| port.clone()).collect();
        bereft.iter().for_each(|port| self.close(port));
        bereft
    }

    /// Takes note that a port's program went after its words were read for the last time.
    pub fn close(&mut self, port: &PortName) {
        self.last.remove(port);
    }
}

#[cfg(test)]
mod tests {
    use arbtest::arbitrary::Unstructured;
    use arbtest::arbtest;

    use super::*;
    use crate::testing::name;

    /// A device: its program, what that has counted in all, and what all have.
    #[derive(Default)]
    struct Device {
        program: u32,
        counted: BTreeMap<RuleId, u64>,
        all: BTreeMap<RuleId, u64>,
    }

    impl Device {
        fn drops(&mut self, rule: RuleId, packets: u32) {
            for sum in [&mut self.counted, &mut self.all] {
                *sum.entry(rule).or_default() += u64::from(packets);
            }
        }

        fn reading(&self) -> Reading {
            let words = self.counted.iter().map(|(rule, packets)| (*rule, *packets as u32));
            Reading { program: self.program, words: words.collect() }
        }

        fn exchange(&mut self) {
            (self.program, self.counted) = (self.program + 1, BTreeMap::new());
        }
    }

    #[test]
    fn whatever_is_read_exchanged_and_taken_up_again_every_packet_is_counted_once() {
        let (mut wrapped, mut exchanged, mut restored) = (0, 0, 0);
        let mut property = |u: &mut Unstructured<'_>| {
            let (port, mut device, mut counts) = (name("eth0"), Device::default(), DeviceCounts::default());
            let mut kept = counts.clone();
            for _ in 0..u.int_in_range(1..=40)? {
                match u.int_in_range(0..=7)? {
                    0..=2 => {
                        counts.add(&port, device.reading());
                        let packets = u.int_in_range(0..=u32::MAX)?;
                        device.drops(RuleId(u.int_in_range(1..=3)?), packets);
                        wrapped += usize::from(device.counted.values().any(|sum| *sum > u64::from(u32::MAX)));
                    }
                    3 | 4 => counts.add(&port, device.reading()),
                    5 => {
                        counts.add(&port, device.reading());
                        kept = serde_roundtrip(&counts);
                        device.exchange();
                        exchanged += 1;
                    }
                    // The agent died, and what it kept is older than what it knew.
                    _ if kept.last.get(&port).is_some_and(|last| last.program == device.program) => {
                        let fits = device.reading().words.iter().all(|(rule, _)| {
                            let added =
                                |sum: &BTreeMap<RuleId, u64>| sum.get(rule).copied().unwrap_or_default();
                            added(&device.all) - added(&kept.packets) <= u64::from(u32::MAX)
                        });
                        if fits {
                            counts = kept.clone();
                            restored += 1;
                        }
                    }
                    _ => {
                        counts.add(&port, device.reading());
                        kept = serde_roundtrip(&counts);
                    }
                }
            }
            counts.add(&port, device.reading());
            let all = device.all.into_iter().filter(|(_, packets)| *packets > 0).collect::<Vec<_>>();
            assert_eq!(counts.packets().collect::<Vec<_>>(), all);
            Ok(())
        };
        for number in 1..=2_000_u32 {
            let random = number.wrapping_mul(0x9e37_79b9); // not zero, and no two alike: an odd factor
            arbtest(&mut property).seed(u64::from(random) << 32 | 512);
        }
        assert!(wrapped > 100 && exchanged > 100 && restored > 20, "{wrapped} {exchanged} {restored}");
    }

    fn serde_roundtrip(counts: &DeviceCounts) -> DeviceCounts {
        serde_json::from_slice(&serde_json::to_vec(counts).unwrap()).unwrap()
    }

    #[test]
    fn a_program_that_went_unread_is_told_once_and_one_that_was_closed_is_not() {
        let reading = |program| Reading { program, words: [(RuleId(7), 5)].into() };
        let mut counts = DeviceCounts::default();
        for (port, program) in [("eth0", 1), ("eth1", 2), ("eth2", 3)] {
            counts.add(&name(port), reading(program));
        }
        counts.close(&name("eth2"));
        let running = [(name("eth0"), 1), (name("eth1"), 9)].into();
        assert_eq!(counts.bereft(&running), [name("eth1")]);
        assert_eq!(counts.bereft(&running), []);
        assert_eq!(counts.packets().collect::<Vec<_>>(), [(RuleId(7), 15)], "what was read stays");
        counts.keep(&BTreeSet::new());
        assert_eq!(counts.packets().count(), 0);
    }
}
