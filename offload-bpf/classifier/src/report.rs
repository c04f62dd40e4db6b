//! What is told of a packet: its counter, and its event where it is worth one.

use selvedge_abi::{Event, EventKind, Reason, Verdict};

use crate::{
    ends::Ends,
    ip::Ip,
    network::{Part, Place},
    passage::Noting,
    tables::Tables,
};

/// What was read of a packet before its verdict; zero where it was not read.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) generation: u64,
    /// Length of the frame in bytes.
    pub(crate) length: u32,
    pub(crate) source: Ip,
    pub(crate) destination: Ip,
    pub(crate) ends: Ends,
    pub(crate) rule: u32,
    /// The rule wants an event, or the connection begins to drain.
    pub(crate) logged: bool,
    pub(crate) ether_type: u16,
    /// Ports; ICMP: type and code.
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) protocol: u8,
    pub(crate) tcp_flags: u8,
    pub(crate) part: Part,
    pub(crate) place: Place,
    /// What its connection wants noted.
    pub(crate) noting: Noting,
}

impl Seen {
    /// Counts the packet, and writes an event for a new connection, one that begins to drain, a denial, a drop, or where a rule asks. Not
    /// inlined: its stack frame is its own (see `lib.rs`).
    #[inline(never)]
    pub(crate) fn report<T: Tables>(&self, tables: &T, ifindex: u32, reason: Reason) {
        tables.count_reason(ifindex, reason, self.length);
        let kind = match reason.verdict() {
            _ if self.logged && reason == Reason::Draining => EventKind::Draining,
            _ if self.logged => EventKind::Logged,
            Verdict::Denied | Verdict::Dropped => EventKind::Drop,
            Verdict::Allowed if reason == Reason::PolicyAllow => EventKind::New,
            Verdict::Allowed => return,
        };
        tables.emit(|| Event {
            time: tables.now(),
            generation: self.generation,
            source: self.source.address(),
            destination: self.destination.address(),
            source_identity: self.ends.source.identity,
            destination_identity: self.ends.destination.identity,
            rule: self.rule,
            reason: reason as u32,
            kind: kind as u32,
            ifindex,
            length: self.length,
            source_port: self.source_port,
            destination_port: self.destination_port,
            protocol: self.protocol,
            tcp_flags: self.tcp_flags,
            ether_type: self.ether_type,
            reserved: 0,
        });
    }
}
