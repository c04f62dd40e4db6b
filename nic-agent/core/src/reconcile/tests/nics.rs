//! Programs in NICs: relaxed before anything more is passed, tightened after it, and never a reason for anything else to wait.

use selvedge_codegen::Kind;
use selvedge_topology::plan::Outcome;

use super::*;
use crate::device::{Choice, Grounds};
use crate::place::Terms;
use crate::testing::{WEB, set};

/// A node whose uplink has a NIC that runs programs.
fn world() -> World {
    let mut world = World::new(machine(&["eth0", "w1"]));
    world.change_driver("eth0", "netdevsim");
    world
}

/// The sample, with `port` open to the web server instead of 8080.
fn plan(port: u32) -> Plan {
    let mut plan = Sample::new().plan;
    let http = 6 << 16 | port;
    let intervals =
        [(0, Outcome::Denied, 100), (http, Outcome::Allowed, 7), (http + 1, Outcome::Denied, 100)];
    plan.sets[1] = set(2, &intervals);
    plan.sets[0] = set(1, &[(0, Outcome::Denied, 100)]);
    for set in plan.sets.iter_mut() {
        set.intervals.iter_mut().for_each(|interval| interval.decision.logged = false);
    }
    assert_eq!(plan.rows[0].peers[0].0, WEB.into());
    plan
}

impl Wanted {
    /// With what NICs get on the machine of `world`, after the plan `before`.
    fn nics(mut self, world: &World, before: Option<&Plan>) -> Self {
        let (plan, _) = self.plan.as_ref().unwrap();
        let terms = Terms { profiles: &self.profiles, demands: Some(&plan.demands) };
        let machine = &world.observe().machine;
        self.nics = Grounds { plan, terms, machine, failsafe: &self.failsafe }.choices(None).unwrap();
        self.before = before.cloned();
        self
    }

    fn program(&self) -> NicProgram {
        match &self.nics[&name("eth0")] {
            Choice::Runs(program) => program.clone(),
            other => panic!("{other:?}"),
        }
    }
}

/// A service of a stranger that the node can't live without.
fn service(remote_port: u16) -> FailsafeKey {
    let remote = selvedge_abi::Address::from_ipv4([10, 0, 0, 9]);
    FailsafeKey { remote, remote_port, protocol: 6 }
}

/// What is done to NICs, and the switch and failsafe flows among it.
fn around_the_switch(actions: &[Action]) -> Vec<String> {
    let told = actions.iter().filter_map(|action| match action {
        Action::Load { program, .. } => Some(format!("load {}", program.name)),
        Action::Unload { .. } => Some("unload".to_owned()),
        Action::Switch(_) => Some("switch".to_owned()),
        Action::Put(Entry::Failsafe(_)) => Some("let through".to_owned()),
        Action::Delete(Key::Failsafe(_)) => Some("judge again".to_owned()),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_nic_gets_its_program_when_the_one_in_the_kernel_judges_alike() {
    let mut world = world();
    let wanted = Wanted::plan(plan(8080), 1).nics(&world, None);
    let actions = wanted.actions(&world);
    let load = format!("load {}", wanted.program().name);
    assert_eq!(around_the_switch(&actions), ["switch".to_owned(), load]);
    wanted.execute(&mut world);
    assert_eq!(world.observe().nics[&name("eth0")].program, wanted.program().name);
}

#[test]
fn before_a_switch_a_nic_drops_no_more_than_both_generations_do() {
    let mut world = world();
    let (old, new) = (plan(8080), plan(9090));
    let first = Wanted::plan(old.clone(), 1).nics(&world, None);
    first.execute(&mut world);
    let second = Wanted::plan(new, 2).nics(&world, Some(&old));
    assert_ne!(first.program().name, second.program().name);
    let told = around_the_switch(&second.actions(&world));
    let tight = format!("load {}", second.program().name);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("load ") && told[0] != tight, "a program for both comes first: {told:?}");
    assert_eq!(told[1..], ["switch".to_owned(), tight.clone()]);

    let unknown = Wanted { before: None, ..second };
    assert_eq!(
        around_the_switch(&unknown.actions(&world)),
        ["unload".to_owned(), "switch".to_owned(), tight]
    );
    unknown.execute(&mut world);
}

/// The plan without connections: its NIC decides on all that it reads.
fn stateless(port: u32) -> Plan {
    let mut plan = plan(port);
    for interval in plan.sets.iter_mut().flat_map(|set| &mut set.intervals) {
        if interval.decision.outcome == Outcome::Allowed {
            interval.decision.outcome = Outcome::AllowedStateless;
        }
    }
    plan
}

#[test]
fn a_nic_stops_deciding_before_rules_track_again_and_begins_after_they_do_not() {
    let mut world = world();
    let (old, new) = (stateless(8080), plan(8080));
    let first = Wanted::plan(old.clone(), 1).nics(&world, None);
    first.execute(&mut world);
    let second = Wanted::plan(new.clone(), 2).nics(&world, Some(&old));
    let third = Wanted::plan(old, 3).nics(&world, Some(&new));
    let kinds = [&first, &second, &third].map(|wanted| wanted.program().program.kind);
    assert_eq!(kinds, [Kind::Complete, Kind::Prefilter, Kind::Complete]);

    let both = format!("load {}", second.program().name);
    assert_eq!(around_the_switch(&second.actions(&world)), [both, "switch".to_owned()], "what both drop");
    second.execute(&mut world);
    let alone = format!("load {}", third.program().name);
    assert_eq!(around_the_switch(&third.actions(&world)), ["switch".to_owned(), alone]);
    third.execute(&mut world);
}

#[test]
fn a_program_that_is_the_same_for_both_generations_stays() {
    let mut world = world();
    Wanted::plan(plan(8080), 1).nics(&world, None).execute(&mut world);
    let again = Wanted::plan(plan(8080), 2).nics(&world, None);
    assert_eq!(around_the_switch(&again.actions(&world)), ["switch"]);
}

#[test]
fn a_program_of_unknown_origin_goes_before_the_switch() {
    let mut world = world();
    let old = plan(8080);
    Wanted::plan(old.clone(), 1).nics(&world, None).execute(&mut world);
    world.rename_nic_program("eth0", "somebody-elses");
    let second = Wanted::plan(plan(9090), 2).nics(&world, Some(&old));
    assert_eq!(around_the_switch(&second.actions(&world))[..2], ["unload", "switch"]);
}

#[test]
fn a_nic_that_is_to_run_nothing_any_more_is_cleared() {
    let mut world = world();
    let wanted = Wanted::plan(plan(8080), 1).nics(&world, None);
    wanted.execute(&mut world);
    // The port is no longer one that may: its driver is another.
    world.change_driver("eth0", "veth");
    let unable = Wanted::plan(plan(8080), 1).nics(&world, None);
    assert_eq!(around_the_switch(&unable.actions(&world)), ["unload"]);

    let mut without = plan(8080);
    without.ports.retain(|port| port.name.as_str() != "eth0");
    let removed = Wanted::plan(without, 2).nics(&world, None);
    assert_eq!(around_the_switch(&removed.actions(&world)), ["unload", "switch"]);
    let nothing = Wanted::nothing();
    assert_eq!(around_the_switch(&nothing.actions(&world)), [] as [&str; 0], "what is in force stays");
}

#[test]
fn a_program_that_went_with_its_port_is_cleared_and_loaded_again() {
    let mut world = world();
    Wanted::plan(plan(8080), 1).nics(&world, None).execute(&mut world);
    world.remove_interface("eth0");
    world.add_interface("eth0", 77);
    world.change_driver("eth0", "netdevsim");
    let wanted = Wanted::plan(plan(8080), 1).nics(&world, None);
    let told = around_the_switch(&wanted.actions(&world));
    assert_eq!(told.last(), Some(&format!("load {}", wanted.program().name)), "{told:?}");
    assert!(told.contains(&"unload".to_owned()), "{told:?}");
    wanted.execute(&mut world);
}

#[test]
fn what_a_nic_refused_is_not_tried_again_until_it_is_due_or_another_program() {
    let mut world = world();
    let mut wanted = Wanted::plan(plan(8080), 1).nics(&world, None);
    wanted.held_back.insert(name("eth0"), wanted.program().name);
    let actions = wanted.actions(&world);
    assert_eq!(around_the_switch(&actions), ["switch"], "the generation comes in force all the same");
    wanted.execute(&mut world);
    let mut next = Wanted::plan(plan(9090), 2).nics(&world, None);
    next.held_back = wanted.held_back;
    assert_eq!(
        around_the_switch(&next.actions(&world)),
        ["switch".to_owned(), format!("load {}", next.program().name)]
    );
}

#[test]
fn a_new_failsafe_flow_is_passed_by_the_nic_before_the_program_in_the_kernel_and_an_old_one_after_it() {
    let mut world = world();
    let with = |ports: &[u16], world: &World| {
        let failsafe = ports.iter().copied().map(service).collect();
        Wanted { failsafe, ..Wanted::plan(plan(8080), 1) }.nics(world, None)
    };
    with(&[2379], &world).execute(&mut world);
    let exchanged = with(&[2380], &world);
    let told = around_the_switch(&exchanged.actions(&world));
    let tight = format!("load {}", exchanged.program().name);
    assert!(told[0].starts_with("load ") && told[0] != tight, "one that passes both: {told:?}");
    assert_eq!(told[1..], ["let through".to_owned(), "judge again".to_owned(), tight]);
    exchanged.execute(&mut world);

    let more = with(&[2379, 2380], &world);
    let told = around_the_switch(&more.actions(&world));
    assert_eq!(told, [format!("load {}", more.program().name), "let through".to_owned()]);
    more.execute(&mut world);
    let less = with(&[2380], &world);
    let told = around_the_switch(&less.actions(&world));
    assert_eq!(told, ["judge again".to_owned(), format!("load {}", less.program().name)]);
}

#[test]
fn a_failsafe_flow_that_comes_with_a_generation_is_passed_by_both_in_both() {
    let mut world = world();
    let old = plan(8080);
    Wanted::plan(old.clone(), 1).nics(&world, None).execute(&mut world);
    let new = Wanted { failsafe: [service(2379)].into(), ..Wanted::plan(plan(9090), 2) };
    let new = new.nics(&world, Some(&old));
    let told = around_the_switch(&new.actions(&world));
    let tight = format!("load {}", new.program().name);
    assert_eq!((&told[1][..], &told[3..]), ("let through", &["switch".to_owned(), tight][..]));
    assert!(told[0].starts_with("load ") && told[2].starts_with("load ") && told[0] != told[2], "{told:?}");
}

#[test]
fn without_a_plan_a_nic_is_cleared_before_a_new_failsafe_flow_is_passed() {
    let mut world = world();
    Wanted::plan(plan(8080), 1).nics(&world, None).execute(&mut world);
    let nothing = Wanted { failsafe: [service(2379)].into(), ..Wanted::nothing() };
    assert_eq!(around_the_switch(&nothing.actions(&world)), ["unload", "let through"]);
}
