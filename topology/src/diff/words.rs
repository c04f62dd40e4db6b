//! Ends in words that a person would use: by the labels that tell them from others, not one by one.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::ends::{Both, End, Taken};
use crate::identity::{Identity, IdentityKey, IdentityTable};
use crate::labels::{LabelKey, LabelValue, Labels, RESERVED_PREFIX};

/// Identities that are named one by one, at most.
const NAMED: usize = 3;

/// What an end is, whatever CIDR holds it: who has it before and after.
type Who = Both<Identity>;

/// What is needed to find words.
pub(crate) struct Words<'i> {
    identities: &'i IdentityTable,
    who: Vec<Who>,
    /// Every end by who has it.
    all: BTreeMap<Who, BTreeSet<usize>>,
    /// The labels of those that are workloads, before and after.
    labels: BTreeMap<Who, &'i Labels>,
    cidrs: Vec<Option<IpNet>>,
}

impl<'i> Words<'i> {
    pub(crate) fn of(ends: &[End<'_>], identities: &'i IdentityTable) -> Self {
        let identity = |taken: Taken| taken.identity;
        let who: Vec<Who> = ends.iter().map(|end| end.taken.map(identity)).collect();
        let mut all: BTreeMap<Who, BTreeSet<usize>> = BTreeMap::new();
        for (number, who) in who.iter().enumerate() {
            all.entry(*who).or_default().insert(number);
        }
        let staying = all.keys().filter(|[before, after]| before == after);
        let labels = staying.filter_map(|who| Some((*who, labels(identities, who[0])?))).collect();
        let cidrs = ends.iter().map(|end| end.cidr[1].or(end.cidr[0])).collect();
        Self { identities, who, all, labels, cidrs }
    }

    /// `ends`, with commas.
    pub(crate) fn say(&self, ends: &[usize]) -> String {
        let mut by_who: BTreeMap<Who, BTreeSet<usize>> = BTreeMap::new();
        for end in ends {
            by_who.entry(self.who[*end]).or_default().insert(*end);
        }
        let (mut whole, mut phrases) = (BTreeSet::new(), Vec::new());
        for (who, some) in &by_who {
            if self.all[who] == *some {
                whole.insert(*who);
            } else {
                let within: Vec<String> = some.iter().map(|end| self.within(*end)).collect();
                phrases.push(format!("{} {}", self.name(*who), within.join(" or ")));
            }
        }
        let workloads: BTreeSet<Who> =
            whole.iter().filter(|who| self.labels.contains_key(*who)).copied().collect();
        let (by_labels, others) = match self.by_labels(&workloads) {
            Some(words) => (vec![words], whole.difference(&workloads).copied().collect::<Vec<_>>()),
            None => (Vec::new(), whole.into_iter().collect()),
        };
        let named = others.iter().take(NAMED).map(|who| self.name(*who));
        let mut all: Vec<String> = by_labels.into_iter().chain(named).collect();
        if others.len() > NAMED {
            all.push(format!("{} more", others.len() - NAMED));
        }
        let more = phrases.len().saturating_sub(NAMED);
        all.extend(phrases.into_iter().take(NAMED));
        if more > 0 {
            all.push(format!("{more} more in some CIDRs"));
        }
        all.join("; ")
    }

    /// Labels that all of `wanted` have, and no other workload; `None` where there are none, or nobody is wanted.
    fn by_labels(&self, wanted: &BTreeSet<Who>) -> Option<String> {
        let first = self.labels.get(wanted.first()?)?;
        if wanted.len() == self.labels.len() {
            return Some("every workload".to_owned());
        }
        let common = first.0.iter().filter(|(key, value)| {
            !is_reserved(key) && wanted.iter().all(|who| self.labels[who].0.get(*key) == Some(*value))
        });
        let common: Vec<(&LabelKey, &LabelValue)> = common.collect();
        let selects = |labels: &[(&LabelKey, &LabelValue)]| {
            let has = |of: &Labels| labels.iter().all(|(key, value)| of.0.get(*key) == Some(*value));
            self.labels.values().filter(|of| has(of)).count() == wanted.len()
        };
        let text = |labels: &[(&LabelKey, &LabelValue)]| {
            labels
                .iter()
                .map(|(key, value)| format!("{}={}", key.as_str(), value.as_str()))
                .collect::<Vec<_>>()
                .join(",")
        };
        // As few as do; all of them where one identity is meant, which is known by them.
        if wanted.len() > 1
            && let Some(one) = common.iter().find(|label| selects(&[**label]))
        {
            return Some(text(&[*one]));
        }
        if !common.is_empty() && selects(&common) {
            return Some(text(&common));
        }
        self.by_values(wanted, first).or_else(|| self.by_those_left_out(wanted))
    }

    /// Everyone but a few.
    fn by_those_left_out(&self, wanted: &BTreeSet<Who>) -> Option<String> {
        let left_out: Vec<Who> = self.labels.keys().filter(|who| !wanted.contains(*who)).copied().collect();
        let names = || left_out.iter().map(|who| self.name(*who)).collect::<Vec<_>>().join("; ");
        (wanted.len() > left_out.len() && left_out.len() <= NAMED)
            .then(|| format!("every workload but {}", names()))
    }

    /// A label that all of `wanted` have, with some values, and no other workload with any of these.
    fn by_values(&self, wanted: &BTreeSet<Who>, first: &Labels) -> Option<String> {
        let keys = first.0.keys().filter(|key| !is_reserved(key));
        keys.filter_map(|key| {
            let values: Option<BTreeSet<&LabelValue>> =
                wanted.iter().map(|who| self.labels[who].0.get(key)).collect();
            let values = values?;
            let selected =
                self.labels.values().filter(|of| of.0.get(key).is_some_and(|value| values.contains(value)));
            (selected.count() == wanted.len() && values.len() <= 2 * NAMED).then(|| {
                let values: Vec<&str> = values.iter().map(|value| value.as_str()).collect();
                format!("{} in ({})", key.as_str(), values.join(","))
            })
        })
        .next()
    }

    fn within(&self, end: usize) -> String {
        match self.cidrs.get(end).copied().flatten() {
            Some(cidr) => format!("in {cidr}"),
            None => "in no named CIDR".to_owned(),
        }
    }

    fn name(&self, [before, after]: Who) -> String {
        let name = |identity| identity_name(self.identities, identity);
        match (before, after) {
            _ if before == after => name(after),
            (Identity::WORLD, _) => format!("{} (new)", name(after)),
            (_, Identity::WORLD) => format!("{} (gone)", name(before)),
            _ => format!("{} (was {})", name(after), name(before)),
        }
    }
}

fn is_reserved(key: &LabelKey) -> bool {
    key.as_str().starts_with(RESERVED_PREFIX)
}

fn labels(identities: &IdentityTable, identity: Identity) -> Option<&Labels> {
    match identities.key(identity)? {
        IdentityKey::Labels(labels) => Some(labels.labels()),
        IdentityKey::Cidr(_) => None,
    }
}

/// An identity as users know it: its labels, without those of Selvedge's own, or its name.
fn identity_name(identities: &IdentityTable, identity: Identity) -> String {
    let Some(labels) = labels(identities, identity) else {
        return match identity {
            Identity::HOST => "the own node".to_owned(),
            Identity::REMOTE_NODE => "other nodes".to_owned(),
            _ => identity.reserved_name().map_or_else(|| identity.to_string(), str::to_owned),
        };
    };
    let own = labels.0.iter().filter(|(key, _)| !is_reserved(key));
    let own: Vec<String> = own.map(|(key, value)| format!("{}={}", key.as_str(), value.as_str())).collect();
    let unmanaged = labels.0.keys().any(|key| key.as_str() == format!("{RESERVED_PREFIX}unmanaged"));
    let name = if own.is_empty() { "workloads without labels".to_owned() } else { own.join(",") };
    if unmanaged { format!("{name} (unmanaged)") } else { name }
}
