//! Shortest paths through the fabric: for each node, the link that leads to each other one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use selvedge_topology::model::{Fabric, NodeRole};
use selvedge_topology::names::{NodeName, PortName};

/// A neighbour and the two ports of the link to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hop {
    /// The own end.
    pub(super) port: PortName,
    /// The neighbour.
    pub(super) neighbour: NodeName,
}

/// Who is next to whom.
pub(super) struct Neighbours(BTreeMap<NodeName, BTreeSet<Hop>>);

impl Neighbours {
    /// Reads the fabric's links. Links between management ports carry no workload's packets and don't count.
    pub(super) fn of(fabric: &Fabric) -> Self {
        let mut all: BTreeMap<NodeName, BTreeSet<Hop>> = BTreeMap::new();
        for link in &fabric.links {
            for (here, there) in [(&link.a, &link.b), (&link.b, &link.a)] {
                let hop = Hop { port: here.port.clone(), neighbour: there.node.clone() };
                all.entry(here.node.clone()).or_default().insert(hop);
            }
        }
        Self(all)
    }

    /// For every node from which `destination` can be reached: its first hop on a shortest path. Among paths of one
    /// length the one over the node's lowest port wins, so that a fabric is always routed the same way. Hosts
    /// don't carry packets of others.
    pub(super) fn first_hops_to<'a>(
        &'a self,
        fabric: &Fabric,
        destination: &'a NodeName,
    ) -> BTreeMap<&'a NodeName, &'a Hop> {
        let distance = self.distances_to(fabric, destination);
        let carries = |node: &NodeName| node == destination || !is_host(fabric, node);
        let best = |node: &NodeName, hops: &'a BTreeSet<Hop>| {
            let here = *distance.get(node)?;
            hops.iter().find(|hop| {
                carries(&hop.neighbour) && distance.get(&hop.neighbour) == here.checked_sub(1).as_ref()
            })
        };
        self.0.iter().filter_map(|(node, hops)| Some((node, best(node, hops)?))).collect()
    }

    fn distances_to<'a>(&'a self, fabric: &Fabric, destination: &'a NodeName) -> BTreeMap<&'a NodeName, u32> {
        let mut distance = BTreeMap::from([(destination, 0)]);
        let mut queue = VecDeque::from([destination]);
        while let Some(node) = queue.pop_front() {
            if node != destination && is_host(fabric, node) {
                continue; // reached, and the end of the path
            }
            let next = distance[node] + 1;
            for hop in self.0.get(node).into_iter().flatten() {
                if !distance.contains_key(&hop.neighbour) {
                    distance.insert(&hop.neighbour, next);
                    queue.push_back(&hop.neighbour);
                }
            }
        }
        distance
    }
}

fn is_host(fabric: &Fabric, node: &NodeName) -> bool {
    fabric.nodes.get(node).is_some_and(|node| node.role == NodeRole::Host)
}
