//! Reading the frame: plain packets only, an Ethernet, an IP and a transport header behind each other. All else is left.
//!
//! What contradicts itself is dropped by the full program whatever it is, so a prefilter need not see it; it does not look at
//! lengths but for its own loads.

use std::collections::BTreeSet;

use super::decide::SOURCE;
use super::{ANSWERS, ASKS, DESTINATION, Emitter, FRAME, KEY, OPENS, addresses::Address};
use crate::assembler::Label;
use crate::instruction::{If, R1, R2, R3, R4, Reg, Width};
use crate::policy::Family;
use crate::program::Kind;

/// The first byte after the frame.
const END: Reg = R2;
/// For what is looked at once.
pub(super) const SCRATCH: Reg = R3;

/// Bytes of an Ethernet II header.
pub(super) const ETHERNET: i16 = 14;

const ICMP: i32 = 1;
const IGMP: i32 = 2;
const TCP: i32 = 6;
const UDP: i32 = 17;
const ICMPV6: i32 = 58;
const SCTP: i32 = 132;

/// Types that the classifier does not ask policy about by their own key: errors are about other packets.
const ERRORS_V4: [i32; 4] = [3, 4, 11, 12];
/// The same of ICMPv6.
const ERRORS_V6: [i32; 4] = [1, 2, 3, 4];
/// With discovery (133 to 137) and group membership.
const APART_V6: [i32; 13] = [1, 2, 3, 4, 130, 131, 132, 133, 134, 135, 136, 137, 143];

/// Protocols over IPv4 that are control traffic, or IPv6's.
const APART_OVER_V4: [i32; 7] = [IGMP, ICMPV6, 0, 43, 44, 59, 60];
/// Extension headers of IPv6, and IPv4's control protocols.
const APART_OVER_V6: [i32; 12] = [ICMP, IGMP, 0, 43, 44, 59, 60, 135, 139, 140, 253, 254];

/// A number as it is loaded from a frame, which has it in network byte order.
pub(super) const fn network_u16(number: u16) -> i32 {
    number.swap_bytes() as i32
}

/// The same of four bytes.
pub(super) const fn network_u32(number: u32) -> u32 {
    number.swap_bytes()
}

/// Where things are in a packet of a family.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) family: Family,
    /// The byte that says what the packet carries.
    protocol: i16,
    pub(super) source: i16,
    pub(super) destination: i16,
    /// The transport header.
    pub(super) transport: i16,
    /// ICMP's number.
    icmp: i32,
    /// Echo request and reply.
    pub(super) echo: [i32; 2],
    /// Source and destination port of DHCP towards clients, and towards servers.
    dhcp: [[u16; 2]; 2],
}

impl Layout {
    const fn of(family: Family) -> Self {
        match family {
            Family::V4 => Self {
                family,
                protocol: ETHERNET + 9,
                source: ETHERNET + 12,
                destination: ETHERNET + 16,
                transport: ETHERNET + 20,
                icmp: ICMP,
                echo: [8, 0],
                dhcp: [[67, 68], [68, 67]],
            },
            Family::V6 => Self {
                family,
                protocol: ETHERNET + 6,
                source: ETHERNET + 8,
                destination: ETHERNET + 24,
                transport: ETHERNET + 40,
                icmp: ICMPV6,
                echo: [128, 129],
                dhcp: [[547, 546], [546, 547]],
            },
        }
    }
}

impl Emitter<'_> {
    /// Reads the frame: goes on after what is written here with [`KEY`], [`ANSWERS`], [`DESTINATION`] and [`SOURCE`].
    pub(super) fn frame(&mut self) {
        let (v4, v6, found) = (self.asm.label(), self.asm.label(), self.asm.label());
        let is_read = |family| self.kind == Kind::Complete || self.matrix.drops_any(family);
        let reads = [(Family::V6, v6, 0x86dd), (Family::V4, v4, 0x0800)].map(|read| (is_read(read.0), read));
        let reads = reads.into_iter().filter(|(is_read, _)| *is_read).map(|(_, read)| read);
        self.asm.note("a frame of IPv4 or IPv6");
        self.asm.load(Width::Word, FRAME, R1, 0);
        self.asm.load(Width::Word, END, R1, 4);
        self.need(Layout::of(Family::V4).transport + 8);
        if self.kind == Kind::Complete {
            self.sound_sender();
        }
        self.asm.load(Width::Half, SCRATCH, FRAME, ETHERNET - 2);
        for (_, label, ether_type) in reads.clone() {
            self.asm.jump(If::Equal, SCRATCH, network_u16(ether_type), label);
        }
        match self.kind {
            Kind::Prefilter => self.asm.go(self.pass),
            Kind::Complete => self.link(),
        }
        for (family, label, _) in reads {
            let layout = Layout::of(family);
            self.asm.note(format!("{family}, plain"));
            self.asm.place(label);
            self.plain(layout);
            self.packet(layout, found);
        }
        if self.drops_any() {
            self.asm.place(found);
        }
    }

    /// Neither options nor fragmentation; what else an IPv6 packet may carry is told by its protocol.
    fn plain(&mut self, layout: Layout) {
        match layout.family {
            Family::V4 => {
                self.asm.load(Width::Byte, SCRATCH, FRAME, ETHERNET);
                self.asm.jump(If::NotEqual, SCRATCH, 0x45, self.pass);
                self.asm.load(Width::Half, SCRATCH, FRAME, ETHERNET + 6);
                self.asm.jump(If::Shares, SCRATCH, network_u16(0x3fff), self.pass);
            }
            Family::V6 => self.need(layout.transport + 8),
        }
        if self.kind == Kind::Complete {
            self.sound_header(layout);
        }
    }

    /// Leaves frames of fewer bytes unread.
    fn need(&mut self, bytes: i16) {
        self.need_or(bytes, self.pass);
    }

    /// Has frames of fewer bytes go elsewhere.
    pub(super) fn need_or(&mut self, bytes: i16, fewer: Label) {
        self.asm.copy(SCRATCH, FRAME);
        self.asm.add(SCRATCH, bytes.into());
        self.asm.jump_reg(If::Above, SCRATCH, END, fewer);
    }

    /// Reads a packet; goes on at `found`.
    fn packet(&mut self, layout: Layout, found: Label) {
        let keyed = self.asm.label();
        self.keys(layout, keyed);
        self.asm.place(keyed);
        self.failsafe(layout);
        if self.kind == Kind::Complete {
            self.unicast(layout);
        }
        let family = layout.family;
        if !self.matrix.drops_any(family) {
            self.asm.go(self.pass);
            return;
        }
        let matrix = self.matrix;
        let next = self.asm.label();
        let destination = Address { family, at: layout.destination, name: "destination", group: DESTINATION };
        self.address(destination, &matrix.destinations[family as usize], next);
        self.asm.place(next);
        let source = Address { family, at: layout.source, name: "source", group: SOURCE };
        self.address(source, &matrix.sources[family as usize], found);
    }

    /// Reads the transport header to [`KEY`] and [`ANSWERS`].
    fn keys(&mut self, layout: Layout, keyed: Label) {
        let [tcp, udp, sctp, icmp] = std::array::from_fn(|_| self.asm.label());
        let (opens, either, ports) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.asm.note(format!("{}: what it carries", layout.family));
        self.asm.load(Width::Byte, KEY, FRAME, layout.protocol);
        for (protocol, label) in [(TCP, tcp), (UDP, udp), (SCTP, sctp), (layout.icmp, icmp)] {
            self.asm.jump(If::Equal, KEY, protocol, label);
        }
        self.portless(layout, keyed);
        self.icmp(layout, icmp, keyed);

        self.asm.note("SCTP: an INIT opens");
        self.asm.place(sctp);
        self.need_or(layout.transport + 16, self.truncated);
        if self.kind == Kind::Complete {
            self.sound_sctp(layout);
        }
        self.asm.load(Width::Byte, SCRATCH, FRAME, layout.transport + 12);
        self.asm.jump(If::Equal, SCRATCH, 1, opens);
        self.asm.go(either);

        self.asm.note("UDP, but for DHCP");
        self.asm.place(udp);
        let [to_clients, to_servers] = layout.dhcp.map(|[from, to]| u32::from(from) << 16 | u32::from(to));
        let (dhcp, sound): (&[u32], bool) = match self.kind {
            Kind::Prefilter => (&[to_clients, to_servers], false),
            Kind::Complete => (&[to_clients], true),
        };
        if sound {
            self.sound_udp(layout);
        }
        self.asm.load(Width::Word, SCRATCH, FRAME, layout.transport);
        for ports in dhcp {
            self.asm.jump_word(If::Equal, SCRATCH, network_u32(*ports), self.pass);
        }
        self.asm.go(either);

        self.asm.note("TCP: a SYN without ACK, RST or FIN opens");
        self.asm.place(tcp);
        self.need_or(layout.transport + 14, self.truncated);
        if self.kind == Kind::Complete {
            self.sound_tcp(layout);
        }
        self.asm.load(Width::Byte, SCRATCH, FRAME, layout.transport + 13);
        self.asm.and(SCRATCH, 0x17);
        self.asm.jump(If::Equal, SCRATCH, 0x02, opens);

        self.asm.note("of a connection that either end opened");
        self.asm.place(either);
        self.port_key(layout, ANSWERS, layout.transport);
        self.asm.go(ports);
        self.asm.place(opens);
        self.asm.set(ANSWERS, OPENS);
        self.asm.place(ports);
        self.port_key(layout, KEY, layout.transport + 2);
    }

    /// The key of the port at `at`. The protocol is loaded anew, so that the verifier does not tell apart what is alike.
    fn port_key(&mut self, layout: Layout, key: Reg, at: i16) {
        self.asm.load(Width::Byte, key, FRAME, layout.protocol);
        self.asm.shift_left(key, 16);
        self.asm.load(Width::Half, SCRATCH, FRAME, at);
        self.asm.swap(SCRATCH, 16);
        self.asm.or_reg(key, SCRATCH);
    }

    /// A protocol without ports: one key for both directions.
    fn portless(&mut self, layout: Layout, keyed: Label) {
        self.asm.note("another protocol");
        let apart: &[i32] = match layout.family {
            Family::V4 => &APART_OVER_V4,
            Family::V6 => &APART_OVER_V6,
        };
        let igmp = self.asm.label();
        let reads_igmp = self.kind == Kind::Complete && layout.family == Family::V4;
        for protocol in apart {
            let to = if *protocol == IGMP && reads_igmp { igmp } else { self.pass };
            self.asm.jump(If::Equal, KEY, *protocol, to);
        }
        self.asm.shift_left(KEY, 16);
        self.asm.copy(ANSWERS, KEY);
        self.asm.go(keyed);
        if reads_igmp {
            self.igmp(layout, igmp);
        }
    }

    /// Errors are left. A request asks, a reply answers one, all else stands alone.
    fn icmp(&mut self, layout: Layout, icmp: Label, keyed: Label) {
        let [request, reply] = layout.echo;
        let (asks, answers, key) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.asm.note("ICMP, but for errors and control");
        self.asm.place(icmp);
        self.asm.load(Width::Byte, SCRATCH, FRAME, layout.transport);
        let apart: &[i32] = match (self.kind, layout.family) {
            (_, Family::V4) => &ERRORS_V4,
            (Kind::Prefilter, Family::V6) => &APART_V6,
            // What is control has been decided by then.
            (Kind::Complete, Family::V6) => &ERRORS_V6,
        };
        if self.kind == Kind::Complete {
            self.sound_icmp(layout);
        }
        for icmp_type in apart {
            self.asm.jump(If::Equal, SCRATCH, *icmp_type, self.pass);
        }
        self.asm.jump(If::Equal, SCRATCH, request, asks);
        self.asm.jump(If::Equal, SCRATCH, reply, answers);
        self.asm.set(ANSWERS, OPENS);
        self.asm.go(key);
        self.asm.place(asks);
        self.asm.set(ANSWERS, ASKS);
        self.asm.go(key);
        self.asm.place(answers);
        self.asm.set(ANSWERS, layout.icmp << 16 | request << 8);
        self.asm.place(key);
        self.port_key(layout, KEY, layout.transport);
        self.asm.go(keyed);
    }

    /// Passes what the node can't live without.
    fn failsafe(&mut self, layout: Layout) {
        const REMOTE_PORT: Reg = R4;
        let fabric = self.policies.iter().filter(|policy| !policy.is_workload_port());
        let keys = fabric.flat_map(|policy| &policy.failsafe);
        let of_family = keys.filter(|key| key.remote.ipv4().is_some() == (layout.family == Family::V4));
        let keys: BTreeSet<_> = of_family.copied().collect();
        if keys.is_empty() {
            return;
        }
        self.asm.note("failsafe: services that the node can't live without");
        self.port_key(layout, REMOTE_PORT, layout.transport);
        for key in keys {
            let other = self.asm.label();
            // Of a protocol without ports, all is passed that is from there.
            if [TCP, UDP, SCTP].contains(&key.protocol.into()) {
                let port = u32::from(key.protocol) << 16 | u32::from(key.remote_port);
                self.asm.jump_word(If::NotEqual, REMOTE_PORT, port, other);
            }
            let bytes = match layout.family {
                Family::V4 => &key.remote.0[12..],
                Family::V6 => &key.remote.0[..],
            };
            for (at, word) in (layout.source..).step_by(4).zip(bytes.chunks_exact(4)) {
                let [a, b, c, d] = [word[0], word[1], word[2], word[3]];
                self.asm.load(Width::Word, SCRATCH, FRAME, at);
                self.asm.jump_word(If::NotEqual, SCRATCH, u32::from_ne_bytes([a, b, c, d]), other);
            }
            self.asm.go(self.pass);
            self.asm.place(other);
        }
    }
}
