//! What the classifier asks of the world around a packet.

use selvedge_abi::{
    AddressEntry, AddressKey, Config, ConnectionEntry, ConnectionKey, Event, FailsafeKey, Flow, Interval,
    Passage, PolicyEntry, PolicyKey, PortEntry, Reason, Revocation,
};

use crate::{Decided, FragmentTable};

/// The table has no room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFull;

/// The tables of `selvedge_abi::map`, a clock, counters and the event ring. One method per map and operation;
/// a lookup returns `None` where there is no entry.
pub trait Tables: FragmentTable {
    /// The node's configuration; `generation` is read before `slot` (see [`Config`]).
    fn config(&self) -> Config;
    /// The port with this interface index.
    fn port(&self, ifindex: u32) -> Option<PortEntry>;
    /// The same, but `None` too where it takes more than one look.
    fn near_port(&self, ifindex: u32) -> Option<PortEntry>;
    /// The entry of the address, else that of the longest prefix of its family that contains it.
    fn address(&self, key: &AddressKey) -> Option<AddressEntry>;
    /// The policy of one workload towards one class of peers.
    fn policy(&self, key: &PolicyKey) -> Option<&PolicyEntry>;
    /// One interval, by its index in the array.
    fn interval(&self, index: u32) -> Option<Interval>;
    /// What policy says of a layer-4 key: [`look_up`](crate::look_up), by whatever is the best way for these tables.
    fn decide(&self, policy: PolicyKey, key: u32) -> Option<Decided>;
    /// Whether the failsafe table has the key.
    fn failsafe(&self, key: &FailsafeKey) -> bool;

    /// Copies the entry of a connection, half-open or not, whether its time is over or not; whether there is one. Other CPUs may
    /// write it at the same time, so writes are few and each leaves an entry that is right by itself.
    fn connection(&self, key: &ConnectionKey, entry: &mut ConnectionEntry) -> bool;
    /// Writes the time of a connection's last packet only.
    fn touch_connection(&self, key: &ConnectionKey, now: u64);
    /// Writes the whole entry of a connection, where it is.
    fn store_connection(&self, key: &ConnectionKey, entry: &ConnectionEntry);
    /// Adds a connection to the half-open ones. `Ok` too where another CPU was faster: both judged the same packet's flow.
    fn open_connection(&self, key: &ConnectionKey, entry: &ConnectionEntry) -> Result<(), TableFull>;
    /// Moves a connection from the half-open ones to those that stay. `Ok` too where another CPU was faster.
    fn keep_connection(&self, key: &ConnectionKey, entry: &ConnectionEntry) -> Result<(), TableFull>;
    /// Sets flags of a connection at once; those that were set before, all where it is gone. Of several CPUs one is the first to
    /// set a flag.
    fn mark_connection(&self, key: &ConnectionKey, flags: u32) -> u32;
    /// Forgets a connection; whether it was there.
    fn remove_connection(&self, key: &ConnectionKey) -> bool;

    /// Whether such a packet passed a moment ago, as [`Tables::note_passage`] was told. It may have been forgotten.
    fn passed(&self, passage: &Passage) -> bool;
    /// [`Tables::passed`] for who is in no hurry. Programs have it once, and [`Tables::passed`] wherever it is asked.
    fn passed_unhurried(&self, passage: &Passage) -> bool {
        self.passed(passage)
    }
    /// Notes that such packets pass.
    fn note_passage(&self, passage: &Passage);
    /// Takes back what is noted of a flow.
    fn forget_passages(&self, flow: &Flow);
    /// The rule by which such an opening, its source port left out, was denied a moment ago, as [`Tables::note_denial`] was
    /// told. It may have been forgotten.
    fn denied(&self, opening: &Passage) -> Option<u32>;
    /// Notes that a rule denies such openings.
    fn note_denial(&self, opening: &Passage, rule: u32);

    /// Nanoseconds of CLOCK_MONOTONIC.
    fn now(&self) -> u64;
    /// Adds a packet of `bytes` to the rule's counter, where it has one.
    fn count_rule(&self, rule: u32, bytes: u32);
    /// Adds a packet of `bytes` to the reason's counter of a port, where it has one.
    fn count_reason(&self, ifindex: u32, reason: Reason, bytes: u32);
    /// [`Tables::count_reason`] where [`Tables::near_port`] found the port, of a reason of
    /// [`PortCounters`](selvedge_abi::PortCounters).
    fn count_near(&self, ifindex: u32, reason: Reason, bytes: u32);
    /// Adds a connection to the generation's revocations, where it has a counter.
    fn count_revocation(&self, generation: u64, revocation: Revocation);
    /// Writes an event, or counts it as lost.
    fn emit(&self, event: impl FnOnce() -> Event);
    /// Counts an event as lost, unless one would be written now; whether it did.
    fn skip_event(&self) -> bool;
}
