//! A node and one of its ports: what the tables say there, and what should become of packets that arrive, or that the node sends.

use std::collections::BTreeMap;
use std::net::IpAddr;

use selvedge_abi::{Config, Reason};
use selvedge_agent_core::lower::{LowerError, config, lower, ports};
use selvedge_agent_core::machine::{IfIndex, Interface, Machine};
use selvedge_agent_core::tables::{Slot, SlotTables};
use selvedge_classifier::testing::{MemoryTables, PORT, world::TIMEOUTS};
use selvedge_topology::l4::L4Key;
use selvedge_topology::model::{Attachment, Direction, Model, NodeRole, PortRole, Workload};
use selvedge_topology::names::{NodeName, PortName};
use selvedge_topology::oracle::{Judgement, Party, Who, judge, may_send};
use selvedge_topology::plan::{Generation, Plan, PlanPort};

/// A node of a model, and the port that packets arrive on.
pub struct Scene<'m> {
    /// The model.
    pub model: &'m Model,
    /// The node's plan.
    pub plan: &'m Plan,
    /// The port.
    pub arrival: &'m PlanPort,
    /// Who is behind the node, and at which port.
    pub locals: BTreeMap<IpAddr, (&'m Workload, &'m PortName)>,
}

impl<'m> Scene<'m> {
    /// Packets that arrive on one of the plan's ports.
    pub fn new(model: &'m Model, plan: &'m Plan, arrival: &'m PlanPort) -> Self {
        Self { model, plan, arrival, locals: locals(model, &plan.node) }
    }

    /// The port that `address` is behind, where it is one of this node's workloads'.
    pub fn behind(&self, address: IpAddr) -> Option<&'m PortName> {
        self.locals.get(&address).map(|(_, port)| *port)
    }

    /// Whether this node is a workload itself, and has the address as that.
    pub fn is_machine(&self, address: IpAddr) -> bool {
        let role =
            |name: &PortName| self.plan.ports.iter().find(|port| port.name == *name).map(|port| port.role);
        self.behind(address).and_then(role) == Some(PortRole::Uplink)
    }

    /// Whether the address is the node's own, that of a workload that it is among them: packets from there are sent, not
    /// received.
    pub fn is_of_the_node(&self, address: IpAddr) -> bool {
        self.is_machine(address) || self.is_host(address)
    }

    fn is_host(&self, address: IpAddr) -> bool {
        matches!(Party::seen_from(self.model, &self.plan.node, address).who, Who::Host)
    }

    /// What is decided of a packet that the node sends, by who the ends are, before any policy.
    pub fn decided_when_sent(&self, source: IpAddr, destination: IpAddr) -> Option<Reason> {
        if !may_send(self.model, &self.plan.node, source) {
            return Some(Reason::Spoofed);
        }
        let local = self.behind(source).is_some() || self.behind(destination).is_some();
        (!local).then_some(Reason::FromNode)
    }

    /// What is decided of a packet that arrives, by who the ends are, before any policy.
    pub fn decided(&self, source: IpAddr, destination: IpAddr) -> Option<Reason> {
        let own = |address| self.is_host(address);
        let behind = self.behind(source);
        match self.arrival.role {
            PortRole::Workload if behind != Some(&self.arrival.name) => return Some(Reason::Spoofed),
            PortRole::Uplink | PortRole::Fabric if behind.is_some() || own(source) => {
                return Some(Reason::Spoofed);
            }
            _ => {}
        }
        if behind.is_some() || self.behind(destination).is_some() {
            return None;
        }
        Some(match self.plan.role {
            _ if own(destination) => Reason::ToNode,
            NodeRole::Switch => Reason::Transit,
            NodeRole::Host | NodeRole::Dpu => Reason::NotLocal,
        })
    }

    /// What the oracle says of a new connection at this node's ends: the source's egress, then the destination's
    /// ingress. `None` of an end that is elsewhere.
    pub fn judgements(&self, source: IpAddr, destination: IpAddr, key: L4Key) -> [Option<Judgement>; 2] {
        let end = |this: IpAddr, other: IpAddr, direction| {
            let (workload, _) = self.locals.get(&this)?;
            let other = Party::seen_from(self.model, &self.plan.node, other);
            Some(judge(self.model, workload, direction, &other, key))
        };
        [end(source, destination, Direction::Egress), end(destination, source, Direction::Ingress)]
    }
}

/// Who is behind this node, by address.
fn locals<'m>(model: &'m Model, node: &NodeName) -> BTreeMap<IpAddr, (&'m Workload, &'m PortName)> {
    let behind = model.workloads.values().filter_map(|workload| match &workload.attachment {
        Attachment::Managed(endpoint) if endpoint.node == *node => Some((workload, &endpoint.port)),
        Attachment::Managed(_) | Attachment::Unmanaged(_) => None,
    });
    behind
        .flat_map(|(workload, port)| {
            workload.addresses.iter().map(move |address| (*address, (workload, port)))
        })
        .collect()
}

/// What an agent with `plan` in force as `generation` writes to its maps, where packets arrive on [`PORT`]; but for idle
/// times, which are those of the classifier's cases.
pub fn tables(plan: &Plan, arrival: &PortName, generation: u64) -> Result<MemoryTables, LowerError> {
    let machine = machine(plan, arrival);
    let slot = if generation.is_multiple_of(2) { Slot::A } else { Slot::B };
    let SlotTables { addresses, prefixes, policies, intervals } =
        lower(plan, &machine, slot, &SlotTables::default())?;
    let ports = ports(plan, &machine).into_values().map(|(index, entry)| (index.0, entry)).collect();
    // Short ones, so that histories of minutes meet them.
    let config = Config { timeouts: TIMEOUTS, ..config(plan, Generation(generation), slot) };
    Ok(MemoryTables { config, ports, addresses, prefixes, policies, intervals, ..MemoryTables::default() })
}

/// The machine that `plan` is for, where `arrival` is the port that test packets arrive on.
pub fn machine(plan: &Plan, arrival: &PortName) -> Machine {
    let interfaces = plan.ports.iter().zip(PORT + 1..).map(|(port, other)| {
        let index = IfIndex(if port.name == *arrival { PORT } else { other });
        let interface = Interface::veth(index);
        (port.name.to_string(), interface)
    });
    Machine { interfaces: interfaces.collect() }
}
