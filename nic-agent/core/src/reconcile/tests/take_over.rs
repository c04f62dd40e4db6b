//! Links over other tables, as an agent of another ABI version finds them.

use super::*;

/// The world after an agent of another version put `plan` in force.
fn left_behind(plan: Plan, generation: u64) -> World {
    let mut world = World::new(machine(&["eth0", "w1"]));
    Wanted::plan(plan, generation).execute(&mut world);
    world.leave_tables_behind();
    world
}

#[test]
fn links_over_other_tables_are_left_alone_until_these_hold_the_plan_and_proved_it() {
    let mut world = left_behind(Sample::new().plan, 7);
    let wanted = Wanted::plan(Sample::new().plan, 7);
    let actions = wanted.actions(&world);
    let proved = position(&actions, |action| matches!(action, Action::Prove(_)));
    let switched = position(&actions, |action| matches!(action, Action::Switch(_)));
    let entered = actions.iter().rposition(|action| matches!(action, Action::Put(Entry::Port(..)))).unwrap();
    let renewed = position(&actions, |action| matches!(action, Action::Refresh { .. }));
    assert!(proved < switched && switched < entered && entered < renewed);
    assert_eq!(actions.iter().filter(|action| matches!(action, Action::Refresh { .. })).count(), 4);
    assert_eq!(world.observe().generation(), Generation(7), "by the other tables");
    wanted.execute(&mut world);
    assert_eq!(world.observe().generation(), Generation(7), "by these");
}

#[test]
fn without_a_plan_what_judges_by_other_tables_goes_on() {
    let mut world = left_behind(Sample::new().plan, 7);
    let wanted = Wanted { fail_closed: [name("eth0")].into(), ..Wanted::nothing() };
    wanted.execute(&mut world);
    let observed = world.observe();
    assert_eq!(observed.attachments[&name("eth0")].program, Program::Apart(Generation(7)));
    assert_eq!(observed.generation(), Generation(7));
}

#[test]
fn tables_that_hold_no_generation_are_left_at_once() {
    let mut world = World::new(machine(&["eth0"]));
    let wanted = Wanted { fail_closed: [name("eth0")].into(), ..Wanted::nothing() };
    wanted.execute(&mut world);
    world.leave_tables_behind();
    let actions = wanted.actions(&world);
    assert_eq!(actions[0], Action::Refresh { hook: Hook::Ingress, port: name("eth0") });
}

#[test]
fn a_port_goes_by_other_tables_or_by_whole_ones_at_every_step_and_a_crash_anywhere_converges() {
    let (mut steps, mut taken) = (0_usize, 0_usize);
    random::each(100, 32..=1024, |u| {
        let mut world = World::new(random::machine(u)?);
        Wanted::plan(random::plan(u)?, 1).execute(&mut world);
        world.leave_tables_behind();
        random::disturb(u, &mut world)?;
        let before = world.observe();
        let new = Wanted::plan(random::plan(u)?, 2);
        let actions = new.actions(&world);
        let mut goal = world.clone();
        actions.iter().for_each(|action| goal.apply(action));
        for action in &actions {
            world.apply(action);
            let now = world.observe();
            for (port, found) in &before.attachments {
                let Some(attachment) = now.attachments.get(port).filter(|_| found.index.is_some()) else {
                    continue;
                };
                if attachment.index == found.index && attachment.program == Program::Current {
                    assert_eq!(world.meaning(), goal.meaning(), "{port} goes by less than a generation");
                    taken += 1;
                }
            }
            let mut crashed = world.clone();
            new.execute(&mut crashed);
            assert_eq!(crashed.meaning(), goal.meaning());
            assert_eq!(crashed.enforced(), goal.enforced());
            assert_eq!(crashed.judged_when_sent(), goal.judged_when_sent());
            assert_eq!(crashed.modes(), goal.modes());
            steps += 1;
        }
        assert_eq!(new.actions(&world), []);
        Ok(())
    });
    assert!(steps > 2_000 && taken > 100, "{steps} {taken}");
}
