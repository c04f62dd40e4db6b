//! Who meets whom: addresses in groups that are alike to policy, and what becomes of packets from each to each.

use std::collections::{BTreeMap, BTreeSet};

use crate::outcome::{Outcome, Outcomes};
use crate::policy::{Family, Party, PortPolicy, WORLD, Who};
use crate::prefixes::{self, Labelled};
use crate::program::Drops;

/// The group of addresses, and the block, of which nothing is dropped.
pub(crate) const LEFT: u32 = 0;

/// What becomes of the packets from one group to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Block {
    /// Of a packet, by its own layer-4 key.
    pub(crate) forward: Outcomes,
    /// Of what it may be an answer to, by the key that such a connection was opened with.
    pub(crate) reverse: Outcomes,
}

impl Block {
    /// All packets end alike.
    pub(crate) fn of(outcome: Outcome) -> Self {
        Self { forward: vec![(0, outcome)], reverse: vec![(0, Outcome::Denied(0))] }
    }

    fn is_left(&self) -> bool {
        self.forward.iter().all(|(_, outcome)| *outcome == Outcome::Left)
    }
}

/// The groups of one family's addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    /// Prefixes and their groups, outer ones first, the whole family foremost.
    pub(crate) nested: Vec<Labelled<u32>>,
    /// The same as runs: the first address of each, and its group.
    pub(crate) runs: Vec<(u128, u32)>,
}

/// The groups of addresses that packets are from, or for, by family.
pub(crate) type Directories = [Directory; 2];

/// What becomes of packets, by their groups.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    /// Of sources.
    pub(crate) sources: Directories,
    /// Of destinations.
    pub(crate) destinations: Directories,
    /// Index of the block, by destination group, then source group. The first of each is [`LEFT`].
    pub(crate) cells: Vec<Vec<u32>>,
    /// Blocks; the first drops nothing.
    pub(crate) blocks: Vec<Block>,
    /// How wide drops are: the addresses of the one end, times those of the other, times the layer-4 keys.
    pub(crate) breadths: BTreeMap<Drops, u128>,
}

/// What a policy needs to know of the two ends of a packet, by policy.
type Ends = Vec<Who>;

impl Matrix {
    /// The groups that `policies` tell apart, with `block` from each to each.
    pub(crate) fn new(policies: &[&PortPolicy], block: &dyn Fn(&Ends, &Ends) -> Block) -> Self {
        let named: Vec<BTreeSet<u32>> = policies.iter().map(|policy| policy.named_classes()).collect();
        let who = |role: fn(&PortPolicy, &selvedge_abi::AddressEntry) -> Who| {
            let ends = |family| who_is_where(family, policies, &named, role);
            Family::BOTH.map(ends)
        };
        let (sources, destinations) = (who(PortPolicy::source), who(PortPolicy::destination));
        let (from, to) = (distinct(&sources), distinct(&destinations));
        let mut blocks = Numbers::default();
        blocks.number(Block::of(Outcome::Left));
        let mut judged = |source: &Ends, destination: &Ends| {
            let block = block(source, destination);
            if block.is_left() { LEFT } else { blocks.number(block) }
        };
        let all: Vec<Vec<u32>> =
            to.iter().map(|to| from.iter().map(|from| judged(from, to)).collect()).collect();
        let breadths = breadths([(&sources, &from), (&destinations, &to)], &all, &blocks.list);
        let column = |source: usize| all.iter().map(|row| row[source]).collect();
        let from_groups = alike((0..from.len()).map(column), to.len());
        let to_groups = alike(all.iter().cloned(), from.len());
        let mut cells = vec![vec![LEFT; groups(&from_groups)]; groups(&to_groups)];
        for (row, to) in all.iter().zip(&to_groups) {
            for (block, from) in row.iter().zip(&from_groups) {
                cells[*to as usize][*from as usize] = *block;
            }
        }
        Self {
            sources: directories(&sources, &from, &from_groups),
            destinations: directories(&destinations, &to, &to_groups),
            cells,
            blocks: blocks.list,
            breadths,
        }
    }

    /// Whether anything is dropped of a family.
    pub(crate) fn drops_any(&self, family: Family) -> bool {
        let groups = |sides: &Directories| -> BTreeSet<u32> {
            sides[family as usize].runs.iter().map(|(_, group)| *group).collect()
        };
        let (from, to) = (groups(&self.sources), groups(&self.destinations));
        to.iter().any(|to| from.iter().any(|from| self.cells[*to as usize][*from as usize] != LEFT))
    }
}

/// The rules that deny, and how many layer-4 keys each time.
fn denied(outcomes: &Outcomes) -> impl Iterator<Item = (u32, u128)> {
    const KEYS: u32 = 1 << 24;
    let ends = outcomes.iter().skip(1).map(|(start, _)| *start).chain([KEYS]);
    outcomes
        .iter()
        .zip(ends)
        .filter_map(|((start, outcome), end)| Some((outcome.rule()?, u128::from(end.saturating_sub(*start)))))
}

impl Drops {
    /// What `rule` drops between two ends: by the last policy, which is the newest.
    pub(crate) fn between(rule: u32, source: &[Who], destination: &[Who]) -> Self {
        let subject = |ends: &[Who]| match ends.last() {
            Some(Who::Party(Party { subject, .. })) => *subject,
            _ => None,
        };
        Self { rule, source: subject(source), destination: subject(destination) }
    }
}

/// One side of packets: who is where, and each of them once.
type Side<'a> = (&'a [Vec<Labelled<Ends>>; 2], &'a [Ends]);

fn breadths(
    [sources, destinations]: [Side<'_>; 2],
    all: &[Vec<u32>],
    blocks: &[Block],
) -> BTreeMap<Drops, u128> {
    let sizes = |(side, distinct): Side<'_>| {
        let each: Vec<u32> = (0..distinct.len() as u32).collect();
        sizes(&directories(side, distinct, &each))
    };
    let (from_sizes, to_sizes) = (sizes(sources), sizes(destinations));
    let mut breadths: BTreeMap<Drops, u128> = BTreeMap::new();
    for (to, row) in all.iter().enumerate() {
        for (from, block) in row.iter().enumerate() {
            let of = |sizes: &BTreeMap<u32, u128>, end: usize| sizes.get(&(end as u32)).copied().unwrap_or(0);
            let pairs = of(&from_sizes, from).saturating_mul(of(&to_sizes, to));
            for (rule, keys) in denied(&blocks[*block as usize].forward) {
                let drops = Drops::between(rule, &sources.1[from], &destinations.1[to]);
                let breadth = breadths.entry(drops).or_default();
                *breadth = breadth.saturating_add(pairs.saturating_mul(keys));
            }
        }
    }
    breadths
}

/// Addresses of each group; of IPv6 by the networks of 32 bits that they are in, at least one a run.
fn sizes(directories: &Directories) -> BTreeMap<u32, u128> {
    const NETWORK_BITS: u32 = 96;
    let mut sizes: BTreeMap<u32, u128> = BTreeMap::new();
    for (family, Directory { runs, .. }) in Family::BOTH.into_iter().zip(directories) {
        let ends = runs.iter().skip(1).map(|(first, _)| first - 1).chain([family.last()]);
        for ((first, group), last) in runs.iter().zip(ends) {
            let size = match family {
                Family::V4 => last - first + 1,
                Family::V6 => ((last - first) >> NETWORK_BITS) + 1,
            };
            *sizes.entry(*group).or_default() += size;
        }
    }
    sizes
}

fn who_is_where(
    family: Family,
    policies: &[&PortPolicy],
    named: &[BTreeSet<u32>],
    role: fn(&PortPolicy, &selvedge_abi::AddressEntry) -> Who,
) -> Vec<Labelled<Ends>> {
    /// Stands for all classes that no row names.
    const OTHERS: u32 = 0;
    let tables: Vec<_> = policies.iter().map(|policy| &policy.addresses).collect();
    let entries = prefixes::nest(family, &tables, WORLD).into_iter();
    let who = entries.map(|Labelled { network, length, label }| {
        let ends =
            label.iter().zip(policies).zip(named).map(|((entry, policy), named)| match role(policy, entry) {
                Who::Party(mut party) => {
                    party.class = if named.contains(&party.class) { party.class } else { OTHERS };
                    Who::Party(party)
                }
                other => other,
            });
        Labelled { network, length, label: ends.collect() }
    });
    who.collect()
}

fn distinct(sides: &[Vec<Labelled<Ends>>; 2]) -> Vec<Ends> {
    let all: BTreeSet<&Ends> = sides.iter().flatten().map(|prefix| &prefix.label).collect();
    all.into_iter().cloned().collect()
}

/// A number for each of `all`, equal for equal ones; [`LEFT`] for those that are `length` times [`LEFT`].
fn alike(all: impl Iterator<Item = Vec<u32>>, length: usize) -> Vec<u32> {
    let all: Vec<Vec<u32>> = all.collect();
    let mut numbers = BTreeMap::from([(vec![LEFT; length], LEFT)]);
    // In the order of what they say, so that neighbours are much alike, and decision trees small.
    for one in all.iter().collect::<BTreeSet<_>>() {
        let next = numbers.len() as u32;
        numbers.entry(one.clone()).or_insert(next);
    }
    all.iter().map(|one| numbers[one]).collect()
}

fn groups(numbers: &[u32]) -> usize {
    numbers.iter().max().map_or(1, |highest| *highest as usize + 1)
}

fn directories(sides: &[Vec<Labelled<Ends>>; 2], distinct: &[Ends], groups: &[u32]) -> Directories {
    let numbers: BTreeMap<&Ends, u32> = distinct.iter().zip(groups.iter().copied()).collect();
    let directory = |family: Family| {
        let side = &sides[family as usize];
        let labelled = side.iter().map(|prefix| Labelled {
            network: prefix.network,
            length: prefix.length,
            label: numbers[&prefix.label],
        });
        let nested = prefixes::simplify(family, &labelled.collect::<Vec<_>>());
        let runs = prefixes::runs(family, &nested);
        Directory { nested, runs }
    };
    Family::BOTH.map(directory)
}

/// Numbers for things, in the order in which they came.
struct Numbers<T> {
    list: Vec<T>,
    numbers: BTreeMap<T, u32>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self { list: Vec::new(), numbers: BTreeMap::new() }
    }
}

impl<T: Ord + Clone> Numbers<T> {
    fn number(&mut self, thing: T) -> u32 {
        let next = self.list.len() as u32;
        *self.numbers.entry(thing).or_insert_with_key(|thing| {
            self.list.push(thing.clone());
            next
        })
    }
}
