//! A fabric in Graphviz's language. Names have no characters that need escaping there.

use std::fmt::Write as _;

use selvedge_topology::model::{Link, Model};

use super::{behind, nature};

pub(super) fn render(model: &Model) -> String {
    let mut out = format!("graph \"{}\" {{\n  node [shape=box, fontname=monospace];\n", model.fabric.name);
    // Writing to a string can't fail.
    for node in model.fabric.nodes.values() {
        let mut lines = vec![node.name.to_string(), nature(node)];
        lines.extend(behind(model, node));
        let _ = writeln!(out, "  \"{}\" [label=\"{}\"];", node.name, lines.join("\\n"));
    }
    for Link { a, b, .. } in &model.fabric.links {
        let _ = writeln!(
            out,
            "  \"{}\" -- \"{}\" [taillabel=\"{}\", headlabel=\"{}\"];",
            a.node, b.node, a.port, b.port
        );
    }
    out.push_str("}\n");
    out
}
