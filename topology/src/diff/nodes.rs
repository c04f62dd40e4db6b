//! What a change means for nodes: the room that their tables need, and what would go unenforced.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use super::ends::Both;
use crate::compile::{CompileError, Compiler};
use crate::identity::IdentityTable;
use crate::model::Model;
use crate::names::NodeName;
use crate::placement::{Hole, SeenNode, UnmetDemand, obstacles};
use crate::plan::{Block, CapacityError, Needs, Table};

/// Nodes whose needs are looked at closely.
const CLOSELY: usize = 10;

/// Room of one table of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// The node.
    pub node: NodeName,
    /// The table.
    pub table: Table,
    /// Entries that its plan needs of it, before and after; 0 where it has no plan.
    pub needed: Both<usize>,
}

/// What a change means for nodes.
#[derive(Debug)]
pub struct Nodes {
    /// Nodes that need more or less room of any table.
    pub touched: BTreeSet<NodeName>,
    /// The tables that change on those nodes that come to need most.
    pub rooms: Vec<Room>,
    /// Plans larger than a table, that were not before. Applying is refused.
    pub exceeding: Vec<CapacityError>,
    /// Ports at which policy is known to go unenforced, that were not before. Applying is refused.
    pub holes: Vec<Hole>,
    /// Demands known not to be met, that were met before or not made.
    pub demands: Vec<UnmetDemand>,
}

/// What `after` means for nodes beside `before`, by what they report; `identities` has the numbers of both.
pub fn nodes(
    before: &Model,
    after: &Model,
    identities: &IdentityTable,
    seen: &BTreeMap<NodeName, SeenNode>,
) -> Result<Nodes, CompileError> {
    let (old, new) = thread::scope(|scope| {
        let old = scope.spawn(|| Compiler::new(before, identities));
        let new = Compiler::new(after, identities);
        (old.join().unwrap_or_else(|panic| resume_unwind(panic)), new)
    });
    let compilers = [old?, new?];
    let apart = [apart(&compilers[0]), apart(&compilers[1])];
    let all: BTreeSet<&NodeName> = apart.iter().flat_map(BTreeMap::keys).copied().collect();
    let needs = |side: usize, node: &NodeName| apart[side].get(node).copied().unwrap_or_default();
    let touched: BTreeSet<NodeName> =
        all.into_iter().filter(|node| needs(0, node) != needs(1, node)).cloned().collect();
    let mut largest: Vec<&NodeName> = touched.iter().collect();
    largest.sort_by_key(|node| std::cmp::Reverse(total(needs(1, node))));
    let rooms = largest.into_iter().take(CLOSELY).flat_map(|node| rooms(&compilers, node)).collect();
    let exceeding = |side: usize| -> Vec<CapacityError> {
        let checked = apart[side]
            .iter()
            .filter_map(|(node, needs)| compilers[side].parts(node)?.check_capacity([*needs]).err());
        checked.collect()
    };
    let was: BTreeSet<NodeName> = exceeding(0).into_iter().map(|error| error.node).collect();
    let [known, found] = [(before, &compilers[0]), (after, &compilers[1])]
        .map(|(model, compiler)| obstacles(model, compiler.own(), seen));
    Ok(Nodes {
        touched,
        rooms,
        exceeding: exceeding(1).into_iter().filter(|error| !was.contains(&error.node)).collect(),
        holes: found.holes.into_iter().filter(|hole| !known.holes.contains(hole)).collect(),
        demands: found.demands.into_iter().filter(|demand| !known.demands.contains(demand)).collect(),
    })
}

/// What each node's parts need, each by itself: no less than its plan needs, and other where that is.
fn apart(compiler: &Compiler) -> BTreeMap<&NodeName, Needs> {
    let mut known: HashMap<*const Block, Needs> = HashMap::new();
    let mut all = BTreeMap::new();
    for node in compiler.nodes() {
        let Some(parts) = compiler.parts(node) else { continue };
        let shared = parts
            .shared
            .iter()
            .map(|block| *known.entry(Arc::as_ptr(block)).or_insert_with(|| block.needs()));
        let needs = shared.chain([parts.own.needs()]).sum();
        all.insert(node, needs);
    }
    all
}

fn total(needs: Needs) -> usize {
    Table::ALL.into_iter().map(|table| needs.of_table(table)).sum()
}

fn rooms(compilers: &Both<Compiler>, node: &NodeName) -> Vec<Room> {
    let needs = compilers
        .each_ref()
        .map(|compiler| compiler.plan(node).map(|plan| plan.join().needs()).unwrap_or_default());
    let rooms = Table::ALL.into_iter().map(|table| Room {
        node: node.clone(),
        table,
        needed: needs.map(|needs| needs.of_table(table)),
    });
    rooms.filter(|room| room.needed[0] != room.needed[1]).collect()
}
