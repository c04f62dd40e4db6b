//! What one set of documents changes against another.

use std::collections::BTreeMap;

use selvedge_proto::Summary;
use selvedge_topology::documents::Document;

/// How a document changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It says something else.
    Changed,
    /// It is gone.
    Removed,
}

/// A document that changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<'d> {
    /// Its kind, e.g. `Workload`.
    pub kind: &'d str,
    /// Its name.
    pub name: &'d str,
    /// As it was.
    pub before: Option<&'d Document>,
    /// As it is to be.
    pub after: Option<&'d Document>,
}

impl Change<'_> {
    /// How it changed.
    pub fn change(&self) -> ChangeKind {
        match (self.before, self.after) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            (Some(_), Some(_)) => ChangeKind::Changed,
        }
    }
}

/// The documents whose meaning differs, by kind and name. Order, files and comments don't count.
pub fn changes<'d>(before: &'d [Document], after: &'d [Document]) -> Vec<Change<'d>> {
    /// A document before and after.
    type Sides<'d> = (Option<&'d Document>, Option<&'d Document>);
    let mut both: BTreeMap<(&str, &str), Sides<'d>> = BTreeMap::new();
    let content = |document: &Option<&'d Document>| document.map(|document| &document.content);
    for document in before {
        both.entry((&document.kind, &document.name)).or_default().0 = Some(document);
    }
    for document in after {
        both.entry((&document.kind, &document.name)).or_default().1 = Some(document);
    }
    let differing = both.into_iter().filter(|(_, (before, after))| content(before) != content(after));
    differing.map(|((kind, name), (before, after))| Change { kind, name, before, after }).collect()
}

/// How many of each kind.
pub fn summary(changes: &[Change<'_>]) -> Summary {
    let count = |kind| {
        let found = changes.iter().filter(|change| change.change() == kind).count();
        u32::try_from(found).unwrap_or(u32::MAX)
    };
    Summary {
        added: count(ChangeKind::Added),
        changed: count(ChangeKind::Changed),
        removed: count(ChangeKind::Removed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(kind: &str, name: &str, content: u32) -> Document {
        let place = Default::default();
        Document { kind: kind.into(), name: name.into(), place, content: content.into() }
    }

    #[test]
    fn changes_are_found_by_kind_and_name_whatever_the_order() {
        let before = [document("Workload", "a", 1), document("Workload", "b", 1), document("Fabric", "a", 1)];
        let after = [document("Fabric", "a", 1), document("Workload", "c", 1), document("Workload", "a", 2)];
        let changes = changes(&before, &after);
        let told: Vec<_> = changes.iter().map(|change| (change.name, change.change())).collect();
        let expected = [("a", ChangeKind::Changed), ("b", ChangeKind::Removed), ("c", ChangeKind::Added)];
        assert_eq!(told, expected);
        assert_eq!(summary(&changes), Summary { added: 1, changed: 1, removed: 1 });
    }

    #[test]
    fn the_same_documents_in_another_order_change_nothing() {
        let one = [document("Workload", "a", 1), document("Workload", "b", 2)];
        let other = [document("Workload", "b", 2), document("Workload", "a", 1)];
        assert_eq!(changes(&one, &other), []);
    }
}
