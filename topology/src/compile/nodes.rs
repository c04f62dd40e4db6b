//! Nodes: what each has of its own, and which blocks it shares with others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::peers::{BlockId, Peers};
use super::rows::Subject;
use crate::demands::Demands;
use crate::identity::{Class, Identity};
use crate::model::{Attachment, Endpoint, Fabric, Node, PortRole, Workload};
use crate::names::PortName;
use crate::plan::{Plan, PlanAddress, PlanPort, PlanWorkload, Runs};

/// One node with an agent.
#[derive(Debug)]
pub(super) struct NodePart {
    /// What no other node has: its ports, its workloads, and of addresses its own and theirs.
    pub(super) own: Arc<Plan>,
    /// Its own addresses.
    hosts: BTreeSet<IpAddr>,
    /// The identities of its workloads, and how many have each.
    pub(super) subjects: BTreeMap<Identity, usize>,
    /// The classes that rows of its subjects name, sorted.
    named: Vec<Class>,
    /// The blocks of addresses that it can tell, sorted.
    pub(super) peers: Vec<BlockId>,
}

impl NodePart {
    pub(super) fn new(node: &Node, fabric: &Fabric) -> Self {
        let ports = node.ports.iter().filter(|(_, role)| **role != PortRole::Management);
        let own = Plan {
            node: node.name.clone(),
            role: node.role,
            timeouts: fabric.timeouts,
            ports: ports.map(|(name, role)| PlanPort { name: name.clone(), role: *role }).collect(),
            demands: demands(node, fabric),
            workloads: Vec::new(),
            addresses: Runs::default(),
            rows: Runs::default(),
            sets: Runs::default(),
            rules: Runs::default(),
            identities: Runs::default(),
        };
        let (hosts, subjects) = (node.addresses.clone(), BTreeMap::new());
        Self { own: Arc::new(own), hosts, subjects, named: Vec::new(), peers: Vec::new() }
    }

    /// Enters a workload that it enforces for.
    pub(super) fn enter(&mut self, workload: &Workload, at: &Endpoint, identity: Identity) {
        let entry = PlanWorkload {
            name: workload.name.clone(),
            identity,
            port: at.port.clone(),
            addresses: workload.addresses.clone(),
        };
        let workloads = &mut Arc::make_mut(&mut self.own).workloads;
        let place = workloads.partition_point(|other| other.name < entry.name);
        workloads.insert(place, entry);
        *self.subjects.entry(identity).or_default() += 1;
    }

    /// Takes a workload out.
    pub(super) fn leave(&mut self, workload: &Workload, identity: Identity) {
        let workloads = &mut Arc::make_mut(&mut self.own).workloads;
        if let Ok(place) = workloads.binary_search_by(|other| other.name.cmp(&workload.name)) {
            workloads.remove(place);
        }
        if let Some(count) = self.subjects.get_mut(&identity) {
            *count -= 1;
            if *count == 0 {
                self.subjects.remove(&identity);
            }
        }
    }

    /// Looks its own addresses and those of its workloads up again.
    pub(super) fn address(&mut self, peers: &Peers) {
        let hosts = self.hosts.iter().map(|address| peers.address(Identity::HOST, *address));
        let workloads = self.own.workloads.iter().flat_map(|workload| {
            workload.addresses.iter().map(|address| peers.address(workload.identity, *address))
        });
        let mut addresses: Vec<PlanAddress> = hosts.chain(workloads).collect();
        addresses.sort();
        Arc::make_mut(&mut self.own).addresses = addresses.into();
    }

    /// Whether its rows name one of `classes`.
    pub(super) fn names_any(&self, classes: &BTreeSet<Class>) -> bool {
        classes.iter().any(|class| self.named.binary_search(class).is_ok())
    }

    /// Looks up again which blocks it can tell; whether they are others now.
    pub(super) fn choose(&mut self, subjects: &BTreeMap<Identity, Subject>, peers: &Peers) -> bool {
        let own = self.subjects.keys().filter_map(|subject| subjects.get(subject));
        self.named = own.flat_map(|subject| &subject.named).copied().collect();
        self.named.sort_unstable();
        self.named.dedup();
        let before = std::mem::replace(&mut self.peers, peers.told_by(&self.named));
        self.peers != before
    }
}

/// Nothing enforces at a management port, so nothing is demanded of one.
fn demands(node: &Node, fabric: &Fabric) -> Demands {
    let enforced = |port: &PortName| node.ports.get(port).is_some_and(|role| *role != PortRole::Management);
    let ports = node.demands.iter().filter(|(port, _)| enforced(port));
    Demands {
        ports: ports.map(|(port, demand)| (port.clone(), demand.clone())).collect(),
        profiles: fabric.hardware.clone(),
    }
}

/// Where a workload is, if a node enforces for it.
pub(super) fn enforced_at(workload: &Workload) -> Option<&Endpoint> {
    match &workload.attachment {
        Attachment::Managed(at) => Some(at),
        Attachment::Unmanaged(_) => None,
    }
}
