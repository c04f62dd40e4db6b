//! Which drops NICs get that do not hold all: by what rules have counted.

use std::collections::BTreeMap;
use std::time::SystemTime;

use selvedge_agent_core::Choice;
use selvedge_agent_core::device::{Swap, swap};
use selvedge_codegen::Hits;
use selvedge_proto::Count;
use selvedge_topology::model::RuleId;

use super::Engine;
use crate::datapath::Datapath;

impl<D: Datapath> Engine<D> {
    /// Whether NICs are to get other programs, because rules count otherwise than when theirs were made: [`Self::converge`] again then.
    pub fn is_outdone(&self) -> bool {
        self.outdone
    }

    /// Takes note of what rules have counted in all, in the kernel (`rules`) and in NICs, where there is a choice to make.
    pub(super) fn weigh(&mut self, rules: &BTreeMap<RuleId, Count>, now: SystemTime) {
        let sheds =
            |choice: &Choice| matches!(choice, Choice::Runs(program) if !program.program.shed.is_empty());
        if !self.nics.values().any(sheds) {
            return;
        }
        let mut sums: Hits = rules.iter().map(|(rule, count)| (rule.0, count.packets)).collect();
        for (rule, packets) in self.devices.packets() {
            *sums.entry(rule.0).or_default() += packets;
        }
        let mut worth = std::mem::take(&mut self.worth);
        if worth.look(now, sums, |counted| self.swap(counted)) {
            tracing::info!("NICs get the drops that were worth most in the last minutes");
            self.outdone = true;
            let saved = self.state.save_hits(worth.hits());
            self.warn(saved);
        }
        self.worth = worth;
    }

    /// What comes of making programs by `counted`; nothing, where none can be made.
    fn swap(&self, counted: &Hits) -> Swap {
        self.choices_by(Some(counted)).map(|then| swap(&self.nics, &then, counted)).unwrap_or_default()
    }
}
