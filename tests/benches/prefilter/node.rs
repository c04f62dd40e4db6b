//! The full program with its tables, filled by the agent's own reconciliation; and the prefilter of the same plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use selvedge_abi::Reason;
use selvedge_agent::datapath::{Datapath, KernelDatapath, Pins, Sizes};
use selvedge_agent_core::lower::port_policy;
use selvedge_agent_core::{
    Action, Choices, Desired, ForeignPrograms, IfIndex, Interface, Machine, Observed, Standing, reconcile,
};
use selvedge_codegen::{DeviceProgram, Limits, prefilter};
use selvedge_hw_profiles::Profiles;
use selvedge_topology::compile::compile;
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::plan::{Generation, Plan};

use crate::bpf::{object_at, test_run};
use crate::frames::{Segment, frame};
use crate::stage::{PORT, SERVICE, Stage, WORKLOAD};
use crate::traffic::Traffic;

/// A place of the bench's own in the bpffs, which only this process sees.
const BPFFS: &str = "/sys/fs/bpf/selvedge-prefilter";

/// The full program, with a plan in force.
pub(crate) struct Node {
    datapath: KernelDatapath,
    pins: Pins,
    machine: Machine,
    plan: Plan,
}

impl Drop for Node {
    fn drop(&mut self) {
        // What is pinned lives; nothing of it is wanted any more, and the mount goes with the process anyhow.
        let _gone = fs::remove_dir_all(self.pins.root());
    }
}

impl Node {
    pub(crate) fn new(stage: &Stage, traffic: &Traffic) -> Result<Self> {
        let pins = Pins::prepare(Path::new(BPFFS), &"bench".parse()?)?;
        let datapath = KernelDatapath::open(pins.clone(), Sizes::default())?;
        let interfaces = [(PORT, stage.port), (WORKLOAD, stage.workload)];
        let veth = |(name, index): (&str, u32)| (name.to_owned(), Interface::veth(IfIndex(index)));
        let machine = Machine { interfaces: interfaces.map(veth).into() };
        let mut node = Self { datapath, pins, machine, plan: plan(traffic)? };
        node.apply()?;
        Ok(node)
    }

    /// Puts the plan in force, as the agent would; ports are attached by whoever measures.
    fn apply(&mut self) -> Result<()> {
        let (profiles, nothing, nobody) = (Profiles::embedded()?, BTreeSet::new(), BTreeSet::new());
        let (nics, held_back) = (Choices::default(), BTreeMap::new());
        let desired = Desired {
            plan: Some((&self.plan, Generation(1))),
            fail_closed: &nothing,
            failsafe: &nobody,
            foreign: ForeignPrograms::Refuse,
            profiles: &profiles,
            nics: &nics,
            before: None,
            held_back: &held_back,
            refused_modes: &BTreeMap::new(),
            standing: &Standing::default(),
        };
        let observed = Observed { machine: self.machine.clone(), ..Observed::default() };
        for action in reconcile(desired, &observed)? {
            if !matches!(action, Action::Attach { .. } | Action::AttachEgress { .. }) {
                self.datapath.execute(&action).with_context(|| action.to_string())?;
            }
        }
        Ok(())
    }

    /// The very program that the agent attaches.
    pub(crate) fn program(&self) -> Result<OwnedFd> {
        Ok(object_at(&self.pins.maps().join("program"))?)
    }

    /// Establishes all connections.
    pub(crate) fn establish(&self, program: BorrowedFd<'_>, traffic: &Traffic, stage: &Stage) -> Result<()> {
        for flow in traffic.connections() {
            test_run(program, &frame(&flow, Segment::Syn), stage.port, 1)?;
            test_run(program, &frame(&flow.reversed(), Segment::SynAck), stage.workload, 1)?;
            test_run(program, &frame(&flow, Segment::Ack), stage.port, 1)?;
        }
        Ok(())
    }

    /// The prefilter that an Agilio would get.
    pub(crate) fn prefilter(&self) -> Result<DeviceProgram> {
        let profiles = Profiles::embedded()?;
        let offload = profiles.get("nfp").and_then(|entry| entry.profile.offload.as_ref());
        let limits = Limits::of(offload.context("the profile nfp says what it takes")?);
        let policy = port_policy(&self.plan, &self.machine, &PORT.parse()?, &BTreeSet::new())?;
        Ok(prefilter(&policy.context("the port is of the plan")?, &limits, None)?)
    }

    /// Packets that the full program denied.
    pub(crate) fn denied(&mut self) -> Result<u64> {
        let counters = self.datapath.counters(&Choices::new())?;
        Ok(counters.reasons.get(&Reason::PolicyDeny).map_or(0, |count| count.packets))
    }
}

/// One workload, its service open to each peer by a rule of the peers' label.
fn plan(traffic: &Traffic) -> Result<Plan> {
    let mut text = format!(
        "apiVersion: selvedge/v1
kind: Fabric
metadata: {{name: bench}}
spec:
  defaultAction: deny
  nodes:
    - {{name: bench, role: host, addresses: [10.255.0.1], ports: [{{name: {PORT}, role: uplink}}, {{name: {WORKLOAD}, role: workload}}]}}
    - {{name: other, role: host, addresses: [10.255.0.2], ports: [{{name: up, role: uplink}}, {{name: w1, role: workload}}]}}
---
apiVersion: selvedge/v1
kind: Workload
metadata: {{name: served}}
spec: {{labels: {{role: served}}, addresses: [\"{}\"], attachment: {{node: bench, port: {WORKLOAD}}}}}
---
apiVersion: selvedge/v1
kind: SegmentationPolicy
metadata: {{name: served}}
spec:
  tier: application
  selector: {{matchLabels: {{role: served}}}}
  ingress:
    - {{action: allow, from: [{{selector: {{matchLabels: {{role: peer}}}}}}], ports: [{{protocol: TCP, port: {SERVICE}}}]}}
  egress: []
",
        traffic.workload
    );
    for index in 0..traffic.peers {
        let address = traffic.peer(index);
        writeln!(
            text,
            "---\napiVersion: selvedge/v1\nkind: Workload\nmetadata: {{name: peer{index}}}\nspec: {{labels: {{role: peer}}, addresses: [\"{address}\"], attachment: {{node: other, port: w1}}}}"
        )?;
    }
    let loaded = load(&[SourceFile { name: "bench.yaml".into(), text }]);
    let model = loaded.model.context("the bench's documents are right")?;
    let mut identities = IdentityTable::default();
    identities.allocate(&model)?;
    compile(&model, &identities)?.remove(&"bench".parse()?).context("a plan for the node")
}
