//! The ledger of the demo fabric, by what its nodes might report.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeMap;

use selvedge_hw_profiles::Mode;
use selvedge_topology::compile::compile;
use selvedge_topology::demands::Demand;
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::{Identity, IdentityTable};
use selvedge_topology::model::{Direction, Model, RuleId};
use selvedge_topology::names::NodeName;
use selvedge_topology::placement::{
    Carries, Counting, DeviceCost, DeviceKind, Entry, Hook, Nic, Point, PortState, Room, SeenNode, SeenPort,
    Share, ShedDrops, Standing, ledger, obstacles,
};
use selvedge_topology::plan::{Generation, Plan, Table};

const WANTED: Generation = Generation(4);

struct Fabric {
    model: Model,
    plans: BTreeMap<NodeName, Plan>,
    seen: BTreeMap<NodeName, SeenNode>,
}

/// The demo, every port of it as it should be.
fn demo() -> Fabric {
    let folder = format!("{}/../lab/fabrics/demo", env!("CARGO_MANIFEST_DIR"));
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| SourceFile {
        name: path.display().to_string(),
        text: std::fs::read_to_string(path).unwrap(),
    };
    let model = load(&paths.map(read).collect::<Vec<_>>()).model.unwrap();
    let mut identities = IdentityTable::default();
    identities.allocate(&model).unwrap();
    let plans = compile(&model, &identities).unwrap();
    let seen = plans.iter().map(|(node, plan)| {
        let port = SeenPort {
            profile: Some("veth".parse().unwrap()),
            state: PortState::Enforced(Mode::Native),
            reason: "driver veth runs XDP itself".to_owned(),
            egress_unenforced: None,
            past: Vec::new(),
            nic: Nic::Unable,
        };
        let ports = plan.ports.iter().map(|it| (it.name.clone(), port.clone())).collect();
        (node.clone(), SeenNode { in_force: Some(WANTED), ports, ..SeenNode::default() })
    });
    let seen = seen.collect();
    Fabric { model, plans, seen }
}

impl Fabric {
    fn ledger(&self) -> Vec<Entry> {
        let wanted = self.plans.keys().map(|node| (node.clone(), WANTED)).collect();
        ledger(&self.model, &self.plans, &wanted, &self.seen)
    }

    fn entry(&self, workload: &str, direction: Direction) -> Entry {
        let of = |entry: &Entry| entry.workload.as_str() == workload && entry.direction == direction;
        self.ledger().into_iter().find(of).unwrap()
    }

    fn node(&mut self, name: &str) -> &mut SeenNode {
        self.seen.get_mut(&name.parse::<NodeName>().unwrap()).unwrap()
    }

    fn port(&mut self, node: &str, port: &str) -> &mut SeenPort {
        self.node(node).ports.get_mut(&port.parse().unwrap()).unwrap()
    }
}

impl Fabric {
    /// What speaks against the fabric, a line each.
    fn obstacles(&self) -> Vec<String> {
        obstacles(&self.model, self.plans.values(), &self.seen)
            .holes
            .iter()
            .map(ToString::to_string)
            .collect()
    }
}

fn points(entry: &Entry) -> Vec<(&str, Option<Hook>, Carries)> {
    entry.points.iter().map(|point| (point.port.as_str(), point.hook, point.carries)).collect()
}

#[test]
fn every_workload_is_in_the_ledger_in_both_directions() {
    let fabric = demo();
    let ledger = fabric.ledger();
    let expected: Vec<_> = fabric
        .model
        .workloads
        .keys()
        .flat_map(|name| Direction::BOTH.map(|direction| (name, direction)))
        .collect();
    let found: Vec<_> = ledger.iter().map(|entry| (&entry.workload, entry.direction)).collect();
    assert_eq!(found, expected);
    assert!(ledger.iter().filter(|entry| entry.standing == Standing::Enforced).count() >= 16);
    let (unenforced, rest): (Vec<&Entry>, Vec<&Entry>) =
        ledger.iter().partition(|entry| matches!(entry.standing, Standing::Unenforced { .. }));
    assert!(unenforced.iter().all(|entry| entry.standing.reason().unwrap().contains("it is unmanaged")));
    assert!(unenforced.iter().any(|entry| entry.workload.as_str() == "legacy"));
    assert!(rest.iter().all(|entry| entry.standing == Standing::Enforced && !entry.costs.is_empty()));
}

#[test]
fn a_workload_is_judged_where_it_sends_and_wherever_something_can_come_to_it_from() {
    let fabric = demo();
    let native = Some(Hook::XdpNative);
    let egress = fabric.entry("app2", Direction::Egress);
    assert_eq!(points(&egress), [("w2", native, Carries::Sent)]);
    let ingress = fabric.entry("app2", Direction::Ingress);
    assert_eq!(
        points(&ingress),
        [
            ("eth0", native, Carries::FromTheFabric),
            ("w1", native, Carries::FromNeighbours),
            ("w3", native, Carries::FromNeighbours),
            ("w2", Some(Hook::TcxEgress), Carries::FromTheNode),
        ]
    );
    assert!(ingress.points.iter().all(|point| point.node.as_str() == "host2" && !point.reason.is_empty()));
}

#[test]
fn neighbours_behind_one_port_are_judged_at_that_port() {
    let fabric = demo();
    let native = Some(Hook::XdpNative);
    assert_eq!(
        points(&fabric.entry("db1", Direction::Ingress)),
        [
            ("p0", native, Carries::FromTheFabric),
            ("pf0hpf", native, Carries::FromNeighbours),
            ("pf0hpf", Some(Hook::TcxEgress), Carries::FromTheNode),
        ]
    );
}

#[test]
fn a_gap_is_at_its_point_with_its_reason_and_nowhere_else() {
    let mut fabric = demo();
    fabric.port("host2", "w2").egress_unenforced = Some("this kernel has no tcx".to_owned());
    let ingress = fabric.entry("app2", Direction::Ingress);
    assert_eq!(ingress.standing, Standing::Gaps);
    let gap = ingress.points.iter().find(|point| point.hook.is_none()).unwrap();
    assert_eq!((gap.carries, gap.reason.as_str()), (Carries::FromTheNode, "this kernel has no tcx"));
    assert_eq!(fabric.entry("app2", Direction::Egress).standing, Standing::Enforced);
    assert_eq!(fabric.entry("web2", Direction::Ingress).standing, Standing::Enforced);

    fabric.port("host2", "w2").state = PortState::Open;
    fabric.port("host2", "w2").reason = "can't attach".to_owned();
    let egress = fabric.entry("app2", Direction::Egress);
    assert_eq!(egress.standing, Standing::Unenforced { reason: "can't attach".to_owned() });
    assert_eq!(
        fabric.entry("web2", Direction::Ingress).standing,
        Standing::Gaps,
        "its neighbour's port is open"
    );
}

#[test]
fn nothing_passes_a_port_that_is_gone_so_it_is_nobodys_gap_and_its_workload_is_absent() {
    let mut fabric = demo();
    let gone = "the machine has no interface of this name".to_owned();
    let port = fabric.port("host2", "w2");
    (port.state, port.reason) = (PortState::Gone, gone.clone());
    port.egress_unenforced = Some(gone.clone());
    for direction in Direction::BOTH {
        let entry = fabric.entry("app2", direction);
        assert_eq!(entry.standing, Standing::Absent { reason: gone.clone() });
        assert_eq!(fabric.entry("web2", direction).standing, Standing::Enforced, "its neighbour is gone");
    }
    assert_eq!(fabric.obstacles(), [] as [&str; 0]);
}

#[test]
fn a_port_that_its_device_forwards_past_carries_nothing_whole() {
    let mut fabric = demo();
    let forwards = "flows that tc has put into the eSwitch are forwarded there".to_owned();
    fabric.port("host1", "w1").past.push(forwards.clone());
    let egress = fabric.entry("web1", Direction::Egress);
    assert_eq!(egress.standing, Standing::Unenforced { reason: forwards });
    assert_eq!(egress.points[0].hook, Some(Hook::XdpNative), "a program is there, and flows go past it");
    // Nothing of the kind is known of the ports by which something comes to it.
    assert_eq!(fabric.entry("web1", Direction::Ingress).standing, Standing::Enforced);
    assert_eq!(fabric.entry("app1", Direction::Ingress).standing, Standing::Gaps);
}

#[test]
fn a_node_that_is_silent_or_behind_is_never_taken_for_one_that_enforces() {
    let mut fabric = demo();
    fabric.seen.remove(&"host1".parse::<NodeName>().unwrap());
    fabric.node("host2").in_force = Some(Generation(3));
    fabric.node("dpu1").in_force = None;
    for port in fabric.node("dpu1").ports.values_mut() {
        port.state = PortState::Shut(Mode::Native);
    }
    let reason = |workload| fabric.entry(workload, Direction::Ingress).standing.reason().unwrap();
    assert_eq!(reason("web1"), "node host1 has not reported");
    assert_eq!(reason("web2"), "the node still enforces generation 3");
    assert_eq!(reason("db1"), "the node has no generation in force; its ports are shut");
    fabric.port("dpu1", "p0").state = PortState::Open;
    let told = fabric.entry("db1", Direction::Ingress).standing.reason().unwrap();
    assert_eq!(told, "the node has no generation in force, and does not say that `p0` is shut");
    fabric.node("host2").ports.remove(&"w2".parse().unwrap());
    let told = fabric.entry("app2", Direction::Egress).standing.reason().unwrap();
    assert_eq!(told, "the node still enforces generation 3, and nothing at `w2`");
    assert_eq!(fabric.entry("dns", Direction::Ingress).standing, Standing::Enforced);
}

#[test]
fn what_is_known_to_go_unenforced_is_named_by_port_and_workload_before_it_is_applied() {
    let mut fabric = demo();
    assert_eq!(fabric.obstacles(), [] as [&str; 0]);
    fabric.port("host1", "w1").past.push("the ASIC forwards".to_owned());
    assert_eq!(
        fabric.obstacles(),
        ["node host1, port w1: the ASIC forwards; unenforced: app1 (from neighbours), web1 (what it sends)"]
    );
    // What is known of a port is known whichever generation is in force there.
    fabric.node("host1").in_force = None;
    assert_eq!(fabric.obstacles().len(), 1);
    fabric.port("host1", "w1").past.clear();
    fabric.port("host1", "w1").state = PortState::Shut(Mode::Generic);
    assert_eq!(fabric.obstacles(), [] as [&str; 0], "it is shut until a generation is in force");
    fabric.port("host1", "eth0").state = PortState::Open;
    fabric.port("host1", "eth0").reason = "no mode works".to_owned();
    let told = fabric.obstacles();
    assert!(told[0].starts_with("node host1, port eth0: no mode works; unenforced: app1 (from the fabric)"));
}

#[test]
fn a_demand_that_a_port_is_known_not_to_meet_is_an_obstacle() {
    let mut fabric = demo();
    let native = Demand { require: Some(Mode::Native), ..Demand::default() };
    let plan = fabric.plans.get_mut(&"host1".parse::<NodeName>().unwrap()).unwrap();
    plan.demands.profiles.insert("veth".parse().unwrap(), native);
    let found = |fabric: &Fabric| obstacles(&fabric.model, fabric.plans.values(), &fabric.seen).demands;
    assert_eq!(found(&fabric), []);
    fabric.port("host1", "w1").state = PortState::Shut(Mode::Generic);
    fabric.port("host2", "w1").state = PortState::Enforced(Mode::Generic);
    let told: Vec<String> = found(&fabric).iter().map(ToString::to_string).collect();
    let why = "driver veth runs XDP itself";
    assert_eq!(told, [format!("node host1, port w1: runs generic, at least native is demanded: {why}")]);
    fabric.port("host1", "w1").profile = None;
    assert_eq!(found(&fabric), []);
}

/// A program for a device that takes two entries a map, and says only itself how many instructions.
fn program() -> DeviceCost {
    let share = |used, room| Share { used, room };
    DeviceCost {
        kind: DeviceKind::Prefilter,
        incomplete: "rule 7 is not `stateless: true`".to_owned(),
        instructions: share(45, Room::Assumed(4096)),
        maps: share(1, Room::Unlimited),
        entries: share(2, Room::Unlimited),
        entries_each: share(2, Room::AtMost(2)),
        entry_bytes: share(16, Room::AtMost(64)),
        counting: Counting::ByRule,
        shed: Vec::new(),
        shed_more: 0,
        shed_why: String::new(),
    }
}

#[test]
fn what_a_program_in_a_nic_takes_is_told_with_what_there_is_and_what_did_not_fit() {
    let mut program = program();
    let shares = [program.instructions, program.maps, program.entries_each].map(|share| share.to_string());
    assert_eq!((shares, program.left()), (["45/~4096", "1", "2/2"].map(ToOwned::to_owned), None));
    let shed = |rule| ShedDrops {
        rule: Some(RuleId(rule)),
        name: format!("p/ingress/{rule}"),
        from: None,
        to: Some(Identity(256)),
        packets: None,
        flows: 9,
    };
    program.shed = vec![shed(7), shed(8), shed(7)];
    program.shed_why = "120 instructions, at most 100".to_owned();
    assert_eq!(
        program.to_string(),
        "prefilter of 45 instructions, 1 map with 2 entries; not complete: rule 7 is not `stateless: true`; \
         3 drops by 2 rules do not fit: 120 instructions, at most 100"
    );
    program.counting = Counting::Unread { reason: "no such device".to_owned() };
    assert!(program.to_string().ends_with("; its drops are counted and can't be read: no such device"));
    program.shed_more = 4;
    assert!(program.left().unwrap().starts_with("7 drops by at least 2 rules do not fit"));
    let json = serde_json::to_value(&program).unwrap();
    assert_eq!(json["instructions"], serde_json::json!({"used": 45, "room": {"assumed": 4096}}));
    assert_eq!((&json["maps"]["room"], &json["shed"][1]["rule"]), (&"unlimited".into(), &8.into()));
}

#[test]
fn a_program_in_the_nic_is_a_point_before_the_one_in_the_kernel_and_one_that_is_refused_is_told() {
    let mut fabric = demo();
    fabric.port("host1", "w1").nic = Nic::Runs { program: program() };
    let entry = fabric.entry("web1", Direction::Egress);
    let told = program().to_string();
    let hooks = [
        (Some(Hook::XdpOffload), told.as_str(), Some(program())),
        (Some(Hook::XdpNative), "driver veth runs XDP itself", None),
    ];
    let of = |point: &Point| (point.hook, point.reason.clone(), point.device.clone());
    let found: Vec<_> = entry.points.iter().map(of).collect();
    let hooks = hooks.map(|(hook, reason, device)| (hook, reason.to_owned(), device));
    assert_eq!((found, &entry.standing), (hooks.to_vec(), &Standing::Enforced));

    let offload = Demand { require: Some(Mode::Offload), ..Demand::default() };
    let plan = fabric.plans.get_mut(&"host1".parse::<NodeName>().unwrap()).unwrap();
    plan.demands.ports.insert("w1".parse().unwrap(), offload);
    assert_eq!(obstacles(&fabric.model, fabric.plans.values(), &fabric.seen).demands, []);
    fabric.port("host1", "w1").nic = Nic::Idle { reason: "the NIC does not take it".to_owned() };
    let entry = fabric.entry("web1", Direction::Egress);
    let reason = "driver veth runs XDP itself; not in the NIC: the NIC does not take it";
    assert_eq!((entry.points.len(), entry.points[0].reason.as_str()), (1, reason));
    assert_eq!(entry.standing, Standing::Enforced, "the program in the kernel judges everything");
    let told = obstacles(&fabric.model, fabric.plans.values(), &fabric.seen).demands[0].to_string();
    assert_eq!(
        told,
        "node host1, port w1: runs native, at least offload is demanded: the NIC does not take it"
    );
}

#[test]
fn what_no_node_has_said_speaks_against_nothing() {
    let mut fabric = demo();
    fabric.port("host1", "w1").state = PortState::Open;
    assert_eq!(fabric.obstacles().len(), 1);
    fabric.node("host1").ports.remove(&"w1".parse().unwrap());
    assert_eq!(fabric.obstacles(), [] as [&str; 0]);
    fabric.port("host2", "w2").state = PortState::Open;
    fabric.seen.clear();
    assert_eq!(fabric.obstacles(), [] as [&str; 0]);
}

#[test]
fn costs_are_those_of_the_plan_and_within_its_budget() {
    let fabric = demo();
    for entry in fabric.ledger() {
        for cost in &entry.costs {
            assert!(cost.entries > 0 && cost.entries <= cost.budget.needed, "{entry:?}");
            assert!(cost.budget.needed <= cost.budget.room && cost.shared_by > 0, "{entry:?}");
            assert!(cost.bytes >= 24 * cost.entries && cost.bytes <= cost.budget.bytes, "{entry:?}");
        }
    }
    // Each row of a plan is the cost of the workloads of its subject.
    for plan in fabric.plans.values() {
        let workloads = plan.workloads.iter().map(|workload| (workload.identity, &workload.name));
        let of_identity: BTreeMap<_, _> = workloads.collect();
        let policies = of_identity.values().flat_map(|name| {
            Direction::BOTH.map(|direction| {
                let costs = fabric.entry(name.as_str(), direction).costs;
                costs
                    .iter()
                    .find(|cost| cost.table == Table::Policies.to_string())
                    .map_or(0, |cost| cost.entries)
            })
        });
        assert_eq!(policies.sum::<usize>(), Table::Policies.needed(plan), "{}", plan.node);
    }
}
