//! How long it takes to say what a change means, on a fabric of 2,000 identities and 5,000 policies. Prints a table, writes
//! target/bench/diff.json. Reading the documents is not in it, and neither is what it means
//! for nodes, for which all plans are compiled: these are measured beside.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use selvedge_tests::scale::{Edit, Fabric, Kind, Size};
use selvedge_topology::diff::{Pairs, difference, nodes};
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::Model;

const REPEATS: usize = 5;
/// What is wanted of every change, in milliseconds.
const LIMIT: f64 = 2_000.0;

fn read(text: String) -> Model {
    load(&[SourceFile { name: "bench.yaml".into(), text }]).model.expect("the bench's documents are valid")
}

fn text(fabric: &Fabric) -> String {
    fabric.documents().map(|document| document.text).collect()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

fn main() {
    let size = Size::of_nodes(1_000);
    let mut fabric = Fabric::new(size, 1);
    let applied = text(&fabric);
    let began = Instant::now();
    let before = read(applied.clone());
    let reading = began.elapsed().as_secs_f64() * 1e3;
    let mut changes = Vec::new();
    for kind in [Kind::PolicyEverywhere, Kind::PolicyOnFew, Kind::Added, Kind::Quarantined, Kind::Removed] {
        let was = fabric.clone();
        let Edit { .. } = fabric.change(kind);
        changes.push((kind.words(), text(&fabric)));
        fabric = was;
    }
    let opened = applied.replacen("defaultAction: deny", "defaultAction: allow", 1);
    changes.push(("the fabric's default the other way", opened));
    let (mut cases, mut targets) = (Vec::new(), Vec::new());
    println!("{} policies, {} workloads; reading them takes {reading:.0} ms", size.policies, size.workloads);
    println!(
        "{:<36} {:>8} {:>12} {:>10} {:>17} {:>10}",
        "change", "changes", "pairs", "meaning ms", "wanted", "nodes ms"
    );
    for (name, text) in changes {
        let after = read(text);
        let mut identities = IdentityTable::default();
        identities.allocate(&before).expect("enough identities");
        identities.allocate(&after).expect("enough identities");
        let (mut times, mut plans, mut found) = (Vec::new(), Vec::new(), (0, 0));
        for _ in 0..REPEATS {
            let began = Instant::now();
            let difference = difference(&before, &after, &identities).expect("identities were allocated");
            times.push(began.elapsed());
            let pairs = difference.changes.iter().flat_map(|change| &change.pairs).map(Pairs::len);
            found = (difference.changes.len(), pairs.sum::<usize>());
            let began = Instant::now();
            let nodes =
                nodes(&before, &after, &identities, &BTreeMap::new()).expect("identities were allocated");
            plans.push(began.elapsed());
            assert!(nodes.exceeding.is_empty(), "the bench's fabric fits");
        }
        let (changes, pairs) = found;
        let (ms, nodes_ms) = (median(times), median(plans));
        let met = if ms <= LIMIT { "met" } else { "not met" };
        println!("{name:<36} {changes:>8} {pairs:>12} {ms:>10.0} {LIMIT:>8.0} {met:<8} {nodes_ms:>10.0}");
        cases.push(serde_json::json!({ "name": name, "changes": changes, "pairs": pairs, "ms": ms, "nodes_ms": nodes_ms }));
        targets.push(serde_json::json!({ "name": name, "value": ms, "limit": LIMIT, "met": ms <= LIMIT }));
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench");
    std::fs::create_dir_all(folder).expect("target/bench can be made");
    let all = serde_json::json!({
        "nodes": size.nodes, "workloads": size.workloads, "identities": size.identities, "policies": size.policies,
        "reading_ms": reading, "repeats": REPEATS, "cases": cases, "targets": targets,
    });
    let text = serde_json::to_string_pretty(&all).expect("plain JSON");
    std::fs::write(format!("{folder}/diff.json"), text).expect("target/bench can be written");
}
