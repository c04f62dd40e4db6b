//! The cases: worlds, the frames that arrive in them, and the verdict that every contender must come to.

use std::net::IpAddr;

use crate::contenders::Contender;
use crate::frames::{Family, Flow, Segment, frame};
use crate::stage::SERVICE;
use crate::world::{Denials, Policy, World, network, peer, subject};

/// Frames in the cases that spread over tables: enough to touch a table far larger than a core's own caches.
const SPREAD: u32 = 1 << 17;
/// New connections that one run opens.
pub(crate) const OPENED_PER_RUN: u32 = 8_192;
/// A port that no policy allows.
const DENIED_PORT: u16 = 22;
/// Blocked networks: as many as xdp-filter has room for.
const BLOCKED: u32 = 10_000;

/// What every contender must make of a case's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Of a connection that was opened and answered before.
    Established,
    /// Denied.
    Denied,
    /// Opens a connection: it is entered.
    Opened,
}

/// What a case is about, without its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Established { flows: u32 },
    NewDenied,
    NewAllowed,
    SourceSet,
    PolicyEntries(Pairs),
    Addresses(u32),
}

/// Policy entries as a grid, so that many entries need few addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pairs {
    pub(crate) subjects: u32,
    pub(crate) peers: u32,
}

impl Pairs {
    pub(crate) const TEN: Self = Self { subjects: 2, peers: 5 };
    pub(crate) const THOUSAND: Self = Self { subjects: 25, peers: 40 };
    pub(crate) const HUNDRED_THOUSAND: Self = Self { subjects: 250, peers: 400 };
}

impl Topic {
    const ALL: [Self; 11] = [
        Self::Established { flows: 2_000 },
        Self::Established { flows: 60_000 },
        Self::NewDenied,
        Self::NewAllowed,
        Self::SourceSet,
        Self::PolicyEntries(Pairs::TEN),
        Self::PolicyEntries(Pairs::THOUSAND),
        Self::PolicyEntries(Pairs::HUNDRED_THOUSAND),
        Self::Addresses(1_000),
        Self::Addresses(100_000),
        Self::Addresses(1_000_000),
    ];

    fn name(self) -> String {
        match self {
            Self::Established { flows } => format!("established, {flows} flows"),
            Self::NewDenied => "new, denied".to_owned(),
            Self::NewAllowed => "new, allowed".to_owned(),
            Self::SourceSet => format!("source set, {BLOCKED} prefixes"),
            Self::PolicyEntries(Pairs { subjects, peers }) => {
                format!("policy, {} entries", subjects * peers)
            }
            Self::Addresses(count) => format!("identity, {count} addresses"),
        }
    }

    fn verdict(self) -> Verdict {
        match self {
            Self::Established { .. } => Verdict::Established,
            Self::NewAllowed => Verdict::Opened,
            Self::NewDenied | Self::SourceSet | Self::PolicyEntries(_) | Self::Addresses(_) => {
                Verdict::Denied
            }
        }
    }

    /// Who takes part. The floor always does.
    pub(crate) fn contenders(self) -> Vec<Contender> {
        use Contender::{Drop, Filter, Hash, Iptables, Nft, Ours, Parse, Trie};
        let mut all = vec![Drop, Parse, Ours];
        all.extend_from_slice(match self {
            Self::SourceSet => &[Filter, Nft, Iptables],
            Self::Addresses(_) => &[Hash, Trie, Nft],
            _ => &[Nft, Iptables],
        });
        all
    }
}

/// One row of the table to be.
pub(crate) struct Case {
    pub(crate) topic: Topic,
    pub(crate) world: World,
    pub(crate) flows: Vec<Flow>,
}

impl Case {
    /// Every case of both families. Made one by one, because the large ones take memory.
    pub(crate) fn all() -> impl Iterator<Item = (Topic, Family)> {
        Topic::ALL.into_iter().flat_map(|topic| Family::BOTH.map(|family| (topic, family)))
    }

    /// `runs`: how often each contender will be measured, for the case whose flows are new only once.
    pub(crate) fn new(topic: Topic, family: Family, runs: u32) -> Self {
        let world = world(topic, family);
        let mut flows = flows(topic, &world, runs);
        // The order of flows on a wire is nobody's friend. Seeded: every run of the bench sends the same.
        fastrand::Rng::with_seed(7).shuffle(&mut flows);
        Self { topic, world, flows }
    }

    pub(crate) fn name(&self) -> String {
        case_name(self.topic, self.world.family)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.topic.verdict()
    }

    pub(crate) fn frames(&self) -> Vec<Vec<u8>> {
        self.flows.iter().map(|flow| self.frame(flow)).collect()
    }

    /// Some of the frames.
    pub(crate) fn sample(&self, count: usize) -> Vec<Vec<u8>> {
        let step = self.flows.len() / count;
        self.flows.iter().step_by(step.max(1)).take(count).map(|flow| self.frame(flow)).collect()
    }

    fn frame(&self, flow: &Flow) -> Vec<u8> {
        let segment = match self.verdict() {
            Verdict::Established => Segment::Ack,
            Verdict::Denied | Verdict::Opened => Segment::Syn,
        };
        frame(flow, segment)
    }

    /// Addresses that contenders in the stack must take for their own, to enter connections to them.
    pub(crate) fn local(&self) -> &[IpAddr] {
        match self.verdict() {
            Verdict::Denied => &[],
            Verdict::Established | Verdict::Opened => &self.world.subjects,
        }
    }
}

/// The name of a case, as results have it.
pub(crate) fn case_name(topic: Topic, family: Family) -> String {
    format!("{}, {}", topic.name(), family.name())
}

fn world(topic: Topic, family: Family) -> World {
    let (subjects, peers, policy) = match topic {
        Topic::Established { .. } | Topic::NewDenied | Topic::NewAllowed => {
            (Pairs::TEN.subjects, Pairs::TEN.peers, Policy::Pairs)
        }
        Topic::PolicyEntries(Pairs { subjects, peers }) => (subjects, peers, Policy::Pairs),
        Topic::Addresses(count) => (1, count, Policy::Identities),
        Topic::SourceSet => {
            (1, 1, Policy::Blocked((0..BLOCKED).map(|index| network(family, index)).collect()))
        }
    };
    let denials = match topic {
        Topic::PolicyEntries(_) | Topic::Addresses(_) => Denials::Logged,
        _ => Denials::Noted,
    };
    World {
        denials,
        family,
        subjects: (0..subjects).map(|index| subject(family, index)).collect(),
        peers: (0..peers).map(|index| peer(family, index)).collect(),
        policy,
    }
}

fn flows(topic: Topic, world: &World, runs: u32) -> Vec<Flow> {
    match topic {
        Topic::Established { flows } => grid(world, flows, SERVICE),
        Topic::NewAllowed => grid(world, OPENED_PER_RUN * runs, SERVICE),
        Topic::NewDenied => grid(world, 2_000, DENIED_PORT),
        Topic::PolicyEntries(_) => grid(world, SPREAD, DENIED_PORT),
        Topic::Addresses(_) => {
            let mut random = fastrand::Rng::with_seed(11);
            let flow = |_| {
                let source = world.peers[random.usize(..world.peers.len())];
                let (destination, source_port) = (world.subjects[0], random.u16(1024..));
                Flow { source, destination, source_port, destination_port: DENIED_PORT }
            };
            (0..SPREAD).map(flow).collect()
        }
        Topic::SourceSet => {
            let Policy::Blocked(networks) = &world.policy else { unreachable!("the world of this topic") };
            let flow = |network: &ipnet::IpNet| Flow {
                source: inside(network),
                destination: world.subjects[0],
                source_port: 40_000,
                destination_port: SERVICE,
            };
            networks.iter().map(flow).collect()
        }
    }
}

/// `count` flows, spread evenly over all pairs of peer and workload, none twice.
fn grid(world: &World, count: u32, destination_port: u16) -> Vec<Flow> {
    let (peers, subjects) = (world.peers.len(), world.subjects.len());
    let flow = |index: usize| Flow {
        source: world.peers[index % peers],
        destination: world.subjects[index / peers % subjects],
        source_port: 1024 + (index / (peers * subjects)) as u16,
        destination_port,
    };
    (0..count as usize).map(flow).collect()
}

/// The one address of a blocked network that sends. xdp-filter, which knows no prefixes, blocks just these.
pub(crate) fn inside(network: &ipnet::IpNet) -> IpAddr {
    match network.network() {
        IpAddr::V4(address) => std::net::Ipv4Addr::from(u32::from(address) + 77).into(),
        IpAddr::V6(address) => std::net::Ipv6Addr::from(u128::from(address) + 77).into(),
    }
}
