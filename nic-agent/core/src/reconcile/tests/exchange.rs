//! Programs that are exchanged for ones in other modes.

use selvedge_hw_profiles::units::Bytes;

use super::*;

/// A node in force whose port `w1` runs in `mode`.
fn running(mode: Mode) -> (World, Wanted) {
    let mut world = World::new(machine(&["eth0", "w1"]));
    let wanted = Wanted::plan(Sample::new().plan, 1);
    wanted.execute(&mut world);
    world.change_mode("w1", mode);
    (world, wanted)
}

fn demanding(demand: Demand) -> Wanted {
    let mut plan = Sample::new().plan;
    plan.demands.ports.insert(name("w1"), demand);
    Wanted::plan(plan, 2)
}

#[test]
fn a_better_mode_is_taken_behind_a_stand_in_and_nothing_else_happens() {
    let (mut world, wanted) = running(Mode::Generic);
    let port: PortName = name("w1");
    let actions = wanted.actions(&world);
    let [stand_in, detach, Action::Attach { choice, displace, .. }, relieve] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(*stand_in, Action::StandIn { port: port.clone(), index: IfIndex(11) });
    assert_eq!(*detach, Action::Detach { hook: Hook::Ingress, port: port.clone() });
    assert_eq!((choice.first, &choice.fallbacks[..]), (Mode::Native, &[Mode::Generic][..]));
    assert!(displace.is_empty());
    assert_eq!(*relieve, Action::Relieve { port });
    wanted.execute(&mut world);
    assert_eq!(world.modes()[&name("w1")], Mode::Native);
}

#[test]
fn what_the_kernel_refused_is_left_as_it_is_until_it_is_due() {
    let (world, mut wanted) = running(Mode::Generic);
    let refused = Refused { mode: Mode::Native, reason: "Peer MTU is too large to set XDP".to_owned() };
    wanted.refused_modes.insert(name("w1"), refused);
    assert_eq!(wanted.actions(&world), []);
    wanted.refused_modes.clear();
    assert_eq!(wanted.actions(&world).len(), 4);
}

#[test]
fn a_mode_that_runs_is_left_only_where_it_is_demanded_away() {
    let (mut world, wanted) = running(Mode::Native);
    world.change_driver("w1", "igc");
    world.change_mtu("w1", Bytes(9000));
    let best =
        place::choose(wanted.desired().terms(), &name("w1"), &world.observe().machine.interfaces["w1"]);
    assert_eq!(best.first, Mode::Generic, "its driver would refuse it now");
    assert_eq!(wanted.actions(&world), [], "that it runs shows that it is possible");
    let wanted = demanding(Demand { forbid: [Mode::Native].into(), ..Demand::default() });
    let actions = wanted.actions(&world);
    let attach = position(&actions, |action| matches!(action, Action::Attach { .. }));
    let Action::Attach { choice, .. } = &actions[attach] else { unreachable!() };
    assert_eq!((choice.first, &choice.fallbacks[..]), (Mode::Generic, &[][..]));
    assert!(choice.reason.contains("it is forbidden"), "{}", choice.reason);
    assert!(attach < position(&actions, |action| matches!(action, Action::Switch(_))));
    wanted.execute(&mut world);
    assert_eq!(world.modes()[&name("w1")], Mode::Generic);
}

#[test]
fn a_mode_is_demanded_of_a_port_that_runs_in_another_and_insisted_on_once_it_was_exchanged() {
    let (mut world, _) = running(Mode::Generic);
    let wanted = demanding(Demand { require: Some(Mode::Native), ..Demand::default() });
    let actions = wanted.actions(&world);
    let relieve = position(&actions, |action| matches!(action, Action::Relieve { .. }));
    assert!(relieve < position(&actions, |action| matches!(action, Action::Insist { .. })));
    wanted.execute(&mut world);
    assert_eq!(world.modes()[&name("w1")], Mode::Native);
}

#[test]
fn without_tcx_nothing_could_stand_in_and_a_port_keeps_its_mode() {
    let (mut world, wanted) = running(Mode::Generic);
    world.without_tcx("no such thing");
    assert_eq!(wanted.actions(&world), []);
}

#[test]
fn an_agent_that_died_on_the_way_left_an_enforced_port_and_the_next_one_ends_what_it_began() {
    let (world, wanted) = running(Mode::Generic);
    let actions = wanted.actions(&world);
    for done in 0..=actions.len() {
        let mut crashed = world.clone();
        actions[..done].iter().for_each(|action| crashed.apply(action));
        assert_eq!(crashed.enforced(), world.enforced(), "after {done} actions");
        // The port may go meanwhile, too, and come back as another.
        let mut replaced = crashed.clone();
        wanted.execute(&mut crashed);
        replaced.remove_interface("w1");
        replaced.add_interface("w1", 99);
        wanted.execute(&mut replaced);
        for world in [crashed, replaced] {
            assert_eq!(world.modes()[&name("w1")], Mode::Native);
            assert!(world.observe().stand_ins.is_empty());
        }
    }
}

#[test]
fn a_stand_in_on_a_port_that_nobody_wants_any_more_goes_with_its_program() {
    let (mut world, wanted) = running(Mode::Generic);
    wanted.actions(&world)[..2].iter().for_each(|action| world.apply(action));
    let mut plan = Sample::new().plan;
    plan.ports.pop();
    plan.workloads.clear();
    let wanted = Wanted::plan(plan, 2);
    let actions = wanted.actions(&world);
    let relieve = position(&actions, |action| matches!(action, Action::Relieve { .. }));
    assert!(position(&actions, |action| matches!(action, Action::Switch(_))) < relieve);
    wanted.execute(&mut world);
    assert!(world.observe().stand_ins.is_empty());
}
