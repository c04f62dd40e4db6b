//! By what a NIC that can't hold all drops keeps those that it has: what rules counted, looked at a span at a time.
//!
//! To make programs by other counts is to exchange them, which takes seconds, and on some devices a moment without any. So that is done
//! for a clear gain only, of which the counts of a whole span show that it is no whim.

use std::time::{Duration, SystemTime};

use selvedge_codegen::Hits;

/// How long packets are counted before it is considered to make programs by that, so also the shortest time from one exchange to the
/// next. A flood that is over sooner would be gone before programs are exchanged for it and it is known that they should be.
const SPAN: Duration = Duration::from_secs(300);
/// Packets more in a span that other programs have to drop: a thousand a second. At under a microsecond each, the program in the kernel
/// drops those in a thousandth of one CPU's time, so below that nothing is gained.
const LEAST_GAIN: u64 = 1_000 * SPAN.as_secs();

/// The counts that programs are made by, and those that come in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Worth {
    hits: Option<Hits>,
    span: Option<(SystemTime, Hits)>,
}

/// What comes of making programs by the counts of a span, in packets of that span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swap {
    /// What is dropped in NICs then and is not now.
    pub gained: u64,
    /// What is dropped in NICs now and is not then.
    pub given_up: u64,
}

impl Swap {
    fn is_clear(self) -> bool {
        let Self { gained, given_up } = self;
        gained.saturating_sub(given_up) >= LEAST_GAIN.max(given_up / 4)
    }
}

impl Worth {
    /// With counts that programs were made by before.
    pub fn taken_up(hits: Option<Hits>) -> Self {
        Self { hits, span: None }
    }

    /// Packets by rule that programs are made by; none: by the breadth of what they drop.
    pub fn hits(&self) -> Option<&Hits> {
        self.hits.as_ref()
    }

    /// Takes note of what rules have counted in all at `now`. At the end of a span, programs are to be made by its counts, and the
    /// answer is `true`, where that is a clear gain: a quarter more than is given up for it, so that neither two rules that are about
    /// alike nor the ups and downs of one keep programs changing, and at least a thousand a second. `swap` says what would come of it.
    pub fn look(&mut self, now: SystemTime, sums: Hits, swap: impl FnOnce(&Hits) -> Swap) -> bool {
        let Some((since, before)) = &self.span else {
            self.span = Some((now, sums));
            return false;
        };
        match now.duration_since(*since) {
            Ok(passed) if passed < SPAN => return false,
            Ok(_) => {}
            // The clock was set back.
            Err(_) => {
                self.span = Some((now, sums));
                return false;
            }
        }
        // A counter that was made anew begins at zero.
        let counted = sums.iter().map(|(rule, sum)| {
            let before = before.get(rule).copied().unwrap_or_default();
            (*rule, sum.checked_sub(before).unwrap_or(*sum))
        });
        let counted: Hits = counted.filter(|(_, packets)| *packets > 0).collect();
        self.span = Some((now, sums));
        let is_clear = swap(&counted).is_clear();
        if is_clear {
            self.hits = Some(counted);
        }
        is_clear
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arbtest::arbitrary::Unstructured;
    use arbtest::arbtest;

    use super::*;

    /// A NIC that holds the drops of two rules: those that are worth most, or the first.
    fn held(by: Option<&Hits>) -> BTreeSet<u32> {
        let mut rules: Vec<u32> = (1..=5).collect();
        let worth = |rule: &u32| by.and_then(|hits| hits.get(rule)).copied().unwrap_or_default();
        rules.sort_by_key(|rule| std::cmp::Reverse(worth(rule)));
        rules[..2].iter().copied().collect()
    }

    fn swap(by: Option<&Hits>, counted: &Hits) -> Swap {
        let (now, then) = (held(by), held(Some(counted)));
        let of = |rules: &mut dyn Iterator<Item = &u32>| rules.filter_map(|rule| counted.get(rule)).sum();
        Swap { gained: of(&mut then.difference(&now)), given_up: of(&mut now.difference(&then)) }
    }

    /// Runs `property` on 1,000 cases, the same ones everywhere.
    fn each(mut property: impl FnMut(&mut Unstructured<'_>) -> arbtest::arbitrary::Result<()>) {
        for number in 1..=1_000_u32 {
            let random = number.wrapping_mul(0x9e37_79b9); // not zero, and no two alike: an odd factor
            arbtest(&mut property).seed(u64::from(random) << 32 | 512);
        }
    }

    /// Counts for an hour and looks every ten seconds; when it was decided anew.
    fn hour(u: &mut Unstructured<'_>, rates: [u64; 5], noise: u64) -> arbtest::arbitrary::Result<Vec<u64>> {
        let (mut worth, mut sums, mut decided) = (Worth::default(), Hits::new(), Vec::new());
        for second in (0..3600).step_by(10) {
            for (rule, rate) in (1..).zip(rates) {
                let percent = u.int_in_range(100 - noise..=100 + noise)?;
                *sums.entry(rule).or_default() += rate * 10 * percent / 100;
            }
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            let by = worth.hits().cloned();
            if worth.look(now, sums.clone(), |counted| swap(by.as_ref(), counted)) {
                decided.push(second);
            }
        }
        Ok(decided)
    }

    fn rates(u: &mut Unstructured<'_>) -> arbtest::arbitrary::Result<[u64; 5]> {
        let mut rates = [0; 5];
        for rate in &mut rates {
            *rate = *u.choose(&[0, 10, 900, 1_000, 1_100, 5_000, 100_000, 120_000])?;
        }
        Ok(rates)
    }

    #[test]
    fn floods_that_go_on_are_decided_on_once_however_they_swell_and_ebb() {
        let (mut once, mut never) = (0, 0);
        each(|u| {
            let rates = rates(u)?;
            let decided = hour(u, rates, 10)?;
            assert!(decided.len() <= 1, "{rates:?}: {decided:?}");
            match decided.len() {
                0 => never += 1,
                _ => once += 1,
            }
            Ok(())
        });
        assert!(once > 100 && never > 100, "{once} {never}");
    }

    #[test]
    fn whatever_is_counted_programs_are_exchanged_at_most_once_a_span_and_only_for_a_clear_gain() {
        let mut decided = 0;
        each(|u| {
            let (mut worth, mut sums, mut last) = (Worth::default(), Hits::new(), None);
            let mut now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
            for _ in 0..30 {
                let passed = Duration::from_secs(u.int_in_range(1..=200)?);
                now = if u.ratio(1, 20)? { now - passed } else { now + passed };
                for (rule, rate) in (1..).zip(rates(u)?) {
                    *sums.entry(rule).or_default() += rate * 100;
                }
                if u.ratio(1, 20)? {
                    sums.remove(&u.int_in_range(1..=5)?); // the rule went, and came back
                }
                let mut asked = None;
                let by = worth.hits().cloned();
                let judged = |counted: &Hits| *asked.insert(swap(by.as_ref(), counted));
                if worth.look(now, sums.clone(), judged) {
                    let Swap { gained, given_up } = asked.unwrap();
                    assert!(gained - given_up >= LEAST_GAIN && gained * 4 >= given_up * 5, "{asked:?}");
                    let since = last.map(|last| now.duration_since(last).unwrap());
                    assert!(since.is_none_or(|since| since >= SPAN), "{since:?}");
                    last = Some(now);
                    decided += 1;
                } else if last.is_some_and(|last| now < last) {
                    last = None; // the clock was set back
                }
            }
            Ok(())
        });
        assert!(decided > 500, "{decided}");
    }
}
