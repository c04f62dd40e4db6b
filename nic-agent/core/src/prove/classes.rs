//! Classes of peers, as a plan's addresses have them: many addresses, and of each class a lot.

use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::plan::Plan;

/// How many classes are remembered; a power of two.
const REMEMBERED: usize = 1 << 12;

/// What was found out of the classes that were asked of last. A hundred thousand addresses ask of a thousand classes, so that nearly all
/// answers are at hand, at a nanosecond each.
pub(super) struct Recent<T>(Vec<Option<(Class, T)>>);

impl<T: Copy> Recent<T> {
    pub(super) fn new() -> Self {
        Self(vec![None; REMEMBERED])
    }

    /// What there is to know of `class`, found out where it is not remembered.
    pub(super) fn of(&mut self, class: Class, find: impl FnOnce() -> T) -> T {
        let place = &mut self.0[class.0 as usize % REMEMBERED];
        match *place {
            Some((known, found)) if known == class => found,
            _ => place.insert((class, find())).1,
        }
    }
}

/// Every class that an address or a row names, and the world's; sorted.
pub(super) fn named(plan: &Plan) -> Vec<Class> {
    let mut classes = vec![Identity::WORLD.into()];
    let mut recent = Recent::new();
    for entry in &plan.addresses {
        recent.of(entry.class, || classes.push(entry.class));
    }
    for (class, _) in plan.rows.iter().flat_map(|row| &row.peers) {
        recent.of(*class, || classes.push(*class));
    }
    classes.sort_unstable();
    classes.dedup();
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_never_said_of_another_class() {
        let (mut recent, mut found) = (Recent::new(), 0);
        for round in 0..3 {
            for class in (0..3 * REMEMBERED as u32).map(Class) {
                let answer = recent.of(class, || {
                    found += 1;
                    class.0 * 2
                });
                assert_eq!(answer, class.0 * 2, "in round {round}");
            }
        }
        assert!(found > 3 * REMEMBERED, "classes took the place of others {found} times");
    }
}
