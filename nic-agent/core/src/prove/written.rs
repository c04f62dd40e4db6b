//! What the tables say of a packet's ends, whatever becomes of the packet.
//!
//! Some of a decision shows at no packet that opens a connection: whether a denial lets drain what is established, and whether
//! one rule wants a log beside another that does. So the decisions behind every packet are read back as well, by the same steps
//! as the programs take, and held to the plan.

use std::fmt;

use selvedge_abi::{
    DECISION_ALLOW, DECISION_DRAIN, DECISION_LOG, DECISION_STATELESS, Interval, PolicyEntry, PolicyKey, Run,
};
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::l4::L4Key;
use selvedge_topology::model::{Direction, RuleId};
use selvedge_topology::plan::{Decision, Outcome};

use super::ruling::{RuleName, RuleNames, name};
use super::{Case, Mismatch, Packet, Trial};
use crate::lower;

/// What one end of a packet asks of policy, and what the plan answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who the end is.
    pub subject: Identity,
    /// Its direction.
    pub direction: Direction,
    /// Who the other end is.
    pub peer: Class,
    /// What for.
    pub key: L4Key,
    /// What the plan says; `None` where it says nothing.
    pub decision: Option<Decision>,
}

/// A slot as it can be read back, an entry at a time.
pub trait ReadSlot {
    /// Why something can't be read.
    type Error: From<Box<Mismatch>>;

    /// A policy row's entry; `None` where there is none.
    fn policy(&mut self, key: &PolicyKey) -> Result<Option<PolicyEntry>, Self::Error>;

    /// The interval at an index; `None` beyond the array.
    fn interval(&mut self, index: u32) -> Result<Option<Interval>, Self::Error>;
}

/// Tables that say something else than the plan of an end of a packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the tables contradict the plan: {direction} policy of ID:{subject} should say of {packet}: {expected}; and says: {found}"
)]
pub struct Miswritten {
    /// The packet.
    pub packet: Packet,
    /// Which of its ends.
    pub subject: Identity,
    /// The end's direction.
    pub direction: Direction,
    /// What the plan says.
    pub expected: Wording,
    /// What the tables say.
    pub found: Wording,
}

/// One side of a [`Miswritten`], in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wording {
    /// Nothing at all, which denies.
    Silent,
    /// A decision.
    Decided {
        /// What.
        outcome: Outcome,
        /// By which rule.
        rule: RuleName,
        /// Whether it is logged.
        logged: bool,
    },
    /// Bits that stand for no decision.
    Meaningless {
        /// The bits.
        decision: u32,
        /// Of which rule.
        rule: RuleName,
    },
}

impl Trial {
    /// Whether the tables say what the plan does of both ends of `case`.
    pub fn check_written<R: ReadSlot>(&self, case: &Case, slot: &mut R) -> Result<(), R::Error> {
        for asked in case.asked.iter().flatten() {
            let found = self.look_up(asked, slot)?;
            let meant = asked.decision.map(|decision| (decision.rule, Ok(decision)));
            let written = found.map(|interval| (RuleId(interval.rule), read(interval)));
            if meant != written {
                let Asked { subject, direction, .. } = *asked;
                let [expected, found] = [meant, written].map(|side| Wording::new(side, &self.names));
                let miswritten = Miswritten { packet: case.packet, subject, direction, expected, found };
                return Err(Box::new(Mismatch::from(miswritten)).into());
            }
        }
        Ok(())
    }

    /// The interval that decides, found as the programs do: of the class's entry, or else the row's, the last interval that
    /// starts at or before the key.
    fn look_up<R: ReadSlot>(&self, asked: &Asked, slot: &mut R) -> Result<Option<Interval>, R::Error> {
        let Asked { subject, direction, peer, key, .. } = *asked;
        let row = |peer| lower::policy_key(self.config.slot, subject, direction, peer);
        let entry = match slot.policy(&row(peer))? {
            Some(entry) => Some(entry),
            None => slot.policy(&row(lower::ROW_DEFAULT))?,
        };
        let Some(entry) = entry else { return Ok(None) };
        let Some(Run { mut first, mut count }) = entry.run() else { return Ok(entry.find(key.number())) };
        while count > 1 {
            let half = count / 2;
            let middle = first.wrapping_add(half);
            let Some(interval) = slot.interval(middle)? else { return Ok(None) };
            if interval.start <= key.number() {
                first = middle;
            }
            count -= half;
        }
        if count == 0 {
            return Ok(None);
        }
        Ok(slot.interval(first)?.filter(|interval| interval.start <= key.number()))
    }
}

/// What an interval decides, or the bits that say nothing.
fn read(interval: Interval) -> Result<Decision, u32> {
    let logged = interval.decision & DECISION_LOG != 0;
    let outcome = match interval.decision & !DECISION_LOG {
        0 => Outcome::Denied,
        DECISION_DRAIN => Outcome::DeniedDraining,
        DECISION_ALLOW => Outcome::Allowed,
        bits if bits == DECISION_ALLOW | DECISION_STATELESS => Outcome::AllowedStateless,
        _ => return Err(interval.decision),
    };
    Ok(Decision { outcome, rule: RuleId(interval.rule), logged })
}

impl Wording {
    fn new(said: Option<(RuleId, Result<Decision, u32>)>, names: &RuleNames) -> Self {
        let Some((rule, decision)) = said else { return Self::Silent };
        let rule = name(rule, names);
        match decision {
            Ok(Decision { outcome, logged, .. }) => Self::Decided { outcome, rule, logged },
            Err(decision) => Self::Meaningless { decision, rule },
        }
    }
}

impl fmt::Display for Wording {
    /// `denied, draining, by lockdown/ingress/all, logged`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("nothing"),
            Self::Decided { outcome, rule, logged } => {
                let log = if *logged { ", logged" } else { "" };
                write!(f, "{outcome}, by {}{log}", rule.0)
            }
            Self::Meaningless { decision, rule } => write!(f, "the bits {decision:#x}, by {}", rule.0),
        }
    }
}
