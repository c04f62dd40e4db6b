//! What policy makes of packets, whatever connections there are.

use selvedge_abi::{DECISION_ALLOW, DECISION_DRAIN, DECISION_LOG, Interval};

use crate::policy::List;

/// What becomes of packets in one direction, of one layer-4 key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Outcome {
    /// Some may pass, or the full program has to see them.
    Left,
    /// The rule denies new connections; those from before may go on.
    DeniedNew(u32),
    /// The rule denies all of them.
    Denied(u32),
}

impl Outcome {
    /// The rule that denies.
    pub(crate) fn rule(self) -> Option<u32> {
        match self {
            Self::Left => None,
            Self::DeniedNew(rule) | Self::Denied(rule) => Some(rule),
        }
    }

    /// The one of two that drops less: `later` where they drop alike.
    fn weaker(earlier: Self, later: Self) -> Self {
        let strength = |outcome| match outcome {
            Self::Left => 0,
            Self::DeniedNew(_) => 1,
            Self::Denied(_) => 2,
        };
        if strength(earlier) < strength(later) { earlier } else { later }
    }
}

/// Outcomes by the first layer-4 key of each, the first from 0 on; neighbours differ.
pub(crate) type Outcomes = Vec<(u32, Outcome)>;

/// What ends say together of a connection: none may deny it, and no decision is dropped that a rule wants logged.
pub(crate) fn of(asked: &[Option<&List>]) -> Outcomes {
    if asked.iter().any(Option::is_none) {
        return vec![(0, Outcome::Denied(0))];
    }
    let lists: Vec<&[Interval]> = asked.iter().flatten().map(|list| &list[..]).collect();
    let mut outcomes = Outcomes::new();
    let mut starts: Vec<u32> = lists.iter().flat_map(|list| list.iter().map(|one| one.start)).collect();
    starts.push(0);
    starts.sort_unstable();
    starts.dedup();
    for start in starts {
        let decisions = lists.iter().map(|list| {
            let after = list.partition_point(|one| one.start <= start);
            after.checked_sub(1).map(|at| list[at])
        });
        append(&mut outcomes, start, together(decisions));
    }
    outcomes
}

/// Ends are asked in turn, as by the full program: after one that denies for good nobody is asked.
fn together(decisions: impl Iterator<Item = Option<Interval>>) -> Outcome {
    let mut outcome = Outcome::Left;
    for decided in decisions {
        // A list that does not begin at zero says nothing of what is before, and what nobody allows is denied.
        let Interval { rule, decision, .. } = decided.unwrap_or_default();
        let drains = decision & DECISION_DRAIN != 0;
        outcome = match outcome {
            _ if decision & DECISION_LOG != 0 => return outcome,
            _ if decision & DECISION_ALLOW != 0 => outcome,
            Outcome::Left if drains => Outcome::DeniedNew(rule),
            Outcome::Left => return Outcome::Denied(rule),
            Outcome::DeniedNew(first) if !drains => return Outcome::Denied(first),
            worse => worse,
        };
    }
    outcome
}

fn append(outcomes: &mut Outcomes, start: u32, outcome: Outcome) {
    if outcomes.last().is_none_or(|(_, last)| *last != outcome) {
        outcomes.push((start, outcome));
    }
}

/// What is dropped by both: what is in force while one policy takes the place of another.
pub(crate) fn weaker(earlier: &Outcomes, later: &Outcomes) -> Outcomes {
    let mut starts: Vec<u32> = earlier.iter().chain(later).map(|(start, _)| *start).collect();
    starts.sort_unstable();
    starts.dedup();
    let at = |outcomes: &Outcomes, key| {
        outcomes[outcomes.partition_point(|(start, _)| *start <= key).saturating_sub(1)].1
    };
    let mut outcomes = Outcomes::new();
    for start in starts {
        append(&mut outcomes, start, Outcome::weaker(at(earlier, start), at(later, start)));
    }
    outcomes
}

/// The same with some outcomes changed.
pub(crate) fn map(outcomes: &Outcomes, change: impl Fn(Outcome) -> Outcome) -> Outcomes {
    let mut changed = Outcomes::new();
    for (start, outcome) in outcomes {
        append(&mut changed, *start, change(*outcome));
    }
    changed
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn list(intervals: &[(u32, u32, u32)]) -> List {
        intervals
            .iter()
            .map(|(start, rule, decision)| Interval { start: *start, rule: *rule, decision: *decision })
            .collect::<Vec<_>>()
            .into()
    }

    #[test]
    fn a_connection_is_denied_by_the_first_end_that_denies_it_and_for_good_if_one_does() {
        let egress = list(&[(0, 1, DECISION_ALLOW), (10, 2, DECISION_DRAIN), (20, 3, 0)]);
        let ingress = list(&[(0, 4, 0), (5, 5, DECISION_ALLOW), (15, 6, 0), (25, 7, DECISION_ALLOW)]);
        let expected = [
            (0, Outcome::Denied(4)),
            (5, Outcome::Left),
            (10, Outcome::DeniedNew(2)),
            (15, Outcome::Denied(2)),
            (20, Outcome::Denied(3)),
        ];
        assert_eq!(of(&[Some(&egress), Some(&ingress)]), expected);
    }

    #[test]
    fn what_a_rule_wants_logged_is_left() {
        let logged = list(&[(0, 1, DECISION_LOG), (9, 2, 0)]);
        let allowed = list(&[(0, 3, DECISION_ALLOW | DECISION_LOG)]);
        assert_eq!(of(&[Some(&logged)]), [(0, Outcome::Left), (9, Outcome::Denied(2))]);
        assert_eq!(of(&[Some(&allowed), Some(&logged)]), [(0, Outcome::Left)]);
        // Who is denied already is not asked about by the other end, new or not.
        assert_eq!(of(&[Some(&list(&[(0, 4, 0)])), Some(&logged)]), [(0, Outcome::Denied(4))]);
        let drained = list(&[(0, 5, DECISION_DRAIN)]);
        assert_eq!(
            of(&[Some(&drained), Some(&logged)]),
            [(0, Outcome::DeniedNew(5)), (9, Outcome::Denied(5))]
        );
    }

    #[test]
    fn where_policy_says_nothing_it_denies() {
        let late: List = Arc::new([Interval { start: 5, rule: 1, decision: DECISION_ALLOW }]);
        assert_eq!(of(&[None]), [(0, Outcome::Denied(0))]);
        assert_eq!(of(&[Some(&late)]), [(0, Outcome::Denied(0)), (5, Outcome::Left)]);
    }

    #[test]
    fn of_two_policies_the_one_that_drops_less_counts() {
        let earlier = vec![(0, Outcome::Denied(1)), (10, Outcome::DeniedNew(2)), (20, Outcome::Left)];
        let later = vec![(0, Outcome::DeniedNew(3)), (5, Outcome::Denied(4))];
        let expected = [
            (0, Outcome::DeniedNew(3)),
            (5, Outcome::Denied(4)),
            (10, Outcome::DeniedNew(2)),
            (20, Outcome::Left),
        ];
        assert_eq!(weaker(&earlier, &later), expected);
    }
}
