//! What a change comes to, by what it touches and from nothing.

use arbtest::arbitrary::{Result, Unstructured};

use super::random;
use super::*;
use crate::prove::Trial;

/// Actions with the packets of their trial apart: those are fewer where less was touched.
fn parts(actions: Vec<Action>) -> (Vec<Action>, Option<Trial>) {
    let (proofs, rest): (Vec<Action>, Vec<Action>) =
        actions.into_iter().partition(|action| matches!(action, Action::Prove(_)));
    let trial = proofs.into_iter().find_map(|proof| match proof {
        Action::Prove(trial) => Some(*trial),
        _ => None,
    });
    (rest, trial)
}

/// Plans and ports change at random, and now and then somebody dies on the way, or reads the tables instead of knowing them. What is
/// done about what was touched is what is done about everything, action by action.
#[test]
fn a_change_by_what_it_touches_comes_to_the_same_actions_as_one_of_everything() {
    let (mut changes, mut writes, mut stays, mut forgotten, mut lesser) = (0_usize, 0, 0, 0, 0);
    random::each(24, 512..=4096, |u| {
        let mut world = World::new(random::machine(u)?);
        let mut standing = Standing::default();
        let mut known: Option<Plan> = None;
        for generation in 1..=10 {
            let plan = match known.clone() {
                Some(same) if u.ratio(1, 6)? => same,
                Some(same) if u.ratio(7, 8)? => next(u, same)?,
                _ => random::plan(u)?,
            };
            if u.ratio(1, 12)? {
                random::disturb(u, &mut world)?;
            }
            if let Some(before) = &known {
                standing.wanted(before, &plan);
            }
            if u.ratio(1, 16)? {
                standing.forget();
                forgotten += 1;
            }
            standing.look(&plan, &world.observe().machine);
            let is_known = Slot::BOTH.iter().all(|slot| *standing.touched(*slot) != Touched::Everything);
            known = Some(plan.clone());
            let from_nothing = Wanted::plan(plan, generation);
            let touched =
                Wanted { standing: standing.clone(), ..Wanted::plan(known.clone().unwrap(), generation) };
            let (expected, all) = parts(from_nothing.actions(&world));
            let (actions, some) = parts(touched.actions(&world));
            assert_eq!(actions, expected);
            let (all, some) = (all.unwrap(), some.unwrap());
            assert_eq!((some.config, &some.ports, &some.names), (all.config, &all.ports, &all.names));
            let written = actions.iter().filter(|action| {
                matches!(action, Action::Put(Entry::Address(..) | Entry::Prefix(..) | Entry::Policy(..)))
            });
            let count = written.count();
            if is_known {
                changes += 1;
                writes += count;
                stays += usize::from(count == 0);
                lesser += usize::from(Lowered::of(&touched, &world) < Lowered::of(&from_nothing, &world));
            }
            let fails = u.ratio(1, 16)?;
            let done = if fails { u.choose_index(actions.len() + 1)? } else { actions.len() };
            for action in &actions[..done] {
                world.apply(action);
                if let Action::Switch(config) = action {
                    standing.proven(Slot::in_use(config));
                }
            }
            if fails {
                standing.forget();
            }
        }
        Ok(())
    });
    assert!(
        changes > 60 && writes > 300 && stays > 5 && forgotten > 5 && lesser > 10,
        "{changes} {writes} {stays} {forgotten} {lesser}"
    );
}

/// Another plan for the same ports, with one workload fewer here and there.
fn next(u: &mut Unstructured<'_>, same: Plan) -> Result<Plan> {
    let Plan { ports, mut workloads, demands, role, .. } = same;
    if !workloads.is_empty() && u.ratio(1, 4)? {
        workloads.remove(u.choose_index(workloads.len())?);
    }
    Ok(Plan { ports, workloads, demands, role, ..random::plan(u)? })
}

/// How many addresses are looked at.
struct Lowered;

impl Lowered {
    fn of(wanted: &Wanted, world: &World) -> usize {
        let (plan, _) = wanted.plan.as_ref().unwrap();
        let observed = world.observe();
        let slot = Slot::in_use(&observed.tables.config).other();
        let (found, touched) = (observed.tables.slot(slot), wanted.standing.touched(slot));
        let lowered = lower::lower_touched(plan, &observed.machine, slot, found, touched).unwrap();
        lowered.wanted.addresses.len() + lowered.wanted.prefixes.len()
    }
}
