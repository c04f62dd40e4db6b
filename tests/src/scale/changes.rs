//! What happens to a fabric, one thing at a time or many a second.

use std::collections::VecDeque;

use super::documents::{Document, Name};
use super::workload::{Role, Tier, Workload};
use super::{Fabric, PORTS};

/// What somebody wants changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// New, or others than they were.
    pub documents: Vec<Document>,
    /// No more.
    pub removed: Vec<Name>,
    /// Whose workload it is about, where it is about one.
    pub application: Option<usize>,
}

impl Edit {
    /// All of these are new.
    pub fn of(documents: Vec<Document>) -> Self {
        Self { documents, ..Self::default() }
    }

    fn about(self, workload: &Workload) -> Self {
        let Role::Application(application, _) = workload.role else { return self };
        Self { application: Some(application), ..self }
    }
}

/// A single thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A policy that concerns every node gets another port.
    PolicyEverywhere,
    /// One that concerns [`FEW`](super::FEW) nodes does.
    PolicyOnFew,
    /// An application gets another workload.
    Added,
    /// A workload goes to another node.
    Moved,
    /// It becomes one of another tier.
    Relabelled,
    /// It gets the label that isolates it from everybody.
    Quarantined,
    /// It is no more.
    Removed,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::PolicyEverywhere,
        Self::PolicyOnFew,
        Self::Added,
        Self::Moved,
        Self::Relabelled,
        Self::Quarantined,
        Self::Removed,
    ];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::PolicyEverywhere => "policy on all nodes",
            Self::PolicyOnFew => "policy on ten nodes",
            Self::Added => "workload added",
            Self::Moved => "workload moved",
            Self::Relabelled => "workload relabelled",
            Self::Quarantined => "workload quarantined",
            Self::Removed => "workload removed",
        }
    }
}

impl Fabric {
    /// Makes one such change.
    pub fn change(&mut self, kind: Kind) -> Edit {
        match kind {
            Kind::PolicyEverywhere => {
                self.edits += 1;
                Edit::of(vec![self.scraping()])
            }
            Kind::PolicyOnFew => {
                self.edits += 1;
                Edit::of(vec![self.ledger()])
            }
            Kind::Added => {
                let workload = self.add();
                Edit::of(vec![workload.document()]).about(&workload)
            }
            Kind::Moved => {
                let mut workload = self.any();
                let before = workload.node;
                // Where there is one node only, it moves to itself.
                for _ in 0..16 {
                    workload.node = self.node_for(workload.role);
                    if workload.node != before {
                        break;
                    }
                }
                self.put(workload)
            }
            Kind::Relabelled => {
                let mut workload = self.any();
                if let Role::Application(application, tier) = workload.role {
                    let other = if tier == Tier::Web { Tier::Cache } else { Tier::Web };
                    workload.role = Role::Application(application, other);
                }
                self.put(workload)
            }
            Kind::Quarantined => {
                let workload = self.any();
                self.put(Workload { isolated: true, ..workload })
            }
            Kind::Removed => {
                let workload = self.any();
                Edit { removed: vec![self.remove(workload)], ..Edit::default() }.about(&workload)
            }
        }
    }

    /// A workload of an application that is not isolated.
    fn any(&mut self) -> Workload {
        loop {
            let index = self.random.usize(..self.workloads.len());
            let usual = |it: &Workload| matches!(it.role, Role::Application(..)) && !it.isolated;
            if let Some(workload) = self.workloads[index].filter(usual) {
                return workload;
            }
        }
    }

    fn add(&mut self) -> Workload {
        let application = self.random.usize(..self.size.applications());
        let tier = Tier::ALL[self.random.usize(..Tier::ALL.len())];
        let role = Role::Application(application, tier);
        let node = self.node_for(role);
        let (number, port) = (self.workloads.len(), self.random.usize(..PORTS.len()));
        let workload = Workload { number, role, node, port, isolated: false };
        self.workloads.push(Some(workload));
        workload
    }

    fn put(&mut self, workload: Workload) -> Edit {
        self.workloads[workload.number] = Some(workload);
        Edit::of(vec![workload.document()]).about(&workload)
    }

    fn remove(&mut self, workload: Workload) -> Name {
        self.workloads[workload.number] = None;
        workload.name()
    }
}

/// Workloads that come and go, as many of one as of the other, each after a while.
#[derive(Debug, Default)]
pub struct Churn {
    there: VecDeque<Workload>,
}

impl Churn {
    /// The next `count` comings and goings of `fabric`: a half are new, and the oldest go that came before.
    pub fn next(&mut self, fabric: &mut Fabric, count: usize) -> Edit {
        let going = (count / 2).min(self.there.len());
        let removed = self.there.drain(..going).map(|workload| fabric.remove(workload)).collect();
        let added: Vec<Workload> = (going..count).map(|_| fabric.add()).collect();
        let documents = added.iter().map(Workload::document).collect();
        self.there.extend(added);
        Edit { documents, removed, application: None }
    }
}
