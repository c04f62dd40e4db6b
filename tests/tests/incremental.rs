//! A compiler that takes over one change after another has, after each, the plans of one that begins from nothing; and it
//! names every node whose plan the change touched.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use arbitrary::{Result, Unstructured};
use selvedge_tests::cases::each;
use selvedge_tests::random::documents;
use selvedge_topology::compile::{Before, Compiler};
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::Model;
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::BlockPlan;

/// Documents by kind and name, each a file of its own: so that a change of one moves no other.
type Documents = BTreeMap<String, String>;

fn split(text: &str) -> Documents {
    let documents = text.split("---\n").filter(|document| !document.is_empty());
    let key = |document: &str| document.lines().skip(1).take(2).collect::<Vec<_>>().join(" ");
    documents.map(|document| (key(document), document.to_owned())).collect()
}

fn model(documents: &Documents) -> Option<Model> {
    let file = |(name, text): (&String, &String)| SourceFile { name: name.clone(), text: text.clone() };
    load(&documents.iter().map(file).collect::<Vec<_>>()).model
}

/// What differs between two maps, as it is in the first.
fn differing<'a, K: Ord, V: Debug>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> BTreeMap<&'a K, Option<&'a V>> {
    let text = |value: Option<&V>| format!("{value:?}");
    let keys = old.keys().chain(new.keys()).filter(|key| text(old.get(*key)) != text(new.get(*key)));
    keys.map(|key| (key, old.get(key))).collect()
}

fn before<'a>(old: &'a Model, new: &'a Model) -> Before<'a> {
    Before {
        workloads: differing(&old.workloads, &new.workloads),
        policies: differing(&old.policies, &new.policies),
        groups: differing(&old.cidr_groups, &new.cidr_groups),
    }
}

fn plans(compiler: &Compiler) -> BTreeMap<NodeName, BlockPlan> {
    compiler.plans().map(|plan| (plan.own.node.clone(), plan)).collect()
}

#[derive(Debug, Default)]
struct Seen {
    changes: usize,
    refused: usize,
    touching_some: usize,
    touching_none: usize,
    taken_back: usize,
    workloads: usize,
    policies: usize,
    groups: usize,
    falsely_touched: usize,
    nodes: usize,
}

/// The desired state so far.
struct World {
    documents: Documents,
    model: Model,
    identities: IdentityTable,
    compiler: Compiler,
}

impl World {
    /// Takes over `documents`, where they are valid.
    fn change(self, documents: Documents, seen: &mut Seen) -> Self {
        let Some(model) = model(&documents) else {
            seen.refused += 1;
            return self;
        };
        let mut identities = self.identities;
        identities.allocate(&model).unwrap();
        let before = before(&self.model, &model);
        seen.workloads += before.workloads.len();
        seen.policies += before.policies.len();
        seen.groups += before.groups.len();
        let old = plans(&self.compiler);
        let (compiler, touched) = self.compiler.update(&model, &identities, &before).unwrap();
        let new = plans(&compiler);
        let text = || documents.values().map(|text| format!("---\n{text}")).collect::<String>();
        assert_eq!(new, plans(&Compiler::new(&model, &identities).unwrap()), "{}", text());
        let differ: BTreeSet<NodeName> =
            new.keys().filter(|node| old[*node] != new[*node]).cloned().collect();
        assert!(differ.is_subset(&touched), "{differ:?} differ, {touched:?} are named\n{}", text());
        seen.falsely_touched += touched.difference(&differ).count();
        seen.nodes += new.len();
        seen.changes += 1;
        *(if differ.is_empty() { &mut seen.touching_none } else { &mut seen.touching_some }) += 1;
        Self { documents, model, identities, compiler }
    }
}

/// Some documents of `pool` taken in, some taken out.
fn edited(u: &mut Unstructured<'_>, documents: &Documents, pools: &[Documents; 2]) -> Result<Documents> {
    let keys: Vec<&String> =
        pools.iter().flat_map(BTreeMap::keys).filter(|key| !key.contains("Fabric")).collect();
    let mut edited = documents.clone();
    for _ in 0..u.int_in_range(1..=3)? {
        let key = *u.choose(&keys)?;
        match pools[u.choose_index(2)?].get(key) {
            Some(text) if u.ratio(2, 3)? => drop(edited.insert(key.clone(), text.clone())),
            _ => drop(edited.remove(key)),
        }
    }
    Ok(edited)
}

#[test]
fn after_any_changes_plans_are_as_compiled_from_nothing() {
    let mut seen = Seen::default();
    each(240, |u| {
        let pools = [split(&documents(u)?), split(&documents(u)?)];
        let documents = pools[0].clone();
        let model = model(&documents).unwrap();
        let mut identities = IdentityTable::default();
        identities.allocate(&model).unwrap();
        let compiler = Compiler::new(&model, &identities).unwrap();
        let mut world = World { documents, model, identities, compiler };
        for _ in 0..12 {
            let (before, as_before) = (world.documents.clone(), plans(&world.compiler));
            let edited = edited(u, &before, &pools)?;
            world = world.change(edited, &mut seen);
            if u.ratio(1, 3)? {
                world = world.change(before, &mut seen);
                assert_eq!(plans(&world.compiler), as_before, "taken back");
                seen.taken_back += 1;
            }
        }
        Ok(())
    });
    println!("{seen:?}");
    for (what, count, floor) in [
        ("changes", seen.changes, 2_500),
        ("changes that touch a node", seen.touching_some, 1_200),
        ("changes that touch none", seen.touching_none, 100),
        ("changes taken back", seen.taken_back, 800),
        ("workloads", seen.workloads, 1_000),
        ("policies", seen.policies, 1_000),
        ("groups", seen.groups, 200),
    ] {
        assert!(count >= floor, "only {count} {what}, at least {floor} are wanted");
    }
}
