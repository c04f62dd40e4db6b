//! Documents: what is read, and what is said about what can't be.
#![expect(clippy::unwrap_used, reason = "a test that finds nothing to unwrap has failed")]

mod canonical;
mod limits;
mod lint;
mod order;
mod properties;
mod registry;
mod schema;

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use selvedge_topology::documents::codes::Code;
use selvedge_topology::documents::{Colours, Loaded, Severity, SourceFile, load, render};
use selvedge_topology::timeouts::Timeouts;

/// Runs `property` on `count` cases, from `sizes.start()` to `sizes.end()` random bytes long: the same ones everywhere, and no
/// fewer on a machine that is busy.
fn each(
    count: u32,
    sizes: RangeInclusive<u32>,
    mut property: impl FnMut(&mut Unstructured<'_>) -> Result<()>,
) {
    let (least, most) = sizes.into_inner();
    for number in 1..=count {
        let size = least + (u64::from(most - least) * u64::from(number) / u64::from(count)) as u32;
        let random = number.wrapping_mul(0x9e37_79b9); // not zero, and no two alike: an odd factor
        arbtest(&mut property).seed(u64::from(random) << 32 | u64::from(size));
    }
}

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

fn read(path: &Path) -> SourceFile {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    SourceFile { name, text: fs::read_to_string(path).unwrap() }
}

fn good() -> Vec<SourceFile> {
    fixtures("good").iter().map(|path| read(path)).collect()
}

fn load_good() -> Loaded {
    load(&good())
}

#[test]
fn the_good_documents_give_a_model_and_no_finding() {
    let loaded = load_good();
    assert_eq!(loaded.diagnostics, []);
    let model = loaded.model.unwrap();
    assert_eq!(model.workloads.len(), 4);
    assert_eq!(model.policies.len(), 2);
    assert_eq!(model.fabric.nodes.len(), 3);
    assert_eq!(loaded.documents.len(), 8);
}

/// What the command line would print about a bad fixture. It is read together with the good fabric, unless it
/// says that it is alone.
fn findings(path: &Path) -> Loaded {
    let file = read(path);
    if file.text.starts_with("# alone") {
        return load(&[file]);
    }
    load(&[read(&fixtures("good")[0]), file])
}

#[test]
fn timeouts_are_as_they_are_written_and_otherwise_the_defaults() {
    let timeouts = load_good().model.unwrap().fabric.timeouts;
    let written =
        "tcpEstablished 1day, tcpHalfOpen 30s, tcpClosing 20s, udp 2m, icmp 15s, other 1h 30m, fragment 30s";
    assert_eq!(timeouts.to_string(), written);
    let mut silent = good();
    silent[0].text = silent[0]
        .text
        .lines()
        .filter(|line| !line.contains("timeouts:"))
        .fold(String::new(), |text, line| text + line + "\n");
    assert_eq!(load(&silent).model.unwrap().fabric.timeouts, Timeouts::default());
}

#[test]
fn every_bad_document_is_told_what_is_wrong_and_what_would_be_right() {
    for path in fixtures("bad") {
        let loaded = findings(&path);
        assert!(loaded.model.is_none(), "{path:?}");
        golden(&path, &loaded);
    }
}

#[test]
fn warnings_leave_the_model_standing() {
    for path in fixtures("warnings") {
        let loaded = findings(&path);
        assert!(loaded.model.is_some(), "{path:?}");
        assert!(loaded.diagnostics.iter().all(|finding| finding.severity == Severity::Warning));
        golden(&path, &loaded);
    }
}

fn golden(path: &Path, loaded: &Loaded) {
    insta::with_settings!({
        snapshot_path => path.parent().unwrap(),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(path.file_stem().unwrap().to_str().unwrap(), render(&loaded.diagnostics, Colours::Plain));
    });
}

#[test]
fn every_code_is_shown_by_a_fixture_or_by_a_test_of_limits() {
    let of_fixtures =
        ["bad", "warnings"].into_iter().flat_map(fixtures).flat_map(|path| findings(&path).diagnostics);
    let of_limits = limits::beyond_every_limit().into_iter().flat_map(|files| load(&files).diagnostics);
    let shown: BTreeSet<&str> = of_fixtures.chain(of_limits).map(|finding| finding.code).collect();
    let all: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(all.difference(&shown).collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn colours_change_nothing_but_colours() {
    let findings = findings(&fixtures("bad")[0]).diagnostics;
    let coloured = render(&findings, Colours::Ansi);
    let mut plain = String::new();
    for part in coloured.split('\u{1b}') {
        plain.push_str(part.strip_prefix('[').map_or(part, |part| part.split_once('m').unwrap().1));
    }
    assert_ne!(coloured, plain);
    assert_eq!(plain, render(&findings, Colours::Plain));
}

#[test]
fn what_documents_say_never_reaches_the_terminal_as_a_control_character() {
    let hostile = "kind: \"\\e[2J\\r\"\n? \u{202e}x\t\u{9b}\n: y\n".to_owned();
    let loaded = load(&[SourceFile { name: "a\u{1b}]0;b".to_owned(), text: hostile }]);
    let text = render(&loaded.diagnostics, Colours::Plain);
    assert!(text.contains("\\u{1b}[2J"), "{text}");
    assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
}
