//! Random tables and packets: the world of the cases, varied, and its packets, damaged.

use selvedge_abi::{
    Address, AddressEntry, AddressKey, CONNECTION_ASSURED, ConnectionEntry, DECISION_ALLOW, DECISION_DRAIN,
    DECISION_LOG, DECISION_STATELESS, Direction, FragmentEntry, FragmentKey, Interval, NodeRole, PortRole,
    PrefixKey, Reason,
};
use selvedge_classifier::{
    Way,
    testing::{
        CONNECTION_LIMIT, FRAGMENT_LIMIT, Hook, MemoryTables, PORT, SECOND, cases,
        frame::{self, Transport},
        world::{GENERATION, OTHER_PORT, SLOT, WEB, address, before_any_generation, world},
    },
};

const V4: [&str; 7] =
    ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9", "10.9.1.2", "10.0.0.100", "10.9.200.7"];
const V6: [&str; 6] = ["fd00::1", "fd00::2", "fd00::3", "fd00::9", "fd00::100", "2001:db8::1"];
const PORTS: [u16; 8] = [22, 53, 80, 123, 179, 443, 3868, 40000];
const TCP_FLAGS: [u8; 8] = [0x02, 0x12, 0x10, 0x11, 0x04, 0x14, 0x18, 0x03];
/// Identifications of fragments.
const IDS: [u16; 3] = [1, 2, 0xffff];
const ICMP_TYPES: [u8; 10] = [8, 0, 128, 129, 3, 13, 2, 135, 136, 134];

/// A small generator (xorshift64*), so that a failing seed can be run again.
pub(super) struct Random {
    state: u64,
    /// Where its packets meet the classifier.
    hook: Hook,
}

impl Random {
    pub(super) fn new(seed: u64, hook: Hook) -> Self {
        Self { state: seed, hook }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A world with random placement, policy and connections.
    pub(super) fn tables(&mut self) -> MemoryTables {
        let role = self.pick(&[PortRole::Workload, PortRole::Workload, PortRole::Uplink, PortRole::Fabric]);
        if self.one_in(20) {
            return before_any_generation(role);
        }
        let mut tables = world(role).on(self.pick(&[NodeRole::Host, NodeRole::Dpu, NodeRole::Switch]));
        for text in V4.iter().chain(&V6) {
            if self.one_in(6) {
                let entry = self.entry();
                tables.addresses.insert(AddressKey { slot: SLOT, address: address(text) }, entry);
            }
        }
        if self.hook == Hook::Sent && self.one_in(2) {
            // The node is a workload itself.
            for text in ["10.0.0.1", "fd00::1"] {
                let entry = AddressEntry { identity: WEB, class: WEB, ifindex: PORT };
                tables.addresses.insert(AddressKey { slot: SLOT, address: address(text) }, entry);
            }
        }
        for (network, bits) in
            [("10.9.0.0", 112), ("10.9.200.0", 120), ("10.9.200.0", 117), ("fd00::", 16), ("::", 0)]
        {
            if self.one_in(3) {
                let key = PrefixKey { slot: SLOT, length: bits, address: address(network) };
                let entry = self.entry();
                tables.prefixes.insert(key, entry);
            }
        }
        self.change_policy(&mut tables);
        self.connect(&mut tables);
        // So that some connections are no longer allowed.
        self.change_policy(&mut tables);
        self.change_policy(&mut tables);
        self.leave_unfinished(&mut tables);
        tables
    }

    /// Datagrams of which the first fragment came some time ago.
    fn leave_unfinished(&mut self, tables: &mut MemoryTables) {
        for _ in 0..self.below(FRAGMENT_LIMIT as usize + 1) {
            let (id, next) = (self.pick(&IDS), 8 * (2 + self.below(4)) as u16);
            let (from, protocol): (&[&str], u32) = if self.one_in(2) { (&V4, 17) } else { (&V6, 44) };
            let (source, destination) = (address(self.pick(from)), address(self.pick(from)));
            let first_seen = tables.clock.get() - self.pick(&[0, 1, 5, 8]) * SECOND;
            let progress = u64::from(id) << 32 | u64::from(next);
            let key = FragmentKey { source, destination, id: id.into(), protocol };
            tables.fragments.borrow_mut().insert(key, FragmentEntry { first_seen, progress });
        }
    }

    fn change_policy(&mut self, tables: &mut MemoryTables) {
        for _ in 0..self.below(6) {
            let subject = self.pick(&[256, 257]);
            let peer = self.pick(&[0, 2, 256, 257, 258, 0x0100_0009]);
            let direction = self.pick(&[Direction::Ingress, Direction::Egress]);
            let intervals = self.intervals();
            tables.add_policy(subject, peer, direction, &intervals);
        }
    }

    fn entry(&mut self) -> AddressEntry {
        let identity = self.pick(&[1, 2, 256, 257, 258, 0x0100_0009]);
        let ifindex = self.pick(&[0, PORT, OTHER_PORT]);
        AddressEntry { identity, class: identity, ifindex }
    }

    fn intervals(&mut self) -> Vec<Interval> {
        let mut starts = vec![0];
        for _ in 0..self.below(9) {
            let (protocol, port) = (self.pick(&[1u32, 6, 17, 58, 132]), self.pick(&PORTS));
            starts.push(protocol << 16 | u32::from(port));
        }
        starts.sort_unstable();
        starts.dedup();
        let decisions = [
            0,
            0,
            DECISION_DRAIN,
            DECISION_ALLOW,
            DECISION_ALLOW,
            DECISION_ALLOW | DECISION_STATELESS,
            DECISION_LOG,
        ];
        let decided = starts.into_iter().map(|start| {
            let decision = self.pick(&decisions) | if self.one_in(8) { DECISION_LOG } else { 0 };
            Interval { start, rule: 1 + self.below(30) as u32, decision }
        });
        decided.collect()
    }

    /// Connections that the packets of this world meet: those that they themselves would open, some of them
    /// older, closing, answered or of another generation.
    fn connect(&mut self, tables: &mut MemoryTables) {
        let open = tables.clone();
        let full = self.one_in(8);
        let wanted = if full { CONNECTION_LIMIT as usize } else { self.below(CONNECTION_LIMIT as usize) };
        for _ in 0..40 * wanted {
            if open.connections.borrow().len() >= wanted {
                break;
            }
            let frame = self.genuine_frame(&open);
            self.judge(&open, &frame);
        }
        let opened = open.connections.take();
        *tables.connections.borrow_mut() = opened
            .into_iter()
            .map(|(key, entry)| {
                let age = self.pick(&[0, 0, 1, 3, 7, 15, 30, 90]);
                let generation = self.pick(&[GENERATION, GENERATION - 1]);
                let flags = entry.flags
                    ^ self.pick(&[
                        0,
                        0,
                        1,
                        2,
                        2,
                        4,
                        6,
                        8,
                        16,
                        16,
                        128 | 2,
                        128 | 2,
                        128 | 16,
                        256,
                        256 | 128 | 2,
                    ]);
                let flags = if full { flags | CONNECTION_ASSURED } else { flags };
                (
                    key,
                    ConnectionEntry {
                        last_seen: tables.clock.get() - age * SECOND,
                        generation,
                        flags,
                        ..entry
                    },
                )
            })
            .collect();
    }

    /// Packets for these tables: of its connections and of none, sound and damaged.
    pub(super) fn frames(&mut self, tables: &MemoryTables, count: usize) -> Vec<Vec<u8>> {
        let rows = cases::all();
        (0..count)
            .map(|_| {
                let frame = match self.below(10) {
                    0 => rows[self.below(rows.len())].frame.clone(),
                    1..=4 => self.frame_of_connection(tables),
                    5 => self.sound_frame(),
                    6 => self.later_fragment(tables),
                    _ => self.genuine_frame(tables),
                };
                let frame = if self.one_in(6) { self.extended(frame) } else { frame };
                if self.one_in(4) { self.damaged(frame) } else { frame }
            })
            .filter(|frame| frame.len() >= 14) // the kernel runs no test on less
            .collect()
    }

    fn frame_of_connection(&mut self, tables: &MemoryTables) -> Vec<u8> {
        let keys: Vec<_> = tables.connections.borrow().keys().copied().collect();
        if keys.is_empty() {
            return self.sound_frame();
        }
        let key = self.pick(&keys);
        let (mut source, mut destination) = ((text(key.low), key.low_port), (text(key.high), key.high_port));
        if self.one_in(2) {
            std::mem::swap(&mut source, &mut destination);
        }
        let transport = |random: &mut Self, from: u16, to: u16| match key.protocol & 0xff {
            6 => frame::tcp(from, to, random.pick(&TCP_FLAGS)),
            17 => frame::udp(from, to),
            132 => frame::sctp(from, to, random.pick(&[0, 1, 2, 6, 7])),
            1 => frame::echo(random.pick(&[0, 8]), from),
            _ => frame::echo(random.pick(&[128, 129]), from),
        };
        if self.one_in(6) {
            let quoted = transport(self, destination.1, source.1);
            let about = frame::datagram(&destination.0, &source.0, quoted);
            let icmp_type = if about[0] >> 4 == 4 { 3 } else { 2 };
            return frame::packet(&source.0, &destination.0, frame::error(icmp_type, 0, &about));
        }
        let transport = transport(self, source.1, destination.1);
        frame::packet(&source.0, &destination.0, transport)
    }

    /// A fragment of a datagram that is waited for: mostly the next one.
    fn later_fragment(&mut self, tables: &MemoryTables) -> Vec<u8> {
        let waiting: Vec<_> = tables.fragments.borrow().iter().map(|(key, entry)| (*key, *entry)).collect();
        if waiting.is_empty() {
            return self.sound_frame();
        }
        let (key, entry) = self.pick(&waiting);
        let whole = frame::packet(&text(key.source), &text(key.destination), frame::long_udp(53, 53, 200));
        let start = (entry.progress as u16).wrapping_add(self.pick(&[0, 0, 0, 0, 8, 0u16.wrapping_sub(8)]));
        let (id, last) = (key.id as u16, self.one_in(2));
        frame::fragment(&whole, frame::Cut { id, start, last }, self.pick(&[8, 16, 64, 20]))
    }

    /// The frame as a first fragment, or with tags or extension headers.
    fn extended(&mut self, frame: Vec<u8>) -> Vec<u8> {
        let v4 = frame.len() >= frame::OVER_V6 && frame[12..15] == [0x08, 0x00, 0x45];
        let v6 = frame.len() >= frame::OVER_V6 && frame[12..14] == [0x86, 0xdd];
        match self.below(4) {
            0 if v4 || v6 => {
                let cut = frame::Cut { id: self.pick(&IDS), start: 0, last: false };
                frame::fragment(&frame, cut, self.pick(&[8, 16, 24, 32]))
            }
            1 if v6 => {
                let (padding, atomic): (&[u8], &[u8]) = (&[0, 1, 4, 0, 0, 0, 0], &[0; 7]);
                let chain =
                    [(60, padding), (44, atomic), (43, padding), (0, padding), (60, padding), (51, padding)];
                let from = self.below(chain.len());
                frame::with_extensions(frame, &chain[from..chain.len().min(from + 1 + self.below(4))])
            }
            1 if v4 => frame::with_options(frame, self.pick(&[&[0x94, 4, 0, 0], &[1, 1, 1, 0]])),
            _ => {
                let tag = (self.pick(&[0x8100, 0x8100, 0x88a8]), self.pick(&[0, 0, 5 << 13, 100]));
                frame::tagged(frame, &[tag, tag][..1 + self.below(2)])
            }
        }
    }

    /// A sound frame whose source can come from where it does, if a few attempts find one.
    fn genuine_frame(&mut self, tables: &MemoryTables) -> Vec<u8> {
        let mut frame = self.sound_frame();
        for _ in 0..8 {
            let reason = self.judge(&tables.clone(), &frame);
            if !matches!(reason, Reason::Spoofed | Reason::Martian) {
                break;
            }
            frame = self.sound_frame();
        }
        frame
    }

    fn judge(&self, tables: &MemoryTables, frame: &[u8]) -> Reason {
        match self.hook {
            Hook::Received => tables.classify(frame, PORT),
            Hook::Sent => {
                tables.classify_sent(frame, Way { received: 0, leaves: PORT }).expect("was made here")
            }
        }
    }

    fn sound_frame(&mut self) -> Vec<u8> {
        let transport = self.transport();
        if self.one_in(2) {
            frame::packet(self.pick(&V4), self.pick(&V4), transport)
        } else {
            frame::packet(self.pick(&V6), self.pick(&V6), transport)
        }
    }

    fn transport(&mut self) -> Transport {
        let (source, destination) = (self.pick(&PORTS), self.pick(&PORTS));
        match self.below(12) {
            0..=4 => frame::tcp(source, destination, self.pick(&TCP_FLAGS)),
            5..=7 => frame::udp(source, destination),
            8 => frame::sctp(source, destination, self.pick(&[0, 1, 2, 6, 7])),
            9 | 10 => frame::echo(self.pick(&ICMP_TYPES), source),
            _ => frame::icmp(self.pick(&ICMP_TYPES), 0, &[0; 36]),
        }
    }

    /// The frame with bytes changed, cut off or added.
    fn damaged(&mut self, mut frame: Vec<u8>) -> Vec<u8> {
        match self.below(6) {
            0 => {
                let length = self.below(frame.len());
                frame.truncate(length);
            }
            1 => frame.extend(std::iter::repeat_n(0, self.below(40))),
            _ => {
                for _ in 0..=self.below(2) {
                    let (at, value) = (self.below(frame.len().min(80)), self.below(256) as u8);
                    frame[at] = value;
                }
            }
        }
        frame
    }
}

/// The address as a user writes it.
fn text(address: Address) -> String {
    let v6 = std::net::Ipv6Addr::from(address.0);
    v6.to_ipv4_mapped().map_or_else(|| v6.to_string(), |v4| v4.to_string())
}
