//! What a user wants of a port's mode.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::mode::Mode;

/// What a user wants of a port's mode.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Demand {
    /// No lesser mode will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require: Option<Mode>,
    /// No better mode is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Mode>,
    /// None of these.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub forbid: BTreeSet<Mode>,
}

impl Demand {
    /// Whether a port that runs in `mode` is what the user wants.
    pub fn admits(&self, mode: Mode) -> bool {
        self.require.is_none_or(|least| mode >= least)
            && self.at_most.is_none_or(|most| mode <= most)
            && !self.forbid.contains(&mode)
    }

    /// Whether there is a mode that it admits.
    pub fn can_be_met(&self) -> bool {
        Mode::BEST_FIRST.into_iter().any(|mode| self.admits(mode))
    }

    /// What it asks of the program in the kernel, which is there whether or not another is in the NIC before it.
    #[must_use]
    pub fn in_kernel(&self) -> Self {
        let kernel = |mode: &Mode| *mode != Mode::Offload;
        Self {
            require: self.require.filter(kernel),
            at_most: self.at_most.filter(kernel),
            forbid: self.forbid.iter().copied().filter(kernel).collect(),
        }
    }

    /// What asks for both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let least = |a: Option<Mode>, b: Option<Mode>| a.into_iter().chain(b).min();
        Self {
            require: self.require.max(other.require),
            at_most: least(self.at_most, other.at_most),
            forbid: self.forbid.union(&other.forbid).copied().collect(),
        }
    }
}

impl fmt::Display for Demand {
    /// `at least native, at most native, not generic`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.require.map(|mode| format!("at least {}", mode.word()));
        let most = self.at_most.map(|mode| format!("at most {}", mode.word()));
        let not = self.forbid.iter().rev().map(|mode| format!("not {}", mode.word()));
        let all: Vec<String> = least.into_iter().chain(most).chain(not).collect();
        f.pad(&if all.is_empty() { "any mode".to_owned() } else { all.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demands() -> Vec<Demand> {
        let mode = || [None].into_iter().chain(Mode::BEST_FIRST.map(Some));
        let forbidden = (0u8..8).map(|bits| {
            let modes = Mode::BEST_FIRST.into_iter().enumerate();
            modes.filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, mode)| mode).collect::<BTreeSet<_>>()
        });
        let all = forbidden.flat_map(|forbid| {
            mode().flat_map(move |require| {
                let forbid = forbid.clone();
                mode().map(move |at_most| Demand { require, at_most, forbid: forbid.clone() })
            })
        });
        all.collect()
    }

    #[test]
    fn two_demands_together_admit_what_each_of_them_admits() {
        let all = demands();
        assert_eq!(all.len(), 128);
        for (one, other) in all.iter().flat_map(|one| all.iter().map(move |other| (one, other))) {
            let both = one.and(other);
            for mode in Mode::BEST_FIRST {
                assert_eq!(
                    both.admits(mode),
                    one.admits(mode) && other.admits(mode),
                    "{one}; {other}; {mode}"
                );
            }
        }
        assert!(all.iter().filter(|demand| demand.can_be_met()).count() > 40);
        assert!(all.iter().any(|demand| !demand.can_be_met()));
    }

    #[test]
    fn a_demand_reads_as_what_it_asks() {
        assert_eq!(Demand::default().to_string(), "any mode");
        let demand = Demand {
            require: Some(Mode::Native),
            at_most: Some(Mode::Native),
            forbid: [Mode::Generic, Mode::Offload].into(),
        };
        assert_eq!(demand.to_string(), "at least native, at most native, not offload, not generic");
    }
}
