use std::net::IpAddr;

use selvedge_abi::{
    Address, AddressEntry, AddressKey, DECISION_ALLOW, DECISION_DRAIN, DECISION_LOG, DECISION_STATELESS, End,
    INTERVALS_PER_SLOT, Interval, Ipv4Bucket, Ipv6Bucket, MAX_ENDS, MAX_IPV4, MAX_IPV6, MAX_POLICIES,
    MAX_PORTS, MAX_PREFIX_LENGTHS, MAX_PREFIXES, MAX_RULES, PolicyBucket, PolicyEntry, PolicyKey, PrefixKey,
    Run, SLOTS, buckets,
};
use selvedge_topology::identity::Class;
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::plan::{Outcome, PlanAddress, Table};

use super::addresses::table_address;
use super::*;
use crate::testing::{APP, RANGE, Sample, WEB, machine, name, set};

fn lowered(slot: Slot) -> SlotTables {
    lower(&Sample::new().plan, &machine(&["eth0", "w1"]), slot, &SlotTables::default()).unwrap()
}

fn exact(tables: &SlotTables, address: &str) -> Option<AddressEntry> {
    let address = table_address(address.parse::<IpAddr>().unwrap());
    tables.addresses.iter().find(|(key, _)| key.address == address).map(|(_, entry)| *entry)
}

#[test]
fn hosts_go_to_the_exact_table_and_local_ones_carry_their_ports_index() {
    let tables = lowered(Slot::A);
    assert_eq!(tables.addresses.len(), 3);
    let local = Some(AddressEntry { identity: APP.0, class: APP.0, ifindex: 11 });
    assert_eq!(exact(&tables, "10.1.0.12"), local);
    assert_eq!(exact(&tables, "fd00:1::12"), local);
    assert_eq!(exact(&tables, "10.1.0.11"), Some(AddressEntry { identity: WEB.0, class: WEB.0, ifindex: 0 }));
    assert_eq!(exact(&tables, "192.0.2.1"), None);
}

#[test]
fn prefixes_count_the_mapping_of_ipv4() {
    let keys: Vec<PrefixKey> = lowered(Slot::B).prefixes.into_keys().collect();
    let v6: [u8; 16] = "fd00:1::".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let expected = [
        PrefixKey { slot: 1, length: 64, address: Address(v6) },
        PrefixKey { slot: 1, length: 96 + 8, address: Address::from_ipv4([10, 0, 0, 0]) },
    ];
    assert_eq!(keys, expected);
    let tables = lowered(Slot::B);
    let entry = |class| AddressEntry { identity: 2, class, ifindex: 0 };
    let found: Vec<AddressEntry> = tables.prefixes.values().copied().collect();
    assert_eq!(found, [entry(RANGE.0); 2]);
    assert!(tables.addresses.keys().all(|key: &AddressKey| key.slot == 1));
}

#[test]
fn the_plans_timeouts_are_those_that_programs_go_by() {
    let mut plan = Sample::new().plan;
    let [tcp_established, tcp_half_open, tcp_closing, udp, icmp, other, fragment] =
        [7200, 20, 21, 22, 23, 24, 25].map(topology::Seconds);
    plan.timeouts =
        topology::Timeouts { tcp_established, tcp_half_open, tcp_closing, udp, icmp, other, fragment };
    let Config { timeouts, .. } = config(&plan, Generation(1), Slot::A);
    let expected = Timeouts {
        tcp_established: 7200,
        half_open: 20,
        closing: 21,
        udp: 22,
        icmp: 23,
        other: 24,
        fragment: 25,
    };
    assert_eq!(timeouts, expected);
}

#[test]
fn a_workload_whose_port_is_gone_stays_local_and_nobody_can_be_it() {
    let tables = lower(&Sample::new().plan, &machine(&["eth0"]), Slot::A, &SlotTables::default()).unwrap();
    assert_eq!(exact(&tables, "10.1.0.12").map(|entry| entry.ifindex), Some(IfIndex::GONE.0));
}

/// The key of what the sample's subject asks in slot B.
fn key(peer: u32, direction: selvedge_abi::Direction) -> PolicyKey {
    PolicyKey { slot: 1, subject: APP.0, peer, direction: direction as u32 }
}

#[test]
fn rows_hold_short_lists_of_intervals_with_their_decisions() {
    let tables = lowered(Slot::B);
    assert_eq!(tables.policies.len(), 3);
    let http = L4Key::new(Protocol::TCP, 8080).number();
    let held = |peer, direction| tables.policies[&key(peer, direction)].intervals().collect::<Vec<_>>();
    let denied = |start| Interval { start, rule: 100, decision: DECISION_LOG };
    let allowed = Interval { start: http, rule: 7, decision: DECISION_ALLOW };
    let ingress = selvedge_abi::Direction::Ingress;
    assert_eq!(held(WEB.0, ingress), [denied(0), allowed, denied(http + 1)]);
    assert_eq!(held(0, ingress), [denied(0)]);
    let stateless = DECISION_ALLOW | DECISION_STATELESS;
    let egress = held(0, selvedge_abi::Direction::Egress);
    assert_eq!(egress, [Interval { start: 0, rule: 101, decision: stateless }]);
    assert!(tables.intervals.is_empty());
}

#[test]
fn rows_point_at_the_runs_of_longer_lists() {
    let mut plan = Sample::new().plan;
    plan.sets[0] = set(1, &[0, 10, 20, 30].map(|first| (first, Outcome::Denied, 100)));
    assert_eq!(Table::Intervals.needed(&plan), 4, "of the lists that entries don't hold");
    let tables = lower(&plan, &machine(&["eth0", "w1"]), Slot::B, &SlotTables::default()).unwrap();
    let run = Run { first: Slot::B.intervals().start, count: 4 };
    assert_eq!(tables.policies[&key(0, selvedge_abi::Direction::Ingress)], PolicyEntry::indexed(run));
    let denied = |start| Interval { start, rule: 100, decision: DECISION_LOG };
    assert_eq!(tables.run(run), [0, 10, 20, 30].map(denied));
    assert_eq!(tables.intervals.len(), 4);
}

/// Buckets have the direction in that bit: such a workload would be judged as another one.
#[test]
fn an_identity_that_policy_has_no_room_for_is_refused() {
    for (row, address) in [(PolicyKey::SUBJECTS, APP.0), (APP.0, PolicyKey::SUBJECTS)] {
        let mut plan = Sample::new().plan;
        (plan.rows[1].subject, plan.addresses[2].identity) = (Identity(row), Identity(address));
        let error = check(&plan).unwrap_err();
        assert_eq!(error, LowerError::LargeIdentity { identity: Identity(PolicyKey::SUBJECTS) });
        let words = "the plan has identity 2147483648, and policy tells those below 2147483648 apart";
        assert_eq!(error.to_string(), words);
        plan.rows[1].subject = Identity(PolicyKey::SUBJECTS - 1);
        plan.addresses[2].identity = Identity(PolicyKey::SUBJECTS - 1);
        assert_eq!(check(&plan), Ok(()), "one less is the largest");
    }
}

/// What the topology says there is room for is what the maps have room for, so that nothing is published that an agent would
/// refuse.
#[test]
fn a_plan_may_have_of_each_table_what_a_generation_has_of_its_map() {
    let room = |table| match table {
        Table::Ipv4 => MAX_IPV4,
        Table::Ipv6 => MAX_IPV6,
        Table::Ipv4Prefixes | Table::Ipv6Prefixes => MAX_PREFIXES,
        Table::PrefixLengths => MAX_PREFIX_LENGTHS as u32,
        // A slot's own; while it is written, what it held before is there as well.
        Table::Ends => MAX_ENDS / 2,
        Table::Intervals => INTERVALS_PER_SLOT,
        Table::Policies => MAX_POLICIES,
        // Both slots are in these.
        Table::Rules => MAX_RULES / SLOTS,
        Table::Ports => MAX_PORTS / SLOTS,
    };
    for table in Table::ALL {
        assert_eq!(table.room(), room(table) as usize, "{table}");
    }
}

#[test]
fn the_bytes_of_an_entry_are_those_of_the_maps_shared_out_among_what_they_have_room_for() {
    let arrays = |table: Table| match table {
        Table::Ipv4 => buckets::<Ipv4Bucket>(MAX_IPV4) as usize * size_of::<Ipv4Bucket>(),
        Table::Ipv6 => buckets::<Ipv6Bucket>(MAX_IPV6) as usize * size_of::<Ipv6Bucket>(),
        Table::Ipv4Prefixes => buckets::<Ipv4Bucket>(MAX_PREFIXES) as usize * size_of::<Ipv4Bucket>(),
        Table::Ipv6Prefixes => buckets::<Ipv6Bucket>(MAX_PREFIXES) as usize * size_of::<Ipv6Bucket>(),
        Table::Ends => (SLOTS * MAX_ENDS) as usize * size_of::<AddressEntry>(),
        Table::Intervals => (SLOTS * INTERVALS_PER_SLOT) as usize * size_of::<Interval>(),
        Table::Policies => {
            buckets::<PolicyBucket>(MAX_POLICIES) as usize * size_of::<PolicyBucket>()
                + (SLOTS * MAX_POLICIES) as usize * size_of::<PolicyEntry>()
        }
        Table::PrefixLengths | Table::Rules | Table::Ports => 0,
    };
    for table in Table::ALL {
        let each = arrays(table).div_ceil(table.room());
        assert_eq!(table.entry_bytes(), Some(each).filter(|each| *each > 0), "{table}");
    }
}

#[test]
fn an_address_counts_as_one_that_needs_an_entry_of_its_own_where_buckets_have_no_room_for_it() {
    let mut plan = Sample::new().plan;
    plan.workloads.clear();
    for (identity, class) in [(1, 1), (256, 256), (256, 1 << 31), (0, 0), (2, 0), (1 << 31, 1 << 31)] {
        let prefix = "10.9.0.1/32".parse().unwrap();
        let (identity, class) = (Identity(identity), Class(class));
        plan.addresses = [PlanAddress { prefix, identity, class }].into();
        let entry = AddressEntry { identity: identity.0, class: class.0, ifindex: 0 };
        let needed = usize::from(End::elsewhere(&entry).is_none());
        assert_eq!(Table::Ends.needed(&plan), needed, "{entry:?}");
    }
}

#[test]
fn a_denial_that_lets_drain_says_so_to_programs() {
    let mut plan = Sample::new().plan;
    plan.sets[0] = set(1, &[(0, Outcome::DeniedDraining, 100)]);
    let machine = machine(&["eth0", "w1"]);
    let tables = lower(&plan, &machine, Slot::B, &SlotTables::default()).unwrap();
    let drains = Interval { start: 0, rule: 100, decision: DECISION_DRAIN };
    let mut held = tables.policies.values().flat_map(PolicyEntry::intervals);
    assert!(held.any(|interval| interval == drains), "{:?}", tables.policies);
}

#[test]
fn a_plan_larger_than_a_table_is_refused_with_the_table_and_both_numbers() {
    let mut plan = Sample::new().plan;
    let set_size = INTERVALS_PER_SLOT + 1;
    let long: Vec<(u32, Outcome, u32)> = (0..set_size).map(|key| (key, Outcome::Denied, 100)).collect();
    plan.sets[0] = set(1, &long);
    assert_refused(&plan, Table::Intervals);
    plan.sets[0] = set(1, &long[1..].iter().map(|(key, o, r)| (key - 1, *o, *r)).collect::<Vec<_>>());
    assert_eq!(check(&plan), Ok(()), "one less fits");

    let many = |bits: u8, count: u32| -> Vec<PlanAddress> {
        let networks = (0..count).map(|number| std::net::Ipv4Addr::from(number << (32 - bits)));
        let prefix = |address| ipnet::Ipv4Net::new(address, bits).unwrap().into();
        networks.map(|a| PlanAddress { prefix: prefix(a), identity: WEB, class: WEB.into() }).collect()
    };
    let lengths: Vec<PlanAddress> = (1..=33)
        .map(|bits| ipnet::Ipv6Net::new(std::net::Ipv6Addr::UNSPECIFIED, bits).unwrap().into())
        .map(|prefix| PlanAddress { prefix, identity: WEB, class: WEB.into() })
        .collect();
    for (addresses, table) in [
        (many(32, MAX_IPV4 + 1), Table::Ipv4),
        (many(24, MAX_PREFIXES + 1), Table::Ipv4Prefixes),
        (lengths, Table::PrefixLengths),
    ] {
        plan.addresses = addresses.into();
        assert_refused(&plan, table);
        plan.addresses.edit().pop();
        assert_eq!(check(&plan), Ok(()), "one less fits");
    }
}

/// `plan` has one entry too many of `table`.
fn assert_refused(plan: &Plan, table: Table) {
    let (node, room) = (plan.node.clone(), table.room());
    let needed = room + 1;
    let words = format!(
        "the plan of node {node} needs {needed} entries of the table of {table}, which has room for {room} a generation"
    );
    let error = check(plan).unwrap_err();
    assert_eq!(error, CapacityError { node, table, needed, room }.into());
    assert_eq!(error.to_string(), words);
}

#[test]
fn a_plan_that_contradicts_itself_is_refused_with_what_is_wrong() {
    let sample = || Sample::new().plan;
    let mut plan = sample();
    plan.workloads[0].port = name("w9");
    let unknown_port = LowerError::UnknownPort { workload: name("app1"), port: name("w9") };
    assert_eq!(check(&plan), Err(unknown_port));

    plan = sample();
    plan.rows[0].peers[0].1 = SetId(9);
    let unknown_set = LowerError::UnknownSet { subject: APP, direction: Direction::Ingress, set: SetId(9) };
    assert_eq!(check(&plan), Err(unknown_set));

    for broken in [set(1, &[]), set(1, &[(5, Outcome::Allowed, 7)]), set(1, &[(0, Outcome::Allowed, 7); 2])] {
        plan = sample();
        plan.sets[0] = broken;
        assert_eq!(check(&plan), Err(LowerError::PartialSet { set: SetId(1) }));
    }

    plan = sample();
    plan.ports[0].role = model::PortRole::Management;
    assert_eq!(check(&plan), Err(LowerError::ManagementPort { port: name("eth0") }));
}

#[test]
fn ports_that_the_machine_has_not_are_left_out() {
    let found = ports(&Sample::new().plan, &machine(&["w1"]));
    let entry = PortEntry { role: PortRole::Workload as u32 };
    assert_eq!(found, BTreeMap::from([(name("w1"), (IfIndex(10), entry))]));
}

#[test]
fn a_device_program_is_made_from_what_the_tables_hold() {
    let (plan, machine, nobody) = (Sample::new().plan, machine(&["eth0", "w1"]), BTreeSet::new());
    let policy = |port: &str| port_policy(&plan, &machine, &name(port), &nobody).unwrap();
    let tables = lowered(Slot::A);
    let found = policy("eth0").unwrap();
    assert_eq!((found.ifindex, found.addresses.len()), (10, tables.addresses.len() + tables.prefixes.len()));
    for (key, entry) in &tables.addresses {
        let address = std::net::Ipv6Addr::from(key.address.0).to_canonical();
        let length = if address.is_ipv4() { 32 } else { 128 };
        let prefix = selvedge_codegen::Prefix::new(address, length).unwrap();
        assert_eq!(found.addresses.get(&prefix), Some(entry), "{address}");
    }
    let rows = found.subjects.values().flat_map(|subject| [&subject.ingress, &subject.egress]);
    let entries: usize = rows.map(|row| row.peers.len() + usize::from(row.default.is_some())).sum();
    assert_eq!(entries, tables.policies.len());
    assert_eq!((policy("w1").unwrap().ifindex, policy("w9")), (11, None));
}
