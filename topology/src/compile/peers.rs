//! Peers: every address of the fabric, sorted into classes that no rule can tell apart.
//!
//! What a rule can see of a peer is who it is and which of the CIDRs that rules name hold its address. CIDRs
//! nest, so the narrowest one that holds an address says which others do: a class is an identity and that
//! narrowest CIDR. A rule on a wide CIDR therefore matches every class whose narrowest CIDR lies in it, and no
//! narrower rule and no workload's own address can hide from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use sha2::{Digest, Sha256};

use super::{CompileError, Numbered};
use crate::identity::{Class, Identity, IdentityTable, cidrs};
use crate::model::{Attachment, CidrBlock, Entity, Model, Node, Peer, Workload};
use crate::names::NodeName;
use crate::plan::PlanAddress;

/// Who the members of a class are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Member<'m> {
    /// Workloads of one identity; this is one of them, and policy can't tell it from the others.
    Workload(&'m Workload),
    /// The enforcing node.
    Host,
    /// Other nodes.
    RemoteNode,
    /// Everyone else.
    World,
}

/// One class: what rules can see of its members.
#[derive(Clone, Debug)]
pub(super) struct PeerClass<'m> {
    pub(super) member: Member<'m>,
    pub(super) identity: Identity,
    /// The narrowest CIDR that any rule names and that holds the addresses.
    cidr: Option<IpNet>,
}

/// All classes, and all addresses by class.
pub(super) struct Peers<'m> {
    model: &'m Model,
    cidrs: CidrIndex,
    /// Every class there can be.
    pub(super) classes: BTreeMap<Class, PeerClass<'m>>,
    /// Addresses that look the same from every node.
    addresses: BTreeMap<IpNet, PlanAddress>,
    refined: BTreeMap<(Identity, IpNet), Class>,
}

impl<'m> Peers<'m> {
    pub(super) fn gather(
        model: &'m Model,
        identities: &IdentityTable,
        workloads: &[Numbered<'m>],
    ) -> Result<Self, CompileError> {
        let cidrs = CidrIndex::new(cidrs(model));
        let refined = refine(model, &cidrs, workloads);
        let mut peers = Self { model, cidrs, classes: BTreeMap::new(), addresses: BTreeMap::new(), refined };
        peers.enter(Identity::WORLD, Member::World, None);
        for cidr in peers.cidrs.all.clone() {
            let identity = identities.of_cidr(cidr).ok_or(CompileError::NoCidrIdentity { cidr })?;
            let class = Class::from(identity);
            peers.classes.insert(class, PeerClass { member: Member::World, identity, cidr: Some(cidr) });
            peers.addresses.insert(cidr, PlanAddress { prefix: cidr, identity, class });
        }
        for numbered in workloads {
            for address in &numbered.workload.addresses {
                let prefix = IpNet::from(*address);
                let class =
                    peers.enter(numbered.identity, Member::Workload(numbered.workload), Some(*address));
                peers.addresses.insert(prefix, PlanAddress { prefix, identity: numbered.identity, class });
            }
        }
        for address in model.fabric.nodes.values().flat_map(|node| &node.addresses) {
            peers.enter(Identity::HOST, Member::Host, Some(*address));
            peers.enter(Identity::REMOTE_NODE, Member::RemoteNode, Some(*address));
        }
        Ok(peers)
    }

    fn enter(&mut self, identity: Identity, member: Member<'m>, address: Option<IpAddr>) -> Class {
        let cidr = address.and_then(|address| self.cidrs.narrowest(address));
        let class = self.class(identity, cidr);
        self.classes.entry(class).or_insert(PeerClass { member, identity, cidr });
        class
    }

    fn class(&self, identity: Identity, cidr: Option<IpNet>) -> Class {
        cidr.and_then(|cidr| self.refined.get(&(identity, cidr)).copied()).unwrap_or(identity.into())
    }

    /// All addresses as `node` sees them: its own are host, other nodes' are remote-node.
    pub(super) fn addresses_seen_from(&self, node: &Node) -> Vec<PlanAddress> {
        let mut addresses = self.addresses.clone();
        for other in self.model.fabric.nodes.values() {
            let identity = self.node_identity(&node.name, &other.name);
            for address in &other.addresses {
                let prefix = IpNet::from(*address);
                let class = self.class(identity, self.cidrs.narrowest(*address));
                addresses.insert(prefix, PlanAddress { prefix, identity, class });
            }
        }
        addresses.into_values().collect()
    }

    fn node_identity(&self, seen_from: &NodeName, node: &NodeName) -> Identity {
        if seen_from == node { Identity::HOST } else { Identity::REMOTE_NODE }
    }

    /// The classes that `peer` matches; every class there is or will be for [`Entity::Any`].
    pub(super) fn matching(&self, peer: &Peer) -> Matching {
        if matches!(peer, Peer::Entity(Entity::Any)) {
            return Matching::Every;
        }
        let matching = self.classes.iter().filter(|(_, class)| self.matches(peer, class));
        Matching::These(matching.map(|(number, _)| *number).collect())
    }

    fn matches(&self, peer: &Peer, class: &PeerClass<'_>) -> bool {
        match (peer, class.member) {
            (Peer::Selector(selector), Member::Workload(workload)) => selector.matches(&workload.labels),
            (Peer::Entity(Entity::Unmanaged), Member::Workload(workload)) => {
                matches!(workload.attachment, Attachment::Unmanaged(_))
            }
            (Peer::Entity(Entity::Any), _)
            | (Peer::Entity(Entity::World), Member::World)
            | (Peer::Entity(Entity::Host), Member::Host)
            | (Peer::Entity(Entity::RemoteNode), Member::RemoteNode) => true,
            (Peer::Selector(_) | Peer::Entity(_), _) => false,
            (Peer::Cidr(block), _) => holds(block, class.cidr),
            (Peer::Group(name), _) => {
                let blocks = self.model.cidr_groups.get(name);
                blocks.is_some_and(|blocks| blocks.iter().any(|block| holds(block, class.cidr)))
            }
        }
    }
}

/// Classes that a peer matches.
#[derive(Clone, Debug)]
pub(super) enum Matching {
    Every,
    These(BTreeSet<Class>),
}

/// Whether addresses whose narrowest named CIDR is `cidr` are in `block`.
fn holds(block: &CidrBlock, cidr: Option<IpNet>) -> bool {
    cidr.is_some_and(|cidr| {
        block.cidr.contains(&cidr) && !block.except.iter().any(|hole| hole.contains(&cidr))
    })
}

/// Numbers for the classes that are neither an identity nor a CIDR of their own. From content, so that an edit
/// elsewhere changes none; where two collide, the later in sorted order takes the next free one.
fn refine(
    model: &Model,
    cidrs: &CidrIndex,
    workloads: &[Numbered<'_>],
) -> BTreeMap<(Identity, IpNet), Class> {
    let mut pairs: BTreeSet<(Identity, IpNet)> = BTreeSet::new();
    for numbered in workloads {
        let narrowest = numbered.workload.addresses.iter().filter_map(|address| cidrs.narrowest(*address));
        pairs.extend(narrowest.map(|cidr| (numbered.identity, cidr)));
    }
    for address in model.fabric.nodes.values().flat_map(|node| &node.addresses) {
        if let Some(cidr) = cidrs.narrowest(*address) {
            pairs.extend([(Identity::HOST, cidr), (Identity::REMOTE_NODE, cidr)]);
        }
    }
    let mut taken = BTreeSet::new();
    let number = |(identity, cidr): (Identity, IpNet)| {
        let digest = Sha256::digest(format!("class/{identity}/{cidr}").as_bytes());
        let mut number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        number |= Identity::END.0;
        while !taken.insert(number) {
            number = number.wrapping_add(1) | Identity::END.0;
        }
        ((identity, cidr), Class(number))
    };
    pairs.into_iter().map(number).collect()
}

/// The CIDRs that rules name, by length: a lookup probes the lengths that are there, longest first.
struct CidrIndex {
    all: BTreeSet<IpNet>,
    lengths: BTreeSet<(bool, u8)>,
}

impl CidrIndex {
    fn new(all: BTreeSet<IpNet>) -> Self {
        let lengths = all.iter().map(|cidr| (is_v4(cidr.addr()), cidr.prefix_len())).collect();
        Self { all, lengths }
    }

    fn narrowest(&self, address: IpAddr) -> Option<IpNet> {
        let lengths = self.lengths.iter().rev().filter(|(v4, _)| *v4 == is_v4(address));
        lengths
            .filter_map(|(_, length)| IpNet::new(address, *length).ok())
            .map(|cidr| cidr.trunc())
            .find(|cidr| self.all.contains(cidr))
    }
}

fn is_v4(address: IpAddr) -> bool {
    address.is_ipv4()
}
