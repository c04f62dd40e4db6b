//! Model → [`Blueprint`].
//!
//! The fabric is routed: every wire between nodes carries link-local addresses only, every node knows the way to
//! every address. A workload has its address alone (`/32`, `/128`) and one way out, through the node's port, as
//! in Calico's or Cilium's routed modes; so two workloads never talk past the node. A workload at an uplink is the node, and
//! lives in its namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use selvedge_topology::model::{AgentPresence, Attachment, Endpoint, Model, Node, PortRole};
use selvedge_topology::names::{NodeName, PortName};

use super::routes::Neighbours;
use super::{
    Blueprint, BlueprintError, FIRST_INTERFACE_INDEX, Forwarding, Interface, InterfaceKind, NextHop,
    PortIsolation, Route, Space, Tenant, Wire, WireEnd,
};
use crate::names::{LabName, NamespaceName, Target};

/// What a workload sees as its router, on every port.
const GATEWAY_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));
const GATEWAY_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
/// The controller's address in the out-of-band network; nodes have the following ones.
pub(crate) const CONTROLLER: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 1);
/// Room for more nodes than documents may have.
const MANAGEMENT_PREFIX: u8 = 16;
/// The name of a node's out-of-band port where its document names none.
const MANAGEMENT_PORT: &str = "mgmt0";

/// Someone attached to a port: who, with which addresses.
struct Guest<'a> {
    target: Target,
    addresses: &'a BTreeSet<IpAddr>,
}

/// Makes the blueprint of `model` as lab `lab`.
pub fn draw(model: &Model, lab: &LabName) -> Result<Blueprint, BlueprintError> {
    let mut drawing = Drawing { model, lab, spaces: Vec::new(), wires: Vec::new(), nodes: BTreeMap::new() };
    let guests = guests(model);
    drawing.nodes(&guests);
    drawing.links();
    drawing.management()?;
    drawing.attachments(&guests);
    drawing.fabric_routes(&guests);
    drawing.unique_names()?;
    Ok(Blueprint { lab: lab.clone(), spaces: drawing.spaces, wires: drawing.wires })
}

/// Who is attached to which port, uplinks among them. An unmanaged workload whose place nobody knows has no place in a lab
/// either.
fn guests(model: &Model) -> BTreeMap<&Endpoint, Vec<Guest<'_>>> {
    let mut guests: BTreeMap<&Endpoint, Vec<Guest<'_>>> = BTreeMap::new();
    for workload in model.workloads.values() {
        if let Attachment::Managed(port) | Attachment::Unmanaged(Some(port)) = &workload.attachment {
            let target = Target::Workload(workload.name.clone());
            guests.entry(port).or_default().push(Guest { target, addresses: &workload.addresses });
        }
    }
    for external in model.fabric.externals.values() {
        let target = Target::External(external.name.clone());
        guests
            .entry(&external.attachment)
            .or_default()
            .push(Guest { target, addresses: &external.addresses });
    }
    guests
}

/// Whether and by which port a node is in the out-of-band network.
fn management_port(model: &Model, node: &Node) -> Result<Option<String>, BlueprintError> {
    let linked = |port: &PortName| {
        let here = |end: &Endpoint| end.node == node.name && end.port == *port;
        model.fabric.links.iter().any(|link| here(&link.a) || here(&link.b))
    };
    let declared = node.ports.iter().find(|(port, role)| **role == PortRole::Management && !linked(port));
    if let Some((port, _)) = declared {
        return Ok(Some(port.to_string()));
    }
    if node.agent == AgentPresence::None {
        return Ok(None);
    }
    match node.ports.keys().find(|port| port.as_str() == MANAGEMENT_PORT) {
        Some(port) => Err(BlueprintError::ManagementNameTaken {
            port: Endpoint { node: node.name.clone(), port: port.clone() },
        }),
        None => Ok(Some(MANAGEMENT_PORT.to_owned())),
    }
}

struct Drawing<'a> {
    model: &'a Model,
    lab: &'a LabName,
    spaces: Vec<Space>,
    wires: Vec<Wire>,
    /// Where in `spaces` each node is.
    nodes: BTreeMap<&'a NodeName, usize>,
}

impl<'a> Drawing<'a> {
    fn space(&mut self, target: Target, forwarding: Forwarding) -> usize {
        let namespace = NamespaceName::of(self.lab, &target);
        let (loopback, interfaces, routes, tenant) = (Vec::new(), Vec::new(), Vec::new(), None);
        self.spaces.push(Space { target, namespace, forwarding, loopback, tenant, interfaces, routes });
        self.spaces.len() - 1
    }

    fn interface(&mut self, space: usize, name: &str, kind: InterfaceKind, addresses: Vec<IpNet>) -> WireEnd {
        let interfaces = &mut self.spaces[space].interfaces;
        let index = FIRST_INTERFACE_INDEX + interfaces.len() as u32;
        interfaces.push(Interface { name: name.to_owned(), index, kind, addresses });
        WireEnd { space, interface: interfaces.len() - 1 }
    }

    fn index(&self, end: WireEnd) -> u32 {
        self.spaces[end.space].interfaces[end.interface].index
    }

    fn nodes(&mut self, guests: &BTreeMap<&'a Endpoint, Vec<Guest<'a>>>) {
        for node in self.model.fabric.nodes.values() {
            let space = self.space(Target::Node(node.name.clone()), Forwarding::Routes);
            let is_here = |port: &Endpoint| port.node == node.name && is_uplink(node, &port.port);
            let tenant = guests.iter().find(|(port, _)| is_here(port)).and_then(|(_, guests)| guests.first());
            let tenant = tenant.map(|guest| Tenant {
                target: guest.target.clone(),
                addresses: guest.addresses.iter().copied().collect(),
            });
            let lent = tenant.iter().flat_map(|tenant| &tenant.addresses);
            self.spaces[space].loopback =
                node.addresses.iter().chain(lent).copied().map(IpNet::from).collect();
            self.spaces[space].tenant = tenant;
            self.nodes.insert(&node.name, space);
        }
    }

    fn links(&mut self) {
        for link in &self.model.fabric.links {
            let [a, b] = [(&link.a, 1), (&link.b, 2)].map(|(end, number)| {
                let address = vec![link_local(number)];
                self.interface(self.nodes[&end.node], end.port.as_str(), InterfaceKind::WireEnd, address)
            });
            self.wires.push(Wire { a, b });
        }
    }

    fn management(&mut self) -> Result<(), BlueprintError> {
        let centre = self.space(Target::Controller, Forwarding::EndsHere);
        let bridge = self.interface(centre, "br0", InterfaceKind::Bridge, vec![management_address(0)]);
        let kind = InterfaceKind::BridgePort { bridge: self.index(bridge), isolation: PortIsolation::Open };
        let mut members = 0;
        for node in self.model.fabric.nodes.values() {
            let Some(port) = management_port(self.model, node)? else { continue };
            members += 1;
            let address = vec![management_address(members)];
            let a = self.interface(self.nodes[&node.name], &port, InterfaceKind::Management, address);
            let b = self.interface(centre, &format!("port{members}"), kind, Vec::new());
            self.wires.push(Wire { a, b });
        }
        Ok(())
    }

    /// Everything behind ports that no link ends at.
    fn attachments(&mut self, guests: &BTreeMap<&'a Endpoint, Vec<Guest<'a>>>) {
        for node in self.model.fabric.nodes.values() {
            let space = self.nodes[&node.name];
            for port in node.ports.keys() {
                if self.spaces[space].interfaces.iter().any(|interface| interface.name == port.as_str()) {
                    continue; // a link or the out-of-band network
                }
                let gateways = vec![IpNet::from(GATEWAY_V4), link_local(1)];
                let port = Endpoint { node: node.name.clone(), port: port.clone() };
                let end = self.interface(space, port.port.as_str(), InterfaceKind::WireEnd, gateways);
                let guests = guests.get(&port).filter(|_| !is_uplink(node, &port.port));
                self.behind(end, &port, guests.map_or(&[][..], Vec::as_slice));
            }
        }
    }

    fn behind(&mut self, end: WireEnd, port: &Endpoint, guests: &[Guest<'a>]) {
        match guests {
            [guest] => {
                let guest = self.guest(guest, 0);
                self.wires.push(Wire { a: end, b: guest });
            }
            guests => self.segment(end, port, guests),
        }
        let interface = self.index(end);
        let route = |address: &IpAddr| Route {
            destination: IpNet::from(*address),
            interface,
            next_hop: NextHop::Direct,
            source: self.own_address(&port.node, *address),
        };
        let routes: Vec<Route> = guests.iter().flat_map(|guest| guest.addresses).map(route).collect();
        self.spaces[end.space].routes.extend(routes);
    }

    /// The address that a node's own packets to `other` carry: of its own, never of a port.
    fn own_address(&self, node: &NodeName, other: IpAddr) -> Option<IpAddr> {
        self.model.fabric.nodes[node].addresses.iter().copied().find(|own| own.is_ipv4() == other.is_ipv4())
    }

    /// A bridge that joins several guests to one port, and keeps them apart; nobody is behind an idle port.
    fn segment(&mut self, end: WireEnd, port: &Endpoint, guests: &[Guest<'a>]) {
        let segment = self.space(Target::Segment(port.clone()), Forwarding::EndsHere);
        let bridge = self.interface(segment, "br0", InterfaceKind::Bridge, Vec::new());
        let bridge = self.index(bridge);
        let open = InterfaceKind::BridgePort { bridge, isolation: PortIsolation::Open };
        let uplink = self.interface(segment, "uplink", open, Vec::new());
        self.wires.push(Wire { a: end, b: uplink });
        let isolated = InterfaceKind::BridgePort { bridge, isolation: PortIsolation::Isolated };
        for (number, guest) in guests.iter().enumerate() {
            let a = self.interface(segment, &format!("port{number}"), isolated, Vec::new());
            let b = self.guest(guest, number);
            self.wires.push(Wire { a, b });
        }
    }

    /// A workload or an external; `number` tells those behind one port apart.
    fn guest(&mut self, guest: &Guest<'a>, number: usize) -> WireEnd {
        let space = self.space(guest.target.clone(), Forwarding::EndsHere);
        let mut addresses: Vec<IpNet> = guest.addresses.iter().copied().map(IpNet::from).collect();
        // Neighbour discovery needs a link-local address to probe from.
        addresses.push(link_local(number as u16 + 2));
        let end = self.interface(space, "eth0", InterfaceKind::WireEnd, addresses);
        let interface = self.index(end);
        let source = |family: fn(&IpAddr) -> bool| guest.addresses.iter().copied().find(family);
        for (gateway, source) in
            [(GATEWAY_V4, source(IpAddr::is_ipv4)), (GATEWAY_V6, source(IpAddr::is_ipv6))]
        {
            if source.is_some() {
                let (destination, next_hop) = (everything(gateway), NextHop::Gateway(gateway));
                self.spaces[space].routes.push(Route { destination, interface, next_hop, source });
            }
        }
        end
    }

    /// On every node, the way to every address that is elsewhere.
    fn fabric_routes(&mut self, guests: &BTreeMap<&'a Endpoint, Vec<Guest<'a>>>) {
        let fabric = &self.model.fabric;
        let neighbours = Neighbours::of(fabric);
        for node in fabric.nodes.values() {
            let behind = guests.iter().filter(|(port, _)| port.node == node.name);
            let there: Vec<IpAddr> = behind
                .flat_map(|(_, guests)| guests)
                .flat_map(|guest| guest.addresses)
                .chain(&node.addresses)
                .copied()
                .collect();
            for (from, hop) in neighbours.first_hops_to(fabric, &node.name) {
                let space = self.nodes[from];
                let (interface, gateway) = self.across(space, &hop.port);
                let route = |address: &IpAddr| Route {
                    destination: IpNet::from(*address),
                    interface,
                    next_hop: NextHop::Gateway(gateway),
                    source: self.own_address(from, *address),
                };
                let routes: Vec<Route> = there.iter().map(route).collect();
                self.spaces[space].routes.extend(routes);
            }
        }
    }

    /// The interface of a port that a link ends at, and the address of the link's other end.
    fn across(&self, space: usize, port: &PortName) -> (u32, IpAddr) {
        let interfaces = &self.spaces[space].interfaces;
        let here = interfaces.iter().find(|interface| interface.name == port.as_str());
        let here = here.expect("every link's ends were drawn before the routes");
        let other = if here.addresses == [link_local(1)] { 2 } else { 1 };
        (here.index, link_local(other).addr())
    }

    fn unique_names(&self) -> Result<(), BlueprintError> {
        let mut seen: BTreeMap<&NamespaceName, &Target> = BTreeMap::new();
        for space in &self.spaces {
            if let Some(first) = seen.insert(&space.namespace, &space.target) {
                let (namespace, first, second) =
                    (space.namespace.clone(), first.clone(), space.target.clone());
                return Err(BlueprintError::NamespaceClash { namespace, first, second });
            }
        }
        Ok(())
    }
}

fn is_uplink(node: &Node, port: &PortName) -> bool {
    node.ports.get(port) == Some(&PortRole::Uplink)
}

/// `fe80::<number>/64`.
fn link_local(number: u16) -> IpNet {
    let address = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number));
    IpNet::new_assert(address, 64)
}

/// The `number`th address of the out-of-band network; 0 is the controller's.
fn management_address(number: u32) -> IpNet {
    let address = Ipv4Addr::from_bits(CONTROLLER.to_bits() + number);
    IpNet::V4(Ipv4Net::new_assert(address, MANAGEMENT_PREFIX))
}

/// `0.0.0.0/0` or `::/0`, in the family of `like`.
fn everything(like: IpAddr) -> IpNet {
    match like {
        IpAddr::V4(_) => IpNet::new_assert(Ipv4Addr::UNSPECIFIED.into(), 0),
        IpAddr::V6(_) => IpNet::new_assert(Ipv6Addr::UNSPECIFIED.into(), 0),
    }
}
