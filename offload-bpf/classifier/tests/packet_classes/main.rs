//! `docs/packet-classes.md` is made of the cases; this makes it, and holds the file to it.
//!
//! `SELVEDGE_UPDATE_DOCS=1 cargo test -p selvedge-classifier` writes the file anew.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

mod elsewhere;

use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf};

use elsewhere::{HOLES, Proof, TESTS};
use selvedge_abi::Verdict;
use selvedge_classifier::testing::{
    Case,
    cases::{self, section},
};

/// The classes, numbered from 1.
const CLASSES: [&str; 17] = [
    "Frames and headers that are cut off or contradict themselves",
    "Frames that are not IP",
    "VLAN tags",
    "IPv4 options",
    "Fragments",
    "IPv6 extension headers",
    "Discovery, address configuration, groups",
    "ICMP errors and echo",
    "TCP",
    "UDP",
    "SCTP, tunnels, other protocols",
    "Addresses and who may use them",
    "Two ends, one node",
    "Frames in several buffers, superpackets",
    "Ports and identities that are unknown",
    "Tables that are full or empty",
    "Starts, restarts, outages, changes of generation",
];

const INTRODUCTION: &str = "\
# Packet classes

Every class of packet, and what becomes of it. Each line of a table is a test of that name: a packet, the tables it meets, and
the verdict, reason, counters, event and table entries that must come of it, natively and in the kernel alike
(`offload-bpf/classifier/src/testing/cases`). This page is generated from those tests; edit them, and write it anew with
`SELVEDGE_UPDATE_DOCS=1 cargo test -p selvedge-classifier`.

A verdict is *allowed*, *denied* (policy, or the lack of it) or *dropped* (broken, unsafe or not understood, whatever policy
says). Every reason is counted per port.
";

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed => "allowed",
        Verdict::Denied => "denied",
        Verdict::Dropped => "dropped",
    }
}

fn decided(case: &Case) -> String {
    let reason = case.expected.reason;
    format!("{} | `{}`", verdict(reason.verdict()), reason.name())
}

/// The cases of each section, by the section's title.
fn by_section(cases: &[Case]) -> BTreeMap<&'static str, Vec<&Case>> {
    let mut sections: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for case in cases {
        sections.entry(case.section.expect(case.name).title).or_default().push(case);
    }
    sections
}

fn page() -> String {
    let cases = cases::all();
    let sections = by_section(&cases);
    let mut page = INTRODUCTION.to_owned();
    for (class, name) in (1..).zip(CLASSES) {
        write!(page, "\n## {class}. {name}\n").unwrap();
        for section in section::ALL.iter().filter(|section| section.class == class) {
            write!(page, "\n### {}\n\n{}\n", section.title, section.why).unwrap();
            if !section.standards.is_empty() {
                writeln!(page, "({}.)", section.standards).unwrap();
            }
            page += "\n| test | verdict | reason |\n|---|---|---|\n";
            for case in &sections[section.title] {
                writeln!(page, "| {} | {} |", case.name, decided(case)).unwrap();
            }
        }
        let elsewhere: Vec<_> = TESTS.iter().filter(|test| test.class == class).collect();
        if !elsewhere.is_empty() {
            page += "\n| what | held by |\n|---|---|\n";
        }
        for test in elsewhere {
            writeln!(page, "| {} | {} |", test.what, held_by(&test.proof, &cases)).unwrap();
        }
    }
    page += "\n## Known holes of others\n\nWhat went wrong in like systems, and what keeps it from going wrong here.\n";
    page += "\n| hole | here | held by |\n|---|---|---|\n";
    for hole in HOLES {
        writeln!(
            page,
            "| {} ({}) | {} | {} |",
            hole.name,
            hole.what,
            hole.here,
            held_by(&hole.proof, &cases)
        )
        .unwrap();
    }
    page
}

fn held_by(proof: &Proof, cases: &[Case]) -> String {
    match proof {
        Proof::Case(name) => {
            let case = cases.iter().find(|case| case.name == *name).expect(name);
            let reason = case.expected.reason;
            format!("\"{name}\": {}, `{}`", verdict(reason.verdict()), reason.name())
        }
        Proof::Test { file, name } => format!("`{name}` in `{file}`"),
    }
}

#[test]
fn every_case_is_in_a_section_and_every_section_has_a_case() {
    let cases = cases::all();
    let astray: Vec<_> = cases.iter().filter(|case| case.section.is_none()).map(|case| case.name).collect();
    assert!(astray.is_empty(), "in no section: {astray:?}");
    let filled = by_section(&cases);
    let empty: Vec<_> = section::ALL
        .iter()
        .map(|section| section.title)
        .filter(|title| !filled.contains_key(title))
        .collect();
    assert!(empty.is_empty(), "without a case: {empty:?}");
    assert_eq!(filled.len(), section::ALL.len(), "two sections share a title");
}

#[test]
fn every_class_has_a_test() {
    let tested = |class| {
        section::ALL.iter().any(|section| section.class == class)
            || TESTS.iter().any(|test| test.class == class)
    };
    let untested: Vec<_> = (1..).zip(CLASSES).filter(|(class, _)| !tested(*class)).collect();
    assert!(untested.is_empty(), "no test of {untested:?}");
}

#[test]
fn every_test_that_is_named_elsewhere_is_there() {
    let proofs = TESTS.iter().map(|test| &test.proof).chain(HOLES.iter().map(|hole| &hole.proof));
    for proof in proofs {
        if let Proof::Test { file, name } = proof {
            let text = fs::read_to_string(workspace().join(file)).expect(file);
            assert!(text.contains(&format!("fn {name}(")), "{file} has no {name}");
        }
    }
}

#[test]
fn the_page_says_what_the_cases_say() {
    let path = workspace().join("docs/packet-classes.md");
    let page = page();
    if std::env::var_os("SELVEDGE_UPDATE_DOCS").is_some() {
        fs::write(&path, &page).expect("docs can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/packet-classes.md is not what the cases say: run SELVEDGE_UPDATE_DOCS=1 cargo test -p selvedge-classifier"
    );
}
