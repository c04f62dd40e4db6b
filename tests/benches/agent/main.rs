//! What a change costs an agent of a large fabric, step by step: reading the plan, converging, looking at what came of it, reporting.
//! Of an ordinary node, and of one with gateways, which knows every address; over a data path that stands in for the kernel's, so that
//! writes and the packets of proofs cost nothing. As many nodes as the first argument says.

mod clock;
#[path = "../../scale/mod.rs"]
mod scale;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use selvedge_agent::engine::{Engine, Settings, Tallies};
use selvedge_agent::store::{Fetched, StateDir};
use selvedge_agent_core::ForeignPrograms;
use selvedge_hw_profiles::Profiles;
use selvedge_proto::plan::{EncodedPlan, Manifest, Pieces, encode_plan};
use selvedge_proto::{Chunks, Digest, Target};
use selvedge_tests::scale::{Document, Fabric, Kind, Size, node_name};
use selvedge_topology::compile::{Before, Compiler};
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::Model;
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::{BlockPlan, Generation};

use crate::clock::worked;
use crate::scale::stand_in::StandIn;

/// Nodes of the fabric, where nobody says how many.
const NODES: usize = 200;
/// Changes of a kind that each agent takes.
const CHANGES: u32 = 20;
/// Those before them that count for nothing: after a start, all of each half is proven.
const WARM: u32 = 2;

/// Time at work, in all.
#[derive(Default)]
struct Took {
    reading: Duration,
    converging: Duration,
    looking: Duration,
    reporting: Duration,
    changes: u32,
}

impl Took {
    fn print(&self, what: &str) {
        let Self { reading, converging, looking, reporting, changes } = self;
        let ms = |time: Duration| time.as_secs_f64() * 1e3 / f64::from((*changes).max(1));
        let all = *reading + *converging + *looking + *reporting;
        let steps = [*reading, *converging, *looking, *reporting, all].map(ms);
        println!("{what:32}{}", steps.map(|ms| format!("{ms:>10.2}")).concat());
    }
}

/// An agent of one node, without sockets.
struct Agent {
    words: &'static str,
    node: NodeName,
    engine: Engine<StandIn>,
    held: Chunks,
    pieces: Pieces,
    generation: u64,
}

impl Agent {
    fn new(words: &'static str, number: usize, folder: &Path) -> Result<Self> {
        let node: NodeName = node_name(number).parse()?;
        let settings = Settings {
            node: node.clone(),
            fail_closed: BTreeSet::new(),
            services: Vec::new(),
            foreign: ForeignPrograms::Refuse,
            profiles: Profiles::embedded()?,
        };
        let engine = Engine::new(settings, StandIn::new(), StateDir::open(folder, &node, None)?);
        Ok(Self { words, node, engine, held: Chunks::new(), pieces: Pieces::default(), generation: 0 })
    }

    fn take(&mut self, plan: &BlockPlan, took: &mut Took) -> Result<()> {
        let encoded = encode_plan(plan)?;
        self.generation += 1;
        let begun = worked()?;
        let fetched = self.read(&encoded)?;
        let read = worked()?;
        self.engine.offer(fetched);
        self.engine.converge(&[])?;
        let converged = worked()?;
        self.engine.observe(&[])?;
        let looked = worked()?;
        let report = self.engine.report(Tallies::default(), SystemTime::now())?;
        let bytes = report.encode();
        let reported = worked()?;
        ensure!(
            !bytes.is_empty() && report.in_force == Some(Generation(self.generation)),
            "{:?}",
            report.refusal
        );
        took.reading += read - begun;
        took.converging += converged - read;
        took.looking += looked - converged;
        took.reporting += reported - looked;
        took.changes += 1;
        Ok(())
    }

    /// As it is read when it was fetched: what is new is looked through, the rest is there.
    fn read(&mut self, encoded: &EncodedPlan) -> Result<Fetched> {
        let manifest = Manifest::decode(encoded.digest, &encoded.manifest)?;
        let mut chunks = Chunks::new();
        let fill = |chunks: &mut Chunks, digests: Vec<Digest>| -> Result<()> {
            for digest in chunks.take_over(digests, &self.held) {
                chunks.insert(digest, encoded.chunks.get(digest).context("it is encoded")?.to_vec())?;
            }
            Ok(())
        };
        fill(&mut chunks, manifest.lists().collect())?;
        let outline = manifest.outline(&chunks)?;
        fill(&mut chunks, outline.chunks().into_iter().collect())?;
        let plan = outline.plan_after(&chunks, &mut self.pieces)?;
        self.held.clone_from(&chunks);
        let generation = Generation(self.generation);
        let target = Target { generation, manifest: encoded.digest, signature: None };
        Ok(Fetched { target, manifest: encoded.manifest.clone(), chunks, plan })
    }
}

/// A fabric, as it is desired and compiled.
struct Desired {
    fabric: Fabric,
    /// The document of the fabric, which every other is read beside.
    frame: String,
    model: Model,
    identities: IdentityTable,
    compiler: Compiler,
}

impl Desired {
    fn new(size: Size) -> Result<Self> {
        let fabric = Fabric::new(size, 1);
        let documents: Vec<Document> = fabric.documents().collect();
        let frame = documents.first().context("a fabric has documents")?.text.clone();
        let files = documents.chunks(10_000).enumerate().map(|(number, documents)| SourceFile {
            name: format!("{number}.yaml"),
            text: documents.iter().map(|document| document.text.as_str()).collect(),
        });
        let model = load(&files.collect::<Vec<_>>()).model.context("the documents are not valid")?;
        let mut identities = IdentityTable::default();
        identities.allocate(&model)?;
        let compiler = Compiler::new(&model, &identities)?;
        Ok(Self { fabric, frame, model, identities, compiler })
    }

    fn change(self, kind: Kind) -> Result<Self> {
        let Self { mut fabric, frame, mut model, mut identities, compiler } = self;
        let text = fabric.change(kind).documents.into_iter().map(|document| document.text);
        let file = SourceFile { name: "edit.yaml".into(), text: frame.clone() + &text.collect::<String>() };
        let read = load(&[file]).model.context("the document is not valid")?;
        identities.allocate(&read)?;
        let mut before = (BTreeMap::new(), BTreeMap::new());
        for (name, workload) in read.workloads {
            before.0.insert(name.clone(), model.workloads.insert(name, workload));
        }
        for (name, policy) in read.policies {
            before.1.insert(name.clone(), model.policies.insert(name, policy));
        }
        let before = Before {
            workloads: before.0.iter().map(|(name, before)| (name, before.as_ref())).collect(),
            policies: before.1.iter().map(|(name, before)| (name, before.as_ref())).collect(),
            groups: BTreeMap::new(),
        };
        let (compiler, _) = compiler.update(&model, &identities, &before)?;
        Ok(Self { fabric, frame, model, identities, compiler })
    }

    fn plan(&self, agent: &Agent) -> Result<BlockPlan> {
        self.compiler.plan(&agent.node).context("every node has a plan")
    }
}

fn main() -> Result<()> {
    let nodes = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(NODES);
    let mut desired = Desired::new(Size::of_nodes(nodes))?;
    let folder = tempfile::tempdir_in("/dev/shm")?;
    let mut agents = [Agent::new("gateways", 0, folder.path())?, Agent::new("ordinary", 1, folder.path())?];
    println!(
        "{:32}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "ms at work", "read", "converge", "look", "report", "all"
    );
    for agent in &mut agents {
        let (plan, mut took) = (desired.plan(agent)?, Took::default());
        agent.take(&plan, &mut took)?;
        let joined = plan.join();
        took.print(&format!("{}, first, {} addresses", agent.words, joined.addresses.len()));
    }
    for kind in [Kind::PolicyEverywhere, Kind::Added] {
        let mut took = [Took::default(), Took::default()];
        for change in 0..WARM + CHANGES {
            desired = desired.change(kind)?;
            for (agent, took) in agents.iter_mut().zip(&mut took) {
                let mut nothing = Took::default();
                agent.take(&desired.plan(agent)?, if change < WARM { &mut nothing } else { took })?;
            }
        }
        for (agent, took) in agents.iter().zip(took) {
            took.print(&format!("{}, {}", agent.words, kind.words()));
        }
    }
    Ok(())
}
