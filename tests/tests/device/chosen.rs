//! Which kind of program an agent chooses for a NIC, by what the plan says of the rules behind the node.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_agent_core::place::Terms;
use selvedge_agent_core::{Choice, Grounds, Machine};
use selvedge_codegen::Kind;
use selvedge_hw_profiles::Profiles;
use selvedge_tests::cases::each;
use selvedge_tests::random::documents;
use selvedge_tests::scene;
use selvedge_topology::compile::compile;
use selvedge_topology::documents::{SourceFile, load as load_documents};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::{PortRole, RuleId};
use selvedge_topology::plan::{Decision, Outcome, Plan};

use crate::alone::stateless;

/// The rules that a device can't decide for: they track, let drain, or want to be logged.
fn stand_against(plan: &Plan) -> BTreeSet<RuleId> {
    let used = plan.rows.iter().flat_map(|row| {
        [row.default].into_iter().chain(row.peers.iter().map(|(_, set)| *set)).collect::<Vec<_>>()
    });
    let used: BTreeSet<_> = used.collect();
    let sets = plan.sets.iter().filter(|set| used.contains(&set.id));
    let decisions = sets.flat_map(|set| set.intervals.iter().map(|interval| interval.decision));
    let needs_more = |decision: &Decision| {
        decision.logged || matches!(decision.outcome, Outcome::Allowed | Outcome::DeniedDraining)
    };
    decisions.filter(needs_more).map(|decision| decision.rule).collect()
}

/// A machine whose every port is a NIC that runs programs.
fn machine(plan: &Plan) -> Machine {
    let mut machine = scene::machine(plan, &plan.ports[0].name);
    machine.interfaces.values_mut().for_each(|interface| interface.seen.driver = "nfp".to_owned());
    machine
}

#[test]
fn a_nic_gets_a_complete_program_exactly_where_every_rule_behind_the_node_is_stateless() {
    let profiles = Profiles::embedded().unwrap();
    let mut chosen: BTreeMap<String, u64> = BTreeMap::new();
    let mut cases = 0;
    each(120, |u| {
        let text = documents(u)?;
        cases += 1;
        let text = if cases % 2 == 0 { stateless(&text) } else { text };
        let model = load_documents(&[SourceFile { name: "random.yaml".into(), text }]).model.unwrap();
        let mut identities = IdentityTable::default();
        identities.allocate(&model).unwrap();
        for plan in compile(&model, &identities).unwrap().values().filter(|plan| !plan.ports.is_empty()) {
            let (machine, failsafe) = (machine(plan), BTreeSet::new());
            let terms = Terms { profiles: &profiles, demands: None };
            let choices =
                Grounds { plan, terms, machine: &machine, failsafe: &failsafe }.choices(None).unwrap();
            let against = stand_against(plan);
            for port in &plan.ports {
                let faces_workloads = port.role == PortRole::Workload;
                let what = match &choices[&port.name] {
                    Choice::Runs(runs) if runs.program.kind == Kind::Complete => {
                        assert!(against.is_empty() && !faces_workloads, "{port:?}: {against:?}");
                        assert_eq!(runs.incomplete, None);
                        "complete"
                    }
                    Choice::Runs(runs) => {
                        assert!(!against.is_empty() || faces_workloads, "{port:?} may be complete: {runs}");
                        let told = runs.incomplete.as_ref().unwrap().to_string();
                        let names = |rule: &RuleId| told.starts_with(&format!("rule {} ", rule.0));
                        let faces = told.starts_with("the port faces workloads");
                        assert!(if faces_workloads { faces } else { against.iter().any(names) }, "{told}");
                        "prefilter"
                    }
                    Choice::Not { reason } => {
                        assert!(!against.is_empty() || faces_workloads, "{port:?} gets none: {reason}");
                        "none"
                    }
                    Choice::Unable => continue, // a port of management
                };
                *chosen.entry(format!("{what} at {:?}", port.role)).or_default() += 1;
            }
        }
        Ok(())
    });
    println!("{chosen:?}");
    for what in ["complete at Uplink", "prefilter at Uplink", "prefilter at Workload"] {
        assert!(chosen.get(what).is_some_and(|count| *count >= 20), "{what}: {chosen:?}");
    }
}
