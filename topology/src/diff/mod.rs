//! What a change of documents means: which new connections it opens, closes or has another rule decide, of all packets there can be.
//!
//! Addresses are sorted into [`End`]s that the policy of neither model can tell apart: what both take an address for, and the CIDRs
//! that rules of either name. Between two ends the decision lists of both, before and after, are laid over each other, key by key. So
//! nothing is sampled, and what the oracle says of two models differs exactly where this says so.
//!
//! Who asks must be a workload: between two ends that nobody enforces for, nothing changes.

pub(crate) mod ends;
mod free;
pub(crate) mod intervals;
mod nodes;
pub(crate) mod rectangles;
pub(crate) mod rows;
pub(crate) mod rules;
pub(crate) mod words;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

pub use ends::{Both, End, Place, Taken};
pub use intervals::{Kind, Verdict};
pub use nodes::{Nodes, Room, nodes};
pub use rectangles::Pairs;
pub use rules::Named;

use ends::Ends;
use intervals::{Changed, changed};
use rows::{Differing, Index, List, Rows};
use rules::Rules;
use words::Words;

use crate::compile::{Cidrs, CompileError};
use crate::identity::IdentityTable;
use crate::l4::{L4Key, L4Range};
use crate::model::{Direction, Established, Model, RuleId};

/// What a change means.
pub struct Difference<'m> {
    ends: Ends<'m>,
    words: Words<'m>,
    rules: Rules,
    /// Sorted by kind: what opens, what closes, what is decided by others.
    pub changes: Vec<Change>,
}

/// The same change of the same keys, between some ends.
#[derive(Clone, Debug)]
pub struct Change {
    /// What it does.
    pub kind: Kind,
    /// The keys, in sorted ranges apart from each other.
    pub ranges: Vec<L4Range>,
    /// What the ends said before and what they say after.
    pub verdicts: Both<Verdict>,
    /// What becomes of established connections, where it closes.
    pub established: Option<Established>,
    /// Between whom; each pair is in one of these. Those with an end that comes or goes are not among others.
    pub pairs: Vec<Pairs>,
}

/// What `after` means for connections, beside `before`. `identities` has the numbers of both ([`IdentityTable::allocate`]).
pub fn difference<'m>(
    before: &'m Model,
    after: &'m Model,
    identities: &'m IdentityTable,
) -> Result<Difference<'m>, CompileError> {
    let ends = Ends::of([before, after], identities, Cidrs::default())?;
    let mut found = Found::default();
    let rows = Rows::of(ends.compilers())?;
    let index = Index::of(&ends.all);
    found.look(&ends.all, &rows, &index);
    let changes = found.changes(&ends.all);
    let words = Words::of(&ends.all, identities);
    Ok(Difference { ends, words, rules: Rules::of([before, after]), changes })
}

impl<'m> Difference<'m> {
    /// The ends that [`Pairs`] name, by their number.
    pub fn ends(&self) -> &[End<'m>] {
        &self.ends.all
    }

    /// Whether each of `pairs` has an end that comes or goes: so has one, if any.
    pub fn comes_or_goes(&self, pairs: &Pairs) -> bool {
        let mut ends = pairs.from.iter().chain(&pairs.to);
        ends.any(|end| self.ends.all[*end].comes_or_goes())
    }

    /// Ends in words: by labels that they have and no others.
    pub fn words(&self, ends: &[usize]) -> String {
        self.words.say(ends)
    }

    /// A rule that decisions name, of the model before (0) or after (1).
    pub fn rule(&self, side: usize, rule: RuleId) -> Option<&Named> {
        self.rules.get(side, rule)
    }

    /// Whether nothing changes for any packet.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Two addresses, one of each of two ends: between these something changes.
    pub fn example(&self, pairs: &Pairs) -> Option<(Place<'m>, Place<'m>)> {
        let source = self.ends.all.get(*pairs.from.first()?)?;
        source.pair(self.ends.all.get(*pairs.to.first()?)?)
    }

    /// What changes for a new connection from `source` to `destination` with `key`; `None`: nothing.
    pub fn between(&self, source: IpAddr, destination: IpAddr, key: L4Key) -> Option<&Change> {
        let from = self.ends.at(source, self.ends.enforced_at(destination));
        let to = self.ends.at(destination, self.ends.enforced_at(source));
        let (from, to) = (from?, to?);
        self.changes.iter().find(|change| {
            change.ranges.iter().any(|range| range.contains(key))
                && change.pairs.iter().any(|pairs| pairs.has(from, to))
        })
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    /// What four decision lists come to: numbers of changes.
    known: HashMap<(Both<List>, Both<List>), Vec<usize>>,
    numbers: HashMap<Changed, usize>,
    /// Between whom each is.
    pairs: Vec<Vec<(usize, usize)>>,
}

impl Found {
    /// Looks at the pairs of ends of which a row says another thing than before, and at no others.
    fn look(&mut self, ends: &[End<'_>], rows: &Rows<'_>, index: &Index) {
        let mut known: HashMap<(Both<_>, Direction), Vec<Differing>> = HashMap::new();
        for direction in [Direction::Egress, Direction::Ingress] {
            for (number, subject) in ends.iter().enumerate().filter(|(_, end)| rows.has(end.taken)) {
                let identities = subject.taken.map(|taken| taken.identity);
                let differing = known
                    .entry((identities, direction))
                    .or_insert_with(|| rows.differing(subject.taken, direction, index));
                for (other, lists) in differing {
                    let peer = &ends[*other];
                    match direction {
                        Direction::Egress => {
                            let answers = rows.between(peer, Direction::Ingress, subject);
                            self.enter((number, subject), (*other, peer), *lists, answers, rows);
                        }
                        Direction::Ingress => {
                            let asks = rows.between(peer, Direction::Egress, subject);
                            // Where these differ, it was found from the other end.
                            if asks[0] == asks[1] {
                                self.enter((*other, peer), (number, subject), asks, *lists, rows);
                            }
                        }
                    }
                }
            }
        }
    }

    fn enter(
        &mut self,
        (from, source): (usize, &End<'_>),
        (to, destination): (usize, &End<'_>),
        egress: Both<List>,
        ingress: Both<List>,
        rows: &Rows<'_>,
    ) {
        let Self { known, numbers, pairs } = self;
        let changes = known.entry((egress, ingress)).or_insert_with(|| {
            let content = |lists: Both<List>| lists.map(|list| rows.list(list));
            let number = |changed: Changed| {
                *numbers.entry(changed).or_insert_with(|| {
                    pairs.push(Vec::new());
                    pairs.len() - 1
                })
            };
            changed(content(egress), content(ingress)).into_iter().map(number).collect()
        });
        if !changes.is_empty() && source.pair(destination).is_some() {
            changes.iter().for_each(|change| pairs[*change].push((from, to)));
        }
    }

    fn changes(self, ends: &[End<'_>]) -> Vec<Change> {
        let Self { known: _, numbers, mut pairs } = self;
        let passing = |(from, to): &(usize, usize)| ends[*from].comes_or_goes() || ends[*to].comes_or_goes();
        let sorted: BTreeMap<Changed, usize> = numbers.into_iter().collect();
        let found = sorted.into_iter().map(|(Changed { kind, verdicts, established, ranges }, number)| {
            let (passing, staying): (Vec<_>, Vec<_>) = pairs[number].drain(..).partition(passing);
            let pairs = [staying, passing].into_iter().flat_map(rectangles::cover).collect::<Vec<_>>();
            Change { kind, ranges, verdicts, established, pairs }
        });
        found.filter(|change| !change.pairs.is_empty()).collect()
    }
}
