//! The fabric: nodes, ports, links, externals and tiers.

use std::collections::{BTreeMap, BTreeSet};

use super::super::codes::Code;
use super::super::decode::Located;
use super::super::kinds::{
    AttachmentSpec, ExternalSpec, FabricSpec, LinkSpec, NodeSpec, PortSpec, TierSpec, TimeoutsSpec,
};
use super::super::sink::{Completeness, Sink};
use super::super::tree::Span;
use super::addresses::{AddressBook, Owner};
use super::labels::LabelBook;
use super::{Named, Names, demands, unknown};
use crate::demands::Demand;
use crate::model::{
    AgentPresence, DefaultAction, DefaultRules, Endpoint, External, Fabric, Isolation, Link, Node, PortRole,
    RuleId, Tier,
};
use crate::names::{ExternalName, FabricName, NodeName, PortName, TierName};
use crate::timeouts::Timeouts;

/// The tiers of a fabric that names none.
const DEFAULT_TIERS: [(&str, Isolation); 4] = [
    ("emergency", Isolation::Open),
    ("platform", Isolation::Open),
    ("application", Isolation::Isolates),
    ("baseline", Isolation::Open),
];

/// Numbers that [`crate::rules::Numbers`] replaces.
const UNNUMBERED: DefaultRules = DefaultRules { ingress: RuleId(0), egress: RuleId(0) };

/// The ports that links take, and where.
pub(crate) type Wires = BTreeMap<Endpoint, Span>;

/// The fabric, and what others have to know of its wires.
pub(super) struct Drawn {
    pub(super) fabric: Fabric,
    pub(super) labels: LabelBook,
    pub(super) wires: Wires,
}

/// What other documents refer to.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'f> {
    pub(super) fabric: &'f Fabric,
    pub(super) labels: &'f LabelBook,
    pub(super) wires: &'f Wires,
}

/// Reads the fabric. What is wrong in it is reported and left out.
pub(super) fn fabric(
    named: Named<FabricName, FabricSpec>,
    book: &mut AddressBook<'_>,
    sink: &mut Sink<'_>,
) -> Drawn {
    let Named { name, spec, .. } = named;
    if spec.nodes.given().is_none() {
        // Every reference would dangle; the missing nodes are reported already.
        sink.lose_documents();
    }
    let (tiers, labels) = (tiers(&spec, sink), LabelBook::of(&spec, sink));
    let fabric = Fabric {
        name: name.value,
        nodes: nodes(&spec, book, sink),
        links: BTreeSet::new(),
        externals: BTreeMap::new(),
        tiers,
        // Where it is missing there is no model, and an error says so.
        default_action: spec.default_action.value().copied().unwrap_or(DefaultAction::Deny),
        default_rules: UNNUMBERED,
        established: spec.established.value().copied().unwrap_or_default(),
        established_place: spec.established.given().map(|said| sink.place(said.span)),
        timeouts: spec.timeouts.value().map(timeouts).unwrap_or_default(),
        hardware: demands::of_profiles(&spec, sink),
        label_rules: labels.rules().clone(),
    };
    let mut frame = Drawn { fabric, labels, wires: Wires::new() };
    for link in spec.links.value().into_iter().flat_map(|links| &links.0) {
        if let Some(link) = frame.link(&link.value, sink) {
            frame.fabric.links.insert(link);
        }
    }
    let mut names = Names::new("external");
    for external in spec.externals.value().into_iter().flat_map(|externals| &externals.0) {
        if let Some(external) = frame.external(&external.value, &mut names, book, sink) {
            frame.fabric.externals.insert(external.name.clone(), external);
        }
    }
    frame
}

fn tiers(spec: &FabricSpec, sink: &mut Sink<'_>) -> Vec<Tier> {
    let Some(list) = spec.tiers.value() else {
        let default = DEFAULT_TIERS.iter().filter_map(|(name, isolation)| {
            Some(Tier { name: name.parse().ok()?, isolation: *isolation, default_rules: UNNUMBERED })
        });
        return default.collect();
    };
    let mut names: Names<TierName> = Names::new("tier");
    let mut tiers = Vec::new();
    for Located { value: TierSpec { name, isolation }, .. } in &list.0 {
        let Some(name) = name.given() else { continue };
        if names.claim(name, sink) {
            let isolation = isolation.value().copied().unwrap_or(Isolation::Isolates);
            tiers.push(Tier { name: name.value.clone(), isolation, default_rules: UNNUMBERED });
        }
    }
    tiers
}

/// Each as it is written, or else its default.
fn timeouts(spec: &TimeoutsSpec) -> Timeouts {
    let TimeoutsSpec { tcp_established, tcp_half_open, tcp_closing, udp, icmp, other, fragment } = spec;
    let default = Timeouts::default();
    Timeouts {
        tcp_established: tcp_established.value().map_or(default.tcp_established, |time| time.0),
        tcp_half_open: tcp_half_open.value().map_or(default.tcp_half_open, |time| time.0),
        tcp_closing: tcp_closing.value().map_or(default.tcp_closing, |time| time.0),
        udp: udp.value().map_or(default.udp, |time| time.0),
        icmp: icmp.value().map_or(default.icmp, |time| time.0),
        other: other.value().map_or(default.other, |time| time.0),
        fragment: fragment.value().map_or(default.fragment, |time| time.0),
    }
}

fn nodes(spec: &FabricSpec, book: &mut AddressBook<'_>, sink: &mut Sink<'_>) -> BTreeMap<NodeName, Node> {
    let mut names = Names::new("node");
    let mut nodes = BTreeMap::new();
    for Located { value: spec, .. } in spec.nodes.value().into_iter().flat_map(|nodes| &nodes.0) {
        let Some(name) = spec.name.given() else { continue };
        if names.claim(name, sink)
            && let Some(node) = node(&name.value, spec, book, sink)
        {
            nodes.insert(node.name.clone(), node);
        }
    }
    nodes
}

fn node(name: &NodeName, spec: &NodeSpec, book: &mut AddressBook<'_>, sink: &mut Sink<'_>) -> Option<Node> {
    let owner = Owner { kind: "node", name: name.as_str().into() };
    let addresses = book.claim(&owner, &spec.addresses, sink);
    let mut names = Names::new("port");
    let of_node = demands::demand(&spec.xdp, sink);
    let (mut ports, mut demanded) = (BTreeMap::new(), BTreeMap::new());
    for Located { value: PortSpec { name, role, xdp }, .. } in
        spec.ports.value().into_iter().flat_map(|ports| &ports.0)
    {
        let Some(name) = name.given() else { continue };
        if names.claim(name, sink) {
            // A port without a good role is reported already; any role stands in so that links still find it.
            ports.insert(name.value.clone(), role.value().copied().unwrap_or(PortRole::Fabric));
            let demand = demands::both(&of_node, xdp, sink);
            if demand != Demand::default() {
                demanded.insert(name.value.clone(), demand);
            }
        }
    }
    Some(Node {
        name: name.clone(),
        role: spec.role.value().copied().unwrap_or(crate::model::NodeRole::Host),
        agent: spec.agent.or(AgentPresence::Enabled).unwrap_or(AgentPresence::Enabled),
        rack: spec.rack.value().cloned(),
        addresses,
        ports,
        demands: demanded,
    })
}

impl Drawn {
    pub(super) fn frame(&self) -> Frame<'_> {
        Frame { fabric: &self.fabric, labels: &self.labels, wires: &self.wires }
    }

    fn link(&mut self, spec: &LinkSpec, sink: &mut Sink<'_>) -> Option<Link> {
        let ends = spec.endpoints.value()?;
        let [first, second] = ends.0.as_slice() else { return None };
        let first = self.plug(&first.value.0, first.span, sink);
        let second = self.plug(&second.value.0, second.span, sink);
        let (first, second) = first.zip(second)?;
        let (a, b) = if first < second { (first, second) } else { (second, first) };
        Some(Link { a, b })
    }

    /// Takes a port for a wire.
    fn plug(&mut self, end: &Endpoint, span: Span, sink: &mut Sink<'_>) -> Option<Endpoint> {
        self.frame().port(&end.node, &end.port, (span, span), sink)?;
        if let Some(first) = self.wires.get(end) {
            let message = format!("`{end}` already has a wire");
            let help = format!("the first is at {}", sink.place(*first));
            sink.error(Code::PortInUse, span, message, help);
            return None;
        }
        self.wires.insert(end.clone(), span);
        Some(end.clone())
    }

    fn external(
        &mut self,
        spec: &ExternalSpec,
        names: &mut Names<ExternalName>,
        book: &mut AddressBook<'_>,
        sink: &mut Sink<'_>,
    ) -> Option<External> {
        let name = spec.name.given()?;
        let new = names.claim(name, sink);
        let owner = Owner { kind: "external", name: name.value.as_str().into() };
        let addresses = book.claim(&owner, &spec.addresses, sink);
        let attachment = spec.attachment.given()?;
        let (end, role) = self.frame().attachment(attachment, sink)?;
        if role != PortRole::Fabric {
            let message =
                format!("`{end}` is a port of role {role}; what is outside enters at a port of role fabric");
            sink.error(
                Code::WrongPort,
                attachment.span,
                message,
                self.frame().ports_of_role(&end.node, PortRole::Fabric),
            );
            return None;
        }
        self.frame().unwired(&end, attachment.span, sink)?;
        new.then(|| External { name: name.value.clone(), attachment: end, addresses })
    }
}

impl Frame<'_> {
    /// Resolves where something is attached.
    pub(super) fn attachment(
        self,
        spec: &Located<AttachmentSpec>,
        sink: &mut Sink<'_>,
    ) -> Option<(Endpoint, PortRole)> {
        let (node, port) = (spec.value.node.given()?, spec.value.port.given()?);
        let role = self.port(&node.value, &port.value, (node.span, port.span), sink)?;
        Some((Endpoint { node: node.value.clone(), port: port.value.clone() }, role))
    }

    /// The role of a port, or an error for the part of the name that nothing has.
    fn port(
        self,
        node: &NodeName,
        port: &PortName,
        (node_span, port_span): (Span, Span),
        sink: &mut Sink<'_>,
    ) -> Option<PortRole> {
        let Some(known) = self.fabric.nodes.get(node) else {
            unknown("node", node.as_str(), node_span, self.fabric.nodes.keys().map(NodeName::as_str), sink);
            return None;
        };
        let role = known.ports.get(port).copied();
        if role.is_none() {
            let what = format!("port of node `{node}` named");
            unknown(&what, port.as_str(), port_span, known.ports.keys().map(PortName::as_str), sink);
        }
        role
    }

    /// Reports a port that a link already takes.
    pub(super) fn unwired(self, end: &Endpoint, span: Span, sink: &mut Sink<'_>) -> Option<()> {
        let Some(link) = self.wires.get(end) else { return Some(()) };
        let message = format!("`{end}` already has a wire");
        let help = format!("the link is at {}; attach this to a port of its own", sink.place(*link));
        sink.error(Code::PortInUse, span, message, help);
        None
    }

    /// A hint that lists the ports of a node that have `role`.
    pub(super) fn ports_of_role(self, node: &NodeName, role: PortRole) -> Option<String> {
        let ports = &self.fabric.nodes.get(node)?.ports;
        let names: Vec<String> = ports
            .iter()
            .filter(|(_, has)| **has == role)
            .map(|(name, _)| format!("`{name}`"))
            .take(8)
            .collect();
        if names.is_empty() {
            return Some(format!("node `{node}` has no port of role {role}"));
        }
        Some(format!("ports of role {role}: {}", names.join(", ")))
    }

    /// The tier of this name, as an index.
    pub(super) fn tier(self, name: &Located<TierName>, sink: &mut Sink<'_>) -> Option<usize> {
        let tiers = &self.fabric.tiers;
        let index = tiers.iter().position(|tier| tier.name == name.value);
        if index.is_none() && sink.completeness() == Completeness::Complete {
            unknown(
                "tier",
                name.value.as_str(),
                name.span,
                tiers.iter().map(|tier| tier.name.as_str()),
                sink,
            );
        }
        index
    }
}
