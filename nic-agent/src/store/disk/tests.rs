use selvedge_proto::plan::encode_plan;
use selvedge_topology::demands::Demands;
use selvedge_topology::identity::Identity;
use selvedge_topology::model::NodeRole;
use selvedge_topology::plan::{Block, BlockPlan, PlanIdentity, Runs};
use selvedge_topology::timeouts::Timeouts;

use super::*;

fn plan(role: NodeRole) -> Plan {
    Plan {
        demands: Demands::default(),
        node: "n".parse().unwrap(),
        role,
        timeouts: Timeouts::default(),
        ports: vec![],
        workloads: vec![],
        addresses: Runs::default(),
        rows: Runs::default(),
        sets: Runs::default(),
        rules: Runs::default(),
        identities: Runs::default(),
    }
}

fn fetched(generation: u64, role: NodeRole) -> Fetched {
    encoded(generation, &plan(role).into())
}

fn encoded(generation: u64, plan: &BlockPlan) -> Fetched {
    let encoded = encode_plan(plan).unwrap();
    let plan = plan.join();
    let signature = None;
    let target = Target { generation: Generation(generation), manifest: encoded.digest, signature };
    Fetched { target, manifest: encoded.manifest, chunks: encoded.chunks, plan }
}

fn state() -> (tempfile::TempDir, StateDir) {
    let directory = tempfile::tempdir().unwrap();
    let state = StateDir::open(directory.path(), &"n".parse().unwrap(), None).unwrap();
    (directory, state)
}

#[test]
fn what_nics_dropped_is_taken_up_again_unless_the_machine_started_anew() {
    use selvedge_agent_core::device::Reading;
    let (_directory, state) = state();
    assert_eq!(state.load_device_counts("one"), DeviceCounts::default());
    let mut counts = DeviceCounts::default();
    let words = [(selvedge_topology::model::RuleId(7), 5)].into();
    counts.add(&"eth0".parse().unwrap(), Reading { program: 3, words });
    state.save_device_counts("one", &counts).unwrap();
    assert_eq!(state.load_device_counts("one"), counts);
    assert_eq!(state.load_device_counts("two"), DeviceCounts::default());
}

#[test]
fn what_was_accepted_is_read_back_and_what_was_before_is_forgotten() {
    let (_directory, state) = state();
    assert_eq!(state.load().unwrap(), None);
    state.save(&fetched(1, NodeRole::Host)).unwrap();
    let second = fetched(2, NodeRole::Switch);
    state.save(&second).unwrap();
    assert_eq!(state.load().unwrap(), Some(second));
    assert_eq!(fs::read_dir(state.content()).unwrap().count(), 1);
}

#[test]
fn a_damaged_file_is_named_with_what_is_wrong() {
    let (_directory, state) = state();
    state.save(&fetched(7, NodeRole::Host)).unwrap();
    let good = fs::read_to_string(state.accepted()).unwrap();
    for (text, problem) in [
        (String::new(), "it has no checksum"),
        (good.replace("generation 7", "generation 8"), "its checksum is wrong"),
        (good[..good.len() - 10].to_owned(), "its checksum is wrong"),
    ] {
        fs::write(state.accepted(), text).unwrap();
        let error = state.load().unwrap_err();
        assert!(matches!(&error, StateError::Damaged { problem: found, .. } if *found == problem), "{error}");
        assert!(error.to_string().contains("/n/accepted is damaged"), "{error}");
    }
}

#[test]
fn a_damaged_manifest_is_noticed() {
    let (_directory, state) = state();
    let fetched = fetched(7, NodeRole::Host);
    state.save(&fetched).unwrap();
    fs::write(state.content().join(fetched.target.manifest.to_string()), b"rubbish").unwrap();
    assert!(matches!(state.load(), Err(StateError::Damaged { .. })));
}

#[test]
fn a_plan_of_hundreds_of_blocks_is_read_back() {
    let (directory, state) = state();
    let block = |number| {
        let identity = PlanIdentity { identity: Identity(number), labels: Default::default() };
        Arc::new(Block { identities: vec![identity], ..Block::default() })
    };
    let shared: Vec<_> = (256..556).map(block).collect();
    let fetched = encoded(1, &BlockPlan { own: plan(NodeRole::Host), shared });
    state.save(&fetched).unwrap();
    assert!(fs::read_dir(state.content()).unwrap().count() > 300);
    let again = StateDir::open(directory.path(), &"n".parse().unwrap(), None).unwrap();
    assert_eq!(again.load().unwrap(), Some(fetched));
}
