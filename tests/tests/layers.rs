//! The layers of ARCHITECTURE.md, and the licences and bans of deny.toml, held against `cargo metadata`.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

struct Layer {
    name: String,
    folder: String,
    may: BTreeSet<String>,
    never: BTreeSet<String>,
}

fn words(cell: &str) -> BTreeSet<String> {
    cell.split(',')
        .map(|word| word.trim().trim_matches('`').to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

fn layers() -> Vec<Layer> {
    let page = std::fs::read_to_string(format!("{ROOT}/ARCHITECTURE.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `selvedge-"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "a row of five cells: {row}");
        let word = |cell: &str| cell.trim_matches('`').to_owned();
        Layer { name: word(cells[0]), folder: word(cells[1]), may: words(cells[3]), never: words(cells[4]) }
    })
    .collect()
}

fn metadata() -> Metadata {
    let manifest = format!("{ROOT}/Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).other_options(["--locked".into()]).exec().unwrap()
}

/// Everything that `package` is built on, itself left out: normal dependencies of normal dependencies.
fn below(metadata: &Metadata, package: &PackageId) -> BTreeSet<String> {
    let nodes: BTreeMap<_, _> =
        metadata.resolve.as_ref().unwrap().nodes.iter().map(|node| (&node.id, node)).collect();
    let mut seen = BTreeSet::new();
    let mut queue = VecDeque::from([package]);
    while let Some(id) = queue.pop_front() {
        for dependency in &nodes[id].deps {
            let normal = dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
            if normal && seen.insert(metadata[&dependency.pkg].name.to_string()) {
                queue.push_back(&dependency.pkg);
            }
        }
    }
    seen
}

#[test]
fn every_crate_depends_only_on_what_its_layer_allows() {
    let metadata = metadata();
    let layers = layers();
    let named: BTreeSet<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
    let members: BTreeSet<String> =
        metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    assert_eq!(
        members.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        named,
        "the table names every crate"
    );

    let mut checked = 0;
    for layer in &layers {
        let package =
            *metadata.workspace_packages().iter().find(|package| *package.name == layer.name).unwrap();
        let folder = package.manifest_path.parent().unwrap();
        assert!(folder.ends_with(&layer.folder), "{} is in {folder}, not in {}", layer.name, layer.folder);
        if !layer.may.contains("everything") {
            let direct =
                package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
            let internal: BTreeSet<String> = direct
                .map(|dependency| dependency.name.clone())
                .filter(|name| members.contains(name))
                .collect();
            let beyond: Vec<_> = internal.difference(&layer.may).collect();
            assert!(beyond.is_empty(), "{} may not depend on {beyond:?}", layer.name);
        }
        let below = below(&metadata, &package.id);
        let forbidden: Vec<_> = below.intersection(&layer.never).collect();
        assert!(forbidden.is_empty(), "{} must never be built on {forbidden:?}", layer.name);
        checked += layer.may.len() + layer.never.len();
    }
    assert!(checked > 40, "the table was read: {checked} cells");
}

/// The quoted first strings of the lines of the array `key` of deny.toml.
fn deny_list(key: &str) -> BTreeSet<String> {
    let page = std::fs::read_to_string(format!("{ROOT}/deny.toml")).unwrap();
    let (_, rest) = page.split_once(&format!("\n{key} = [\n")).unwrap();
    let (list, _) = rest.split_once("\n]").unwrap();
    list.lines().map(|line| line.split('"').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn every_package_has_an_allowed_licence_and_none_is_banned() {
    let metadata = metadata();
    let allowed = deny_list("allow");
    let banned = deny_list("deny");
    assert!(allowed.len() > 5 && banned.contains("serde_yaml"));
    for package in &metadata.packages {
        assert!(!banned.contains(package.name.as_str()), "{} is banned by deny.toml", package.name);
        let licence = package.license.as_deref().unwrap_or("");
        // `A OR B` needs one allowed, `A AND B` all.
        let good = licence.replace('/', " OR ").split(" OR ").any(|choice| {
            choice.split(" AND ").all(|id| allowed.contains(id.trim().trim_matches(['(', ')'])))
        });
        assert!(
            good,
            "{} {} has the licence `{licence}`, which deny.toml does not allow",
            package.name, package.version
        );
    }
}
