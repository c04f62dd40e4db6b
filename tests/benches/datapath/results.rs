//! Everything measured, and the questions that targets ask of it.

use crate::cases::{Topic, case_name};
use crate::contenders::{Contender, Memory};
use crate::frames::Family;
use crate::measure::{Figure, Method, Outcome};

/// What one run of the bench found.
pub(crate) struct Results {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) memory: Result<Memory, String>,
}

/// A question without an answer: why.
pub(crate) type Answer = Result<f64, String>;

impl Results {
    /// Median nanoseconds over the whole path.
    fn path(&self, topic: Topic, family: Family, contender: Contender) -> Answer {
        let case = case_name(topic, family);
        let found = self.outcomes.iter().find(|outcome| {
            outcome.case == case && outcome.contender == contender && outcome.method == Method::Path
        });
        let name = contender.name();
        match found.map(|outcome| &outcome.figure) {
            Some(Ok(Figure { median, .. })) => Ok(*median),
            Some(Err(reason)) => Err(format!("{case}, {name}: {reason}")),
            None => Err(format!("{case}, {name}: takes no part")),
        }
    }

    /// Ours as a share of another's time in the same case; the family where that is worse.
    pub(crate) fn against(&self, topic: Topic, other: Contender) -> Answer {
        worse(|family| Ok(self.path(topic, family, Contender::Ours)? / self.path(topic, family, other)?))
    }

    /// Ours in one case as a share of ours in another; the family where that is worse.
    pub(crate) fn between(&self, topic: Topic, base: Topic) -> Answer {
        let ours = |topic, family| self.path(topic, family, Contender::Ours);
        worse(|family| Ok(ours(topic, family)? / ours(base, family)?))
    }

    /// Ours over IPv6 as a share of ours over IPv4.
    pub(crate) fn families(&self, topic: Topic) -> Answer {
        let ours = |family| self.path(topic, family, Contender::Ours);
        Ok(ours(Family::V6)? / ours(Family::V4)?)
    }
}

fn worse(question: impl Fn(Family) -> Answer) -> Answer {
    let [v4, v6] = Family::BOTH.map(question);
    Ok(v4?.max(v6?))
}
