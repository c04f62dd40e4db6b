//! What is too much is refused, quickly and in bounded memory.

use std::time::{Duration, Instant};

use selvedge_topology::documents::{Loaded, SourceFile, limits, load};
use selvedge_topology::model::Place;

fn file(text: String) -> Vec<SourceFile> {
    vec![SourceFile { name: "big.yaml".to_owned(), text }]
}

fn codes(loaded: &Loaded) -> Vec<&'static str> {
    loaded.diagnostics.iter().map(|finding| finding.code).collect()
}

fn workload(spec: &str) -> String {
    format!("apiVersion: selvedge/v1\nkind: Workload\nmetadata: {{name: w}}\nspec: {{{spec}}}\n")
}

fn too_many_labels() -> Vec<SourceFile> {
    let labels: Vec<String> = (0..=limits::LABELS).map(|n| format!("l{n}: v")).collect();
    file(workload(&format!("labels: {{{}}}, addresses: [10.0.0.1], unmanaged: true", labels.join(", "))))
}

fn too_long_a_description() -> Vec<SourceFile> {
    let words = "w".repeat(limits::DESCRIPTION + 1);
    file(format!(
        "apiVersion: selvedge/v1\nkind: CidrGroup\nmetadata: {{name: g, description: {words}}}\nspec: {{cidrs: []}}\n"
    ))
}

/// What a parser would say of it is `too-deep`.
fn too_large() -> Vec<SourceFile> {
    file("[".repeat(limits::FILE_BYTES + 1))
}

fn too_many_errors() -> Vec<SourceFile> {
    file("a: 1\n---\n".repeat(1000))
}

/// Files that each go beyond a limit.
pub(crate) fn beyond_every_limit() -> Vec<Vec<SourceFile>> {
    vec![too_many_labels(), too_long_a_description(), too_large(), too_many_errors()]
}

#[test]
fn counts_and_lengths_beyond_the_limit_are_named() {
    let loaded = load(&too_many_labels());
    let finding = loaded.diagnostics.iter().find(|finding| finding.code == "too-many").unwrap();
    assert_eq!(finding.message, "`labels` has 65 entries, at most 64 are allowed");
    let loaded = load(&too_long_a_description());
    let finding = loaded.diagnostics.iter().find(|finding| finding.code == "too-long").unwrap();
    assert_eq!(finding.message, "`description` has 1025 characters, at most 1024 are allowed");
}

#[test]
fn documents_of_a_kind_beyond_the_limit_are_refused() {
    let group = |n| {
        format!(
            "apiVersion: selvedge/v1\nkind: CidrGroup\nmetadata: {{name: g{n}}}\nspec: {{cidrs: []}}\n---\n"
        )
    };
    let loaded = load(&file((0..=limits::GROUPS).map(group).collect()));
    let finding = loaded.diagnostics.iter().find(|finding| finding.code == "too-many").unwrap();
    assert_eq!(finding.message, "there are 20001 CidrGroups, at most 20000 are allowed");
}

#[test]
fn a_file_beyond_the_limit_is_refused_before_it_is_parsed() {
    assert_eq!(codes(&load(&too_large())), ["too-large"]);
}

#[test]
fn files_that_are_too_large_together_are_refused() {
    let count = limits::TOTAL_BYTES / limits::FILE_BYTES + 1;
    // Many names for one text would need no memory at all, but files own theirs: pages of zeros are cheap.
    let text = |_| String::from_utf8(vec![0; limits::FILE_BYTES]).unwrap();
    let files: Vec<SourceFile> =
        (0..count).map(|n| SourceFile { name: format!("{n}.yaml"), text: text(n) }).collect();
    let loaded = load(&files);
    let finding = loaded.diagnostics.iter().find(|finding| finding.code == "too-large").unwrap();
    assert_eq!(finding.place.file, format!("{}.yaml", count - 1));
}

#[test]
fn errors_beyond_the_limit_are_counted() {
    let loaded = load(&too_many_errors());
    assert_eq!(loaded.diagnostics.len(), limits::FINDINGS + 1);
    let last = loaded.diagnostics.last().unwrap();
    // Each of the 1,000 documents lacks four fields and has one that is unknown.
    assert_eq!((last.code, &*last.message), ("more-findings", "and 4800 more that are not shown"));
}

#[test]
fn a_bomb_of_aliases_stays_as_small_as_it_is_written() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..100 {
        let below = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![below; 9].join(", ")));
    }
    let start = Instant::now();
    let loaded = load(&file(bomb));
    assert!(loaded.model.is_none());
    assert!(codes(&loaded).contains(&"yaml-alias"));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn nesting_however_deep_is_refused_where_it_becomes_too_deep() {
    for opening in ["[", "{a: ", "- ", "? "] {
        let loaded = load(&file(opening.repeat(100_000)));
        let first = &loaded.diagnostics[0];
        assert!(["too-deep", "yaml-syntax"].contains(&first.code), "{opening}: {first:?}");
        assert!(loaded.diagnostics.len() <= 2, "{opening}");
    }
}

#[test]
fn a_document_of_too_many_values_is_refused() {
    let loaded = load(&file("- 1\n".repeat(limits::NODES + 1)));
    assert_eq!(codes(&loaded), ["too-many"]);
}

#[test]
fn brackets_that_would_have_to_be_kept_whole_are_refused() {
    for pair in ["a: b, ", "a: b,\n"] {
        let pairs = pair.repeat(limits::STRETCH / pair.len() + 1);
        let loaded = load(&file(format!("~\r\n---\r\n{{{pairs}}}\n")));
        assert_eq!(codes(&loaded), ["too-long"]);
        let Place { line, column, .. } = loaded.diagnostics[0].place;
        assert_eq!((line, column), (2, 1), "after the last value that was read");
    }
}

#[test]
fn findings_on_one_endless_line_take_no_longer_than_reading_it() {
    let one = "{kind: x},";
    let start = Instant::now();
    let loaded = load(&file(format!("[{}]\n---\n{{{}}}\n", one.repeat(90_000), "k: 1, ".repeat(90_000))));
    assert_eq!(loaded.diagnostics.len(), limits::FINDINGS + 1);
    assert!(loaded.diagnostics.iter().all(|finding| finding.source.chars().count() <= limits::SOURCE_LINE));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
