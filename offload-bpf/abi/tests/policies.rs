//! Entries of policy: what they hold is what they were made of, and they decide as a plain search does.

use selvedge_abi::{Bucket, Interval, ListNumber, PolicyBucket, PolicyEntry, PolicyKey, Run};

const LAST_KEY: u32 = (1 << 24) - 1;

fn interval(start: u32, rule: u32, decision: u32) -> Interval {
    Interval { start, rule, decision }
}

/// The last interval that starts at or before `key`, the plain way.
fn plain(intervals: &[Interval], key: u32) -> Option<Interval> {
    intervals.iter().rev().find(|interval| interval.start <= key).copied()
}

/// Short lists: one to three starts out of those that are near a boundary.
fn lists() -> Vec<Vec<Interval>> {
    let starts = [0, 1, 2, 0xffff, 0x1_0000, 6 << 16 | 443, 6 << 16 | 444, LAST_KEY - 1, LAST_KEY];
    let list = |starts: &[u32]| -> Vec<Interval> {
        let numbered = starts.iter().zip(0..);
        numbered.map(|(start, at)| interval(*start, u32::MAX - at, [0, 15, 127][at as usize])).collect()
    };
    let mut lists = Vec::new();
    for (at, first) in starts.iter().enumerate() {
        lists.push(list(&[*first]));
        for (next, second) in starts.iter().enumerate().skip(at + 1) {
            lists.push(list(&[*first, *second]));
            lists.extend(starts[next + 1..].iter().map(|third| list(&[*first, *second, *third])));
        }
    }
    lists
}

#[test]
fn a_short_list_decides_every_key_at_its_boundaries_as_a_plain_search_does() {
    let mut asserted = 0;
    for list in lists() {
        let entry = PolicyEntry::inline(&list).unwrap();
        assert_eq!(entry.intervals().collect::<Vec<_>>(), list);
        assert_eq!(entry.run(), None);
        assert_ne!(entry, PolicyEntry::default(), "an entry of its own is never vacant");
        let boundaries =
            list.iter().flat_map(|each| [each.start.saturating_sub(1), each.start, each.start + 1]);
        for key in boundaries.chain([0, LAST_KEY]) {
            assert_eq!(entry.find(key), plain(&list, key), "{key:#x} in {list:?}");
            asserted += 1;
        }
    }
    assert!(asserted > 1_000, "{asserted}");
}

#[test]
fn an_interval_of_zeroes_is_held_too() {
    let zeroes = [Interval::default()];
    let entry = PolicyEntry::inline(&zeroes).unwrap();
    assert_ne!(entry, PolicyEntry::default());
    assert_eq!(entry.find(0), Some(zeroes[0]));
    assert!(entry.intervals().eq(zeroes));
}

#[test]
fn what_an_entry_has_no_room_for_it_does_not_hold() {
    let short = [interval(0, 1, 0), interval(5, 2, 1), interval(6, 1, 0)];
    assert!(PolicyEntry::inline(&short).is_some());
    assert_eq!(PolicyEntry::inline(&[short.as_slice(), &[interval(7, 1, 0)]].concat()), None, "four");
    assert_eq!(PolicyEntry::inline(&[]), None, "none");
    assert_eq!(PolicyEntry::inline(&[interval(LAST_KEY + 1, 1, 0)]), None, "no layer-4 key");
    assert_eq!(PolicyEntry::inline(&[interval(0, 1, 128)]), None, "no decision");
}

#[test]
fn a_run_is_told_from_a_list_and_decides_nothing_by_itself() {
    for (first, count) in [(0, 1), (0, 4), (1 << 17, 1 << 17), (u32::MAX, u32::MAX), (0, 0)] {
        let run = Run { first, count };
        let entry = PolicyEntry::indexed(run);
        assert_eq!(entry.run(), Some(run));
        assert_ne!(entry, PolicyEntry::default());
        assert_eq!((entry.intervals().count(), entry.find(0), entry.find(LAST_KEY)), (0, None, None));
    }
    let vacant = PolicyEntry::default();
    assert_eq!((vacant.run(), vacant.find(LAST_KEY)), (None, None));
}

#[test]
fn a_bucket_is_a_cache_line_and_finds_each_of_five_policies() {
    assert_eq!((size_of::<PolicyBucket>(), align_of::<PolicyBucket>()), (64, 64));
    let key = |peer, direction| PolicyKey { slot: 1, subject: PolicyKey::SUBJECTS - 1, peer, direction };
    let keys = [key(u32::MAX, 0), key(u32::MAX, 1), key(1, 0), key(1, 1), key(2, 0)];
    let mut bucket = PolicyBucket::default();
    assert!(
        (0..PolicyBucket::WAYS).all(|way| bucket.is_vacant(way)) && bucket.find(keys[0].to_words()).is_none()
    );
    for (way, key) in keys.iter().enumerate() {
        bucket.set(way, key.to_words(), ListNumber::of(way as u32));
        assert!(!bucket.is_vacant(way));
    }
    for (index, wanted) in (0..).zip(keys) {
        assert_eq!(bucket.find(wanted.to_words()).map(|list| list.index()), Some(index));
        assert_eq!(PolicyKey::from_words(1, wanted.to_words()), wanted);
    }
    assert_eq!(bucket.find(key(0, 0).to_words()), None);
}
