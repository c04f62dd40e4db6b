//! A fabric in Mermaid's language.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use selvedge_topology::model::{Link, Model};
use selvedge_topology::names::NodeName;

use super::{behind, nature};

pub(super) fn render(model: &Model) -> String {
    // Mermaid's own words (`end`, `class`) can't be ids, so nodes are numbered.
    let ids: BTreeMap<&NodeName, String> =
        model.fabric.nodes.keys().enumerate().map(|(index, name)| (name, format!("n{index}"))).collect();
    let id = |name: &NodeName| ids.get(name).map_or("unknown", String::as_str);
    let mut out = String::from("graph TD\n");
    // Writing to a string can't fail.
    for node in model.fabric.nodes.values() {
        let mut lines = vec![node.name.to_string(), nature(node)];
        lines.extend(behind(model, node));
        let _ = writeln!(out, "  {}[\"{}\"]", id(&node.name), lines.join("<br/>"));
    }
    for Link { a, b, .. } in &model.fabric.links {
        let _ = writeln!(out, "  {} ---|\"{} : {}\"| {}", id(&a.node), a.port, b.port, id(&b.node));
    }
    out
}
