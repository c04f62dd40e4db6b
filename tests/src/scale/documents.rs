//! Documents, and the one of the fabric itself.

use std::fmt::Write;
use std::net::Ipv4Addr;

use super::{RACK, Size};

/// The uplink of every node.
pub const UPLINK: &str = "eth0";
/// The ports of every node that workloads are behind.
pub const PORTS: [&str; 4] = ["w0", "w1", "w2", "w3"];

/// What a document is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// E.g. `Workload`.
    pub kind: &'static str,
    /// Unique among those of its kind.
    pub name: String,
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What it is called.
    pub name: Name,
    /// All of it, in YAML, with the line that parts it from the one before.
    pub text: String,
}

impl Document {
    /// Puts the head before `spec`, which brings its key.
    pub(super) fn new(name: Name, spec: &str) -> Self {
        let head =
            format!("---\napiVersion: selvedge/v1\nkind: {}\nmetadata: {{name: {}}}\n", name.kind, name.name);
        Self { name, text: head + spec }
    }
}

/// The name of the node with this number.
pub fn node_name(number: usize) -> String {
    format!("n{number}")
}

/// Nodes in racks, each with an address out of 172.16.0.0/12.
pub(super) fn fabric(size: Size) -> Document {
    let mut spec = "spec:\n  defaultAction: deny\n  nodes:\n".to_owned();
    let ports: String = PORTS.iter().map(|port| format!(", {{name: {port}, role: workload}}")).collect();
    for node in 0..size.nodes {
        let address = Ipv4Addr::from_bits(0xac10_0001 + node as u32);
        let _ = writeln!(
            spec,
            "    - {{name: {}, role: host, rack: r{}, addresses: [{address}], ports: [{{name: {UPLINK}, role: uplink}}{ports}]}}",
            node_name(node),
            node / RACK,
        );
    }
    Document::new(Name { kind: "Fabric", name: "scale".to_owned() }, &spec)
}
