mod exchange;
mod history;
mod nics;
mod random;
mod take_over;
mod world;

use selvedge_abi::NodeRole;
use selvedge_topology::model;
use selvedge_topology::plan::PlanPort;
use selvedge_topology::timeouts::Seconds;

use self::world::World;
use super::*;
use crate::change::Touched;
use crate::device::NicProgram;
use crate::machine::{Owner, XdpProgram};
use crate::testing::{Sample, machine, name};

struct Wanted {
    plan: Option<(Plan, u64)>,
    fail_closed: BTreeSet<PortName>,
    failsafe: BTreeSet<FailsafeKey>,
    foreign: ForeignPrograms,
    profiles: Profiles,
    nics: Choices,
    before: Option<Plan>,
    held_back: BTreeMap<PortName, ProgramName>,
    refused_modes: BTreeMap<PortName, Refused>,
    standing: Standing,
}

impl Wanted {
    fn nothing() -> Self {
        Self {
            plan: None,
            fail_closed: BTreeSet::new(),
            failsafe: BTreeSet::new(),
            foreign: ForeignPrograms::Refuse,
            profiles: Profiles::embedded().unwrap(),
            nics: Choices::new(),
            before: None,
            held_back: BTreeMap::new(),
            refused_modes: BTreeMap::new(),
            standing: Standing::default(),
        }
    }

    fn plan(plan: Plan, generation: u64) -> Self {
        Self { plan: Some((plan, generation)), ..Self::nothing() }
    }

    fn desired(&self) -> Desired<'_> {
        Desired {
            plan: self.plan.as_ref().map(|(plan, generation)| (plan, Generation(*generation))),
            fail_closed: &self.fail_closed,
            failsafe: &self.failsafe,
            foreign: self.foreign,
            profiles: &self.profiles,
            nics: &self.nics,
            before: self.before.as_ref(),
            held_back: &self.held_back,
            refused_modes: &self.refused_modes,
            standing: &self.standing,
        }
    }

    fn actions(&self, world: &World) -> Vec<Action> {
        reconcile(self.desired(), &world.observe()).unwrap()
    }

    fn execute(&self, world: &mut World) {
        for action in self.actions(world) {
            world.apply(&action);
        }
        assert_eq!(self.actions(world), [], "reconciling twice changes nothing");
    }
}

fn position(actions: &[Action], what: impl Fn(&Action) -> bool) -> usize {
    actions.iter().position(what).expect("the action is in the list")
}

#[test]
fn a_first_plan_attaches_every_port_before_the_switch() {
    let world = World::new(machine(&["eth0", "w1"]));
    let actions = Wanted::plan(Sample::new().plan, 1).actions(&world);
    let switch = position(&actions, |action| matches!(action, Action::Switch(_)));
    let last_attach = actions.iter().rposition(|action| matches!(action, Action::Attach { .. })).unwrap();
    assert!(last_attach < switch);
    assert_eq!(switch, actions.len() - 1, "there is nothing old to clean");
    let Action::Switch(config) = &actions[switch] else { unreachable!() };
    assert_eq!((config.generation, config.slot, config.node_role), (1, 1, NodeRole::Host as u32));
}

#[test]
fn what_is_demanded_of_a_port_is_insisted_on_before_a_generation_is_in_force_and_not_after() {
    let mut world = World::new(machine(&["eth0", "w1"]));
    let mut plan = Sample::new().plan;
    let native = Demand { require: Some(Mode::Native), ..Demand::default() };
    plan.demands.ports.insert(name("w1"), native.clone());
    let wanted = Wanted::plan(plan, 1);
    let actions = wanted.actions(&world);
    let insist = Action::Insist { port: name("w1"), index: IfIndex(11), demand: native };
    let insisted = position(&actions, |action| *action == insist);
    let attached =
        position(&actions, |action| matches!(action, Action::Attach { port, .. } if *port == name("w1")));
    assert!(
        attached < insisted && insisted < position(&actions, |action| matches!(action, Action::Prove(_)))
    );
    let Action::Attach { choice, .. } = &actions[attached] else { unreachable!() };
    assert_eq!((choice.first, &choice.fallbacks[..]), (Mode::Native, &[Mode::Generic][..]));
    wanted.execute(&mut world);
    assert_eq!(wanted.actions(&world), [], "a port in force stays enforced, whatever becomes of its mode");
}

#[test]
fn a_generation_that_changes_nothing_here_is_one_write_and_a_counter() {
    let mut world = World::new(machine(&["eth0", "w1"]));
    Wanted::plan(Sample::new().plan, 1).execute(&mut world);
    let actions = Wanted::plan(Sample::new().plan, 2).actions(&world);
    let slot = world.observe().tables.config.slot;
    assert!(
        matches!(&actions[..], [Action::Put(Entry::Revocations(_)), Action::Prove(trial), Action::Switch(config)]
            if config.generation == 2 && config.slot == slot && trial.config.slot == slot)
    );
}

#[test]
fn a_change_of_timeouts_alone_is_one_write_and_a_counter() {
    let mut world = World::new(machine(&["eth0", "w1"]));
    Wanted::plan(Sample::new().plan, 1).execute(&mut world);
    let mut plan = Sample::new().plan;
    plan.timeouts.udp = Seconds(90);
    let actions = Wanted::plan(plan, 2).actions(&world);
    let [Action::Put(Entry::Revocations(_)), Action::Prove(_), Action::Switch(config)] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(config.timeouts.udp, 90);
}

#[test]
fn a_generation_gets_a_counter_of_what_it_revokes_before_it_is_in_force_and_old_ones_go() {
    let mut world = World::new(machine(&["eth0", "w1"]));
    for generation in 1..=20 {
        let wanted = Wanted::plan(Sample::new().plan, generation);
        let actions = wanted.actions(&world);
        let counter = Action::Put(Entry::Revocations(Generation(generation)));
        let counted = position(&actions, |action| *action == counter);
        assert!(counted < position(&actions, |action| matches!(action, Action::Switch(_))));
        wanted.execute(&mut world);
    }
    let told: Vec<u64> = world.observe().tables.revocations.iter().map(|generation| generation.0).collect();
    assert_eq!(told, (13..=20).collect::<Vec<_>>());
    assert!(told.len() <= selvedge_abi::MAX_REVOCATIONS as usize);
}

#[test]
fn a_removed_port_is_detached_last_and_its_entries_go() {
    let mut world = World::new(machine(&["eth0", "w1"]));
    Wanted::plan(Sample::new().plan, 1).execute(&mut world);
    let mut plan = Sample::new().plan;
    plan.ports.pop();
    plan.workloads.clear();
    let wanted = Wanted::plan(plan, 2);
    let actions = wanted.actions(&world);
    let switch = position(&actions, |action| matches!(action, Action::Switch(_)));
    let detach =
        position(&actions, |action| *action == Action::Detach { hook: Hook::Ingress, port: name("w1") });
    let sent =
        position(&actions, |action| *action == Action::Detach { hook: Hook::Egress, port: name("w1") });
    assert!(switch < sent && sent < detach);
    wanted.execute(&mut world);
    let tables = world.observe().tables;
    assert_eq!(tables.ports.keys().copied().collect::<Vec<_>>(), [IfIndex(10)]);
    assert!(tables.reason_counters.iter().all(|key| key.ifindex == 10));
}

#[test]
fn a_port_whose_role_changes_is_shut_around_the_switch() {
    let mut world = World::new(machine(&["eth0", "w1"]));
    Wanted::plan(Sample::new().plan, 1).execute(&mut world);
    let mut plan = Sample::new().plan;
    plan.ports[0].role = model::PortRole::Fabric;
    let actions = Wanted::plan(plan, 2).actions(&world);
    let index = IfIndex(10);
    let shut = position(&actions, |action| *action == Action::Delete(Key::Port(index)));
    let entry = lower::port_entry(PortRole::Fabric);
    let open = position(&actions, |action| *action == Action::Put(Entry::Port(index, entry)));
    assert!(matches!(actions[shut + 1], Action::Switch(_)));
    assert!(
        matches!(actions[shut - 1], Action::Prove(_)),
        "no port is shut for a generation that is refused"
    );
    assert_eq!(open, shut + 2);
}

#[test]
fn a_port_made_again_gets_a_new_link_and_its_addresses_the_new_index() {
    let mut world = World::new(machine(&["eth0", "w1"]));
    let wanted = Wanted::plan(Sample::new().plan, 1);
    wanted.execute(&mut world);
    world.remove_interface("w1");
    wanted.execute(&mut world);
    assert_eq!(world.indexes_of_local_addresses(), [IfIndex::GONE.0; 2]);
    world.add_interface("w1", 99);
    wanted.execute(&mut world);
    assert_eq!(world.indexes_of_local_addresses(), [99; 2]);
    assert_eq!(world.observe().attachments[&name("w1")].index, Some(IfIndex(99)));
}

#[test]
fn without_a_plan_only_the_named_ports_are_shut_and_what_is_in_force_stays() {
    let mut world = World::new(machine(&["eth0", "w1", "w2"]));
    Wanted::plan(Sample::new().plan, 5).execute(&mut world);
    let before = world.observe();
    let wanted = Wanted { fail_closed: [name("w2"), name("w9")].into(), ..Wanted::nothing() };
    wanted.execute(&mut world);
    let after = world.observe();
    assert_eq!((after.tables.config, after.tables.slots), (before.tables.config, before.tables.slots));
    let attached: Vec<String> = after.attachments.keys().map(ToString::to_string).collect();
    assert_eq!(attached, ["eth0", "w1", "w2"]);
    assert_eq!(after.tables.ports[&IfIndex(12)], lower::port_entry(PortRole::Uplink));
}

#[test]
fn an_outdated_program_is_replaced_before_anything_is_switched() {
    let mut world = World::new(machine(&["eth0", "w1"]));
    Wanted::plan(Sample::new().plan, 1).execute(&mut world);
    world.age_program("eth0");
    let actions = Wanted::plan(Sample::new().plan, 2).actions(&world);
    assert_eq!(actions[0], Action::Refresh { hook: Hook::Ingress, port: name("eth0") });
    assert_eq!(actions[1], Action::Refresh { hook: Hook::Egress, port: name("eth0") });
    assert!(matches!(
        actions[2..],
        [Action::Put(Entry::Revocations(_)), Action::Prove(_), Action::Switch(_)]
    ));
}

#[test]
fn a_kernel_without_tcx_gets_the_xdp_programs_all_the_same() {
    let mut world = World::new(machine(&["eth0", "w1"]));
    world.without_tcx("no such thing");
    let wanted = Wanted::plan(Sample::new().plan, 1);
    assert!(!wanted.actions(&world).iter().any(|action| matches!(action, Action::AttachEgress { .. })));
    wanted.execute(&mut world);
    assert_eq!(world.observe().attachments.len(), 2);
    assert_eq!(world.observe().tables.config.generation, 1);
}

#[test]
fn a_node_that_was_enforced_without_it_gets_the_egress_program_and_nothing_else() {
    let mut world = World::new(machine(&["eth0", "w1"]));
    let wanted = Wanted::plan(Sample::new().plan, 1);
    wanted.execute(&mut world);
    for port in ["eth0", "w1"] {
        world.apply(&Action::Detach { hook: Hook::Egress, port: name(port) });
    }
    let attach = |port, index| Action::AttachEgress { port: name(port), index: IfIndex(index) };
    assert_eq!(wanted.actions(&world), [attach("eth0", 10), attach("w1", 11)]);
}

#[test]
fn where_somebody_else_came_before_it_the_egress_program_takes_the_first_place_again_and_nothing_else_happens()
 {
    let mut world = World::new(machine(&["eth0", "w1"]));
    let wanted = Wanted::plan(Sample::new().plan, 4);
    wanted.execute(&mut world);
    world.overtake("w1");
    assert_eq!(wanted.actions(&world), [Action::Advance { port: name("w1") }]);
    wanted.execute(&mut world);
}

#[test]
fn foreign_programs_are_displaced_only_where_that_is_allowed() {
    let mut machine = machine(&["eth0", "w1"]);
    let mode = Mode::Generic;
    let program = XdpProgram { id: 7, name: "lb".to_owned(), mode, owner: Owner::Foreign };
    machine.interfaces.get_mut("w1").unwrap().programs.push(program.clone());
    let world = World::new(machine);
    for (foreign, expected) in [(ForeignPrograms::Refuse, vec![]), (ForeignPrograms::Replace, vec![program])]
    {
        let wanted = Wanted { foreign, ..Wanted::plan(Sample::new().plan, 1) };
        let displaced: Vec<XdpProgram> = wanted
            .actions(&world)
            .into_iter()
            .flat_map(
                |action| if let Action::Attach { displace, .. } = action { displace } else { Vec::new() },
            )
            .collect();
        assert_eq!(displaced, expected);
    }
}

#[test]
fn failsafe_entries_come_first_and_go_when_nobody_wants_them() {
    let mut world = World::new(machine(&["eth0", "w1"]));
    let key = FailsafeKey {
        remote: selvedge_abi::Address::from_ipv4([192, 0, 2, 1]),
        remote_port: 2379,
        protocol: 6,
    };
    let wanted = Wanted { failsafe: [key].into(), ..Wanted::plan(Sample::new().plan, 1) };
    assert_eq!(wanted.actions(&world)[0], Action::Put(Entry::Failsafe(key)));
    wanted.execute(&mut world);
    Wanted::plan(Sample::new().plan, 1).execute(&mut world);
    assert_eq!(world.observe().tables.failsafe, BTreeSet::new());
}

/// The machine and the plan change at random; at every prefix of the actions the node is judged.
#[test]
fn traffic_is_judged_by_the_whole_old_or_the_whole_new_generation_at_every_step_and_a_crash_anywhere_converges()
 {
    let (mut steps, mut switches, mut detached, mut exchanged) = (0_usize, 0_usize, 0_usize, 0_usize);
    random::each(100, 32..=1024, |u| {
        let mut world = World::new(random::machine(u)?);
        let old = Wanted::plan(random::plan(u)?, 1);
        old.execute(&mut world);
        random::disturb(u, &mut world)?;
        let new = Wanted::plan(random::plan(u)?, 2);
        let before = world.clone();
        let actions = new.actions(&world);
        let mut goal = world.clone();
        actions.iter().for_each(|action| goal.apply(action));
        for action in &actions {
            world.apply(action);
            steps += 1;
            world.assert_between(&before, &goal, &new.plan.as_ref().unwrap().0);
            if !matches!(action, Action::Put(Entry::ReasonCounter(_)) | Action::Delete(Key::ReasonCounter(_)))
            {
                let mut crashed = world.clone();
                new.execute(&mut crashed);
                assert_eq!(crashed.meaning(), goal.meaning());
                assert_eq!(crashed.enforced(), goal.enforced());
                assert_eq!(crashed.judged_when_sent(), goal.judged_when_sent());
                assert_eq!(crashed.modes(), goal.modes());
            }
        }
        switches += actions.iter().filter(|action| matches!(action, Action::Switch(_))).count();
        detached += actions.iter().filter(|action| matches!(action, Action::Detach { .. })).count();
        exchanged += actions.iter().filter(|action| matches!(action, Action::StandIn { .. })).count();
        assert_eq!(new.actions(&world), []);
        assert!(world.observe().stand_ins.is_empty(), "none is left where all is as it should be");
        Ok(())
    });
    assert!(
        steps > 2_000 && switches > 20 && detached > 5 && exchanged > 20,
        "{steps} {switches} {detached} {exchanged}"
    );
}

#[test]
fn a_port_of_the_plan_that_is_not_there_is_no_obstacle_to_the_others() {
    let mut world = World::new(machine(&["eth0"]));
    let mut plan = Sample::new().plan;
    plan.ports.push(PlanPort { name: name("w2"), role: model::PortRole::Workload });
    Wanted::plan(plan, 1).execute(&mut world);
    assert_eq!(world.observe().attachments.len(), 1);
    assert_eq!(world.observe().tables.config.generation, 1);
}
