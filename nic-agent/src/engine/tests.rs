//! The engine over a simulated node, with faults put in between.

mod modes;

use std::path::Path;

use selvedge_agent_core::device::Reading;
use selvedge_agent_core::simulate::Simulation;
use selvedge_agent_core::{Choice, IfIndex, Refused as RefusedMode};
use selvedge_codegen::{Drops, Shed, Violation, Worth as Worthy};
use selvedge_hw_profiles::{Mode, Profiles};
use selvedge_proto::Report;
use selvedge_proto::plan::encode_plan;
use selvedge_topology::demands::Demands;
use selvedge_topology::identity::Identity;
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::model::{self as topology, Direction, NodeRole, PortRole, RuleId};
use selvedge_topology::placement::{Counting, Nic, PortState, Room};
use selvedge_topology::plan::{
    Decision, Outcome, PlanAddress, PlanInterval, PlanPort, PlanRow, PlanRule, PlanSet, PlanWorkload, Runs,
    SetId,
};
use selvedge_topology::timeouts::Timeouts;

use super::*;
use crate::datapath::{Counted, Counters, Last, NicRefusal};

/// A simulated node that fails at the `fault`th action, once.
struct Faulty {
    simulation: Simulation,
    fault: Option<usize>,
    executed: usize,
    proof: Option<Proof>,
    /// Why NICs take no program now.
    nic_refuses: Option<String>,
    /// What they have counted, and what the next that is exchanged has at its end.
    counted: BTreeMap<PortName, Counted>,
    last: Last,
    /// Why no port runs natively now.
    native_refused: Option<String>,
    /// What rules have counted.
    rules: BTreeMap<RuleId, selvedge_proto::Count>,
}

impl Datapath for Faulty {
    fn observe(&mut self, _: &[RawInterface]) -> Result<Observed, DatapathError> {
        Ok(self.simulation.observe())
    }

    fn execute(&mut self, action: &Action) -> Result<Effect, DatapathError> {
        if self.fault == Some(self.executed) {
            self.fault = None;
            let refused =
                vec![RefusedMode { mode: Mode::Native, reason: "out of luck (errno 12)".to_owned() }];
            return Err(DatapathError::Attach { port: name("eth0"), refused });
        }
        self.executed += 1;
        if let Action::Load { port, .. } = action
            && let Some(reason) = self.nic_refuses.clone()
        {
            return Ok(Effect::Loaded(port.clone(), Err(NicRefusal::Program { reason }), None));
        }
        self.simulation.execute(action).unwrap();
        Ok(match action {
            Action::Attach { port, choice, .. } => {
                let mode = choice.first;
                if let Some(reason) = self.native_refused.clone().filter(|_| mode == Mode::Native) {
                    self.simulation.change_mode(port, Mode::Generic);
                    let placement =
                        Placement::after_attach(choice, &[RefusedMode { mode, reason }], Mode::Generic);
                    return Ok(Effect::Placed(port.clone(), placement));
                }
                Effect::Placed(port.clone(), Placement::after_attach(choice, &[], choice.first))
            }
            Action::Prove(trial) => {
                Effect::Proved(self.proof.clone().unwrap_or(Proof::Proven(trial.coverage)))
            }
            Action::Load { port, .. } => Effect::Loaded(port.clone(), Ok(()), self.last.take()),
            Action::Unload { port } => Effect::Unloaded(port.clone(), self.last.take()),
            _ => Effect::Done,
        })
    }

    fn is_undisturbed(&mut self) -> Result<bool, DatapathError> {
        Ok(true)
    }

    fn doubt(&mut self) {}

    fn counters(&mut self, _: &Choices) -> Result<Counters, DatapathError> {
        let (nics, rules) = (self.counted.clone(), self.rules.clone());
        Ok(Counters { nics, rules, ..Counters::default() })
    }
}

fn name<N: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> N {
    text.parse().unwrap()
}

fn plan(ports: &[&str]) -> Plan {
    let ports = ports.iter().map(|port| PlanPort { name: name(port), role: PortRole::Uplink }).collect();
    let (node, role) = (name("host1"), NodeRole::Host);
    let timeouts = Timeouts::default();
    Plan {
        node,
        role,
        timeouts,
        ports,
        demands: Demands::default(),
        workloads: vec![],
        addresses: Runs::default(),
        rows: Runs::default(),
        sets: Runs::default(),
        rules: Runs::default(),
        identities: Runs::default(),
    }
}

fn fetched(generation: u64, plan: Plan) -> Fetched {
    let encoded = encode_plan(&plan.clone().into()).unwrap();
    let target = Target { generation: Generation(generation), manifest: encoded.digest, signature: None };
    Fetched { target, manifest: encoded.manifest, chunks: encoded.chunks, plan }
}

fn engine(simulation: Simulation, directory: &Path) -> Engine<Faulty> {
    let settings = Settings {
        node: name("host1"),
        fail_closed: BTreeSet::new(),
        services: Vec::new(),
        foreign: ForeignPrograms::Refuse,
        profiles: Profiles::embedded().unwrap(),
    };
    let state = StateDir::open(directory, &settings.node, None).unwrap();
    let (counted, last, native_refused, rules) = (BTreeMap::new(), None, None, BTreeMap::new());
    let (fault, proof, nic_refuses) = (None, None, None);
    let datapath =
        Faulty { simulation, fault, executed: 0, proof, nic_refuses, counted, last, native_refused, rules };
    Engine::new(settings, datapath, state)
}

fn with_ports(ports: &[&str]) -> Simulation {
    let mut simulation = Simulation::default();
    for (port, index) in ports.iter().zip(10..) {
        simulation.add_interface(&name(port), IfIndex(index));
    }
    simulation
}

fn report(engine: &mut Engine<Faulty>) -> Report {
    engine.observe(&[]).unwrap();
    engine.report(Tallies::default(), std::time::SystemTime::UNIX_EPOCH).unwrap()
}

#[test]
fn whichever_action_fails_it_is_reported_and_the_next_try_gets_there() {
    let mut failures = 0;
    for fault in 0.. {
        let directory = tempfile::tempdir().unwrap();
        let mut engine = engine(with_ports(&["eth0"]), directory.path());
        engine.datapath().fault = Some(fault);
        engine.offer(fetched(1, plan(&["eth0"])));
        match engine.converge(&[]) {
            Ok(progress) => {
                assert_eq!(progress, Progress::Executed, "the fault lies behind the last action");
                break;
            }
            Err(error) => assert!(error.to_string().contains("out of luck (errno 12)"), "{error}"),
        }
        failures += 1;
        let refusal = report(&mut engine).refusal.unwrap();
        assert_eq!(refusal.generation, Generation(1));
        assert!(refusal.reason.contains("out of luck"), "{}", refusal.reason);
        assert_eq!(engine.converge(&[]).unwrap(), Progress::Executed);
        assert_eq!(engine.converge(&[]).unwrap(), Progress::Settled);
        let report = report(&mut engine);
        assert_eq!((report.in_force, report.refusal), (Some(Generation(1)), None));
    }
    assert!(failures > 3, "{failures}");
}

#[test]
fn a_restarted_engine_takes_up_the_plan_on_disk_and_finds_nothing_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = engine(with_ports(&["eth0"]), directory.path());
    first.offer(fetched(4, plan(&["eth0"])));
    first.converge(&[]).unwrap();
    let simulation = first.datapath().simulation.clone();
    let mut second = engine(simulation, directory.path());
    assert_eq!(second.converge(&[]).unwrap(), Progress::Settled);
    let port = report(&mut second).ports.remove(0);
    assert_eq!(port.reason, "driver veth runs XDP itself", "the ledger survives too");
}

#[test]
fn a_state_directory_from_the_past_never_takes_the_node_back() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut first = engine(with_ports(&["eth0"]), old.path());
    first.offer(fetched(4, plan(&["eth0"])));
    first.converge(&[]).unwrap();
    let mut second = engine(first.datapath().simulation.clone(), new.path());
    second.offer(fetched(5, plan(&["eth0"])));
    second.converge(&[]).unwrap();

    let mut restored = engine(second.datapath().simulation.clone(), old.path());
    assert_eq!(restored.converge(&[]).unwrap(), Progress::Settled);
    assert_eq!(report(&mut restored).in_force, Some(Generation(5)));
    restored.offer(fetched(4, plan(&["eth0"])));
    restored.converge(&[]).unwrap();
    let refusal = report(&mut restored).refusal.unwrap();
    assert_eq!(refusal.reason, "generation 4 is older than generation 5, which is in force");
}

#[test]
fn a_refused_plan_is_considered_again_when_its_port_appears() {
    let directory = tempfile::tempdir().unwrap();
    let mut engine = engine(with_ports(&["eth0"]), directory.path());
    engine.offer(fetched(1, plan(&["eth0", "w1"])));
    assert_eq!(engine.converge(&[]).unwrap(), Progress::Settled);
    assert_eq!(report(&mut engine).refusal.unwrap().reason, "the machine has no interface `w1`");
    engine.datapath().simulation.add_interface(&name("w1"), IfIndex(20));
    assert_eq!(engine.converge(&[]).unwrap(), Progress::Executed);
    assert_eq!(report(&mut engine).in_force, Some(Generation(1)));
}

#[test]
fn a_port_of_the_plan_that_goes_is_reported_as_not_enforced_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let mut engine = engine(with_ports(&["eth0", "w1"]), directory.path());
    engine.offer(fetched(1, plan(&["eth0", "w1"])));
    engine.converge(&[]).unwrap();
    engine.datapath().simulation.remove_interface(&name("w1"));
    engine.converge(&[]).unwrap();
    let ports = report(&mut engine).ports;
    assert_eq!((ports[0].state, ports[1].state), (PortState::Enforced(Mode::Native), PortState::Gone));
    assert!(ports[1].reason.contains("no interface of this name"), "{}", ports[1].reason);
}

/// A plan under which nothing may be sent out of `w1`: what a NIC of that port can drop.
fn closed() -> Plan {
    let mut plan = plan(&["eth0", "w1"]);
    plan.ports[1].role = PortRole::Workload;
    let (identity, set) = (Identity(256), SetId(1));
    let address: std::net::IpAddr = "10.1.0.12".parse().unwrap();
    let addresses = [address].into();
    plan.workloads = vec![PlanWorkload { name: name("app1"), identity, port: name("w1"), addresses }];
    plan.addresses = [PlanAddress { prefix: address.into(), identity, class: identity.into() }].into();
    let row = |direction| PlanRow { subject: identity, direction, default: set, peers: vec![] };
    plan.rows = Direction::BOTH.map(row).into();
    let decision = Decision { outcome: Outcome::Denied, rule: RuleId(7), logged: false };
    plan.sets = [PlanSet { id: set, intervals: vec![PlanInterval { first: L4Key::FIRST, decision }] }].into();
    let (tier, direction, action) = (None, Direction::Egress, topology::Action::Deny);
    plan.rules = [PlanRule { id: RuleId(7), display: "none".to_owned(), tier, direction, action }].into();
    plan
}

#[test]
fn what_a_nic_refuses_costs_no_policy_is_reported_and_is_tried_again_when_it_is_due() {
    let directory = tempfile::tempdir().unwrap();
    let mut simulation = with_ports(&["eth0", "w1"]);
    simulation.change_driver(&name("w1"), "netdevsim");
    let mut engine = engine(simulation, directory.path());
    engine.datapath().nic_refuses = Some("[netdevsim] Hello from netdevsim!".to_owned());
    engine.offer(fetched(1, closed()));
    assert_eq!(engine.converge(&[]).unwrap(), Progress::Executed);
    let first = report(&mut engine);
    assert_eq!((first.in_force, &first.refusal), (Some(Generation(1)), &None));
    assert_eq!(first.ports[0].nic, Nic::Unable);
    let reason = "the NIC does not take the program: [netdevsim] Hello from netdevsim!".to_owned();
    assert_eq!(
        (&first.ports[1].nic, first.ports[1].state),
        (&Nic::Idle { reason }, PortState::Enforced(Mode::Generic))
    );
    assert!(engine.waits_for_nics());

    engine.datapath().nic_refuses = None;
    assert_eq!(engine.converge(&[]).unwrap(), Progress::Settled, "it is not due yet");
    engine.try_nics_again();
    assert_eq!(engine.converge(&[]).unwrap(), Progress::Executed);
    assert!(!engine.waits_for_nics());
    let Nic::Runs { program } = report(&mut engine).ports[1].nic.clone() else { panic!("it took it") };
    assert!(program.to_string().starts_with("prefilter of "), "{program}");
    assert_eq!((program.entries_each.room, program.entries.room), (Room::AtMost(2), Room::Unlimited));
    assert_eq!(engine.converge(&[]).unwrap(), Progress::Settled);
}

#[test]
fn what_nics_drop_is_added_up_over_programs_and_agents_and_what_can_not_be_read_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let mut simulation = with_ports(&["eth0", "w1"]);
    simulation.change_driver(&name("w1"), "netdevsim");
    let mut engine = engine(simulation, directory.path());
    engine.offer(fetched(1, closed()));
    engine.converge(&[]).unwrap();
    let reading = |program, word| Reading { program, words: [(RuleId(7), word)].into() };
    let counted = |program, reading| [(name("w1"), Counted { program, reading })].into();
    engine.datapath().counted = counted(3, Ok(reading(3, 5)));
    assert_eq!(report(&mut engine).device_rules, [(RuleId(7), 5)]);
    assert_eq!(report(&mut engine).device_rules, [(RuleId(7), 5)], "no packet is counted twice");

    // Another policy is another program, and the old one went on to its end.
    engine.datapath().last = Some(Ok(reading(3, 6)));
    engine.datapath().counted = counted(4, Ok(reading(4, 2)));
    let mut other = closed();
    let decision = Decision { outcome: Outcome::Allowed, rule: RuleId(7), logged: false };
    other.sets[0].intervals.push(PlanInterval { first: L4Key::new(Protocol::UDP, 53), decision });
    engine.offer(fetched(2, other));
    engine.converge(&[]).unwrap();
    assert_eq!(engine.datapath().last, None, "the program was exchanged");
    assert_eq!(report(&mut engine).device_rules, [(RuleId(7), 8)]);

    let simulation = engine.datapath().simulation.clone();
    let mut restarted = super::tests::engine(simulation, directory.path());
    assert_eq!(restarted.converge(&[]).unwrap(), Progress::Settled);
    restarted.datapath().counted = counted(4, Ok(reading(4, 3)));
    assert_eq!(report(&mut restarted).device_rules, [(RuleId(7), 9)]);
    restarted.datapath().counted = counted(4, Err("no such device".to_owned()));
    let told = report(&mut restarted);
    assert_eq!(told.device_rules, [(RuleId(7), 9)], "what was read stays");
    let Nic::Runs { program } = &told.ports[1].nic else { panic!("{:?}", told.ports[1].nic) };
    assert_eq!(program.counting, Counting::Unread { reason: "no such device".to_owned() });
}

#[test]
fn what_a_nic_left_out_and_rules_count_most_is_what_its_next_program_is_made_by_and_an_agent_after_it_knows()
{
    let directory = tempfile::tempdir().unwrap();
    let mut simulation = with_ports(&["eth0", "w1"]);
    simulation.change_driver(&name("w1"), "netdevsim");
    let mut engine = engine(simulation, directory.path());
    engine.offer(fetched(1, closed()));
    engine.converge(&[]).unwrap();
    // As if the drops of the rule had not fitted.
    let Some(Choice::Runs(program)) = engine.nics.get_mut(&name::<PortName>("w1")) else { panic!("it runs") };
    let (drops, worth) =
        (Drops { rule: 7, source: None, destination: None }, Worthy { packets: None, breadth: 1 });
    program.program.shed.push(Shed { drops, worth, why: Violation::Dangling { index: 0 } });

    let at = |engine: &mut Engine<Faulty>, seconds: u64, packets| {
        let count = selvedge_proto::Count { packets, bytes: 0 };
        engine.datapath().rules = [(RuleId(7), count)].into();
        engine.report(Tallies::default(), SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        engine.is_outdone()
    };
    assert!(!at(&mut engine, 0, 1_000_000), "what was counted before says nothing of now");
    assert!(!at(&mut engine, 299, 2_000_000), "a span is not over");
    assert!(at(&mut engine, 300, 2_000_000));
    assert_eq!(engine.converge(&[]).unwrap(), Progress::Settled, "the program is whole in fact");
    assert!(!engine.is_outdone());
    let hits = Some([(7, 1_000_000)].into());
    assert_eq!(engine.worth.hits(), hits.as_ref());
    let simulation = engine.datapath().simulation.clone();
    assert_eq!(super::tests::engine(simulation, directory.path()).worth.hits(), hits.as_ref());
}

#[test]
fn a_kernel_that_can_not_try_a_slot_enforces_the_plan_and_the_report_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut engine = engine(with_ports(&["eth0"]), directory.path());
    assert_eq!(report(&mut engine).proof, None);
    engine.datapath().proof = Some(Proof::Unproven { reason: "unknown error 524".to_owned() });
    engine.offer(fetched(1, plan(&["eth0"])));
    assert_eq!(engine.converge(&[]).unwrap(), Progress::Executed);
    let unproven = report(&mut engine);
    assert_eq!((unproven.in_force, unproven.refusal), (Some(Generation(1)), None));
    let proof = unproven.proof.unwrap().to_string();
    assert_eq!(proof, "unproven: unknown error 524");

    engine.datapath().proof = None;
    engine.offer(fetched(2, plan(&["eth0"])));
    engine.converge(&[]).unwrap();
    let proof = report(&mut engine).proof.unwrap().to_string();
    assert_eq!(proof, "proven by 0 packets of 0 of 0 classes");
}
