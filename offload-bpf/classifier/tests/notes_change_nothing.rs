//! Random histories in two worlds, of which one notes what passed and what was denied, and the other forgets it: every packet
//! comes to the same in both. But for time: a note leaves the last packet's unsaid, so connections may be found idle a little early.

use std::collections::BTreeMap;

use selvedge_abi::{PortRole, Reason, Timeouts};
use selvedge_classifier::testing::{
    MemoryTables, PORT, SECOND, frame,
    frame::{ACK, FIN, RST, SYN},
    world::{OTHER_PORT, world},
};

const MILLISECOND: u64 = SECOND / 1000;
/// How much earlier than without notes a connection may be found idle, in milliseconds: the life of a note, and the
/// tenth of a second to which entries know the time at any rate.
const EARLY: u64 = 10_240 + 100;
/// All longer than that.
const TIMEOUTS: Timeouts =
    Timeouts { tcp_established: 60, half_open: 15, closing: 16, udp: 20, icmp: 18, other: 25, fragment: 6 };
/// Milliseconds between packets: within the life of a note, about its end, and about the timeouts of the world.
const PAUSES: [u64; 24] = [
    0, 0, 0, 1, 1, 20, 20, 50, 99, 100, 101, 250, 530, 1_000, 2_500, 2_600, 7_600, 7_700, 10_200, 10_300,
    14_900, 19_000, 24_000, 61_000,
];
const FLOWS: [(&str, &str); 2] = [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A packet of one of a few flows, in either direction; most often just one more.
    fn frame(&mut self) -> (Vec<u8>, u32) {
        let (opener, answerer) = self.pick(&FLOWS);
        let (from, answers) = (self.pick(&[40_000, 40_000, 40_001]), self.below(2) == 0);
        let (source, destination) = if answers { (answerer, opener) } else { (opener, answerer) };
        let ports = |port| if answers { (port, from) } else { (from, port) };
        let transport = match self.below(8) {
            0..=3 => {
                let flags = match self.below(40) {
                    0 => RST,
                    1 => FIN | ACK,
                    2..=9 if answers => SYN | ACK,
                    2..=15 => SYN,
                    _ => ACK,
                };
                let (from, to) = ports(self.pick(&[80, 80, 80, 80, 443, 22]));
                frame::tcp(from, to, flags)
            }
            4 | 5 => {
                let (from, to) = ports(self.pick(&[53, 53, 123]));
                frame::udp(from, to)
            }
            6 => {
                let (from, to) = ports(3868);
                frame::sctp(from, to, self.pick(&[1, 2, 0, 0, 0, 0, 0, 0, 7, 6]))
            }
            _ => {
                let is_v4 = source.contains('.');
                let request = !answers;
                let kind = match (is_v4, request) {
                    (true, true) => 8,
                    (true, false) => 0,
                    (false, true) => 128,
                    (false, false) => 129,
                };
                frame::echo(kind, from)
            }
        };
        let spoofed = self.below(30) == 0;
        let port = if answers == spoofed { PORT } else { OTHER_PORT };
        (frame::packet(source, destination, transport), port)
    }
}

/// The two worlds, and what was seen.
struct Course {
    noting: MemoryTables,
    forgetting: MemoryTables,
    seen: BTreeMap<Reason, u64>,
    /// Packets that passed, or were denied, by a note.
    passed: u64,
    denied: u64,
    early: u64,
}

impl Course {
    fn new() -> Self {
        let mut tables = world(PortRole::Workload);
        tables.ports.insert(OTHER_PORT, tables.ports[&PORT]);
        tables.config.timeouts = TIMEOUTS;
        Self {
            noting: tables.clone(),
            forgetting: tables,
            seen: BTreeMap::new(),
            passed: 0,
            denied: 0,
            early: 0,
        }
    }

    fn passes(&mut self, milliseconds: u64) {
        for tables in [&self.noting, &self.forgetting] {
            tables.clock.set(tables.clock.get() + milliseconds * MILLISECOND);
        }
    }

    /// From now on events are written, or none is: notes of denials serve where none is due.
    fn tells(&mut self, event_share: u32) {
        for tables in [&mut self.noting, &mut self.forgetting] {
            tables.config.event_share = event_share;
        }
    }

    /// The next generation, in which every rule that allows denies, or the reverse of that.
    fn flips(&mut self) {
        for tables in [&mut self.noting, &mut self.forgetting] {
            tables.config.generation += 1;
            tables
                .intervals
                .values_mut()
                .filter(|each| each.rule % 100 == 2)
                .for_each(|each| each.decision ^= 1);
        }
    }

    fn arrives(&mut self, packet: &[u8], port: u32) {
        self.forgetting.passages.borrow_mut().clear();
        self.forgetting.denials.borrow_mut().clear();
        let mut nobody = self.noting.clone();
        nobody.connections.borrow_mut().clear();
        nobody.policies.clear();
        match nobody.classify(packet, port) {
            Reason::Established => self.passed += 1,
            Reason::PolicyDeny => self.denied += 1,
            _ => {}
        }

        let is_idle_early = self.some_connection_is_idle_early();
        let [reason, expected] = [&self.noting, &self.forgetting].map(|tables| tables.classify(packet, port));
        *self.seen.entry(expected).or_default() += 1;
        let [noted, wanted] = [&self.noting, &self.forgetting].map(|tables| {
            let all = tables.connections.borrow();
            all.iter()
                .map(|(key, entry)| (*key, (entry.generation, entry.flags, entry.rule)))
                .collect::<Vec<_>>()
        });
        if (reason, &noted) == (expected, &wanted) && self.same_counters() {
            self.are_as_old_as_without_notes();
            return;
        }
        assert!(is_idle_early, "{reason:?} by notes, {expected:?} without: {packet:02x?}");
        self.early += 1;
        self.noting = self.forgetting.clone();
    }

    /// Whether a connection's time is over by what the one world knows of its last packet, and not by what the other does.
    fn some_connection_is_idle_early(&self) -> bool {
        let Timeouts { tcp_established, half_open, closing, udp, icmp, other, .. } = TIMEOUTS;
        let timeouts = [tcp_established, half_open, closing, udp, icmp, other]
            .map(|seconds| u64::from(seconds) * SECOND);
        let (noted, known, now) =
            (self.noting.connections.borrow(), self.forgetting.connections.borrow(), self.noting.clock.get());
        noted.iter().any(|(key, entry)| {
            let [early, right] = [entry.last_seen, known[key].last_seen].map(|last_seen| now - last_seen);
            timeouts.iter().any(|timeout| early >= *timeout && right < *timeout)
        })
    }

    fn same_counters(&self) -> bool {
        let [one, other] = [&self.noting, &self.forgetting];
        let counters =
            one.reason_counters == other.reason_counters && one.rule_counters == other.rule_counters;
        let [events, others] = [one, other].map(|tables| tables.events.take());
        counters && events == others && one.events_lost == other.events_lost
    }

    fn are_as_old_as_without_notes(&self) {
        let (noted, known) = (self.noting.connections.borrow(), self.forgetting.connections.borrow());
        for (key, entry) in known.iter() {
            let late = entry.last_seen.abs_diff(noted[key].last_seen);
            assert!(late <= EARLY * MILLISECOND, "{key:?} is {late} ns older by notes");
        }
    }
}

#[test]
fn what_is_judged_by_a_note_would_be_judged_so_without() {
    let (mut seen, mut passed, mut denied, mut early) = (BTreeMap::<Reason, u64>::new(), 0, 0, 0);
    for number in 1..=3_000 {
        let (mut random, mut course) = (Random(0x9e37_79b9_7f4a_7c15 + number), Course::new());
        for _ in 0..200 {
            match random.below(160) {
                0 => course.flips(),
                1 => course.tells(0),
                2 | 3 => course.tells(1),
                4..=16 => course.passes(random.pick(&PAUSES)),
                _ => {
                    let (packet, port) = random.frame();
                    course.arrives(&packet, port);
                }
            }
        }
        course.seen.into_iter().for_each(|(reason, count)| *seen.entry(reason).or_default() += count);
        passed += course.passed;
        denied += course.denied;
        early += course.early;
    }
    println!(
        "{passed} passed and {denied} were denied the short way, {early} were found idle early: {seen:?}"
    );
    assert!(
        seen.values().sum::<u64>() >= 400_000 && passed >= 7_000 && denied >= 1_000,
        "{passed}, {denied}: {seen:?}"
    );
    assert!(early <= 50, "{early} differ in time");
    for reason in
        [Reason::Established, Reason::PolicyAllow, Reason::PolicyDeny, Reason::NotTracked, Reason::Spoofed]
    {
        assert!(seen[&reason] >= 10_000, "{reason:?}: {seen:?}");
    }
    assert!(seen[&Reason::Cut] >= 1_000, "{seen:?}");
}
