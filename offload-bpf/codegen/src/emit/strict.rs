//! What a program checks that decides alone: all that the full program checks of a plain packet from the fabric, in its order.
//!
//! What it can't read it leaves: frames with VLAN tags, packets with IPv4 options or IPv6 extension headers (so group membership over
//! IPv6, too, and IGMP with a router alert), fragments, and ICMP errors, which may quote failsafe flows;
//! and what looks like a failsafe flow itself.

use super::frame::{ETHERNET, Layout, SCRATCH, network_u16, network_u32};
use super::{Emitter, FRAME};
use crate::assembler::Label;
use crate::instruction::{If, R2, R4, R5, Reg, Width};
use crate::policy::Family;

/// The first byte after the frame.
const END: Reg = R2;
/// Bytes from the transport header on, by the IP header.
const LENGTH: Reg = R4;
const OTHER: Reg = R5;

const ROUTER_ADVERTISEMENT: i32 = 134;
const NEIGHBOUR_SOLICITATION: i32 = 135;
const NEIGHBOUR_ADVERTISEMENT: i32 = 136;
const REDIRECT: i32 = 137;

impl Emitter<'_> {
    fn drop_if(&mut self, condition: If, register: Reg, value: i32) {
        self.asm.jump(condition, register, value, self.drop);
    }

    fn byte(&mut self, at: i16) {
        self.asm.load(Width::Byte, SCRATCH, FRAME, at);
    }

    /// No group sends.
    pub(super) fn sound_sender(&mut self) {
        self.byte(6);
        self.drop_if(If::Shares, SCRATCH, 1);
    }

    /// Passes ARP, and link control to the bridge group (IEEE 802.1Q table 8-1), leaves what is tagged, and drops all else; the
    /// Ethernet type is in [`SCRATCH`].
    pub(super) fn link(&mut self) {
        const ETHERNET_AND_IPV4: u32 = 0x0001_0800;
        const REQUEST: u32 = 0x0604_0001;
        const REPLY: u32 = 0x0604_0002;
        const CONTROL: [u16; 4] = [0x8809, 0x8808, 0x888e, 0x88cc];
        const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
        let (arp, control) = (self.asm.label(), self.asm.label());
        self.asm.note("ARP, tags, and link control");
        self.asm.jump(If::Equal, SCRATCH, network_u16(0x0806), arp);
        for ether_type in TAGS {
            self.asm.jump(If::Equal, SCRATCH, network_u16(ether_type), self.pass);
        }
        for ether_type in CONTROL {
            self.asm.jump(If::Equal, SCRATCH, network_u16(ether_type), control);
        }
        self.asm.swap(SCRATCH, 16);
        self.drop_if(If::AtLeast, SCRATCH, 0x600);
        self.asm.place(control);
        self.asm.load(Width::Word, SCRATCH, FRAME, 0);
        self.asm.jump_word(If::NotEqual, SCRATCH, network_u32(0x0180_c200), self.drop);
        self.asm.load(Width::Half, SCRATCH, FRAME, 4);
        self.asm.swap(SCRATCH, 16);
        self.drop_if(If::AtLeast, SCRATCH, 0x10);
        self.asm.go(self.pass);
        self.asm.place(arp);
        self.asm.load(Width::Word, SCRATCH, FRAME, ETHERNET);
        self.asm.jump_word(If::NotEqual, SCRATCH, network_u32(ETHERNET_AND_IPV4), self.drop);
        self.asm.load(Width::Word, SCRATCH, FRAME, ETHERNET + 4);
        self.asm.jump_word(If::Equal, SCRATCH, network_u32(REQUEST), self.pass);
        self.asm.jump_word(If::Equal, SCRATCH, network_u32(REPLY), self.pass);
        self.asm.go(self.drop);
    }

    /// Lengths that agree with the frame, and addresses that can be on a wire. Leaves [`LENGTH`].
    pub(super) fn sound_header(&mut self, layout: Layout) {
        self.asm.note("lengths and addresses");
        let uncounted = match layout.family {
            Family::V4 => {
                self.asm.load(Width::Half, SCRATCH, FRAME, ETHERNET + 6);
                self.drop_if(If::Shares, SCRATCH, network_u16(0x8000));
                self.length(ETHERNET + 2);
                self.drop_if(If::Below, LENGTH, 20);
                self.asm.add(LENGTH, -20);
                layout.transport
            }
            Family::V6 => {
                self.byte(ETHERNET);
                self.asm.and(SCRATCH, 0xf0);
                self.drop_if(If::NotEqual, SCRATCH, 0x60);
                self.length(ETHERNET + 4);
                layout.transport
            }
        };
        self.asm.copy(SCRATCH, FRAME);
        self.asm.add(SCRATCH, uncounted.into());
        self.asm.add_reg(SCRATCH, LENGTH);
        self.asm.jump_reg(If::Above, SCRATCH, END, self.drop);
        match layout.family {
            Family::V4 => self.sound_addresses_v4(layout),
            Family::V6 => self.sound_addresses_v6(layout),
        }
    }

    /// A length in the frame. The verifier of Linux 6.12 takes what was swapped for any number, and adds none such to an address.
    fn length(&mut self, at: i16) {
        self.asm.load(Width::Half, LENGTH, FRAME, at);
        self.asm.swap(LENGTH, 16);
        self.asm.and(LENGTH, 0xffff);
    }

    fn sound_addresses_v4(&mut self, layout: Layout) {
        let nameless = self.asm.label();
        self.load_v4(layout.source);
        self.asm.jump_word(If::AtLeast, SCRATCH, 0xe000_0000, self.drop);
        self.asm.jump_word(If::Equal, SCRATCH, 0, nameless);
        self.asm.jump_word(If::Below, SCRATCH, 0x0100_0000, self.drop);
        self.asm.place(nameless);
        self.no_loopback();
        let broadcast = self.asm.label();
        self.load_v4(layout.destination);
        self.asm.jump_word(If::Below, SCRATCH, 0x0100_0000, self.drop);
        self.no_loopback();
        self.asm.jump_word(If::Equal, SCRATCH, u32::MAX, broadcast);
        self.asm.jump_word(If::AtLeast, SCRATCH, 0xf000_0000, self.drop);
        self.asm.place(broadcast);
    }

    fn load_v4(&mut self, at: i16) {
        self.asm.load(Width::Word, SCRATCH, FRAME, at);
        self.asm.swap(SCRATCH, 32);
    }

    fn no_loopback(&mut self) {
        self.asm.copy(OTHER, SCRATCH);
        self.asm.shift_right(OTHER, 24);
        self.drop_if(If::Equal, OTHER, 127);
    }

    /// Neither loopback nor an IPv4 address; as a destination not unspecified, as a source no group.
    fn sound_addresses_v6(&mut self, layout: Layout) {
        self.byte(layout.source);
        self.drop_if(If::Equal, SCRATCH, 0xff);
        for at in [layout.source, layout.destination] {
            let sound = self.asm.label();
            self.asm.load(Width::Double, SCRATCH, FRAME, at);
            self.asm.jump(If::NotEqual, SCRATCH, 0, sound);
            self.asm.load(Width::Word, SCRATCH, FRAME, at + 8);
            self.asm.jump_word(If::Equal, SCRATCH, network_u32(0xffff), self.drop);
            self.asm.jump_word(If::NotEqual, SCRATCH, 0, sound);
            self.asm.load(Width::Word, SCRATCH, FRAME, at + 12);
            self.asm.jump_word(If::Equal, SCRATCH, network_u32(1), self.drop);
            if at == layout.destination {
                self.asm.jump_word(If::Equal, SCRATCH, 0, self.drop);
            }
            self.asm.place(sound);
        }
    }

    /// A header of TCP, with flags that make sense.
    pub(super) fn sound_tcp(&mut self, layout: Layout) {
        let sound = self.asm.label();
        self.drop_if(If::Below, LENGTH, 20);
        self.byte(layout.transport + 12);
        self.asm.shift_right(SCRATCH, 4);
        self.asm.shift_left(SCRATCH, 2);
        self.drop_if(If::Below, SCRATCH, 20);
        self.asm.jump_reg(If::Above, SCRATCH, LENGTH, self.drop);
        self.sound_ports(layout);
        self.byte(layout.transport + 13);
        self.asm.copy(OTHER, SCRATCH);
        self.asm.and(OTHER, 0x17);
        for acknowledges in [0x10, 0x11, 0x12, 0x14] {
            self.asm.jump(If::Equal, OTHER, acknowledges, sound);
        }
        // A SYN or a RST by itself, and not urgent.
        self.asm.and(SCRATCH, 0x37);
        self.asm.jump(If::Equal, SCRATCH, 0x02, sound);
        self.drop_if(If::NotEqual, SCRATCH, 0x04);
        self.asm.place(sound);
    }

    /// A datagram of UDP that is as long as IP says; over IPv6 with a checksum (RFC 8200 §8.1).
    pub(super) fn sound_udp(&mut self, layout: Layout) {
        self.drop_if(If::Below, LENGTH, 8);
        if layout.family == Family::V6 {
            self.asm.load(Width::Half, SCRATCH, FRAME, layout.transport + 6);
            self.drop_if(If::Equal, SCRATCH, 0);
        }
        self.asm.load(Width::Half, SCRATCH, FRAME, layout.transport + 4);
        self.asm.swap(SCRATCH, 16);
        self.asm.jump_reg(If::NotEqual, SCRATCH, LENGTH, self.drop);
        self.sound_ports(layout);
    }

    /// A first chunk of SCTP that is whole; an INIT, and nothing else, has no tag, and comes alone (RFC 9260 §3.3.2, §6.10).
    pub(super) fn sound_sctp(&mut self, layout: Layout) {
        const INIT: i32 = 1;
        let (init, sound) = (self.asm.label(), self.asm.label());
        self.drop_if(If::Below, LENGTH, 16);
        self.sound_ports(layout);
        self.asm.add(LENGTH, -12);
        self.asm.load(Width::Half, OTHER, FRAME, layout.transport + 14);
        self.asm.swap(OTHER, 16);
        self.drop_if(If::Below, OTHER, 4);
        self.asm.jump_reg(If::Above, OTHER, LENGTH, self.drop);
        self.byte(layout.transport + 12);
        self.asm.jump(If::Equal, SCRATCH, INIT, init);
        self.asm.load(Width::Word, SCRATCH, FRAME, layout.transport + 4);
        self.drop_if(If::Equal, SCRATCH, 0);
        self.asm.go(sound);
        self.asm.place(init);
        self.asm.load(Width::Word, SCRATCH, FRAME, layout.transport + 4);
        self.drop_if(If::NotEqual, SCRATCH, 0);
        self.drop_if(If::Below, OTHER, 20);
        self.asm.add(OTHER, 3);
        self.asm.and(OTHER, !3);
        self.asm.jump_reg(If::Below, OTHER, LENGTH, self.drop);
        self.asm.place(sound);
    }

    fn sound_ports(&mut self, layout: Layout) {
        for at in [layout.transport, layout.transport + 2] {
            self.asm.load(Width::Half, SCRATCH, FRAME, at);
            self.drop_if(If::Equal, SCRATCH, 0);
        }
    }

    /// ICMP with a whole header, an echo without a code; passes neighbour discovery, drops what else is control. Leaves the type in
    /// [`SCRATCH`].
    pub(super) fn sound_icmp(&mut self, layout: Layout) {
        let plain = self.asm.label();
        self.drop_if(If::Below, LENGTH, 8);
        if layout.family == Family::V6 {
            self.discovery(layout);
        }
        self.byte(layout.transport + 1);
        self.asm.jump(If::Equal, SCRATCH, 0, plain);
        self.byte(layout.transport);
        for echo in layout.echo {
            self.drop_if(If::Equal, SCRATCH, echo);
        }
        self.asm.place(plain);
        self.byte(layout.transport);
        let dropped: &[i32] = match layout.family {
            Family::V4 => &[4],
            Family::V6 => &[130, 131, 132, 143],
        };
        for icmp_type in dropped {
            self.drop_if(If::Equal, SCRATCH, *icmp_type);
        }
    }

    /// RFC 4861 §6.1, §7.1, §8.1: hop limit, code, length and target.
    fn discovery(&mut self, layout: Layout) {
        const HOP_LIMIT: i16 = ETHERNET + 7;
        let other = self.asm.label();
        let [advertises, neighbour, redirects, plain] = std::array::from_fn(|_| self.asm.label());
        self.byte(layout.transport);
        self.asm.jump(If::Below, SCRATCH, 133, other);
        self.asm.jump(If::Above, SCRATCH, REDIRECT, other);
        self.asm.jump(If::Equal, SCRATCH, ROUTER_ADVERTISEMENT, advertises);
        self.asm.jump(If::Equal, SCRATCH, NEIGHBOUR_SOLICITATION, neighbour);
        self.asm.jump(If::Equal, SCRATCH, NEIGHBOUR_ADVERTISEMENT, neighbour);
        self.asm.jump(If::Equal, SCRATCH, REDIRECT, redirects);
        self.asm.go(plain);
        self.asm.place(redirects);
        self.drop_if(If::Below, LENGTH, 40);
        self.asm.go(plain);
        self.asm.place(neighbour);
        self.drop_if(If::Below, LENGTH, 24);
        self.need_or(layout.transport + 24, self.drop);
        self.byte(layout.transport + 8);
        self.drop_if(If::Equal, SCRATCH, 0xff);
        self.asm.go(plain);
        self.asm.place(advertises);
        self.drop_if(If::Below, LENGTH, 16);
        self.asm.place(plain);
        self.byte(HOP_LIMIT);
        self.drop_if(If::NotEqual, SCRATCH, 255);
        self.byte(layout.transport + 1);
        self.asm.jump(If::Equal, SCRATCH, 0, self.pass);
        self.asm.go(self.drop);
        self.asm.place(other);
    }

    /// IGMP stays on its link: one hop, to a group (RFC 3376 §4).
    pub(super) fn igmp(&mut self, layout: Layout, igmp: Label) {
        const HOP_LIMIT: i16 = ETHERNET + 8;
        self.asm.note("IGMP");
        self.asm.place(igmp);
        self.drop_if(If::Below, LENGTH, 8);
        self.byte(HOP_LIMIT);
        self.drop_if(If::NotEqual, SCRATCH, 1);
        self.load_v4(layout.destination);
        self.asm.jump_word(If::AtLeast, SCRATCH, 0xe000_0000, self.pass);
        self.asm.go(self.drop);
    }

    /// From one station to another, and from one address to another.
    pub(super) fn unicast(&mut self, layout: Layout) {
        self.asm.note("from one to another");
        self.byte(0);
        self.drop_if(If::Shares, SCRATCH, 1);
        match layout.family {
            Family::V4 => {
                self.load_v4(layout.destination);
                self.asm.jump_word(If::AtLeast, SCRATCH, 0xe000_0000, self.drop);
                self.asm.copy(OTHER, SCRATCH);
                self.load_v4(layout.source);
                self.drop_if(If::Equal, SCRATCH, 0);
                self.asm.jump_reg(If::Equal, SCRATCH, OTHER, self.drop);
            }
            Family::V6 => {
                let [named, differ] = std::array::from_fn(|_| self.asm.label());
                self.byte(layout.destination);
                self.drop_if(If::Equal, SCRATCH, 0xff);
                self.asm.load(Width::Double, SCRATCH, FRAME, layout.source);
                self.asm.load(Width::Double, OTHER, FRAME, layout.source + 8);
                self.asm.jump(If::NotEqual, SCRATCH, 0, named);
                self.drop_if(If::Equal, OTHER, 0);
                self.asm.place(named);
                self.asm.load(Width::Double, LENGTH, FRAME, layout.destination);
                self.asm.jump_reg(If::NotEqual, SCRATCH, LENGTH, differ);
                self.asm.load(Width::Double, LENGTH, FRAME, layout.destination + 8);
                self.asm.jump_reg(If::Equal, OTHER, LENGTH, self.drop);
                self.asm.place(differ);
            }
        }
    }
}
