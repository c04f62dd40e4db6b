//! Workloads: where they are, and that `unmanaged` is written exactly where nobody enforces.

use std::collections::BTreeMap;

use super::super::codes::Code;
use super::super::decode::Located;
use super::super::kinds::{Kind, WorkloadSpec};
use super::super::limits;
use super::super::sink::Sink;
use super::super::tree::Span;
use super::addresses::{AddressBook, Owner};
use super::fabric::Frame;
use super::{Named, Names, Rest, at_most};
use crate::model::{AgentPresence, Attachment, Endpoint, NodeRole, PortRole, Service, Workload};
use crate::names::{NodeName, ServiceName, WorkloadName};

/// Reads every workload. What is wrong is reported and left out.
pub(super) fn workloads(
    specs: Vec<Named<WorkloadName, WorkloadSpec>>,
    frame: Option<Frame<'_>>,
    book: &mut AddressBook<'_>,
    sink: &mut Sink<'_>,
) -> (BTreeMap<WorkloadName, Workload>, Machines) {
    at_most(limits::WORKLOADS, "workloads", book.rest.count(Kind::Workload), &specs, sink);
    let mut names = Names::new("Workload");
    let mut workloads = BTreeMap::new();
    let mut machines = Machines::default();
    for Named { name, spec, .. } in specs {
        let new = names.claim(&name, sink);
        let owner = Owner { kind: "workload", name: name.value.as_str().into() };
        let addresses = book.claim(&owner, &spec.addresses, sink);
        let services = services(&spec, sink);
        if let (Some(frame), Some(labels)) = (frame, spec.labels.value()) {
            frame.labels.check(labels, sink);
        }
        let mut machines = Claimant { workload: &name.value, rest: book.rest, machines: &mut machines };
        let attachment = frame.and_then(|frame| attachment(&spec, name.span, frame, &mut machines, sink));
        if let (true, Some(attachment), Some(labels)) = (new, attachment, spec.labels.value()) {
            let place = sink.place(name.span);
            let workload = Workload {
                name: name.value.clone(),
                labels: labels.labels(),
                addresses,
                attachment,
                enforcement: spec.enforcement.value().copied().unwrap_or_default(),
                services,
                place,
            };
            workloads.insert(name.value, workload);
        }
    }
    (workloads, machines)
}

fn services(spec: &WorkloadSpec, sink: &mut Sink<'_>) -> BTreeMap<ServiceName, Service> {
    let mut names = Names::new("service");
    let mut services = BTreeMap::new();
    for Located { value: service, .. } in spec.services.value().into_iter().flat_map(|services| &services.0) {
        let Some(name) = service.name.given() else { continue };
        if names.claim(name, sink)
            && let (Some(&protocol), Some(port)) = (service.protocol.value(), service.port.value())
        {
            services.insert(name.value.clone(), Service { protocol, port: port.0 });
        }
    }
    services
}

/// Who enforces at a port.
enum Enforcer {
    /// The agent of its node.
    Agent,
    /// Nobody, and why.
    Nobody(String),
}

/// The nodes that are workloads themselves.
pub(crate) type Machines = BTreeMap<NodeName, Machine>;

/// The workload that a node is, and where that is said.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) workload: WorkloadName,
    span: Span,
}

/// A workload that may be a node itself, beside others.
struct Claimant<'c, 'r> {
    workload: &'c WorkloadName,
    rest: Rest<'r>,
    machines: &'c mut Machines,
}

impl Claimant<'_, '_> {
    /// Takes a node for the workload; what two of one machine would send each other passes no port.
    fn claim(&mut self, end: &Endpoint, span: Span, sink: &mut Sink<'_>) -> Option<()> {
        let Some(first) = self.machines.get(&end.node).or_else(|| self.rest.machine(&end.node)) else {
            self.machines.insert(end.node.clone(), Machine { workload: self.workload.clone(), span });
            return Some(());
        };
        let message = format!("node `{}` is another workload already, by its uplink", end.node);
        let place = sink.place(first.span);
        let help = format!(
            "the first is at {place}; give it these addresses too, or attach this to a port of role workload"
        );
        sink.error(Code::PortInUse, span, message, help);
        None
    }
}

fn attachment(
    spec: &WorkloadSpec,
    name: Span,
    frame: Frame<'_>,
    machines: &mut Claimant<'_, '_>,
    sink: &mut Sink<'_>,
) -> Option<Attachment> {
    let unmanaged = spec.unmanaged.or(false)?;
    if spec.attachment.is_absent() {
        if spec.unmanaged.given().is_some() && !unmanaged {
            let help = "write its `attachment`, or `unmanaged: true`".to_owned();
            sink.error(Code::Enforcement, name, "who enforces for this workload is not said", help);
        }
        return unmanaged.then_some(Attachment::Unmanaged(None));
    }
    let written = spec.attachment.given()?;
    let (end, role) = frame.attachment(written, sink)?;
    if role == PortRole::Uplink {
        machines.claim(&end, written.span, sink)?;
    }
    match enforcer(&end, role, written.span, frame, sink)? {
        Enforcer::Agent if unmanaged => {
            let message =
                format!("the agent of `{}` enforces at `{}`, so the workload is managed", end.node, end.port);
            let span = spec.unmanaged.given().map_or(written.span, |unmanaged| unmanaged.span);
            sink.error(Code::Enforcement, span, message, "leave `unmanaged` out".to_owned());
            None
        }
        Enforcer::Agent => Some(Attachment::Managed(end)),
        Enforcer::Nobody(_) if unmanaged => Some(Attachment::Unmanaged(Some(end))),
        Enforcer::Nobody(why) => {
            let message = format!("nobody enforces at `{end}`: {why}");
            let help = "write `unmanaged: true` beside the attachment, or attach it to a port of role workload or \
                        uplink of a node with an agent";
            sink.error(Code::Enforcement, written.span, message, help.to_owned());
            None
        }
    }
}

/// Who enforces at a port that a workload may be at.
fn enforcer(
    end: &Endpoint,
    role: PortRole,
    span: Span,
    frame: Frame<'_>,
    sink: &mut Sink<'_>,
) -> Option<Enforcer> {
    let node = frame.fabric.nodes.get(&end.node);
    match role {
        PortRole::Uplink if node.is_some_and(|node| node.role == NodeRole::Switch) => {
            let message = format!("`{end}` is an uplink of a switch, which is no workload itself");
            sink.error(Code::WrongPort, span, message, frame.ports_of_role(&end.node, PortRole::Workload));
            None
        }
        PortRole::Management => {
            let message = format!("`{end}` is a port of role {role}; no workload can be behind it");
            sink.error(Code::WrongPort, span, message, frame.ports_of_role(&end.node, PortRole::Workload));
            None
        }
        PortRole::Fabric => {
            frame.unwired(end, span, sink)?;
            Some(Enforcer::Nobody("workloads at a port of role fabric are outside of enforcement".to_owned()))
        }
        PortRole::Workload | PortRole::Uplink => Some(match node.map(|node| node.agent) {
            Some(AgentPresence::Enabled) => Enforcer::Agent,
            _ => Enforcer::Nobody(format!("node `{}` has no agent", end.node)),
        }),
    }
}
