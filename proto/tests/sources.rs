//! Documents are cut where a change touches them, and what comes of it is what cutting all of them gives.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::collections::{BTreeMap, BTreeSet};

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use selvedge_proto::{Chunks, Digest, Sources};
use selvedge_topology::documents::Excerpt;

/// Documents by number, for a key.
type Documents = BTreeMap<u32, Excerpt>;

/// A document of some bytes. A few are larger than one message; most lines are alike, as in real ones.
fn document(random: &mut Unstructured<'_>) -> Result<Excerpt> {
    let bytes = match random.int_in_range(0..=39)? {
        0 => random.int_in_range(16_000..=60_000)?,
        1..=3 => random.int_in_range(4_000..=17_000)?,
        _ => random.int_in_range(0..=900)?,
    };
    let seed: u32 = random.arbitrary()?;
    let line = random.int_in_range(1..=1_000)?;
    let lines = (0..).map(|number: u32| format!("{}: {}\n", seed.wrapping_mul(number | 1), "x".repeat(50)));
    let mut text: String = lines.take(1 + bytes / 60).collect();
    text.truncate(bytes);
    Ok(Excerpt { file: format!("{}.yaml", seed % 3).into(), line, text: text.into() })
}

fn cut(documents: &Documents) -> (Sources<u32>, Chunks) {
    Sources::cut(documents).unwrap()
}

#[derive(Debug, Default)]
struct Seen {
    changes: usize,
    /// In which no more than a quarter of the chunks was cut.
    small: usize,
    removed: usize,
}

#[test]
fn a_change_is_cut_as_if_everything_was() {
    let mut seen = Seen::default();
    for number in 1..=40_u32 {
        // No two alike, and not zero: an odd factor.
        let seed = u64::from(number.wrapping_mul(0x9e37_79b9)) << 32 | u64::from(256 * number);
        arbtest(|random| history(random, &mut seen)).seed(seed);
    }
    let Seen { changes, small, removed } = seen;
    assert!(changes >= 300 && small >= 30 && removed >= 100, "{seen:?}");
}

fn history(random: &mut Unstructured<'_>, seen: &mut Seen) -> Result<()> {
    let mut documents = Documents::new();
    for _ in 0..random.int_in_range(0..=400)? {
        documents.insert(random.int_in_range(0..=2_000)?, document(random)?);
    }
    let (mut sources, mut there) = cut(&documents);
    for _ in 0..8 {
        let mut changed = BTreeSet::new();
        for _ in 0..random.int_in_range(1..=4)? {
            // Often one that is there, also the first and the last.
            let any = random.int_in_range(0..=2_000)?;
            let key = documents.range(any..).next().map_or(any, |(key, _)| *key);
            let key = if random.ratio(1, 3)? { any } else { key };
            if random.ratio(1, 3)? {
                seen.removed += usize::from(documents.remove(&key).is_some());
            } else {
                documents.insert(key, document(random)?);
            }
            changed.insert(key);
        }
        let from = |first: Option<&u32>| documents.range(first.copied().unwrap_or(0)..);
        let (now, fresh) = sources.change(&changed, from).unwrap();
        let (expected, all) = cut(&documents);
        assert_eq!(now, expected, "after a change of {changed:?}");
        assert!(fresh.digests().all(|digest| all.contains(digest)), "chunks that nobody names");
        seen.changes += 1;
        seen.small += usize::from(4 * fresh.len() <= all.len());
        there.append(fresh);
        let missing: Vec<Digest> = now.digests().filter(|digest| !there.contains(*digest)).collect();
        assert_eq!(missing, [], "named, and nowhere");
        sources = now;
    }
    Ok(())
}

#[test]
fn an_edit_of_a_large_document_cuts_few_of_its_chunks_again() {
    let line = |number: u32| format!("    - {{name: host{number}, role: host, addresses: [10.0.0.1]}}\n");
    let fabric = |edited: &str| {
        let text: String = (0..20_000).map(line).collect();
        let text = text.replace("name: host7000,", edited);
        Documents::from([(0, Excerpt { file: "fabric.yaml".into(), line: 1, text: text.into() })])
    };
    let (_, before) = cut(&fabric("name: host7000,"));
    let (_, after) = cut(&fabric("name: host7000, rack: r1,"));
    let written = after.digests().filter(|digest| !before.contains(*digest)).count();
    assert!(before.len() > 20, "{} chunks", before.len());
    assert!((1..=3).contains(&written), "{written} chunks");
}
