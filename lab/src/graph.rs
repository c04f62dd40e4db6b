//! A picture of a fabric, as a Mermaid flowchart: GitHub and most editors draw it.

use std::collections::BTreeMap;
use std::fmt::Write;

use selvedge_topology::model::{AgentPresence, Attachment, Endpoint, Model, Node, NodeRole};
use selvedge_topology::names::{NodeName, RackName};

/// The flowchart of `model`: nodes by rack, links by port, workloads at their ports. Nodes that enforce have a thick
/// border, what nobody enforces for a dashed one.
pub fn mermaid(model: &Model) -> String {
    let mut text = String::from("flowchart TB\n");
    let drawn = draw(model, &mut text);
    debug_assert!(drawn.is_ok(), "writing to a string can't fail");
    text
}

fn draw(model: &Model, text: &mut String) -> std::fmt::Result {
    for (rack, nodes) in racks(model) {
        if let Some(rack) = rack {
            writeln!(text, "  subgraph r_{rack} [rack {rack}]")?;
        }
        nodes.iter().try_for_each(|node| place(text, node))?;
        nodes.iter().try_for_each(|node| workloads(model, text, &node.name))?;
        if rack.is_some() {
            writeln!(text, "  end")?;
        }
    }
    for link in &model.fabric.links {
        let (upper, lower) = by_height(model, &link.a, &link.b);
        writeln!(text, "  n_{} ---|{} {}| n_{}", upper.node, upper.port, lower.port, lower.node)?;
    }
    for external in model.fabric.externals.values() {
        let Endpoint { node, port } = &external.attachment;
        writeln!(text, "  n_{node} ---|{port}| x_{name}([{name}]):::unenforced", name = external.name)?;
    }
    text.push_str("  classDef enforces stroke-width:3px\n");
    text.push_str("  classDef unenforced stroke-dasharray:4 3\n");
    Ok(())
}

fn racks(model: &Model) -> BTreeMap<Option<&RackName>, Vec<&Node>> {
    let mut racks: BTreeMap<Option<&RackName>, Vec<&Node>> = BTreeMap::new();
    for node in model.fabric.nodes.values() {
        racks.entry(node.rack.as_ref()).or_default().push(node);
    }
    racks
}

fn place(text: &mut String, node: &Node) -> std::fmt::Result {
    let Node { name, role, agent, .. } = node;
    let class = match agent {
        AgentPresence::Enabled => ":::enforces",
        AgentPresence::None => "",
    };
    match role {
        NodeRole::Switch => writeln!(text, "    n_{name}{{{{{name}}}}}{class}"),
        NodeRole::Host => writeln!(text, "    n_{name}[{name}]{class}"),
        NodeRole::Dpu => writeln!(text, "    n_{name}[[{name}]]{class}"),
    }
}

fn workloads(model: &Model, text: &mut String, node: &NodeName) -> std::fmt::Result {
    for workload in model.workloads.values() {
        let (port, class) = match &workload.attachment {
            Attachment::Managed(port) => (port, ""),
            Attachment::Unmanaged(Some(port)) => (port, ":::unenforced"),
            Attachment::Unmanaged(None) => continue,
        };
        if port.node == *node {
            writeln!(text, "    n_{node} ---|{}| w_{name}({name}){class}", port.port, name = workload.name)?;
        }
    }
    Ok(())
}

/// The end that is drawn above the other: of a switch in no rack, else of a switch.
fn by_height<'a>(model: &Model, a: &'a Endpoint, b: &'a Endpoint) -> (&'a Endpoint, &'a Endpoint) {
    let depth = |end: &Endpoint| match model.fabric.nodes.get(&end.node) {
        Some(node) if node.role == NodeRole::Switch => u8::from(node.rack.is_some()),
        _ => 2,
    };
    if depth(b) < depth(a) { (b, a) } else { (a, b) }
}
