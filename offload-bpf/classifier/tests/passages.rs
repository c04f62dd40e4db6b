//! The short way of what passed a moment ago, and everything that leads back to the long one.

use selvedge_abi::{
    CONNECTION_ANSWERED, CONNECTION_ANSWERER_UNTRACKED, CONNECTION_ASSURED, CONNECTION_CLOSING,
    CONNECTION_OPENER_UNTRACKED, CONNECTION_RESET, PortRole, Reason,
};
use selvedge_classifier::testing::{
    MemoryTables, PORT, SECOND,
    frame::{self, Cut},
    world::{OTHER_PORT, key, world},
};

const ASSURED: u32 = CONNECTION_ANSWERED | CONNECTION_ASSURED;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const FIN_ACK: u8 = 0x11;

fn packet(flags: u8) -> Vec<u8> {
    frame::packet("10.0.0.1", "10.0.0.2", frame::tcp(40000, 80, flags))
}

fn answer(flags: u8) -> Vec<u8> {
    frame::packet("10.0.0.2", "10.0.0.1", frame::tcp(80, 40000, flags))
}

fn connected(flags: u32) -> MemoryTables {
    let connection = key(("10.0.0.1", 40000), ("10.0.0.2", 80), 6);
    world(PortRole::Workload).with(connection, flags, 0)
}

/// A world that has just seen a packet of an established connection.
fn after_one_packet() -> MemoryTables {
    let tables = connected(ASSURED);
    assert_eq!(tables.classify(&packet(ACK), PORT), Reason::Established);
    tables
}

/// What becomes of the next packet of its kind if nobody remembers the connection: it passes the short way, or not.
fn without_connection(tables: &MemoryTables) -> Reason {
    let tables = tables.clone();
    tables.connections.borrow_mut().clear();
    tables.classify(&packet(ACK), PORT)
}

#[test]
fn the_next_packet_of_its_kind_needs_no_table() {
    let tables = after_one_packet();
    tables.connections.borrow_mut().clear();
    assert_eq!(tables.classify(&packet(ACK), PORT), Reason::Established);
    let counted: Vec<u64> = tables.reason_counters.borrow().values().map(|counter| counter.packets).collect();
    assert_eq!(counted, [2], "and is counted like any other");
    assert_eq!(tables.events.borrow().len(), 0);
}

#[test]
fn what_opens_or_ends_a_connection_goes_the_long_way() {
    for flags in [SYN, RST, FIN_ACK] {
        let tables = after_one_packet();
        tables.connections.borrow_mut().clear();
        assert_ne!(tables.classify(&packet(flags), PORT), Reason::Established);
    }
}

#[test]
fn what_ends_a_connection_takes_back_what_is_noted_of_both_directions() {
    for (end, from) in [
        (packet(RST), PORT),
        (packet(FIN_ACK), PORT),
        (answer(RST), OTHER_PORT),
        (answer(FIN_ACK), OTHER_PORT),
    ] {
        let mut tables = after_one_packet();
        let entry = tables.ports[&PORT];
        tables.ports.insert(OTHER_PORT, entry);
        assert_eq!(tables.classify(&answer(ACK), OTHER_PORT), Reason::Established);
        assert_eq!(tables.passages.borrow().len(), 2);
        assert_eq!(tables.classify(&end, from), Reason::Established);
        assert!(tables.passages.borrow().is_empty());
    }
}

#[test]
fn a_connection_that_is_ending_has_no_notes_until_it_goes_on_after_a_reset() {
    let tables = connected(ASSURED | CONNECTION_CLOSING);
    assert_eq!(tables.classify(&packet(ACK), PORT), Reason::Established);
    assert_eq!(without_connection(&tables), Reason::NotTracked);
    let tables = connected(ASSURED | CONNECTION_RESET);
    assert_eq!(tables.classify(&packet(ACK), PORT), Reason::Established);
    assert_eq!(without_connection(&tables), Reason::Established, "nobody minded the reset");
}

#[test]
fn a_half_open_connection_has_no_notes() {
    for flags in [0, CONNECTION_ANSWERED] {
        let tables = connected(flags);
        assert_eq!(tables.classify(&answer(ACK), PORT), Reason::Spoofed);
        assert_eq!(tables.classify(&packet(ACK), PORT), Reason::Established);
        assert_eq!(tables.passages.borrow().is_empty(), flags == 0, "the opener goes on after an answer");
    }
}

#[test]
fn a_connection_that_covers_one_end_only_has_no_notes() {
    for flags in [CONNECTION_OPENER_UNTRACKED, CONNECTION_ANSWERER_UNTRACKED] {
        let tables = connected(ASSURED | flags);
        tables.classify(&packet(ACK), PORT);
        assert!(tables.passages.borrow().is_empty());
    }
}

#[test]
fn another_generation_slot_role_or_time_remembers_nothing() {
    let mut tables = after_one_packet();
    tables.config.generation += 1;
    assert_eq!(without_connection(&tables), Reason::NotTracked);
    let mut tables = after_one_packet();
    tables.config.slot ^= 1;
    assert_eq!(without_connection(&tables), Reason::Spoofed, "nobody is there in an empty slot");
    let mut tables = after_one_packet();
    tables.ports.get_mut(&PORT).expect("it is there").role = PortRole::Uplink as u32;
    assert_eq!(without_connection(&tables), Reason::Spoofed);
    let tables = after_one_packet();
    tables.clock.set(tables.clock.get() + 11 * SECOND);
    assert_eq!(without_connection(&tables), Reason::NotTracked);
}

#[test]
fn the_same_packet_on_another_port_is_as_spoofed_as_ever() {
    let mut tables = after_one_packet();
    let entry = tables.ports[&PORT];
    tables.ports.insert(OTHER_PORT, entry);
    assert_eq!(tables.classify(&packet(ACK), OTHER_PORT), Reason::Spoofed);
}

#[test]
fn a_port_that_is_no_more_or_a_generation_withdrawn_shuts_at_once() {
    let mut tables = after_one_packet();
    tables.config.generation = 0;
    assert_eq!(without_connection(&tables), Reason::NoGeneration);
    let mut tables = after_one_packet();
    tables.ports.clear();
    assert_eq!(without_connection(&tables), Reason::UnknownPort);
}

#[test]
fn a_packet_that_policy_decides_is_not_remembered() {
    let tables = world(PortRole::Workload);
    tables.classify(&packet(ACK), PORT);
    tables.classify(&packet(SYN), PORT);
    assert!(tables.passages.borrow().is_empty());
}

#[test]
fn a_first_fragment_neither_leaves_a_note_nor_goes_by_one() {
    let whole = frame::packet("10.0.0.1", "10.0.0.2", frame::long_udp(40000, 53, 64));
    let first = |id| frame::fragment(&whole, Cut { id, start: 0, last: false }, 40);
    let tables = world(PortRole::Workload).with(key(("10.0.0.1", 40000), ("10.0.0.2", 53), 17), ASSURED, 0);
    assert_eq!(tables.classify(&first(9), PORT), Reason::Established);
    assert!(tables.passages.borrow().is_empty());
    assert_eq!(tables.classify(&whole, PORT), Reason::Established);
    assert_eq!(tables.passages.borrow().len(), 1);
    assert_eq!(tables.classify(&first(10), PORT), Reason::Established);
    assert_eq!(tables.fragments.borrow().len(), 2, "later fragments are waited for");
}
