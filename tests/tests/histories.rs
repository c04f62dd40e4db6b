//! Connection histories of what a node receives and of what it sends itself, judged alike by the oracle with its connection
//! model, by the classifier, and by the two programs in the kernel. Needs root.
//!
//! `make soak SECONDS=…` goes on for as long as told (`SELVEDGE_SOAK_SECONDS`). A history that fails is made small and
//! kept under `tests/fixtures/histories`, where every later run finds it.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

#[path = "datapath/kernel.rs"]
mod kernel;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use arbitrary::Unstructured;
use kernel::Kernel;
use selvedge_abi::{Reason, Verdict};
use selvedge_classifier::testing::{Hook, MemoryTables, Outcome};
use selvedge_tests::cases::bytes;
use selvedge_tests::history::{Backend, Failure, History, Seen, history, run, shrink};

const STEPS: usize = 160;

fn fixtures() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fixtures/histories"].iter().collect()
}

/// The history with this number, the same everywhere.
fn case(number: u64) -> History {
    let bytes = bytes(number, 256 + number % 16 * 240);
    history(&mut Unstructured::new(&bytes), STEPS).expect("any bytes make a history")
}

/// Runs a case. Where it fails, a small history that fails likewise is written as a fixture.
fn hold(number: u64, seen: &mut Seen, backend: &mut Backend<'_>) {
    let long = case(number);
    let Err(failure) = run(&long, seen, backend) else { return };
    let small = shrink(&long, |history| run(history, &mut Seen::new(), backend));
    let file = fixtures().join(format!("case-{number}.txt"));
    fs::write(&file, small.to_string()).expect("the folder of fixtures can be written");
    panic!("history {number}: {failure:?}\nThe smallest that fails is in {}:\n{small}", file.display());
}

fn native(_: Hook, _: &MemoryTables, _: &[u8]) -> Option<(bool, Outcome)> {
    None
}

/// The least that a run must have seen of each reason, in ten thousandths of all its packets: of what arrives, and of what the node
/// sends.
const FLOORS: [(Hook, Reason, u64); 24] = [
    (Hook::Received, Reason::PolicyAllow, 200),
    (Hook::Received, Reason::PolicyDeny, 500),
    (Hook::Received, Reason::Established, 500),
    (Hook::Received, Reason::NotTracked, 500),
    (Hook::Received, Reason::Stateless, 20),
    (Hook::Received, Reason::Cut, 10),
    (Hook::Received, Reason::Draining, 10),
    (Hook::Received, Reason::Related, 10),
    (Hook::Received, Reason::ConnectionsFull, 10),
    (Hook::Received, Reason::Spoofed, 100),
    (Hook::Received, Reason::NotLocal, 50),
    (Hook::Received, Reason::Transit, 50),
    (Hook::Received, Reason::ToNode, 50),
    (Hook::Sent, Reason::PolicyAllow, 50),
    (Hook::Sent, Reason::PolicyDeny, 100),
    (Hook::Sent, Reason::Established, 50),
    (Hook::Sent, Reason::NotTracked, 50),
    (Hook::Sent, Reason::Stateless, 3),
    (Hook::Sent, Reason::Cut, 3),
    (Hook::Sent, Reason::Draining, 3),
    (Hook::Sent, Reason::Related, 2),
    (Hook::Sent, Reason::ConnectionsFull, 2),
    (Hook::Sent, Reason::Spoofed, 20),
    (Hook::Sent, Reason::FromNode, 50),
];

fn assert_enough(seen: &Seen, packets: u64) {
    let total: u64 = seen.values().sum();
    println!("{total} packets: {seen:?}");
    assert!(total >= packets, "only {total} packets");
    for (hook, reason, share) in FLOORS {
        let of = seen.get(&(hook, reason)).copied().unwrap_or_default();
        assert!(of >= packets * share / 10_000, "{reason:?} {hook:?} was seen too rarely: {seen:?}");
    }
    for verdict in [Verdict::Allowed, Verdict::Denied, Verdict::Dropped] {
        let of = |hook: Hook| -> u64 {
            let those =
                |((at, reason), _): &(&(Hook, Reason), &u64)| *at == hook && reason.verdict() == verdict;
            seen.iter().filter(those).map(|(_, count)| count).sum()
        };
        assert!(of(Hook::Received) >= packets / 20, "too few packets were {verdict:?}: {seen:?}");
        assert!(of(Hook::Sent) >= packets / 100, "too few packets of the node were {verdict:?}: {seen:?}");
    }
}

#[test]
fn the_classifier_follows_connections_as_the_model_does() {
    let mut seen = Seen::new();
    for number in 0..1_500 {
        hold(number, &mut seen, &mut native);
    }
    assert_enough(&seen, 200_000);
}

#[test]
fn the_loaded_program_follows_connections_as_the_model_does() {
    let mut kernel = Kernel::load();
    let mut seen = Seen::new();
    for number in 1_000_000..1_000_120 {
        hold(number, &mut seen, &mut |hook, tables, frame| Some(kernel.judge(hook, tables, frame)));
    }
    assert_enough(&seen, 15_000);
}

#[test]
fn histories_that_once_went_wrong_end_as_the_model_says() {
    let mut kernel = Kernel::load();
    let mut files: Vec<_> = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let history: History = text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut seen = Seen::new();
        let ends =
            run(&history, &mut seen, &mut |hook, tables, frame| Some(kernel.judge(hook, tables, frame)));
        assert_eq!(ends, Ok(()), "{}", file.display());
        assert!(!seen.is_empty(), "{} has a packet", file.display());
    }
}

#[test]
fn a_history_reads_back_as_it_was_written() {
    for number in 0..20 {
        let history = case(number);
        assert_eq!(history.to_string().parse(), Ok(history));
    }
}

/// A backend that lets nothing of SCTP pass disagrees; what remains of the history is what shows it.
#[test]
fn a_history_that_fails_is_made_small() {
    let mut wrong = |hook: Hook, tables: &MemoryTables, frame: &[u8]| {
        let (reason, outcome) = Outcome::at(hook, tables, frame);
        let is_sctp = frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&132);
        Some((reason.verdict() == Verdict::Allowed && !is_sctp, outcome))
    };
    let fails = |history: &History, wrong: &mut Backend<'_>| run(history, &mut Seen::new(), wrong);
    let long = (0..).map(case).find(|history| fails(history, &mut wrong).is_err()).unwrap();
    let small = shrink(&long, |history| fails(history, &mut wrong));
    assert!(matches!(fails(&small, &mut wrong), Err(Failure::Disagreement { .. })));
    assert_eq!(small.steps.len(), 1, "{small}");
    assert!(small.odd.len() < long.odd.len() && small.even.len() < long.even.len(), "{small}");
}

/// As long as `SELVEDGE_SOAK_SECONDS` says, on histories that no run has seen; without it, one that is always the same.
#[test]
fn histories_are_soaked() {
    let told = std::env::var("SELVEDGE_SOAK_SECONDS").ok();
    let seconds = told.as_ref().map_or(0, |text| text.parse().expect("a number of seconds"));
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let first = told.map_or(2_000_000, |_| since.as_nanos() as u64);
    let mut kernel = Kernel::load();
    let (mut seen, began, mut reported) = (Seen::new(), Instant::now(), Instant::now());
    for number in first.. {
        // The kernel is asked about one in eight: it takes far longer.
        if number % 8 == 0 {
            hold(number, &mut seen, &mut |hook, tables, frame| Some(kernel.judge(hook, tables, frame)));
        } else {
            hold(number, &mut seen, &mut native);
        }
        if reported.elapsed() >= Duration::from_secs(10) {
            reported = Instant::now();
            let packets: u64 = seen.values().sum();
            println!(
                "soak: {} s, {} histories, {packets} packets",
                began.elapsed().as_secs(),
                number - first + 1
            );
        }
        if began.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
    }
    println!("soak: {seen:?}");
}
