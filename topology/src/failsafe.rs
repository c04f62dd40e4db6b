//! What nodes can't live without, and which policy would cut them off from it.
//!
//! What a node itself says to a service of its own, and is answered, passes its ports whatever policy says, and before there is
//! any. It is judged all the same where the service is a workload that somebody enforces for, by that workload's policy, and
//! where the node has no address but those of the workload that it is, by that one's. Once such a policy is in force, the
//! node can't be told of a better one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::l4::{L4Key, Protocol};
use crate::labels::Labels;
use crate::model::{Attachment, Direction, Endpoint, Model, Place, Policy, PortRole, Workload};
use crate::names::{NodeName, WorkloadName};
use crate::oracle::{self, Judgement, Party, Who};

/// What a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKind {
    /// A member of the etcd that plans come from.
    Etcd,
    /// The controller.
    Controller,
}

impl fmt::Display for ServiceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Etcd => "etcd",
            Self::Controller => "controller",
        })
    }
}

/// Where a node knows a service from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The token that it enrolled with.
    Token,
    /// An option of its agent.
    Option,
}

/// A service that a node can't live without, over TCP.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    /// What it is.
    pub kind: ServiceKind,
    /// Its address or its name, as the node knows it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Where the node knows it from.
    pub origin: Origin,
}

impl Service {
    /// Its address; `None` for a name, which no program on a port can know.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Who would be cut off.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dependent {
    /// A node.
    Node(NodeName),
    /// Whoever asks, from this address.
    Asker(IpAddr),
}

impl fmt::Display for Dependent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Asker(address) => write!(f, "yourself, at {address}"),
        }
    }
}

/// Somebody's need of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// Whose.
    pub dependent: Dependent,
    /// What the service is.
    pub kind: ServiceKind,
    /// Its address.
    pub address: IpAddr,
    /// Its TCP port.
    pub port: u16,
}

impl Need {
    /// What `node` needs of `services`, as far as they have addresses.
    pub fn of_node<'s>(
        node: &'s NodeName,
        services: impl IntoIterator<Item = &'s Service> + 's,
    ) -> impl Iterator<Item = Self> + 's {
        services.into_iter().filter_map(move |service| {
            let (dependent, address) = (Dependent::Node(node.clone()), service.address()?);
            Some(Self { dependent, kind: service.kind, address, port: service.port })
        })
    }
}

/// A service that policy would cut somebody off from, and by which rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// What the service is.
    pub kind: ServiceKind,
    /// Its address.
    pub address: IpAddr,
    /// Its TCP port.
    pub port: u16,
    /// Whose policy it is.
    pub workload: WorkloadName,
    /// The rule, or default, that denies, as flows show it.
    pub rule: String,
    /// Where the documents say it; `None` for a default.
    pub place: Option<Place>,
    /// Who would be cut off.
    pub dependents: BTreeSet<Dependent>,
}

/// Most nodes that are named; there may be thousands.
const NAMED: usize = 6;

impl fmt::Display for Lockout {
    /// `etcd at 10.1.0.21:2379: application/default-deny/ingress of workload db1 denies it to node host1, node host2 and 7 more`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, address, port, workload, rule, place, dependents } = self;
        let at = std::net::SocketAddr::new(*address, *port);
        let place = place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        let named: Vec<String> = dependents.iter().take(NAMED).map(ToString::to_string).collect();
        write!(f, "{kind} at {at}: {rule}{place} of workload {workload} denies it to {}", named.join(", "))?;
        match dependents.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// What the policy of `model` would cut off of `needs`. Where it is not known which address somebody speaks from, nothing is
/// known to be cut.
pub fn lockouts(model: &Model, needs: &BTreeSet<Need>) -> Vec<Lockout> {
    match needs.is_empty() {
        true => Vec::new(),
        false => lockouts_among(model, model.workloads.values(), needs),
    }
}

/// As [`lockouts`], where only `workloads` have addresses, or are nodes, that `needs` are about.
pub(crate) fn lockouts_among<'m>(
    model: &'m Model,
    workloads: impl Iterator<Item = &'m Workload>,
    needs: &BTreeSet<Need>,
) -> Vec<Lockout> {
    let surroundings = Surroundings::of(model, workloads, needs);
    let mut selecting: BTreeMap<&Labels, Vec<&Policy>> = BTreeMap::new();
    let mut found: BTreeMap<(ServiceKind, IpAddr, u16, WorkloadName, String), Lockout> = BTreeMap::new();
    for need in needs {
        for Question { subject, direction, peer } in surroundings.questions(need) {
            let policies =
                selecting.entry(&subject.labels).or_insert_with(|| oracle::selecting(model, subject));
            let key = L4Key::new(Protocol::TCP, need.port);
            let Judgement { outcome, display: rule, place, .. } =
                oracle::judge_by(model, policies, subject, direction, &peer, key);
            if outcome.is_allowed() {
                continue;
            }
            let &Need { kind, address, port, .. } = need;
            let workload = subject.name.clone();
            let lockout = found.entry((kind, address, port, workload.clone(), rule.clone()));
            let none = || Lockout { kind, address, port, workload, rule, place, dependents: BTreeSet::new() };
            lockout.or_insert_with(none).dependents.insert(need.dependent.clone());
        }
    }
    found.into_values().collect()
}

/// What a workload's policy is asked.
struct Question<'m> {
    subject: &'m Workload,
    direction: Direction,
    peer: Party<'m>,
}

/// Who is at the addresses that needs are about, found in one walk.
struct Surroundings<'m> {
    model: &'m Model,
    workloads: BTreeMap<IpAddr, &'m Workload>,
    nodes: BTreeMap<IpAddr, &'m NodeName>,
    /// The workloads that are nodes, of nodes without addresses to speak from.
    machines: BTreeMap<&'m NodeName, &'m Workload>,
}

impl<'m> Surroundings<'m> {
    fn of(model: &'m Model, all: impl Iterator<Item = &'m Workload>, needs: &BTreeSet<Need>) -> Self {
        let mut asked: BTreeSet<IpAddr> = needs.iter().map(|need| need.address).collect();
        asked.extend(needs.iter().filter_map(|need| match need.dependent {
            Dependent::Asker(address) => Some(address),
            Dependent::Node(_) => None,
        }));
        let bare: BTreeSet<&NodeName> =
            needs.iter().filter_map(|need| without_address(model, need)).collect();
        let (mut workloads, mut nodes, mut machines) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for workload in all {
            let here = workload.addresses.iter().filter(|address| asked.contains(address));
            workloads.extend(here.map(|address| (*address, workload)));
            if !bare.is_empty()
                && let Some(at) = managed_at(workload)
                && bare.contains(&at.node)
                && is_machine(model, at)
            {
                machines.insert(&at.node, workload);
            }
        }
        for node in model.fabric.nodes.values() {
            let here = node.addresses.iter().filter(|address| asked.contains(address));
            nodes.extend(here.map(|address| (*address, &node.name)));
        }
        Self { model, workloads, nodes, machines }
    }

    /// Everything that is asked of policy about a connection that `need` takes.
    fn questions(&self, need: &Need) -> Vec<Question<'m>> {
        match &need.dependent {
            Dependent::Asker(address) => {
                let source = self.workloads.get(address).copied();
                self.between(*address, source, None, need.address)
            }
            Dependent::Node(node) => self.of_node(node, need.address),
        }
    }

    fn of_node(&self, node: &NodeName, service: IpAddr) -> Vec<Question<'m>> {
        let Some((name, node)) = self.model.fabric.nodes.get_key_value(node) else { return Vec::new() };
        let machine = match alike(&node.addresses, service).next() {
            Some(_) => None,
            None => self.machines.get(name).copied(),
        };
        let addresses = machine.map_or(&node.addresses, |machine| &machine.addresses);
        alike(addresses, service).flat_map(|from| self.between(from, machine, Some(name), service)).collect()
    }

    /// Asks the policy of both ends, as far as there are workloads that somebody enforces for. `node` is the one that speaks, where it
    /// is one.
    fn between(
        &self,
        from: IpAddr,
        source: Option<&'m Workload>,
        node: Option<&NodeName>,
        to: IpAddr,
    ) -> Vec<Question<'m>> {
        let destination = self.workloads.get(&to).copied();
        let speaker = node.or_else(|| self.nodes.get(&from).copied());
        let host =
            destination.and_then(managed_at).filter(|at| is_machine(self.model, at)).map(|at| &at.node);
        // What a workload that is a node and that node's own addresses say to each other leaves no machine.
        if source.is_none() && speaker.is_some() && host == speaker {
            return Vec::new();
        }
        let mut questions = Vec::new();
        if let Some((subject, at)) = destination.and_then(|it| Some((it, managed_at(it)?))) {
            let peer = Party { address: from, who: who(source, speaker, at) };
            questions.push(Question { subject, direction: Direction::Ingress, peer });
        }
        if let Some((subject, at)) = source.and_then(|it| Some((it, managed_at(it)?)))
            && self.nodes.get(&to) != Some(&&at.node)
        {
            let peer = Party { address: to, who: who(destination, self.nodes.get(&to).copied(), at) };
            questions.push(Question { subject, direction: Direction::Egress, peer });
        }
        questions
    }
}

/// Those of `addresses` that a service at `service` can be spoken to from.
fn alike(addresses: &BTreeSet<IpAddr>, service: IpAddr) -> impl Iterator<Item = IpAddr> {
    addresses.iter().copied().filter(move |address| address.is_ipv4() == service.is_ipv4())
}

/// The node of `need`, where it has no address of its own to speak from.
fn without_address<'m>(model: &'m Model, need: &Need) -> Option<&'m NodeName> {
    let Dependent::Node(name) = &need.dependent else { return None };
    let (name, node) = model.fabric.nodes.get_key_value(name)?;
    alike(&node.addresses, need.address).next().is_none().then_some(name)
}

/// Who somebody is to the node of `at`.
fn who<'m>(workload: Option<&'m Workload>, node: Option<&NodeName>, at: &Endpoint) -> Who<'m> {
    match (workload, node) {
        (Some(workload), _) => Who::Workload(workload),
        (None, Some(node)) if *node == at.node => Who::Host,
        (None, Some(_)) => Who::RemoteNode,
        (None, None) => Who::World,
    }
}

fn managed_at(workload: &Workload) -> Option<&Endpoint> {
    match &workload.attachment {
        Attachment::Managed(at) => Some(at),
        Attachment::Unmanaged(_) => None,
    }
}

/// Whether what is attached there is the node itself.
fn is_machine(model: &Model, at: &Endpoint) -> bool {
    let node = model.fabric.nodes.get(&at.node);
    node.and_then(|node| node.ports.get(&at.port)) == Some(&PortRole::Uplink)
}
