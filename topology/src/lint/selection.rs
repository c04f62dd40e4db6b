//! Which workloads a selector selects, asked many times over.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::labels::{LabelKey, LabelValue, Labels, Requirement, Selector};
use crate::model::{Attachment, Model, Service, Workload};
use crate::names::ServiceName;

/// Workloads that policy can't tell apart, but for their addresses.
pub(super) struct Class<'m> {
    pub(super) labels: &'m Labels,
    pub(super) services: &'m BTreeMap<ServiceName, Service>,
    /// All of them managed, or none. Never empty.
    pub(super) workloads: Vec<&'m Workload>,
}

impl Class<'_> {
    pub(super) fn is_managed(&self) -> bool {
        self.workloads.iter().any(|workload| is_managed(workload))
    }
}

fn is_managed(workload: &Workload) -> bool {
    matches!(workload.attachment, Attachment::Managed(_))
}

/// The classes of a model, found by label, and what selectors selected so far.
pub(super) struct Selection<'m> {
    classes: Vec<Class<'m>>,
    by_label: HashMap<(&'m LabelKey, &'m LabelValue), Vec<usize>>,
    known: HashMap<Selector, Rc<[usize]>>,
}

impl<'m> Selection<'m> {
    pub(super) fn new(model: &'m Model) -> Self {
        let mut classes: BTreeMap<_, Vec<&Workload>> = BTreeMap::new();
        for workload in model.workloads.values() {
            let key = (&workload.labels, &workload.services, is_managed(workload));
            classes.entry(key).or_default().push(workload);
        }
        let class = |((labels, services, _), workloads)| Class { labels, services, workloads };
        let classes: Vec<Class<'m>> = classes.into_iter().map(class).collect();
        let mut by_label: HashMap<_, Vec<usize>> = HashMap::new();
        for (index, class) in classes.iter().enumerate() {
            for label in &class.labels.0 {
                by_label.entry(label).or_default().push(index);
            }
        }
        Self { classes, by_label, known: HashMap::new() }
    }

    pub(super) fn classes(&self) -> &[Class<'m>] {
        &self.classes
    }

    /// The classes that `selector` selects, as indices.
    pub(super) fn of(&mut self, selector: &Selector) -> Rc<[usize]> {
        if let Some(known) = self.known.get(selector) {
            return known.clone();
        }
        let matches = |class: &usize| selector.matches(self.classes[*class].labels);
        let selected: Rc<[usize]> = match self.candidates(selector) {
            Some(candidates) => candidates.into_iter().filter(matches).collect(),
            None => (0..self.classes.len()).filter(matches).collect(),
        };
        self.known.insert(selector.clone(), selected.clone());
        selected
    }

    /// The classes that meet the `In` requirement that the fewest do; `None` where there is no such requirement.
    fn candidates(&self, selector: &Selector) -> Option<Vec<usize>> {
        let having = |requirement: &'_ Requirement| match requirement {
            Requirement::In(key, values) => {
                let lists = values.iter().filter_map(|value| self.by_label.get(&(key, value)));
                Some(lists.flatten().copied().collect::<Vec<usize>>())
            }
            _ => None,
        };
        selector.0.iter().filter_map(having).min_by_key(Vec::len)
    }
}
