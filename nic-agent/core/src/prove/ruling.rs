//! What should become of a packet, what did, and how that is said.

use std::fmt;

use selvedge_abi::{Event, EventKind, Reason};
use selvedge_topology::identity::Identity;
use selvedge_topology::model::RuleId;
use selvedge_topology::plan::{PlanRule, Runs};

use super::written::Miswritten;
use super::{Case, Packet};
use crate::machine::IfIndex;
use crate::reconcile::Hook;

/// What should become of a packet, by the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The reason it should end in: one of those that policy gives, or that of what a node sends in its own name.
    pub reason: Reason,
    /// The rule that its event should name.
    pub rule: Option<RuleId>,
    /// A rule besides that decides and is counted: that of the other end, where both are behind this node.
    pub other: Option<RuleId>,
    /// Whether one of them wants it logged.
    pub logged: bool,
    /// Who the source and the destination are.
    pub identities: [Identity; 2],
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whether it passed.
    pub passed: bool,
    /// The event that was written of it.
    pub event: Option<Event>,
    /// Of the rules that were [`Expected::unnamed`], those that counted it.
    pub counted: Vec<RuleId>,
}

/// A rule as users know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleName(pub String);

/// What is not as the plan has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// What becomes of a packet.
    #[error(transparent)]
    Judged(#[from] Misjudged),
    /// What is written of one.
    #[error(transparent)]
    Written(#[from] Miswritten),
}

/// A packet that the tables judge otherwise than the plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the tables contradict the plan: {packet} ({} interface {port}) should be {expected}, and is {found}", way(*hook)
)]
pub struct Misjudged {
    /// The packet.
    pub packet: Packet,
    /// Whether it was received, or the node's own.
    pub hook: Hook,
    /// Where.
    pub port: IfIndex,
    /// What the plan says.
    pub expected: Ruling,
    /// What the program says.
    pub found: Ruling,
}

fn way(hook: Hook) -> &'static str {
    match hook {
        Hook::Ingress => "received at",
        Hook::Egress => "sent by the node at",
    }
}

/// One side of a [`Misjudged`], in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The reason; `None` for a packet of which no event was written.
    pub reason: Option<Reason>,
    /// Whether it passes.
    pub passed: bool,
    /// The rules that decide.
    pub rules: Vec<RuleName>,
    /// Whether it is logged.
    pub logged: bool,
    /// Who source and destination are taken for; `None` where no event says.
    pub identities: Option<[Identity; 2]>,
}

impl Expected {
    /// Whether it should pass.
    pub fn passes(&self) -> bool {
        matches!(self.reason, Reason::PolicyAllow | Reason::Stateless | Reason::FromNode)
    }

    /// Whether an event should be written of it: packets that are allowed without state have none unless logged, nor those that a
    /// node sends in its own name.
    fn has_event(&self) -> bool {
        self.logged || !matches!(self.reason, Reason::Stateless | Reason::FromNode)
    }

    /// The rules that no event names, so that only their counters show whether they decided.
    pub fn unnamed(&self) -> impl Iterator<Item = RuleId> {
        let silent = self.rule.filter(|_| !self.has_event());
        silent.into_iter().chain(self.other)
    }

    fn kind(&self) -> EventKind {
        match self.reason {
            _ if self.logged => EventKind::Logged,
            Reason::PolicyAllow | Reason::Stateless => EventKind::New,
            _ => EventKind::Drop,
        }
    }

    /// Whether that is what became of it.
    pub fn agrees(&self, found: &Found) -> bool {
        let event = match &found.event {
            None => !self.has_event(),
            Some(event) => self.has_event() && self.agrees_with(event),
        };
        event && found.passed == self.passes() && self.unnamed().all(|rule| found.counted.contains(&rule))
    }

    fn agrees_with(&self, event: &Event) -> bool {
        event.reason == self.reason as u32
            && event.rule == self.rule.map_or(0, |rule| rule.0)
            && event.kind == self.kind() as u32
            && [event.source_identity, event.destination_identity] == self.identities.map(|each| each.0)
    }
}

/// A plan's rules, for their names.
pub type RuleNames = Runs<PlanRule>;

pub(super) fn name(id: RuleId, names: &RuleNames) -> RuleName {
    let name = names.with_key(&id).map(|rule| rule.display.clone());
    RuleName(name.unwrap_or_else(|| format!("rule {id}, which the plan has not")))
}

fn named(rules: impl IntoIterator<Item = RuleId>, names: &RuleNames) -> Vec<RuleName> {
    rules.into_iter().map(|id| name(id, names)).collect()
}

impl Misjudged {
    pub(super) fn new(case: &Case, found: &Found, names: &RuleNames) -> Self {
        let Case { packet, hook, port, expected, .. } = *case;
        let Expected { reason, rule, other, logged, identities } = expected;
        let should = Ruling {
            reason: Some(reason),
            passed: expected.passes(),
            rules: named(rule.into_iter().chain(other), names),
            logged,
            identities: Some(identities),
        };
        let event = found.event.as_ref();
        let spoke = event.map(|event| RuleId(event.rule)).filter(|rule| rule.0 != 0);
        let found = Ruling {
            reason: event.and_then(|event| Reason::from_number(event.reason)),
            passed: found.passed,
            rules: named(spoke.into_iter().chain(found.counted.iter().copied()), names),
            logged: event.is_some_and(|event| event.kind == EventKind::Logged as u32),
            identities: event.map(|event| [event.source_identity, event.destination_identity].map(Identity)),
        };
        Self { packet, hook, port, expected: should, found }
    }
}

impl fmt::Display for Ruling {
    /// `policy-deny by app/default/ingress (ID:2 to ID:256)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            Some(reason) => reason.name(),
            None if self.passed => "passed without an event",
            None => "dropped without an event",
        })?;
        let rules: Vec<&str> = self.rules.iter().map(|rule| rule.0.as_str()).collect();
        write!(f, " by {}", if rules.is_empty() { "no rule".to_owned() } else { rules.join(" and ") })?;
        if self.logged {
            f.write_str(", logged")?;
        }
        match self.identities {
            Some([source, destination]) => write!(f, " (ID:{source} to ID:{destination})"),
            None => Ok(()),
        }
    }
}
