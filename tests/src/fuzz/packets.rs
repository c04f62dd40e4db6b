//! The packet parser and the classifier: a world from a few bytes, then frames that arrive in turn.

use std::collections::BTreeMap;

use selvedge_abi::{
    AddressEntry, AddressKey, CONNECTION_ASSURED, ConnectionEntry, ConnectionKey, Counter, Direction, Event,
    Interval, NodeRole, PortRole, Reason, ReasonKey, Verdict,
};
use selvedge_classifier::testing::world::{OTHER_PORT, SLOT, address, before_any_generation, world};
use selvedge_classifier::testing::{CONNECTION_LIMIT, HALF_OPEN_LIMIT, MemoryTables, PORT, SECOND, cases};

use super::{Bytes, Outcome, run_of};

const ROLES: [PortRole; 3] = [PortRole::Workload, PortRole::Uplink, PortRole::Fabric];
const ADDRESSES: [&str; 6] = ["10.0.0.1", "10.0.0.2", "10.0.0.9", "fd00::1", "fd00::2", "fd00::9"];
const IDENTITIES: [u32; 6] = [1, 2, 256, 257, 258, 0x0100_0009];

/// Bytes that [`tables`] reads at most.
const GENES: usize = 32;

/// The classifier's tables that the first bytes say: role of port and node, then changes of addresses and policy.
fn tables(bytes: &mut Bytes<'_>) -> MemoryTables {
    let role = bytes.pick(&ROLES);
    let node = bytes.pick(&[Some(NodeRole::Host), Some(NodeRole::Dpu), Some(NodeRole::Switch), None]);
    let Some(node) = node else { return before_any_generation(role) };
    let mut tables = world(role).on(node);
    while !bytes.is_empty() {
        if bytes.next().is_multiple_of(2) {
            let key = AddressKey { slot: SLOT, address: address(bytes.pick(&ADDRESSES)) };
            let identity = bytes.pick(&IDENTITIES);
            let ifindex = bytes.pick(&[0, PORT, OTHER_PORT]);
            tables.addresses.insert(key, AddressEntry { identity, class: identity, ifindex });
        } else {
            let (subject, peer) = (bytes.pick(&[256, 257]), bytes.pick(&[0, 2, 256, 257, 258]));
            let direction = bytes.pick(&[Direction::Ingress, Direction::Egress]);
            let (rule, decision) = (500 + direction as u32, u32::from(bytes.next() % 8)); // a rule has one direction
            tables.add_policy(subject, peer, direction, &[Interval { start: 0, rule, decision }]);
        }
    }
    tables
}

/// An input: a run of bytes for the world, then for each frame the seconds that pass and a run of its bytes.
pub(super) fn run(input: &[u8]) -> Outcome {
    let mut bytes = Bytes(input);
    let mut genes = Bytes(bytes.run());
    let mut tables = tables(&mut Bytes(genes.take(GENES)));
    let mut outcome = Outcome::Refused;
    while !bytes.is_empty() {
        let seconds = u64::from(bytes.next() % 64);
        tables.clock.set(tables.clock.get() + seconds * SECOND);
        let frame = bytes.run();
        if judge(&mut tables, frame).verdict() == Verdict::Allowed {
            outcome = Outcome::Accepted;
        }
    }
    outcome
}

fn judge(tables: &mut MemoryTables, frame: &[u8]) -> Reason {
    let before = tables.connections.borrow().clone();
    let padded = padded_reason(tables, frame);
    let reason = tables.classify(frame, PORT);

    let once = Counter { packets: 1, bytes: frame.len() as u64 };
    let key = ReasonKey { ifindex: PORT, reason: reason as u32 };
    assert_eq!(tables.reason_counters.take(), BTreeMap::from([(key, once)]), "{reason:?} is counted once");
    let rules = tables.rule_counters.take();
    assert!(rules.len() <= 2, "one rule an end: {rules:?}");
    assert!(rules.values().all(|counter| *counter == once), "{rules:?}");
    if reason.verdict() == Verdict::Dropped {
        assert!(rules.is_empty(), "no rule decides on {reason:?}: {rules:?}");
    }
    check_events(&tables.events.take(), reason, frame);
    check_connections(&before, &tables.connections.borrow(), reason);
    if reason != Reason::Truncated {
        assert_eq!(padded, reason, "what follows a packet does not change what becomes of it");
    }
    reason
}

/// The verdict on the frame with bytes behind it, by a copy of the tables.
fn padded_reason(tables: &MemoryTables, frame: &[u8]) -> Reason {
    tables.clone().classify(&[frame, &[0; 24]].concat(), PORT)
}

fn check_events(events: &[Event], reason: Reason, frame: &[u8]) {
    assert!(events.len() <= 1, "{events:?}");
    let tells = reason.verdict() != Verdict::Allowed || reason == Reason::PolicyAllow;
    assert!(!tells || events.len() == 1, "{reason:?} is told");
    for event in events {
        assert_eq!((event.reason, event.ifindex), (reason as u32, PORT));
        assert_eq!(event.length as usize, frame.len());
    }
}

fn check_connections(
    before: &BTreeMap<ConnectionKey, ConnectionEntry>,
    after: &BTreeMap<ConnectionKey, ConnectionEntry>,
    reason: Reason,
) {
    let kept = after.values().filter(|entry| entry.flags & CONNECTION_ASSURED != 0).count();
    assert!(kept <= CONNECTION_LIMIT as usize && after.len() - kept <= HALF_OPEN_LIMIT as usize);
    let added = after.keys().filter(|key| !before.contains_key(key)).count();
    assert!(
        added == 0 || (added == 1 && reason == Reason::PolicyAllow),
        "{reason:?} adds {added} connections"
    );
    // Policy is asked again for a connection of another generation, which may end it.
    let may_end = matches!(reason, Reason::Cut | Reason::NotTracked);
    if reason.verdict() != Verdict::Allowed && !may_end {
        assert!(before == after, "{reason:?} changes connections");
    }
}

/// The rows of the classifier's table of cases, each in its role, and all of a role one after the other.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, role) in (0u8..).zip(ROLES) {
        let of_role: Vec<_> = cases::all()
            .into_iter()
            .filter(|case| case.tables.ports.get(&PORT).is_some_and(|port| port.role == role as u32))
            .map(|case| [&[1][..], &run_of(&case.frame)].concat())
            .collect();
        let genes = run_of(&[number, number]);
        seeds.extend(of_role.iter().map(|record| [&genes[..], record].concat()));
        seeds.extend(of_role.chunks(20).map(|records| [&genes[..], &records.concat()].concat()));
        seeds.push([run_of(&[number, 3]), of_role[0].clone()].concat());
    }
    seeds
}
