//! Which classes a rule's peers match.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Member, PeerClass, Peers};
use crate::identity::{Class, Identity};
use crate::l4::L4Match;
use crate::model::{Attachment, CidrBlock, Entity, Model, Peer, Rule};

impl Peers {
    /// The classes that `peer` matches; every class there is or will be for [`Entity::Any`].
    pub(in crate::compile) fn matching(&self, model: &Model, peer: &Peer) -> Matching {
        let of = |identity: Identity| self.of_identity.get(&identity).into_iter().flatten().copied();
        Matching::These(match peer {
            Peer::Entity(Entity::Any) => return Matching::Every,
            Peer::Selector(selector) => self.kinds.select(selector).into_iter().flat_map(of).collect(),
            Peer::Entity(Entity::Unmanaged) => {
                self.kinds.iter().filter(|(_, kind)| !kind.is_subject()).flat_map(|(id, _)| of(id)).collect()
            }
            Peer::Entity(Entity::World) => {
                self.named.values().copied().chain([Identity::WORLD.into()]).collect()
            }
            Peer::Entity(Entity::Host) => of(Identity::HOST).collect(),
            Peer::Entity(Entity::RemoteNode) => of(Identity::REMOTE_NODE).collect(),
            Peer::Cidr(block) => self.inside(block).collect(),
            Peer::Group(name) => {
                let blocks = model.cidr_groups.get(name).into_iter().flatten();
                blocks.flat_map(|block| self.inside(block)).collect()
            }
        })
    }

    /// The classes of addresses in `block`.
    fn inside<'p>(&'p self, block: &'p CidrBlock) -> impl Iterator<Item = Class> + 'p {
        // Ordered by network: those inside another begin with it or after it.
        let begin = self.of_cidr.range(block.cidr..);
        let inside = begin.take_while(|(cidr, _)| block.cidr.contains(*cidr));
        inside.filter(|(cidr, _)| holds(block, Some(**cidr))).flat_map(|(_, classes)| classes).copied()
    }

    /// Whether what `rule` says of `class` is another thing than of a class that is not there.
    pub(in crate::compile) fn notices(&self, model: &Model, rule: &Rule, class: &PeerClass) -> bool {
        rule.peers.iter().any(|peer| match (peer, class.member) {
            // A service name in a rule for everyone tells peers apart by the services they have.
            (Peer::Entity(Entity::Any), _) => has_service(rule),
            (Peer::Selector(selector), Member::Workload) => {
                self.kinds.get(class.identity).is_some_and(|kind| selector.matches(&kind.example.labels))
            }
            (Peer::Entity(Entity::Unmanaged), Member::Workload) => {
                let kind = self.kinds.get(class.identity);
                kind.is_some_and(|kind| matches!(kind.example.attachment, Attachment::Unmanaged(_)))
            }
            (Peer::Entity(Entity::World), Member::World)
            | (Peer::Entity(Entity::Host), Member::Host)
            | (Peer::Entity(Entity::RemoteNode), Member::RemoteNode) => true,
            (Peer::Selector(_) | Peer::Entity(_), _) => false,
            (Peer::Cidr(block), _) => holds(block, class.cidr),
            (Peer::Group(name), _) => {
                let blocks = model.cidr_groups.get(name);
                blocks.is_some_and(|blocks| blocks.iter().any(|block| holds(block, class.cidr)))
            }
        })
    }
}

pub(in crate::compile) fn has_service(rule: &Rule) -> bool {
    rule.ports.iter().any(|port| matches!(port, L4Match::Service { .. }))
}

/// Classes that a peer matches.
#[derive(Clone, Debug)]
pub(in crate::compile) enum Matching {
    Every,
    These(BTreeSet<Class>),
}

/// Whether addresses whose narrowest named CIDR is `cidr` are in `block`.
fn holds(block: &CidrBlock, cidr: Option<IpNet>) -> bool {
    cidr.is_some_and(|cidr| {
        block.cidr.contains(&cidr) && !block.except.iter().any(|hole| hole.contains(&cidr))
    })
}
