//! Pictures of fabrics, from the model alone: nothing here reads or writes anything.

mod graphviz;
mod layout;
mod mermaid;
mod svg;
mod text;

pub(crate) use svg::escape;

use selvedge_topology::model::{AgentPresence, Attachment, Endpoint, Model, Node, PortRole};

/// The fabric as text: boxes and wires of box-drawing characters.
pub fn text(model: &Model) -> String {
    text::render(&layout::layout(model))
}

/// The fabric as an SVG image, laid out like the text.
pub fn svg(model: &Model) -> String {
    svg::render(&layout::layout(model))
}

/// The fabric in Graphviz's language.
pub fn dot(model: &Model) -> String {
    graphviz::render(model)
}

/// The fabric in Mermaid's language.
pub fn mermaid(model: &Model) -> String {
    mermaid::render(model)
}

/// What a node is, in a word or two.
fn nature(node: &Node) -> String {
    match node.agent {
        AgentPresence::Enabled => format!("{}, enforces", node.role),
        AgentPresence::None => node.role.to_string(),
    }
}

/// What is behind each port of `node` that has something: workloads by name, places outside.
fn behind(model: &Model, node: &Node) -> Vec<String> {
    let mut lines = Vec::new();
    for (port, role) in &node.ports {
        if *role == PortRole::Management {
            continue;
        }
        let here = Endpoint { node: node.name.clone(), port: port.clone() };
        let workloads = model.workloads.values().filter_map(|workload| match &workload.attachment {
            Attachment::Managed(at) if *at == here => Some(workload.name.to_string()),
            Attachment::Unmanaged(Some(at)) if *at == here => Some(format!("{} (unmanaged)", workload.name)),
            Attachment::Managed(_) | Attachment::Unmanaged(_) => None,
        });
        let outside = model.fabric.externals.values().filter(|external| external.attachment == here);
        let outside: Vec<&str> = outside.map(|external| external.name.as_str()).collect();
        let outside = (!outside.is_empty()).then(|| format!("{} (outside)", outside.join(" ")));
        let all: Vec<String> = workloads.chain(outside).collect();
        if !all.is_empty() {
            lines.push(format!("{port}: {}", all.join(" ")));
        }
    }
    lines
}
