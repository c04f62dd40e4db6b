use selvedge_hw_profiles::units::Bytes;
use selvedge_hw_profiles::{Demand, Profiles};
use selvedge_topology::demands::Demands;
use selvedge_topology::plan::Outcome;

use super::*;
use crate::testing::{Sample, machine, name};

/// The sample, with denials that nobody wants to hear of: a NIC leaves those that are logged to the program in the kernel.
fn unlogged() -> Plan {
    let mut plan = Sample::new().plan;
    let intervals = plan.sets.iter_mut().flat_map(|set| &mut set.intervals);
    intervals.for_each(|interval| interval.decision.logged = false);
    plan
}

/// The same, without connections.
fn stateless() -> Plan {
    let mut plan = unlogged();
    let intervals = plan.sets.iter_mut().flat_map(|set| &mut set.intervals);
    for interval in intervals {
        if interval.decision.outcome == Outcome::Allowed {
            interval.decision.outcome = Outcome::AllowedStateless;
        }
    }
    plan
}

fn choice_of(plan: &Plan, driver: &str, mtu: u32, demand: Option<Demand>) -> Choice {
    let mut machine = machine(&["eth0", "w1"]);
    let seen = &mut machine.interfaces.get_mut("eth0").unwrap().seen;
    (seen.driver, seen.mtu) = (driver.to_owned(), Bytes(mtu));
    let profiles = Profiles::embedded().unwrap();
    let mut demands = Demands::default();
    demands.ports.extend(demand.map(|demand| (name("eth0"), demand)));
    let terms = Terms { profiles: &profiles, demands: Some(&demands) };
    let failsafe = BTreeSet::new();
    let grounds = Grounds { plan, terms, machine: &machine, failsafe: &failsafe };
    let choices = grounds.choices(None).unwrap();
    assert_eq!(choices[&name("w1")], Choice::Unable, "a veth runs nothing itself");
    choices[&name("eth0")].clone()
}

fn told(choice: Choice) -> String {
    match choice {
        Choice::Not { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_device_that_runs_programs_gets_one_for_its_policy_and_others_none() {
    let plan = unlogged();
    let Choice::Runs(runs) = choice_of(&plan, "netdevsim", 1500, None) else { panic!("it is able") };
    assert_eq!(runs.name, ProgramName::of(&runs.program));
    assert!(runs.to_string().starts_with("prefilter of "), "{runs}");
    assert_eq!(runs.name.as_str().len(), 15, "as long as the kernel keeps");
    assert_eq!(
        choice_of(&plan, "netdevsim", 1500, None),
        Choice::Runs(runs),
        "the same policy is the same program"
    );
    for driver in ["veth", "mlx5_core", "bridge", "nobody-knows"] {
        assert_eq!(choice_of(&plan, driver, 1500, None), Choice::Unable, "{driver}");
    }
}

#[test]
fn a_device_decides_on_all_that_it_reads_where_no_rule_tracks_and_else_the_rule_is_named() {
    let Choice::Runs(runs) = choice_of(&stateless(), "netdevsim", 1500, None) else { panic!("it is able") };
    assert!(runs.to_string().starts_with("complete of "), "{runs}");
    let Choice::Runs(runs) = choice_of(&unlogged(), "netdevsim", 1500, None) else { panic!("it is able") };
    let against = runs.incomplete.unwrap().to_string();
    assert_eq!(
        against,
        "rule 7 (p/ingress/00000007) is not `stateless: true`, so connections have to be tracked"
    );
}

#[test]
fn what_speaks_against_a_program_is_told_with_what_mends_it() {
    let plan = unlogged();
    let large = told(choice_of(&plan, "netdevsim", 9000, None));
    assert!(large.contains("`ip link set dev eth0 mtu 4000` mends it"), "{large}");
    let limited = Demand { at_most: Some(Mode::Native), ..Demand::default() };
    assert!(told(choice_of(&plan, "netdevsim", 1500, Some(limited))).contains("xdp-native"));
    let forbidden = Demand { forbid: [Mode::Offload].into(), ..Demand::default() };
    assert!(told(choice_of(&plan, "netdevsim", 1500, Some(forbidden))).contains("forbid"));
    let idle = told(choice_of(&Sample::new().plan, "netdevsim", 1500, None));
    assert!(idle.starts_with("policy has nothing there"), "{idle}");
}
