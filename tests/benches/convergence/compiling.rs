//! How long it takes from documents to plans; and from one changed document, once it was read, to the plans of the nodes that it
//! concerns.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use selvedge_tests::scale::{Document, Fabric, Kind, Size};
use selvedge_topology::compile::{Before, Compiler};
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::Model;

use crate::quantiles::Quantiles;

/// How often each edit is compiled.
const EDITS: usize = 20;

/// What it took.
pub(crate) struct Compiled {
    /// From nothing: reading, numbering, compiling.
    pub(crate) all: Duration,
    /// After one policy was edited, in ms.
    pub(crate) policy: Quantiles,
    /// After one workload was added, in ms.
    pub(crate) workload: Quantiles,
}

/// Measures a fabric.
pub(crate) fn measure(size: Size, seed: u64) -> Result<Compiled> {
    let mut fabric = Fabric::new(size, seed);
    let documents: Vec<Document> = fabric.documents().collect();
    let frame = documents.first().context("a fabric has documents")?.text.clone();
    let files = documents.chunks(10_000).enumerate().map(|(number, documents)| SourceFile {
        name: format!("{number}.yaml"),
        text: documents.iter().map(|document| document.text.as_str()).collect(),
    });
    let files: Vec<SourceFile> = files.collect();
    drop(documents);
    let begun = Instant::now();
    let model = load(&files).model.context("the documents are not valid")?;
    let mut identities = IdentityTable::default();
    identities.allocate(&model)?;
    let compiler = Compiler::new(&model, &identities)?;
    let plans = compiler.nodes().filter_map(|node| compiler.parts(node)).count();
    let all = begun.elapsed();
    ensure!(plans == size.nodes, "a node has no plan");
    let mut desired = Some(Desired { frame, model, identities, compiler });
    let mut edits = |kind: Kind| -> Result<Quantiles> {
        let mut times = Vec::new();
        for _ in 0..EDITS {
            let [document] = fabric.change(kind).documents.try_into().ok().context("one is changed")?;
            let (next, took) = desired.take().context("the one before came to something")?.take(&document)?;
            desired = Some(next);
            times.push(took);
        }
        Ok(Quantiles::of(&times))
    };
    Ok(Compiled { all, policy: edits(Kind::PolicyEverywhere)?, workload: edits(Kind::Added)? })
}

/// What is compiled again and again.
struct Desired {
    /// The document of the fabric, which every other is read beside.
    frame: String,
    model: Model,
    identities: IdentityTable,
    compiler: Compiler,
}

impl Desired {
    /// Compiles what is desired with `document`, and says how long that took.
    fn take(self, document: &Document) -> Result<(Self, Duration)> {
        let Self { frame, mut model, mut identities, compiler } = self;
        let file = SourceFile { name: "edit.yaml".into(), text: format!("{frame}{}", document.text) };
        let read = load(&[file]).model.context("the document is not valid")?;
        let begun = Instant::now();
        identities.allocate(&read)?;
        let workloads = read.workloads.into_iter().map(|(name, workload)| {
            let before = model.workloads.insert(name.clone(), workload);
            (name, before)
        });
        let workloads: BTreeMap<_, _> = workloads.collect();
        let policies = read.policies.into_iter().map(|(name, policy)| {
            let before = model.policies.insert(name.clone(), policy);
            (name, before)
        });
        let policies: BTreeMap<_, _> = policies.collect();
        let before = Before {
            workloads: workloads.iter().map(|(name, before)| (name, before.as_ref())).collect(),
            policies: policies.iter().map(|(name, before)| (name, before.as_ref())).collect(),
            groups: BTreeMap::new(),
        };
        let (compiler, touched) = compiler.update(&model, &identities, &before)?;
        let plans: Vec<_> = touched.iter().filter_map(|node| compiler.parts(node)).collect();
        let took = begun.elapsed();
        if plans.is_empty() {
            bail!("{} concerns no node", document.name.name);
        }
        Ok((Self { frame, model, identities, compiler }, took))
    }
}
