//! Prefixes that lie in each other, and the runs of addresses that they make.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::{Family, Prefix};

/// A prefix by its first address and length, and what is said of the addresses for which it is the longest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Labelled<L> {
    pub(crate) network: u128,
    pub(crate) length: u8,
    pub(crate) label: L,
}

impl<L> Labelled<L> {
    fn last(&self, family: Family) -> u128 {
        let host = family.width() - self.length;
        self.network | u128::MAX.checked_shr(128 - u32::from(host)).unwrap_or(0)
    }
}

/// All prefixes of a family, outer ones first, the whole family foremost: each with what every table says there, `default` where
/// it says nothing.
pub(crate) fn nest<E: Copy>(
    family: Family,
    tables: &[&BTreeMap<Prefix, E>],
    default: E,
) -> Vec<Labelled<Vec<E>>> {
    let of_family = tables.iter().flat_map(|table| table.keys()).filter(|prefix| prefix.family() == family);
    let mut all: BTreeSet<(u128, u8)> = of_family.map(|prefix| prefix.bits()).collect();
    all.insert((0, 0));
    let mut own: Vec<BTreeMap<(u128, u8), E>> = Vec::new();
    for table in tables {
        let entries = table.iter().filter(|(prefix, _)| prefix.family() == family);
        own.push(entries.map(|(prefix, entry)| (prefix.bits(), *entry)).collect());
    }
    let mut nested: Vec<Labelled<Vec<E>>> = Vec::new();
    let mut around: Vec<usize> = Vec::new();
    for (network, length) in all {
        while around.last().is_some_and(|outer| nested[*outer].last(family) < network) {
            around.pop();
        }
        let outer = around.last().map(|outer| &nested[*outer].label);
        let label = own.iter().enumerate().map(|(table, own)| {
            let inherited = outer.map_or(default, |label| label[table]);
            own.get(&(network, length)).copied().unwrap_or(inherited)
        });
        let label = label.collect();
        around.push(nested.len());
        nested.push(Labelled { network, length, label });
    }
    nested
}

/// Without the prefixes that say what the one around them says.
pub(crate) fn simplify(family: Family, nested: &[Labelled<u32>]) -> Vec<Labelled<u32>> {
    let mut kept: Vec<Labelled<u32>> = Vec::new();
    let mut around: Vec<usize> = Vec::new();
    for prefix in nested {
        while around.last().is_some_and(|outer| kept[*outer].last(family) < prefix.network) {
            around.pop();
        }
        if around.last().is_none_or(|outer| kept[*outer].label != prefix.label) {
            around.push(kept.len());
            kept.push(prefix.clone());
        }
    }
    kept
}

/// The runs of addresses that nested prefixes make: the first address of each, and its label. Neighbours differ.
pub(crate) fn runs(family: Family, nested: &[Labelled<u32>]) -> Vec<(u128, u32)> {
    let mut runs = Vec::new();
    let mut around: Vec<&Labelled<u32>> = Vec::new();
    for prefix in nested {
        leave(family, &mut around, &mut runs, Some(prefix.network));
        begin(&mut runs, prefix.network, prefix.label);
        around.push(prefix);
    }
    leave(family, &mut around, &mut runs, None);
    runs.dedup_by_key(|(_, label)| *label);
    runs
}

/// Ends the prefixes that end before `next`; after each goes on the one around it.
fn leave(family: Family, around: &mut Vec<&Labelled<u32>>, runs: &mut Vec<(u128, u32)>, next: Option<u128>) {
    while let Some(last) = around.last().map(|inner| inner.last(family)) {
        if next.is_some_and(|next| last >= next) {
            return;
        }
        around.pop();
        if let Some(outer) = around.last().filter(|_| last < family.last()) {
            begin(runs, last + 1, outer.label);
        }
    }
}

fn begin(runs: &mut Vec<(u128, u32)>, first: u128, label: u32) {
    if runs.last().is_some_and(|(begun, _)| *begun == first) {
        runs.pop();
    }
    runs.push((first, label));
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (address, length) = text.split_once('/').unwrap();
        Prefix::new(address.parse::<IpAddr>().unwrap(), length.parse().unwrap()).unwrap()
    }

    fn table(entries: &[(&str, u32)]) -> BTreeMap<Prefix, u32> {
        entries.iter().map(|(text, label)| (prefix(text), *label)).collect()
    }

    fn of_one(family: Family, entries: &[(&str, u32)]) -> Vec<Labelled<u32>> {
        let nested = nest(family, &[&table(entries)], 0);
        nested
            .into_iter()
            .map(|Labelled { network, length, label }| Labelled { network, length, label: label[0] })
            .collect()
    }

    #[test]
    fn the_longest_prefix_decides_and_around_it_goes_on_what_was_before() {
        let entries =
            [("10.0.0.0/8", 1), ("10.1.0.0/16", 2), ("10.1.255.255/32", 3), ("255.0.0.0/8", 4), ("::/0", 9)];
        let found = runs(Family::V4, &of_one(Family::V4, &entries));
        let ip = |text: &str| u128::from(text.parse::<std::net::Ipv4Addr>().unwrap().to_bits());
        let expected = [
            (0, 0),
            (ip("10.0.0.0"), 1),
            (ip("10.1.0.0"), 2),
            (ip("10.1.255.255"), 3),
            (ip("10.2.0.0"), 1),
            (ip("11.0.0.0"), 0),
            (ip("255.0.0.0"), 4),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn every_address_is_in_the_run_of_its_longest_prefix() {
        // All prefixes of a small corner, labelled by their place.
        let mut entries = BTreeMap::new();
        for (index, length) in [(0, 24), (16, 28), (16, 30), (20, 31), (255, 32), (128, 25), (254, 31)] {
            let address = std::net::Ipv4Addr::new(10, 0, 0, index);
            entries.insert(
                Prefix::new(address.into(), length).unwrap(),
                u32::from(index) << 8 | u32::from(length),
            );
        }
        let nested: Vec<Labelled<u32>> = nest(Family::V4, &[&entries], 7)
            .into_iter()
            .map(|Labelled { network, length, label }| Labelled { network, length, label: label[0] })
            .collect();
        let found = runs(Family::V4, &simplify(Family::V4, &nested));
        for low in 0..=255_u8 {
            let address = std::net::Ipv4Addr::new(10, 0, 0, low);
            let number = u128::from(address.to_bits());
            let holding =
                nested.iter().filter(|prefix| prefix.network <= number && number <= prefix.last(Family::V4));
            let longest = holding.max_by_key(|prefix| prefix.length).unwrap();
            let at = found.partition_point(|(first, _)| *first <= number) - 1;
            assert_eq!(found[at].1, longest.label, "{address}");
        }
    }

    #[test]
    fn of_two_tables_each_prefix_says_what_both_say_there() {
        let (one, two) = (table(&[("fd00::/16", 1), ("fd00:1::/32", 2)]), table(&[("fd00:1::/48", 3)]));
        let nested = nest(Family::V6, &[&one, &two], 0);
        let labels: Vec<(u8, Vec<u32>)> =
            nested.into_iter().map(|prefix| (prefix.length, prefix.label)).collect();
        assert_eq!(labels, [(0, vec![0, 0]), (16, vec![1, 0]), (32, vec![2, 0]), (48, vec![2, 3])]);
    }

    #[test]
    fn a_prefix_that_says_nothing_new_is_left_out() {
        let nested = of_one(Family::V4, &[("10.0.0.0/8", 1), ("10.1.0.0/16", 1), ("10.1.2.0/24", 2)]);
        let lengths: Vec<u8> = simplify(Family::V4, &nested).iter().map(|prefix| prefix.length).collect();
        assert_eq!(lengths, [0, 8, 24]);
    }
}
