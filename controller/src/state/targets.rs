//! What each node is told: the generation in which its plan last changed, so that a change is written to, and
//! taken by, only the nodes it concerns.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_proto::{Digest, Signature, Target, TargetList};
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::Generation;

/// The targets of `generation`, in which nodes have `plans`: those of nodes whose plan is as `before` stay as they are,
/// signature and all; the others are new, and signed by `sign`.
pub fn targets(
    before: &TargetList,
    plans: &BTreeMap<NodeName, Digest>,
    generation: Generation,
    sign: impl Fn(&NodeName, &Target) -> Option<Signature>,
) -> TargetList {
    let target = |(node, manifest): (&NodeName, &Digest)| {
        let kept = before.get(node).filter(|target| target.manifest == *manifest).copied();
        let target = kept.unwrap_or_else(|| {
            let unsigned = Target { generation, manifest: *manifest, signature: None };
            Target { signature: sign(node, &unsigned), ..unsigned }
        });
        (node.clone(), target)
    };
    plans.iter().map(target).collect()
}

/// Whether nodes with these targets have these plans.
pub fn is_same(targets: &TargetList, plans: &BTreeMap<NodeName, Digest>) -> bool {
    targets.len() == plans.len() && differing(targets, plans).is_empty()
}

/// The nodes whose plan is not as their target says, or that only one of both knows.
pub fn differing(targets: &TargetList, plans: &BTreeMap<NodeName, Digest>) -> BTreeSet<NodeName> {
    let all = targets.keys().chain(plans.keys());
    let manifest = |node: &NodeName| targets.get(node).map(|target| target.manifest);
    all.filter(|node| manifest(node) != plans.get(*node).copied()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeName {
        name.parse().unwrap()
    }

    fn plans(all: &[(&str, &str)]) -> BTreeMap<NodeName, Digest> {
        all.iter().map(|(name, content)| (node(name), Digest::of(content.as_bytes()))).collect()
    }

    fn sign(_: &NodeName, target: &Target) -> Option<Signature> {
        Some(Signature([target.generation.0 as u8; 64]))
    }

    #[test]
    fn only_nodes_whose_plan_changed_get_another_target() {
        let first = plans(&[("a", "1"), ("b", "1"), ("gone", "1")]);
        let before = targets(&TargetList::new(), &first, Generation(1), sign);
        let second = plans(&[("a", "1"), ("b", "2"), ("new", "1")]);
        let after = targets(&before, &second, Generation(2), sign);
        let generations: Vec<_> = after.values().map(|target| target.generation.0).collect();
        assert_eq!(generations, [1, 2, 2]);
        assert_eq!(after[&node("a")], before[&node("a")]);
        assert_eq!(after[&node("b")].signature, Some(Signature([2; 64])));
        assert_eq!(differing(&before, &second), ["b", "gone", "new"].map(node).into());
        assert!(is_same(&before, &first) && is_same(&after, &second) && !is_same(&before, &second));
    }

    #[test]
    fn a_plan_that_comes_back_is_news_all_the_same() {
        let (one, two) = (plans(&[("a", "1")]), plans(&[("a", "2")]));
        let first = targets(&TargetList::new(), &one, Generation(1), sign);
        let second = targets(&first, &two, Generation(2), sign);
        let third = targets(&second, &one, Generation(3), sign);
        assert_eq!(third[&node("a")].generation, Generation(3));
    }
}
