//! Edits of lists, against edits of a map, and what lists share.

use std::net::{IpAddr, Ipv4Addr};

use arbtest::arbtest;

use super::*;
use crate::identity::{Class, Identity};

fn entry(number: u32, class: u32) -> PlanAddress {
    let prefix = IpAddr::from(Ipv4Addr::from(number)).into();
    PlanAddress { prefix, identity: Identity(class), class: Class(class) }
}

fn list(numbers: impl Iterator<Item = u32>) -> Runs<PlanAddress> {
    numbers.map(|number| entry(number, 1)).collect()
}

fn edits(of: &[PlanAddress]) -> BTreeMap<IpNet, Option<PlanAddress>> {
    of.iter().map(|entry| (entry.prefix, Some(entry.clone()))).collect()
}

#[test]
fn an_edit_is_what_it_is_of_a_map_and_what_two_lists_do_not_share_says_all_that_differs() {
    let mut edited = 0;
    arbtest(|u| {
        let mut map: BTreeMap<IpNet, PlanAddress> = BTreeMap::new();
        let mut runs = Runs::default();
        for _ in 0..20 {
            let many = u.ratio(1, 4)?;
            let mut edits = BTreeMap::new();
            for _ in 0..u.int_in_range(0..=if many { 400 } else { 4 })? {
                let entry = entry(u.int_in_range(0..=999)?, u.int_in_range(1..=2)?);
                edits.insert(entry.prefix, Some(entry).filter(|_| u.ratio(2, 3).unwrap_or(true)));
            }
            let before = runs.clone();
            for (prefix, entry) in &edits {
                match entry {
                    Some(entry) => drop(map.insert(*prefix, entry.clone())),
                    None => drop(map.remove(prefix)),
                }
            }
            runs = before.edited(edits);
            assert!(runs.iter().eq(map.values()) && runs.len() == map.len());
            assert_eq!(runs, map.values().cloned().collect(), "wherever they are cut");
            assert_eq!(before == runs, before.iter().eq(&runs));
            assert!(runs.runs.iter().all(|run| (1..=MOST).contains(&run.entries.len())));
            for (place, entry) in map.values().enumerate().take(50) {
                assert_eq!((&runs[place], runs.with_key(&entry.prefix)), (entry, Some(entry)));
            }
            let place = runs.len() / 3;
            assert!(runs.iter_from(place).eq(runs.iter().skip(place)));
            let [ours, theirs] = Runs::unshared(&before, &runs).map(|runs| runs.concat());
            let differing = |list: &Runs<PlanAddress>, other: &Runs<PlanAddress>| -> Vec<PlanAddress> {
                list.iter().filter(|entry| other.with_key(&entry.prefix) != Some(entry)).cloned().collect()
            };
            assert!(differing(&before, &runs).iter().all(|entry| ours.contains(entry)));
            assert!(differing(&runs, &before).iter().all(|entry| theirs.contains(entry)));
            edited += 1;
        }
        Ok(())
    })
    .size_min(1 << 14)
    .budget_ms(3_000);
    assert!(edited > 500, "{edited} edits");
}

#[test]
fn an_edit_of_one_entry_makes_a_run_or_two_anew() {
    let before = list((0..100_000).map(|number| number * 2));
    for number in [0, 1, 77_777, 100_000, 199_999, 300_000] {
        let after = before.edited(edits(&[entry(number, 2)]));
        let [gone, new] = Runs::unshared(&before, &after).map(|runs| runs.concat().len());
        assert!(gone <= MOST && new <= MOST + 1, "{gone} entries gone, {new} new");
    }
}

#[test]
fn a_list_does_not_fall_to_pieces_when_most_of_it_goes() {
    let mut runs = list(0..10_000);
    for number in (0..10_000).filter(|number| number % 50 != 0) {
        runs = runs.edited(BTreeMap::from([(entry(number, 1).prefix, None)]));
    }
    assert_eq!(runs, list((0..10_000).step_by(50)));
    assert!(runs.runs.len() <= runs.len() / LEAST + 1, "{} runs of {} entries", runs.runs.len(), runs.len());
}

#[test]
fn copies_go_their_own_ways() {
    let mut first = list(0..300);
    let second = first.clone();
    first[150] = entry(150, 2);
    first.iter_mut().rev().take(1).for_each(|entry| entry.class = Class(3));
    first.edit().push(entry(300, 1));
    assert_eq!((first.len(), first[150].class, first[299].class), (301, Class(2), Class(3)));
    assert_eq!(second, list(0..300));
}
