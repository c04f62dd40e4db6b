//! The packets that an agent proves a slot with: of random plans they find nothing wrong with tables that were lowered right, and
//! find every single wrong entry that any packet could notice.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use arbitrary::{Result, Unstructured};
use selvedge_abi::{
    Address, DECISION_ALLOW, DECISION_DRAIN, DECISION_LOG, Event, Interval, PolicyEntry, PolicyKey,
    PrefixKey, Run, Verdict,
};
use selvedge_agent_core::lower::lower;
use selvedge_agent_core::machine::{IfIndex, Interface, Machine};
use selvedge_agent_core::prove::{Case, Found, LIMIT, Packet, ReadSlot, trial};
use selvedge_agent_core::tables::{Slot, SlotTables};
use selvedge_agent_core::{Hook, Mismatch, Touched, Trial};
use selvedge_classifier::Way;
use selvedge_classifier::testing::MemoryTables;
use selvedge_tests::cases::each;
use selvedge_tests::random::{addresses, ground, model, policies};
use selvedge_topology::compile::compile;
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::{Identity, IdentityTable};
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::model::{Model, PortRole};
use selvedge_topology::names::PortName;
use selvedge_topology::plan::{Generation, Plan};

#[path = "slot_proof/decisions.rs"]
mod decisions;
#[path = "slot_proof/touched.rs"]
mod touched;

const SLOT: Slot = Slot::B;

fn machine(plan: &Plan) -> Machine {
    let interfaces = plan.ports.iter().zip(7..).map(|(port, index)| {
        let interface = Interface::veth(IfIndex(index));
        (port.name.to_string(), interface)
    });
    Machine { interfaces: interfaces.collect() }
}

/// What the data path would hold during a trial.
fn tables(trial: &Trial, slot: &SlotTables) -> MemoryTables {
    let SlotTables { addresses, prefixes, policies, intervals } = slot.clone();
    let ports = trial.ports.iter().map(|(index, entry)| (index.0, *entry)).collect();
    MemoryTables {
        config: trial.config,
        ports,
        addresses,
        prefixes,
        policies,
        intervals,
        ..MemoryTables::default()
    }
}

/// Judges a packet on its own; what rules counted, and the event.
fn judge(
    tables: &MemoryTables,
    packet: &Packet,
    (hook, port): (Hook, IfIndex),
) -> (bool, Option<Event>, Vec<u32>) {
    tables.connections.borrow_mut().clear();
    tables.passages.borrow_mut().clear();
    tables.rule_counters.borrow_mut().clear();
    let reason = match hook {
        Hook::Ingress => tables.classify(&packet.frame(), port.0),
        Hook::Egress => tables.classify_sent(&packet.frame(), Way { received: 0, leaves: port.0 }).unwrap(),
    };
    let rules = tables.rule_counters.borrow().keys().copied().collect();
    (reason.verdict() == Verdict::Allowed, tables.events.take().pop(), rules)
}

fn found(tables: &MemoryTables, case: &Case) -> Found {
    let (passed, event, rules) = judge(tables, &case.packet, (case.hook, case.port));
    Found { passed, event, counted: case.expected.unnamed().filter(|rule| rules.contains(&rule.0)).collect() }
}

/// Whether the trial finds the tables wrong.
fn refuses(trial: &Trial, slot: &SlotTables) -> bool {
    let tables = tables(trial, slot);
    trial.cases.iter().any(|case| trial.check(case, &found(&tables, case)).is_err()) || misreads(trial, slot)
}

/// A slot in memory, read back as one in the kernel is.
struct Written<'a>(&'a SlotTables);

impl ReadSlot for Written<'_> {
    type Error = Box<Mismatch>;

    fn policy(&mut self, key: &PolicyKey) -> std::result::Result<Option<PolicyEntry>, Self::Error> {
        Ok(self.0.policies.get(key).copied())
    }

    fn interval(&mut self, index: u32) -> std::result::Result<Option<Interval>, Self::Error> {
        Ok(self.0.intervals.get(&index).copied())
    }
}

/// Whether the trial finds something written wrong.
fn misreads(trial: &Trial, slot: &SlotTables) -> bool {
    trial.cases.iter().any(|case| trial.check_written(case, &mut Written(slot)).is_err())
}

/// A packet, and where it is judged.
type Witness = (Packet, (Hook, IfIndex));

/// Packets that could notice a change: between all addresses, at the keys of the trial that policy is asked for and around every
/// interval. The node sends in its own name and that of a workload that it is.
fn witnesses(model: &Model, plan: &Plan, trial: &Trial) -> Vec<Witness> {
    let judged = trial.cases.iter().filter(|case| case.asked.iter().any(Option::is_some));
    let mut keys: Vec<L4Key> = judged.map(|case| case.packet.key).collect();
    let starts = plan.sets.iter().flat_map(|set| &set.intervals).map(|interval| interval.first.number());
    keys.extend(
        starts.flat_map(|start| [start.saturating_sub(1), start, start + 1]).filter_map(L4Key::from_number),
    );
    keys.retain(|key| {
        [Protocol::TCP, Protocol::UDP, Protocol::SCTP].contains(&key.protocol()) && key.low() != 0
    });
    keys.sort();
    keys.dedup();
    let all: Vec<IpAddr> = addresses(model);
    let pairs = all.iter().flat_map(|a| all.iter().map(move |b| (*a, *b)));
    let pairs = pairs.filter(|(a, b)| a != b && a.is_ipv4() == b.is_ipv4());
    let ports: Vec<IfIndex> = trial.ports.keys().copied().collect();
    let packets = pairs.flat_map(|(source, destination)| {
        keys.iter().map(move |key| Packet { source, destination, key: *key })
    });
    let own = own(plan);
    // What the node says to itself leaves by no port.
    let leaves = |packet: &Packet| own.contains(&packet.source) && !own.contains(&packet.destination);
    let places = |packet: Packet| {
        let hooks: &[Hook] = if leaves(&packet) { &[Hook::Ingress, Hook::Egress] } else { &[Hook::Ingress] };
        let ports = &ports;
        hooks.iter().flat_map(move |hook| ports.iter().map(move |port| (packet, (*hook, *port))))
    };
    packets.flat_map(places).collect()
}

/// The addresses that a node sends from.
fn own(plan: &Plan) -> Vec<IpAddr> {
    let is_uplink =
        |name: &PortName| plan.ports.iter().any(|port| port.name == *name && port.role == PortRole::Uplink);
    let host = plan.addresses.iter().filter(|entry| entry.identity == Identity::HOST);
    let machine = plan.workloads.iter().filter(|workload| is_uplink(&workload.port));
    host.map(|entry| entry.prefix.addr())
        .chain(machine.flat_map(|workload| workload.addresses.iter().copied()))
        .collect()
}

/// What a packet makes visible; the interval's decision and rule, and who is who.
type Seen = (bool, Option<(u32, u32, u32, u32, u32)>, Vec<u32>);

fn see(tables: &MemoryTables, witnesses: &[Witness]) -> Vec<Seen> {
    let one = |(packet, at): &Witness| {
        let (passed, event, rules) = judge(tables, packet, *at);
        let told = event.map(|e| (e.reason, e.rule, e.kind, e.source_identity, e.destination_identity));
        (passed, told, rules)
    };
    witnesses.iter().map(one).collect()
}

/// Where an interval is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// In a policy entry, at this of its places.
    Inline(PolicyKey, usize),
    /// In the array.
    Indexed(u32),
}

/// Where all intervals of a slot are.
fn places(slot: &SlotTables) -> Vec<Place> {
    let inline = slot
        .policies
        .iter()
        .flat_map(|(key, entry)| entry.intervals().enumerate().map(|(at, _)| Place::Inline(*key, at)));
    inline.chain(slot.intervals.keys().copied().map(Place::Indexed)).collect()
}

fn interval(slot: &SlotTables, place: Place) -> Interval {
    match place {
        Place::Inline(key, at) => slot.policies[&key].intervals().nth(at).unwrap(),
        Place::Indexed(index) => slot.intervals[&index],
    }
}

fn rewrite(slot: &mut SlotTables, place: Place, wrong: Interval) {
    match place {
        Place::Inline(key, at) => {
            let mut list: Vec<Interval> = slot.policies[&key].intervals().collect();
            list[at] = wrong;
            slot.policies.insert(key, PolicyEntry::inline(&list).unwrap());
        }
        Place::Indexed(index) => drop(slot.intervals.insert(index, wrong)),
    }
}

/// One entry made wrong.
fn mutate(u: &mut Unstructured<'_>, slot: &mut SlotTables) -> Result<&'static str> {
    let pick = |u: &mut Unstructured<'_>, count: usize| u.choose_index(count);
    Ok(match u.int_in_range(0..=9)? {
        0..=4 if !slot.policies.is_empty() => {
            let places = places(slot);
            // Short lists are most of them, so the long ones are taken by themselves as often as not.
            let indexed: Vec<Place> =
                places.iter().copied().filter(|place| matches!(place, Place::Indexed(_))).collect();
            let from = if !indexed.is_empty() && u.ratio(1, 2)? { &indexed } else { &places };
            let place = from[pick(u, from.len())?];
            let rules: Vec<u32> = places.iter().map(|place| interval(slot, *place).rule).collect();
            let Interval { start, rule, decision } = interval(slot, place);
            let wrong = match u.int_in_range(0..=4)? {
                0 => Interval { start: start + 1, rule, decision },
                1 => Interval { start: start.saturating_sub(1), rule, decision },
                2 => Interval { start, rule: *u.choose(&rules)?, decision },
                3 => Interval { start, rule, decision: decision ^ DECISION_ALLOW },
                _ => Interval { start, rule, decision: decision ^ DECISION_LOG },
            };
            rewrite(slot, place, wrong);
            match place {
                Place::Inline(..) => "inline interval",
                Place::Indexed(_) => "interval",
            }
        }
        5..=7 if !slot.policies.is_empty() => {
            let index = pick(u, slot.policies.len())?;
            let (key, other) = (*slot.policies.keys().nth(index).unwrap(), pick(u, slot.policies.len())?);
            let other = *slot.policies.values().nth(other).unwrap();
            if u.arbitrary()? {
                slot.policies.insert(key, other)
            } else {
                slot.policies.remove(&key)
            };
            "policy"
        }
        8 if !slot.addresses.is_empty() => {
            let index = pick(u, slot.addresses.len())?;
            let other = *slot.addresses.values().nth(pick(u, slot.addresses.len())?).unwrap();
            let key = *slot.addresses.keys().nth(index).unwrap();
            if u.arbitrary()? {
                slot.addresses.insert(key, other)
            } else {
                slot.addresses.remove(&key)
            };
            "address"
        }
        _ if slot.prefixes.is_empty() => {
            let everyone = PrefixKey {
                slot: SLOT.number(),
                length: PrefixKey::MAPPED_BITS,
                address: Address::from_ipv4([0; 4]),
            };
            let entry = *slot.addresses.values().nth(pick(u, slot.addresses.len())?).unwrap();
            slot.prefixes.insert(everyone, entry);
            "prefix"
        }
        _ => {
            let index = pick(u, slot.prefixes.len())?;
            let other = *slot.prefixes.values().nth(pick(u, slot.prefixes.len())?).unwrap();
            let key = *slot.prefixes.keys().nth(index).unwrap();
            if u.arbitrary()? {
                slot.prefixes.insert(key, other)
            } else {
                slot.prefixes.remove(&key)
            };
            "prefix"
        }
    })
}

/// A plan of a random fabric, its trial and its tables.
fn scenes(
    u: &mut Unstructured<'_>,
    mut scene: impl FnMut(&Model, &Plan, &Trial, &SlotTables, &mut Unstructured<'_>) -> Result<()>,
) -> Result<()> {
    let (_, model) = model(u)?;
    let mut identities = IdentityTable::default();
    identities.allocate(&model).unwrap();
    for plan in compile(&model, &identities).unwrap().values() {
        let machine = machine(plan);
        let slot = lower(plan, &machine, SLOT, &SlotTables::default()).unwrap();
        let trial = trial(plan, &machine, Generation(5), SLOT, (&Touched::Everything, LIMIT));
        scene(&model, plan, &trial, &slot, u)?;
    }
    Ok(())
}

#[test]
fn tables_that_are_lowered_right_are_proven() {
    let (mut packets, mut classes, mut allowed) = (0, 0, 0);
    each(200, |u| {
        scenes(u, |_, plan, trial, slot, _| {
            let tables = tables(trial, slot);
            for case in &trial.cases {
                trial
                    .check(case, &found(&tables, case))
                    .and_then(|()| trial.check_written(case, &mut Written(slot)))
                    .unwrap_or_else(|mismatch| panic!("{mismatch}\n{plan}"));
                allowed += u64::from(case.expected.passes());
            }
            packets += trial.coverage.packets;
            classes += trial.coverage.classes;
            Ok(())
        })
    });
    println!("{packets} packets of {classes} classes, {allowed} allowed");
    assert!(packets > 40_000 && classes > 10_000 && allowed > packets / 20);
}

#[test]
fn a_single_wrong_entry_that_a_packet_could_notice_is_found() {
    /// Entries made wrong, those of them that a packet notices, and those that the trial finds.
    #[derive(Clone, Copy, Debug, Default)]
    struct Tally {
        made: u32,
        noticed: u32,
        found: u32,
    }
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    each(60, |u| {
        scenes(u, |model, plan, trial, slot, u| {
            let witnesses = witnesses(model, plan, trial);
            let right = see(&tables(trial, slot), &witnesses);
            for _ in 0..14 {
                let mut wrong = slot.clone();
                let tally = tallies.entry(mutate(u, &mut wrong)?).or_default();
                tally.made += 1;
                if wrong == *slot {
                    continue;
                }
                let noticed = see(&tables(trial, &wrong), &witnesses) != right;
                let found = refuses(trial, &wrong);
                tally.noticed += u32::from(noticed || found);
                tally.found += u32::from(found);
            }
            Ok(())
        })
    });
    println!("{tallies:?}");
    for (what, least, share) in [
        ("inline interval", 100, 100),
        ("interval", 100, 100),
        ("policy", 50, 100),
        ("address", 20, 95),
        ("prefix", 10, 95),
    ] {
        let Tally { noticed, found, .. } = tallies.get(what).copied().unwrap_or_default();
        assert!(noticed >= least, "only {noticed} wrong entries of {what} could be noticed");
        assert!(found * 100 >= noticed * share, "{what}: {found} of {noticed}");
    }
}
