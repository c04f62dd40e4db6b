//! Peers: every address of the fabric, sorted into classes that no rule can tell apart.
//!
//! What a rule can see of a peer is who it is and which of the CIDRs that rules name hold its address. CIDRs
//! nest, so the narrowest one that holds an address says which others do: a class is an identity and that
//! narrowest CIDR. A rule on a wide CIDR therefore matches every class whose narrowest CIDR lies in it, and no
//! narrower rule and no workload's own address can hide from it.
//!
//! Addresses lie in blocks, one for each identity. A node has a block only where its policy could tell: where
//! a row of it names a class in the block, or what the addresses would be taken for without it. Two blocks all
//! nodes have, so that none sends under an address of another end of the fabric: that of all nodes' addresses,
//! and that of the networks in which there are workloads. What lies in one of those and in no other block has
//! the identity [`Identity::UNKNOWN`], and the class that it would have without.

mod matching;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

pub(super) use matching::{Matching, has_service};

use super::Halt;
use super::cidrs::Cidrs;
use super::kinds::Kinds;
use super::numbers::Numbers;
use crate::identity::{Class, Identity, SecurityLabels};
use crate::oracle::network;
use crate::plan::{Block, PlanAddress, PlanIdentity};

/// Who the members of a class are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// Workloads of one identity.
    Workload,
    /// The enforcing node.
    Host,
    /// Other nodes.
    RemoteNode,
    /// Everyone else.
    World,
}

/// One class: what rules can see of its members.
#[derive(Clone, Debug)]
pub(super) struct PeerClass {
    pub(super) member: Member,
    pub(super) identity: Identity,
    /// The narrowest CIDR that any rule names and that holds the addresses.
    cidr: Option<IpNet>,
    /// How many addresses it has; one for a CIDR that is named.
    addresses: usize,
}

/// Which block an address is in: that of its identity. CIDRs share some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BlockId(u32);

impl BlockId {
    /// Addresses of nodes as each of them sees its own. It is no block of any plan: a node says of itself what it is.
    const HOST: Self = Self(Identity::HOST.0);
    /// The networks in which there are workloads.
    const NETWORKS: Self = Self(Identity::UNKNOWN.0);
    /// What every node has.
    const COMMON: [Self; 2] = [Self::NETWORKS, Self(Identity::REMOTE_NODE.0)];

    fn of(identity: Identity) -> Self {
        const TOGETHER: u32 = 256;
        Self(if identity < Identity::FIRST_CIDR { identity.0 } else { identity.0 / TOGETHER * TOGETHER })
    }

    /// Whether it is of CIDRs that rules name.
    fn is_of_cidrs(self) -> bool {
        self.0 >= Identity::FIRST_CIDR.0
    }
}

/// A block, and the classes by which rows can tell whether they have it.
#[derive(Debug)]
struct Told {
    block: Arc<Block>,
    tells: BTreeSet<Class>,
}

/// All classes, and all addresses by class.
#[derive(Debug)]
pub(super) struct Peers {
    cidrs: Cidrs,
    named: BTreeMap<IpNet, Class>,
    /// The networks in which there are workloads, and how many addresses of theirs.
    networks: BTreeMap<IpNet, usize>,
    pub(super) kinds: Kinds,
    /// Every class there is.
    pub(super) classes: BTreeMap<Class, PeerClass>,
    of_identity: BTreeMap<Identity, BTreeSet<Class>>,
    of_cidr: BTreeMap<IpNet, BTreeSet<Class>>,
    numbers: Numbers,
    blocks: BTreeMap<BlockId, Told>,
    tellers: BTreeMap<Class, BTreeSet<BlockId>>,
}

/// What is changed, until it is whole.
#[derive(Debug, Default)]
pub(super) struct Edit {
    blocks: BTreeMap<BlockId, BTreeMap<IpNet, PlanAddress>>,
    /// Classes that were looked at, and whether they were there before.
    classes: BTreeMap<Class, bool>,
    /// Whether other networks have workloads, or rules name other CIDRs.
    redraws: bool,
}

/// What came of a change.
#[derive(Debug, Default)]
pub(super) struct Edited {
    /// Blocks with another content.
    pub(super) blocks: BTreeSet<BlockId>,
    /// Classes that tell of other blocks than before.
    pub(super) retold: BTreeSet<Class>,
    /// Classes that are new, or gone.
    pub(super) events: Vec<PeerClass>,
}

impl Peers {
    pub(super) fn new(numbers: Numbers) -> Self {
        let mut peers = Self {
            cidrs: Cidrs::default(),
            named: BTreeMap::new(),
            networks: BTreeMap::new(),
            kinds: Kinds::default(),
            classes: BTreeMap::new(),
            of_identity: BTreeMap::new(),
            of_cidr: BTreeMap::new(),
            numbers,
            blocks: BTreeMap::new(),
            tellers: BTreeMap::new(),
        };
        peers.count(Identity::WORLD.into(), (Identity::WORLD, Member::World, None), &mut Edit::default());
        peers
    }

    /// Enters an address of `identity`.
    pub(super) fn enter(
        &mut self,
        (identity, member): (Identity, Member),
        address: IpAddr,
        edit: &mut Edit,
    ) -> Result<(), Halt> {
        let cidr = self.cidrs.narrowest(address);
        let class = match cidr {
            Some(cidr) => self.numbers.of(identity, cidr)?,
            None => identity.into(),
        };
        self.count(class, (identity, member, cidr), edit);
        let prefix = IpNet::from(address);
        self.open(BlockId::of(identity), edit).insert(prefix, PlanAddress { prefix, identity, class });
        if member == Member::Workload {
            let addresses = self.networks.entry(network(address)).or_default();
            *addresses += 1;
            edit.redraws |= *addresses == 1;
        }
        Ok(())
    }

    /// Takes an address of `identity` out.
    pub(super) fn leave(&mut self, identity: Identity, address: IpAddr, edit: &mut Edit) {
        let entry = self.open(BlockId::of(identity), edit).remove(&IpNet::from(address));
        let Some(entry) = entry else { return };
        if self.classes.get(&entry.class).is_some_and(|class| class.member == Member::Workload)
            && let Some(addresses) = self.networks.get_mut(&network(address))
        {
            *addresses -= 1;
            if *addresses == 0 {
                self.networks.remove(&network(address));
                edit.redraws = true;
            }
        }
        self.discount(entry.class, edit);
    }

    /// Enters CIDRs that rules name from now on, takes out those that none names any more, and sorts addresses in them anew.
    pub(super) fn name_cidrs(
        &mut self,
        named: &[(IpNet, Identity)],
        forgotten: &[IpNet],
        edit: &mut Edit,
    ) -> Result<(), Halt> {
        let mut changed = Cidrs::default();
        for (cidr, identity) in named {
            if !self.cidrs.name(*cidr) {
                continue;
            }
            changed.name(*cidr);
            let (identity, class) = (*identity, Class::from(*identity));
            self.named.insert(*cidr, class);
            self.count(class, (identity, Member::World, Some(*cidr)), edit);
        }
        for cidr in forgotten {
            if !self.cidrs.forget(*cidr) {
                continue;
            }
            changed.name(*cidr);
            if let Some(class) = self.named.remove(cidr) {
                self.discount(class, edit);
                self.open(BlockId::of(Identity(class.0)), edit).remove(cidr);
            }
        }
        if changed.all().next().is_none() {
            return Ok(());
        }
        edit.redraws = true;
        self.sort_anew(&changed, edit)
    }

    /// Enters all addresses anew that one of `changed` holds.
    fn sort_anew(&mut self, changed: &Cidrs, edit: &mut Edit) -> Result<(), Halt> {
        let of_ends = self.blocks.iter().filter(|(id, _)| !id.is_of_cidrs() && **id != BlockId::NETWORKS);
        let entries = of_ends.flat_map(|(_, told)| &told.block.addresses);
        let moved = entries.filter(|entry| changed.narrowest(entry.prefix.addr()).is_some());
        let moved: Vec<(Identity, Member, IpAddr)> = moved
            .map(|entry| (entry.identity, self.classes[&entry.class].member, entry.prefix.addr()))
            .collect();
        for (identity, member, address) in moved {
            self.leave(identity, address, edit);
            self.enter((identity, member), address, edit)?;
        }
        Ok(())
    }

    /// Enters all networks and all CIDRs anew: what is in a network is not known by a CIDR alone.
    fn redraw(&self, edit: &mut Edit) {
        let entry = |prefix: IpNet, identity: Identity, class: Class| {
            (prefix, PlanAddress { prefix, identity, class })
        };
        let networks = self
            .networks
            .keys()
            .map(|network| entry(*network, Identity::UNKNOWN, self.class_of(self.cidrs.at(network))));
        edit.blocks.insert(BlockId::NETWORKS, networks.collect());
        for (cidr, class) in &self.named {
            let is_inside = cidr.prefix_len() >= network(cidr.addr()).prefix_len()
                && self.networks.contains_key(&network(cidr.addr()));
            let number = Identity(class.0);
            let identity = if is_inside { Identity::UNKNOWN } else { number };
            self.open(BlockId::of(number), edit).extend([entry(*cidr, identity, *class)]);
        }
    }

    /// What addresses are in the narrowest CIDR that holds them, where they are nobody's.
    fn class_of(&self, cidr: Option<IpNet>) -> Class {
        cidr.and_then(|cidr| self.named.get(&cidr)).copied().unwrap_or(Identity::WORLD.into())
    }

    fn open<'e>(&self, id: BlockId, edit: &'e mut Edit) -> &'e mut BTreeMap<IpNet, PlanAddress> {
        edit.blocks.entry(id).or_insert_with(|| {
            let entries = self.blocks.get(&id).map(|told| &told.block.addresses[..]).unwrap_or_default();
            entries.iter().map(|entry| (entry.prefix, entry.clone())).collect()
        })
    }

    fn count(
        &mut self,
        class: Class,
        (identity, member, cidr): (Identity, Member, Option<IpNet>),
        edit: &mut Edit,
    ) {
        edit.classes.entry(class).or_insert_with(|| self.classes.contains_key(&class));
        let of_class = self.classes.entry(class).or_insert_with(|| {
            self.of_identity.entry(identity).or_default().insert(class);
            if let Some(cidr) = cidr {
                self.of_cidr.entry(cidr).or_default().insert(class);
            }
            PeerClass { member, identity, cidr, addresses: 0 }
        });
        of_class.addresses += 1;
    }

    fn discount(&mut self, class: Class, edit: &mut Edit) {
        edit.classes.entry(class).or_insert(true);
        if let Some(of_class) = self.classes.get_mut(&class) {
            of_class.addresses -= 1;
        }
    }

    /// Makes a change whole.
    pub(super) fn end(&mut self, mut edit: Edit) -> Result<Edited, Halt> {
        let mut edited = Edited::default();
        if edit.redraws {
            self.redraw(&mut edit);
        }
        for (class, existed) in edit.classes {
            let is_there = self.classes.get(&class).is_some_and(|of_class| of_class.addresses > 0);
            let of_class = if is_there { self.classes.get(&class).cloned() } else { self.drop_class(class)? };
            edited.events.extend(of_class.filter(|_| is_there != existed));
        }
        for (id, entries) in edit.blocks {
            self.put(id, entries, &mut edited);
        }
        Ok(edited)
    }

    fn drop_class(&mut self, class: Class) -> Result<Option<PeerClass>, Halt> {
        fn take<K: Ord>(sets: &mut BTreeMap<K, BTreeSet<Class>>, key: &K, class: Class) {
            if let Some(set) = sets.get_mut(key) {
                set.remove(&class);
                if set.is_empty() {
                    sets.remove(key);
                }
            }
        }
        let Some(gone) = self.classes.remove(&class) else { return Ok(None) };
        take(&mut self.of_identity, &gone.identity, class);
        if let Some(cidr) = gone.cidr {
            take(&mut self.of_cidr, &cidr, class);
            self.numbers.release(gone.identity, cidr)?;
        }
        Ok(Some(gone))
    }

    fn put(&mut self, id: BlockId, entries: BTreeMap<IpNet, PlanAddress>, edited: &mut Edited) {
        let tells = match id {
            BlockId::HOST | BlockId::NETWORKS => BTreeSet::new(),
            _ => self.tells(entries.values()),
        };
        let first = entries.values().next().map(|entry| entry.identity);
        let kind = first.and_then(|identity| self.kinds.get(identity));
        let labels = kind.map(|kind| SecurityLabels::of(&kind.example).labels().clone());
        let identities = first
            .zip(labels)
            .map(|(identity, labels)| PlanIdentity { identity, labels })
            .into_iter()
            .collect();
        let block = Block { addresses: entries.into_values().collect(), identities, ..Block::default() };
        let old = self.blocks.get(&id);
        let unchanged = old.map_or(block.addresses.is_empty(), |old| *old.block == block);
        let old_tells = old.map(|old| old.tells.clone()).unwrap_or_default();
        for class in old_tells.symmetric_difference(&tells) {
            edited.retold.insert(*class);
            let tellers = self.tellers.entry(*class).or_default();
            if !tellers.insert(id) {
                tellers.remove(&id);
            }
            if tellers.is_empty() {
                self.tellers.remove(class);
            }
        }
        if block.addresses.is_empty() {
            self.blocks.remove(&id);
        } else if unchanged {
            if let Some(told) = self.blocks.get_mut(&id) {
                told.tells = tells;
            }
        } else {
            self.blocks.insert(id, Told { block: Arc::new(block), tells });
        }
        if !unchanged {
            edited.blocks.insert(id);
        }
    }

    /// The classes of `entries`, and those that their addresses would be taken for without them.
    fn tells<'e>(&self, entries: impl Iterator<Item = &'e PlanAddress>) -> BTreeSet<Class> {
        let mut tells = BTreeSet::new();
        for entry in entries {
            let around = match self.classes.get(&entry.class) {
                Some(class) if class.member == Member::World => self.cidrs.around(&entry.prefix),
                Some(class) => class.cidr,
                None => None,
            };
            tells.extend([entry.class, self.class_of(around)]);
        }
        tells
    }

    /// The blocks that rows which name the classes `named` can tell, and those that every node has; sorted.
    pub(super) fn told_by(&self, named: &[Class]) -> Vec<BlockId> {
        let told = named.iter().filter_map(|class| self.tellers.get(class)).flatten().copied();
        let mut blocks: Vec<BlockId> = told.chain(BlockId::COMMON).collect();
        blocks.sort_unstable();
        blocks.dedup();
        blocks
    }

    pub(super) fn block(&self, id: BlockId) -> Option<&Arc<Block>> {
        self.blocks.get(&id).map(|told| &told.block)
    }

    /// What `address` of `identity` is in the plan of the node that has it.
    pub(super) fn address(&self, identity: Identity, address: IpAddr) -> PlanAddress {
        PlanAddress { prefix: IpNet::from(address), identity, class: self.class(identity, address) }
    }

    /// The class of an address of `identity`.
    pub(super) fn class(&self, identity: Identity, address: IpAddr) -> Class {
        let cidr = self.cidrs.narrowest(address);
        if identity == Identity::WORLD {
            return self.class_of(cidr);
        }
        cidr.and_then(|cidr| self.numbers.known(identity, cidr)).unwrap_or(identity.into())
    }
}
