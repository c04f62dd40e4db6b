//! Which generation is in force where, and since when.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Result, bail};
use selvedge_topology::plan::Generation;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::agent::Mark;
use super::clock::Moment;

/// All that agents have told.
pub(crate) struct Ledger {
    source: mpsc::UnboundedReceiver<Mark>,
    marks: HashMap<usize, Vec<Mark>>,
}

/// When the last of several nodes had a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// In force.
    pub(crate) flipped: Moment,
    /// In force, and etcd had acknowledged the report of it.
    pub(crate) acknowledged: Moment,
}

impl Ledger {
    /// Of what comes from there.
    pub(crate) fn new(source: mpsc::UnboundedReceiver<Mark>) -> Self {
        Self { source, marks: HashMap::new() }
    }

    /// Waits until each of `nodes` has told of `generation` or a later one; when the last of them had it. `begun` where there is none.
    pub(crate) async fn reached(
        &mut self,
        nodes: &BTreeSet<usize>,
        generation: Generation,
        begun: Moment,
        limit: Duration,
    ) -> Result<Reached> {
        let deadline = Instant::now() + limit;
        let mut reached = Reached { flipped: begun, acknowledged: begun };
        let mut missing = nodes.clone();
        let mut count = |missing: &mut BTreeSet<usize>, mark: &Mark| {
            if mark.generation >= generation && missing.remove(&mark.node) {
                reached.flipped = reached.flipped.max(mark.flipped);
                reached.acknowledged = reached.acknowledged.max(mark.acknowledged);
            }
        };
        for node in nodes {
            self.marks.get(node).into_iter().flatten().for_each(|mark| count(&mut missing, mark));
        }
        while !missing.is_empty() {
            match timeout_at(deadline, self.source.recv()).await {
                Ok(Some(mark)) => {
                    count(&mut missing, &mark);
                    self.marks.entry(mark.node).or_default().push(mark);
                }
                Ok(None) => bail!("the agents ended"),
                Err(_) => bail!(
                    "{} of {} nodes have not generation {generation} in force after {limit:?}, among them n{}",
                    missing.len(),
                    nodes.len(),
                    missing.first().copied().unwrap_or_default()
                ),
            }
        }
        Ok(reached)
    }

    /// Forgets what was told until now.
    pub(crate) fn clear(&mut self) {
        while self.source.try_recv().is_ok() {}
        self.marks.clear();
    }
}
