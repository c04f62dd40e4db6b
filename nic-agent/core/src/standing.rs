//! How the halves of the tables stand to the plan that is wanted: what of each may have to be written, and proven, again.
//!
//! A half is proven before it is used, and then stays as it is while the next plans go into the other and back. So of what two
//! plans in a row say alike, nothing has to be looked at. That holds only where nobody else wrote to it: whoever reads tables,
//! instead of knowing what was written, knows nothing of what was proven ([`Standing::forget`]).

use std::collections::BTreeMap;

use selvedge_abi::PortEntry;
use selvedge_topology::names::PortName;
use selvedge_topology::plan::Plan;

use crate::change::{Change, Touched};
use crate::lower;
use crate::machine::{IfIndex, Machine};
use crate::tables::Slot;

/// What of each half may be other than the plan says.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    touched: [Touched; 2],
    /// The ports that packets were tried at.
    ports: BTreeMap<PortName, (IfIndex, PortEntry)>,
}

impl Standing {
    /// Of one half.
    pub fn touched(&self, slot: Slot) -> &Touched {
        &self.touched[slot.number() as usize]
    }

    /// Takes note that nothing is known of what either half holds.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Takes note that `after` is wanted instead of `before`.
    pub fn wanted(&mut self, before: &Plan, after: &Plan) {
        let change = Change::between(before, after);
        for touched in &mut self.touched {
            if let Touched::Only(since) = touched {
                since.absorb(&change);
            }
        }
    }

    /// Holds what was proven to the ports as they are: where they are others, packets go other ways.
    pub fn look(&mut self, plan: &Plan, machine: &Machine) {
        let ports = lower::ports(plan, machine);
        if self.ports != ports {
            *self = Self { ports, ..Self::default() };
        }
    }

    /// Takes note that a half holds what the plan says, and was proven.
    pub fn proven(&mut self, slot: Slot) {
        self.touched[slot.number() as usize] = Touched::Only(Change::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{APP, Sample, WEB, machine};

    fn changed() -> (Plan, Plan) {
        let mut after = Sample::new().plan;
        after.addresses[1].identity = APP;
        (Sample::new().plan, after)
    }

    /// Of a machine where both halves were proven to hold the sample.
    fn standing() -> Standing {
        let mut standing = Standing::default();
        standing.look(&Sample::new().plan, &machine(&["eth0", "w1"]));
        Slot::BOTH.into_iter().for_each(|slot| standing.proven(slot));
        standing
    }

    #[test]
    fn nothing_is_known_of_a_half_before_it_was_proven_or_after_it_was_forgotten() {
        let (before, after) = changed();
        let mut standing = Standing::default();
        standing.look(&before, &machine(&["eth0", "w1"]));
        standing.proven(Slot::B);
        standing.wanted(&before, &after);
        assert_eq!(standing.touched(Slot::A), &Touched::Everything);
        assert_eq!(standing.touched(Slot::B), &Touched::Only(Change::between(&before, &after)));
        standing.forget();
        assert!(Slot::BOTH.iter().all(|slot| *standing.touched(*slot) == Touched::Everything));
    }

    #[test]
    fn what_changed_is_remembered_of_a_half_until_that_half_is_proven() {
        let (before, after) = changed();
        let mut last = after.clone();
        last.addresses[3].identity = WEB;
        let mut standing = standing();
        standing.wanted(&before, &after);
        standing.proven(Slot::A);
        standing.wanted(&after, &last);
        let mut both = Change::between(&before, &after);
        both.absorb(&Change::between(&after, &last));
        assert_eq!(both.addresses.len(), 2);
        assert_eq!(standing.touched(Slot::A), &Touched::Only(Change::between(&after, &last)));
        assert_eq!(standing.touched(Slot::B), &Touched::Only(both));
    }

    #[test]
    fn where_a_port_is_another_interface_than_it_was_nothing_is_known() {
        let (plan, mut standing) = (Sample::new().plan, standing());
        standing.look(&plan, &machine(&["eth0", "w1"]));
        assert_eq!(standing.touched(Slot::A), &Touched::Only(Change::default()));
        standing.look(&plan, &machine(&["eth0", "other", "w1"]));
        assert_eq!(standing.touched(Slot::A), &Touched::Everything);
    }
}
