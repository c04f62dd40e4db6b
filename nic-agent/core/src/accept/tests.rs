use selvedge_hw_profiles::{Demand, Mode};

use super::*;
use crate::machine::{IfIndex, Interface, Owner};
use crate::place::Refused;
use crate::reconcile::{Program, Support};
use crate::testing::{Sample, machine, name};

const FIRST: Digest = Digest([1; 32]);
const SECOND: Digest = Digest([2; 32]);

fn in_force(generation: u64, content: Content) -> Option<InForce> {
    Some(InForce { generation: Generation(generation), content })
}

fn offer(plan: &Plan, generation: u64, digest: Digest) -> Offer<'_> {
    Offer { generation: Generation(generation), digest, plan }
}

fn judge(in_force: Option<InForce>, offer: Offer<'_>, machine: &Machine) -> Result<Acceptance, Refusal> {
    with(in_force, offer, machine, ForeignPrograms::Refuse, &BTreeMap::new())
}

fn with(
    in_force: Option<InForce>,
    offer: Offer<'_>,
    machine: &Machine,
    foreign: ForeignPrograms,
    attachments: &BTreeMap<PortName, Attachment>,
) -> Result<Acceptance, Refusal> {
    let exchanges =
        Exchanges { support: &Support::Missing { reason: String::new() }, refused: &BTreeMap::new() };
    judged(in_force, offer, machine, foreign, (attachments, exchanges))
}

fn judged(
    in_force: Option<InForce>,
    offer: Offer<'_>,
    machine: &Machine,
    foreign: ForeignPrograms,
    (attachments, exchanges): (&BTreeMap<PortName, Attachment>, Exchanges<'_>),
) -> Result<Acceptance, Refusal> {
    let (profiles, failsafe) = (&Profiles::embedded().unwrap(), &BTreeSet::new());
    let here = Here { machine, attachments, exchanges, foreign, profiles, failsafe };
    accept(&name("host1"), in_force, offer, here)
}

#[test]
fn the_first_plan_is_accepted() {
    let plan = Sample::new().plan;
    assert_eq!(judge(None, offer(&plan, 1, FIRST), &machine(&["eth0", "w1"])), Ok(Acceptance::New));
}

#[test]
fn a_newer_plan_is_accepted_and_the_same_again_changes_nothing() {
    let (plan, machine) = (Sample::new().plan, machine(&["eth0", "w1"]));
    let in_force = in_force(4, Content::Known(FIRST));
    assert_eq!(judge(in_force, offer(&plan, 5, SECOND), &machine), Ok(Acceptance::New));
    assert_eq!(judge(in_force, offer(&plan, 5, FIRST), &machine), Ok(Acceptance::New));
    assert_eq!(judge(in_force, offer(&plan, 4, FIRST), &machine), Ok(Acceptance::Unchanged));
}

#[test]
fn an_older_generation_is_refused_with_both_numbers() {
    let (plan, machine) = (Sample::new().plan, machine(&["eth0", "w1"]));
    for content in [Content::Known(FIRST), Content::Unknown] {
        let refusal = judge(in_force(4, content), offer(&plan, 3, FIRST), &machine).unwrap_err();
        assert_eq!(refusal, Refusal::Older { offered: Generation(3), in_force: Generation(4) });
        assert_eq!(refusal.to_string(), "generation 3 is older than generation 4, which is in force");
    }
}

#[test]
fn the_same_generation_with_other_content_is_refused_with_both_digests() {
    let (plan, machine) = (Sample::new().plan, machine(&["eth0", "w1"]));
    let refusal = judge(in_force(4, Content::Known(FIRST)), offer(&plan, 4, SECOND), &machine);
    assert_eq!(
        refusal,
        Err(Refusal::OtherContent { generation: Generation(4), in_force: FIRST, offered: SECOND })
    );
}

#[test]
fn where_the_plan_on_disk_is_lost_the_same_generation_is_taken_again() {
    let (plan, machine) = (Sample::new().plan, machine(&["eth0", "w1"]));
    assert_eq!(judge(in_force(4, Content::Unknown), offer(&plan, 4, SECOND), &machine), Ok(Acceptance::New));
}

#[test]
fn a_plan_for_another_node_is_refused() {
    let mut plan = Sample::new().plan;
    plan.node = name("host2");
    let refusal = judge(None, offer(&plan, 1, FIRST), &machine(&["eth0", "w1"]));
    assert_eq!(refusal, Err(Refusal::OtherNode { plan: name("host2"), this: name("host1") }));
}

#[test]
fn every_port_that_the_machine_has_not_is_named() {
    let plan = Sample::new().plan;
    let refusal = judge(None, offer(&plan, 1, FIRST), &machine(&["lo"])).unwrap_err();
    assert_eq!(refusal, Refusal::NoSuchPort { ports: vec![name("eth0"), name("w1")] });
    assert_eq!(refusal.to_string(), "the machine has no interface `eth0`, `w1`");
}

#[test]
fn a_foreign_program_is_refused_unless_it_may_be_replaced() {
    let plan = Sample::new().plan;
    let mut machine = machine(&["eth0", "w1"]);
    let program = XdpProgram { id: 7, name: "lb".to_owned(), mode: Mode::Generic, owner: Owner::Foreign };
    let port: &mut Interface = machine.interfaces.get_mut("w1").unwrap();
    port.programs.push(XdpProgram {
        id: 6,
        name: "selvedge_xdp".to_owned(),
        owner: Owner::Agent,
        ..program.clone()
    });
    assert_eq!(judge(None, offer(&plan, 1, FIRST), &machine), Ok(Acceptance::New));

    machine.interfaces.get_mut("w1").unwrap().programs.push(program.clone());
    let refusal = judge(None, offer(&plan, 1, FIRST), &machine).unwrap_err();
    assert!(
        refusal.to_string().contains("port w1 already runs the XDP program `lb` (id 7, xdp-generic)"),
        "{refusal}"
    );
    assert_eq!(refusal, Refusal::ForeignProgram { port: name("w1"), program });

    let offer = offer(&plan, 1, FIRST);
    let replacing = with(None, offer, &machine, ForeignPrograms::Replace, &BTreeMap::new());
    assert_eq!(replacing, Ok(Acceptance::New));
}

fn demanding(require: Option<Mode>, forbid: &[Mode]) -> Plan {
    let mut plan = Sample::new().plan;
    let demand = Demand { require, at_most: None, forbid: forbid.iter().copied().collect() };
    plan.demands.ports.insert(name("eth0"), demand);
    plan
}

#[test]
fn a_demand_that_a_port_can_not_meet_refuses_the_plan_and_says_why() {
    let mut machine = machine(&["eth0", "w1"]);
    let native = demanding(Some(Mode::Native), &[]);
    assert_eq!(judge(None, offer(&native, 1, FIRST), &machine), Ok(Acceptance::New));
    machine.interfaces.get_mut("eth0").unwrap().seen.driver = "bridge".to_owned();
    let refusal = judge(None, offer(&native, 1, FIRST), &machine).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "port eth0 would run xdp-generic, and at least native is demanded: no xdp-native: driver bridge: it has no ndo_bpf"
    );
    let never = demanding(None, &[Mode::Generic]);
    assert!(matches!(judge(None, offer(&never, 1, FIRST), &machine), Err(Refusal::Demand(_))));
    let offload = demanding(Some(Mode::Offload), &[]);
    let refusal = judge(None, offer(&offload, 1, FIRST), &machine).unwrap_err();
    assert!(refusal.to_string().starts_with("port eth0 gets no program in its NIC, and at least offload"));
}

#[test]
fn a_demand_on_a_kind_of_device_is_one_on_each_of_its_ports() {
    let mut plan = Sample::new().plan;
    let demand = Demand { at_most: Some(Mode::Generic), ..Demand::default() };
    plan.demands.profiles.insert(name("veth"), demand);
    let machine = machine(&["eth0", "w1"]);
    assert_eq!(judge(None, offer(&plan, 1, FIRST), &machine), Ok(Acceptance::New));
    let native = Attachment { index: Some(IfIndex(11)), mode: Mode::Native, program: Program::Current };
    let attachments = [(name("w1"), native)].into();
    let refusal =
        with(None, offer(&plan, 1, FIRST), &machine, ForeignPrograms::Refuse, &attachments).unwrap_err();
    let told = refusal.to_string();
    assert!(
        told.starts_with("port w1 runs xdp-native, and at most generic is demanded: it was attached"),
        "{told}"
    );
}

#[test]
fn a_plan_that_can_not_be_lowered_is_refused_before_its_ports_are_looked_at() {
    let mut plan = Sample::new().plan;
    plan.sets.edit().clear();
    let refusal = judge(None, offer(&plan, 1, FIRST), &machine(&[])).unwrap_err();
    assert!(matches!(refusal, Refusal::Plan(LowerError::UnknownSet { .. })), "{refusal}");
}

#[test]
fn a_port_that_runs_in_another_mode_than_is_demanded_is_no_obstacle_where_it_can_be_exchanged() {
    let mut plan = Sample::new().plan;
    plan.demands.ports.insert(name("w1"), Demand { require: Some(Mode::Native), ..Demand::default() });
    let generic = Attachment { index: Some(IfIndex(11)), mode: Mode::Generic, program: Program::Current };
    let attachments = BTreeMap::from([(name("w1"), generic)]);
    let with = |support: &Support, refused: &BTreeMap<PortName, Refused>| {
        let exchanges = Exchanges { support, refused };
        let machine = machine(&["eth0", "w1"]);
        let judged = judged(
            None,
            offer(&plan, 1, FIRST),
            &machine,
            ForeignPrograms::Refuse,
            (&attachments, exchanges),
        );
        judged.map_err(|refusal| refusal.to_string())
    };
    assert_eq!(with(&Support::Tcx, &BTreeMap::new()), Ok(Acceptance::New));
    let words = Refused { mode: Mode::Native, reason: "Peer MTU is too large to set XDP".to_owned() };
    let refusal = with(&Support::Tcx, &BTreeMap::from([(name("w1"), words)])).unwrap_err();
    assert!(refusal.ends_with("xdp-native refused: Peer MTU is too large to set XDP"), "{refusal}");
    let refusal = with(&Support::Missing { reason: String::new() }, &BTreeMap::new()).unwrap_err();
    assert!(refusal.contains("would be open while that is changed without tcx (Linux 6.6)"), "{refusal}");
}
