//! How long it takes from documents to plans, at three sizes. Prints a table, writes target/bench/compile.json.

use std::fmt::Write;
use std::time::{Duration, Instant};

use selvedge_topology::compile::compile;
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::IdentityTable;

const REPEATS: usize = 5;

struct Size {
    name: &'static str,
    nodes: usize,
    workloads: usize,
    identities: usize,
    policies: usize,
}

const SIZES: [Size; 3] = [
    Size { name: "rack", nodes: 10, workloads: 200, identities: 20, policies: 40 },
    Size { name: "row", nodes: 50, workloads: 2_000, identities: 100, policies: 300 },
    Size { name: "hall", nodes: 200, workloads: 10_000, identities: 500, policies: 1_000 },
];

/// Workloads spread over nodes and label sets; each policy lets one label set into another, every tenth by CIDR.
fn documents(size: &Size) -> String {
    let mut out = String::new();
    let head = |out: &mut String, kind: &str, name: &str| {
        let _ = write!(out, "---\napiVersion: selvedge/v1\nkind: {kind}\nmetadata: {{name: {name}}}\n");
    };
    head(&mut out, "Fabric", "bench");
    out += "spec:\n  defaultAction: deny\n  nodes:\n";
    for node in 0..size.nodes {
        let (high, low) = (node / 250, node % 250 + 1);
        let _ = writeln!(
            out,
            "    - {{name: n{node}, role: host, addresses: [10.255.{high}.{low}], ports: [{{name: up, role: uplink}}, {{name: w, role: workload}}]}}"
        );
    }
    for index in 0..size.workloads {
        head(&mut out, "Workload", &format!("w{index}"));
        let (a, b, node) = (index / 250, index % 250 + 1, index % size.nodes);
        let _ = writeln!(
            out,
            "spec:\n  labels: {{role: r{}}}\n  addresses: [10.{}.{}.{b}]\n  attachment: {{node: n{node}, port: w}}",
            index % size.identities,
            a / 250,
            a % 250
        );
    }
    for index in 0..size.policies {
        head(&mut out, "SegmentationPolicy", &format!("p{index}"));
        let (to, from) = (index % size.identities, (index * 7 + 1) % size.identities);
        let peer = if index % 10 == 0 {
            format!("cidr: 10.0.{}.0/24", index % 250)
        } else {
            format!("selector: {{matchLabels: {{role: r{from}}}}}")
        };
        let port = 1000 + index % 5000;
        let _ = writeln!(
            out,
            "spec:\n  tier: application\n  selector: {{matchLabels: {{role: r{to}}}}}\n  ingress:\n    - action: allow\n      \
             from: [{{{peer}}}]\n      ports: [{{protocol: TCP, port: {port}, endPort: {}}}]",
            port + 10
        );
    }
    out
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

fn main() {
    let mut cases = Vec::new();
    println!(
        "{:<6} {:>7} {:>10} {:>9} {:>12} {:>12}",
        "size", "nodes", "workloads", "policies", "load ms", "compile ms"
    );
    for size in &SIZES {
        let file = [SourceFile { name: "bench.yaml".into(), text: documents(size) }];
        let (mut loads, mut compiles) = (Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            let began = Instant::now();
            let model = load(&file).model.expect("the bench's documents are valid");
            loads.push(began.elapsed());
            let mut identities = IdentityTable::default();
            identities.allocate(&model).expect("enough identities");
            let began = Instant::now();
            let plans = compile(&model, &identities).expect("identities were allocated");
            compiles.push(began.elapsed());
            assert_eq!(plans.len(), size.nodes);
        }
        let (load, compile) = (median(loads), median(compiles));
        let Size { name, nodes, workloads, identities, policies } = size;
        println!("{name:<6} {nodes:>7} {workloads:>10} {policies:>9} {load:>12.1} {compile:>12.1}");
        cases.push(serde_json::json!({
            "name": name, "nodes": nodes, "workloads": workloads, "identities": identities, "policies": policies,
            "load_ms": load, "compile_ms": compile, "repeats": REPEATS,
        }));
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench");
    std::fs::create_dir_all(folder).expect("target/bench can be made");
    let text = serde_json::to_string_pretty(&serde_json::json!({ "cases": cases })).expect("plain JSON");
    std::fs::write(format!("{folder}/compile.json"), text).expect("target/bench can be written");
}
