//! Ends: the addresses of two models, sorted so that neither model's policy can tell those of one end apart.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use super::free::Free;
use crate::compile::{Cidrs, CompileError, Compiler, named_cidrs};
use crate::identity::{Class, Identity, IdentityTable};
use crate::model::{Attachment, Model};
use crate::names::{NodeName, WorkloadName};

/// Of the model before, and of the model after.
pub type Both<T> = [T; 2];

/// What one model takes an address for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Taken {
    /// Who has it: workloads of one identity, the node that asks ([`Identity::HOST`]), another node
    /// ([`Identity::REMOTE_NODE`]), nobody ([`Identity::WORLD`]).
    pub identity: Identity,
    /// What rules can see of it.
    pub class: Class,
}

/// An address, and who has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place<'m> {
    /// The address.
    pub address: IpAddr,
    /// The workload that has it after, or had it before.
    pub workload: Option<&'m WorkloadName>,
}

/// Addresses of an end that are alike in where they are, too.
#[derive(Clone, Debug)]
pub(super) struct Members<'m> {
    /// The nodes that enforce for them.
    at: Both<Option<&'m NodeName>>,
    /// The nodes whose own addresses they are.
    own: Both<Option<&'m NodeName>>,
    is_v4: bool,
    /// The first two; two ends of one connection are never the same address.
    pub(super) first: Vec<Place<'m>>,
    /// How many there are; one for addresses that nobody has.
    count: usize,
}

/// Addresses that neither model's policy can tell apart.
#[derive(Clone, Debug)]
pub struct End<'m> {
    /// What the models take them for.
    pub taken: Both<Taken>,
    /// The narrowest CIDRs that rules name and that hold them.
    pub cidr: Both<Option<IpNet>>,
    pub(super) members: Vec<Members<'m>>,
}

impl<'m> End<'m> {
    /// Whether these are addresses that nobody had before, or nobody has after.
    pub fn comes_or_goes(&self) -> bool {
        let [before, after] = self.taken.map(|taken| taken.identity);
        before != after && (before == Identity::WORLD || after == Identity::WORLD)
    }

    /// How many addresses it has, of workloads and nodes.
    pub fn len(&self) -> usize {
        self.members.iter().map(|members| members.count).sum()
    }

    /// Whether there are none; there is no such end.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Some of its workloads, at most two of each node.
    pub fn workloads(&self) -> impl Iterator<Item = &'m WorkloadName> + '_ {
        let first = self.members.iter().flat_map(|members| &members.first);
        let names: BTreeSet<&'m WorkloadName> = first.filter_map(|place| place.workload).collect();
        names.into_iter()
    }

    /// Whether nobody enforces for it after.
    pub(crate) fn is_unmanaged(&self) -> bool {
        self.members.iter().all(|members| members.at[1].is_none())
    }

    /// One of its addresses.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        Some(self.members.first()?.first.first()?.address)
    }

    /// Two different addresses of one family, one of this end and one of `other`, that see each other as what they are taken for;
    /// `None` where there are none, so no packet.
    pub(crate) fn pair(&self, other: &Self) -> Option<(Place<'m>, Place<'m>)> {
        self.members.iter().find_map(|a| {
            let fitting = other
                .members
                .iter()
                .filter(|b| a.is_v4 == b.is_v4 && self.is_seen(a, b) && other.is_seen(b, a));
            fitting.flat_map(|b| &b.first).find_map(|there| {
                let here = a.first.iter().find(|here| here.address != there.address)?;
                Some((here.clone(), there.clone()))
            })
        })
    }

    /// Whether nodes' addresses among `own`, of this end, are to `other` what this end has them for: its own node's, or another's.
    fn is_seen(&self, own: &Members<'m>, other: &Members<'m>) -> bool {
        (0..2).all(|side| {
            let is_own = other.at[side].is_some() && other.at[side] == own.own[side];
            match self.taken[side].identity {
                Identity::HOST => is_own,
                Identity::REMOTE_NODE => !is_own,
                _ => true,
            }
        })
    }
}

/// Who has an address.
#[derive(Default)]
struct Held<'m> {
    workload: Both<Option<(&'m WorkloadName, Identity, Option<&'m NodeName>)>>,
    node: Both<Option<&'m NodeName>>,
}

/// An end, the nodes that enforce for its members, those whose own addresses they are, and whether these are IPv4.
type Spot<'m> = (usize, Both<Option<&'m NodeName>>, Both<Option<&'m NodeName>>, bool);

/// All ends, and who is in which.
pub(crate) struct Ends<'m> {
    pub(crate) all: Vec<End<'m>>,
    by_taken: HashMap<(Both<Taken>, Option<IpNet>), usize>,
    /// Which of an end's members.
    places: HashMap<Spot<'m>, usize>,
    held: HashMap<IpAddr, Held<'m>>,
    compilers: Both<Compiler>,
    cidrs: Both<Cidrs>,
    /// What parts ends besides.
    parts: Cidrs,
    /// Whether both models are the same one.
    is_one: bool,
}

impl<'m> Ends<'m> {
    /// The ends of two models. Addresses of one end are in the same of `parts`, too.
    pub(crate) fn of(
        models: Both<&'m Model>,
        identities: &IdentityTable,
        parts: Cidrs,
    ) -> Result<Self, CompileError> {
        let [before, after] = models;
        let compilers =
            [Compiler::without_nodes(before, identities)?, Compiler::without_nodes(after, identities)?];
        let mut ends = Self {
            all: Vec::new(),
            by_taken: HashMap::new(),
            places: HashMap::new(),
            held: held(models, identities),
            compilers,
            cidrs: models.map(named_cidrs),
            parts,
            is_one: std::ptr::eq(before, after),
        };
        let mut addresses: Vec<IpAddr> = ends.held.keys().copied().collect();
        addresses.sort_unstable();
        for address in &addresses {
            for view in ends.views(*address) {
                ends.enter(*address, view);
            }
        }
        let regions = ends.cidrs.iter().chain([&ends.parts]).flat_map(Cidrs::all);
        let regions: BTreeSet<IpNet> = regions.collect();
        for address in Free::new(&regions, &addresses).one_of_each() {
            ends.enter(address, [false; 2]);
        }
        Ok(ends)
    }

    pub(crate) fn compilers(&self) -> &Both<Compiler> {
        &self.compilers
    }

    /// The end that `address` is to another end at the node `seen_from` says, before and after.
    pub(crate) fn at(&self, address: IpAddr, seen_from: Both<Option<&NodeName>>) -> Option<usize> {
        let node = |side: usize| self.held.get(&address).and_then(|held| held.node[side]);
        let is_host = |side: usize| seen_from[side].is_some() && seen_from[side] == node(side);
        let taken = self.taken(address, [is_host(0), is_host(1)]);
        self.by_taken.get(&(taken, self.parts.narrowest(address))).copied()
    }

    /// The nodes that enforce for `address`.
    pub(crate) fn enforced_at(&self, address: IpAddr) -> Both<Option<&'m NodeName>> {
        let workload = |side: usize| self.held.get(&address)?.workload[side]?.2;
        [workload(0), workload(1)]
    }

    /// As what a node's address can be seen, before and after: as the own of whoever asks, or not. That may have moved, too.
    fn views(&self, address: IpAddr) -> Vec<Both<bool>> {
        let is_node = |side: usize| {
            let held = self.held.get(&address);
            held.is_some_and(|held| held.node[side].is_some() && held.workload[side].is_none())
        };
        let of = |side: usize| if is_node(side) { &[false, true][..] } else { &[false] };
        let all = of(0).iter().flat_map(|before| of(1).iter().map(|after| [*before, *after]));
        // Whoever asks is at one node of one model.
        all.filter(|[before, after]| !self.is_one || before == after).collect()
    }

    fn taken(&self, address: IpAddr, is_host: Both<bool>) -> Both<Taken> {
        [0, 1].map(|side| {
            let held = self.held.get(&address);
            let identity = match held.map(|held| (held.workload[side], held.node[side])) {
                Some((Some((_, identity, _)), _)) => identity,
                Some((None, Some(_))) if is_host[side] => Identity::HOST,
                Some((None, Some(_))) => Identity::REMOTE_NODE,
                Some((None, None)) | None => Identity::WORLD,
            };
            Taken { identity, class: self.compilers[side].class(identity, address) }
        })
    }

    fn enter(&mut self, address: IpAddr, is_host: Both<bool>) {
        let taken = self.taken(address, is_host);
        let cidr = [0, 1].map(|side: usize| self.cidrs[side].narrowest(address));
        let held = self.held.get(&address);
        let at = self.enforced_at(address);
        let own = [0, 1].map(|side: usize| held.and_then(|held| held.node[side]));
        let workload = held.and_then(|held| held.workload[1].or(held.workload[0])).map(|(name, ..)| name);
        let all = &mut self.all;
        let end = *self.by_taken.entry((taken, self.parts.narrowest(address))).or_insert_with(|| {
            all.push(End { taken, cidr, members: Vec::new() });
            all.len() - 1
        });
        let all = &mut self.all[end].members;
        let members = *self.places.entry((end, at, own, address.is_ipv4())).or_insert_with(|| {
            all.push(Members { at, own, is_v4: address.is_ipv4(), first: Vec::new(), count: 0 });
            all.len() - 1
        });
        let members = &mut all[members];
        members.count += 1;
        if members.first.len() < 2 {
            members.first.push(Place { address, workload });
        }
    }
}

fn held<'m>(models: Both<&'m Model>, identities: &IdentityTable) -> HashMap<IpAddr, Held<'m>> {
    let mut all: HashMap<IpAddr, Held<'m>> = HashMap::new();
    for (side, model) in models.into_iter().enumerate() {
        for workload in model.workloads.values() {
            let Some(identity) = identities.of_workload(workload) else { continue };
            let node = match &workload.attachment {
                Attachment::Managed(at) => Some(&at.node),
                Attachment::Unmanaged(_) => None,
            };
            for address in &workload.addresses {
                all.entry(*address).or_default().workload[side] = Some((&workload.name, identity, node));
            }
        }
        for node in model.fabric.nodes.values() {
            for address in &node.addresses {
                all.entry(*address).or_default().node[side] = Some(&node.name);
            }
        }
    }
    all
}
