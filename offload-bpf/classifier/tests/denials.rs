//! The short way of openings that were denied a moment ago, and everything that leads back to the long one.

use selvedge_abi::{
    CONNECTION_ANSWERED, CONNECTION_ASSURED, CONNECTION_FROM_HIGH, DECISION_ALLOW, Passage, PortEntry,
    PortRole, Reason,
};
use selvedge_classifier::testing::{
    MemoryTables, PORT, SECOND, frame,
    world::{OTHER_PORT, key, rule, world},
};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
/// A service that no rule allows.
const DENIED: u16 = 23;
/// One that a rule denies, with a log.
const LOGGED: u16 = 22;

/// From the fabric to a workload of this node, so that only the one end's policy is asked.
fn syn(from: u16, to: u16) -> Vec<u8> {
    frame::packet("10.0.0.3", "10.0.0.2", frame::tcp(from, to, SYN))
}

/// A world in which no event is due, so that notes of denials serve.
fn quiet() -> MemoryTables {
    let mut tables = world(PortRole::Uplink);
    tables.config.event_share = 1;
    tables
}

/// A quiet world that has just denied an opening.
fn after_one_denial() -> MemoryTables {
    let tables = quiet();
    assert_eq!(tables.classify(&syn(40_000, DENIED), PORT), Reason::PolicyDeny);
    assert_eq!(tables.denials.borrow().len(), 1);
    tables
}

/// What becomes of an opening if policy says nothing any more: it is denied the short way, or not.
fn without_policy(tables: &MemoryTables, packet: &[u8]) -> Reason {
    let mut tables = tables.clone();
    tables.policies.clear();
    tables.classify(packet, PORT)
}

#[test]
fn the_next_opening_is_denied_by_the_note_whatever_its_source_port_and_counted_as_the_first() {
    let tables = after_one_denial();
    let [before, rules] = [tables.reason_counters.borrow().len(), tables.rule_counters.borrow().len()];
    assert_eq!(without_policy(&tables, &syn(40_001, DENIED)), Reason::PolicyDeny);
    assert_eq!(tables.classify(&syn(40_001, DENIED), PORT), Reason::PolicyDeny);
    let counted = |packets: Vec<u64>| assert_eq!(packets, [2]);
    assert_eq!((before, rules), (1, 1));
    counted(tables.reason_counters.borrow().values().map(|counter| counter.packets).collect());
    counted(tables.rule_counters.borrow().values().map(|counter| counter.packets).collect());
    assert_eq!(tables.events_lost.get(), 2, "each is an event that was not written");
}

#[test]
fn another_service_end_port_generation_slot_or_time_is_another_opening() {
    let tables = after_one_denial();
    let other = frame::packet("10.0.0.2", "10.0.0.3", frame::tcp(40_000, DENIED, SYN));
    for (packet, expected) in [(syn(40_000, 24), Reason::NoPolicy), (other, Reason::Spoofed)] {
        assert_eq!(without_policy(&tables, &packet), expected);
    }
    let mut later = after_one_denial();
    later.config.generation += 1;
    assert_eq!(without_policy(&later, &syn(40_000, DENIED)), Reason::NoPolicy);
    let mut slot = after_one_denial();
    slot.config.slot ^= 1;
    assert_eq!(without_policy(&slot, &syn(40_000, DENIED)), Reason::NotLocal, "nobody is there");
    let aged = after_one_denial();
    aged.clock.set(aged.clock.get() + 11 * SECOND);
    assert_eq!(without_policy(&aged, &syn(40_000, DENIED)), Reason::NoPolicy);
    let mut moved = after_one_denial();
    moved.ports.insert(OTHER_PORT, PortEntry { role: PortRole::Workload as u32 });
    assert_eq!(moved.classify(&syn(40_000, DENIED), OTHER_PORT), Reason::Spoofed);
}

#[test]
fn a_port_that_is_no_more_or_a_generation_withdrawn_says_so_at_once() {
    let mut tables = after_one_denial();
    tables.config.generation = 0;
    assert_eq!(tables.classify(&syn(40_000, DENIED), PORT), Reason::NoGeneration);
    let mut tables = after_one_denial();
    tables.ports.clear();
    assert_eq!(tables.classify(&syn(40_000, DENIED), PORT), Reason::UnknownPort);
}

#[test]
fn a_broken_packet_of_a_noted_opening_is_broken() {
    let tables = after_one_denial();
    assert_eq!(tables.classify(&syn(0, DENIED), PORT), Reason::Malformed);
    assert_eq!(tables.classify(&syn(40_000, DENIED)[..50], PORT), Reason::Truncated);
    let christmas = frame::packet("10.0.0.3", "10.0.0.2", frame::tcp(40_000, DENIED, SYN | 0x20));
    assert_eq!(tables.classify(&christmas, PORT), Reason::Malformed, "SYN and URG");
}

#[test]
fn while_an_event_is_due_the_denial_is_judged_and_told_whole() {
    let mut tables = after_one_denial();
    tables.config.event_share = 0;
    assert_eq!(without_policy(&tables, &syn(40_000, DENIED)), Reason::NoPolicy);
    tables.classify(&syn(40_000, DENIED), PORT);
    assert_eq!((tables.events.borrow().len(), tables.events_lost.get()), (1, 1));
}

#[test]
fn what_an_opening_is_allowed_or_logged_for_leaves_no_note() {
    let tables = quiet();
    assert_eq!(tables.classify(&syn(40_000, 80), PORT), Reason::PolicyAllow);
    assert!(tables.denials.borrow().is_empty());
    assert_eq!(tables.classify(&syn(40_000, LOGGED), PORT), Reason::PolicyDeny);
    assert!(tables.denials.borrow().is_empty());
}

#[test]
fn an_opening_that_two_rules_have_to_count_leaves_no_note() {
    let mut tables = quiet();
    tables.ports.insert(PORT, PortEntry { role: PortRole::Workload as u32 });
    let both_here = frame::packet("10.0.0.1", "10.0.0.2", frame::tcp(40_000, DENIED, SYN));
    let allow = |decision: &mut u32| *decision |= DECISION_ALLOW;
    let mut tables = MemoryTables { addresses: world(PortRole::Workload).addresses, ..tables };
    let egress = tables.intervals.values_mut().filter(|each| each.rule < rule::WEB_INGRESS);
    egress.for_each(|each| allow(&mut each.decision));
    assert_eq!(tables.classify(&both_here, PORT), Reason::PolicyDeny);
    assert_eq!(tables.rule_counters.borrow().len(), 2, "the one that allows, and the one that denies");
    assert!(tables.denials.borrow().is_empty());
}

/// A SYN that policy denies is denied whatever connection there was; the connection is left to its own next packet.
#[test]
fn an_opening_that_is_denied_touches_no_connection() {
    let connection = key(("10.0.0.2", DENIED), ("10.0.0.3", 40_000), 6);
    let mut tables =
        quiet().with(connection, CONNECTION_FROM_HIGH | CONNECTION_ANSWERED | CONNECTION_ASSURED, 0);
    tables.config.generation += 1;
    let before = tables.connections.clone();
    assert_eq!(tables.classify(&syn(40_000, DENIED), PORT), Reason::PolicyDeny);
    assert_eq!(tables.connections, before);
    let goes_on = frame::packet("10.0.0.3", "10.0.0.2", frame::tcp(40_000, DENIED, ACK));
    assert_eq!(tables.classify(&goes_on, PORT), Reason::Cut);
    assert!(tables.connections.borrow().is_empty());
}

#[test]
fn a_note_is_of_the_opening_without_its_source_port() {
    let tables = after_one_denial();
    let noted: Vec<Passage> = tables.denials.borrow().keys().copied().collect();
    assert_eq!(noted[0].flow.ports, u32::from(DENIED));
}
