//! Connection histories, judged alike by the oracle with its connection model, by the classifier, and by the program in
//! the kernel. Needs root.
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

fn native(_: &MemoryTables, _: &[u8]) -> Option<(bool, Outcome)> {
    None
}

/// The least that a run must have seen of each reason, in thousandths of its packets.
const FLOORS: [(Reason, u64); 13] = [
    (Reason::PolicyAllow, 20),
    (Reason::PolicyDeny, 50),
    (Reason::Established, 50),
    (Reason::NotTracked, 50),
    (Reason::Stateless, 2),
    (Reason::Cut, 1),
    (Reason::Draining, 1),
    (Reason::Related, 1),
    (Reason::ConnectionsFull, 1),
    (Reason::Spoofed, 10),
    (Reason::NotLocal, 5),
    (Reason::Transit, 5),
    (Reason::ToNode, 5),
];

fn assert_enough(seen: &Seen, packets: u64) {
    let total: u64 = seen.values().sum();
    println!("{total} packets: {seen:?}");
    assert!(total >= packets, "only {total} packets");
    for (reason, thousandths) in FLOORS {
        let of = seen.get(&reason).copied().unwrap_or_default();
        assert!(of >= packets * thousandths / 1000, "{reason:?} was seen too rarely: {seen:?}");
    }
    for verdict in [Verdict::Allowed, Verdict::Denied, Verdict::Dropped] {
        let of: u64 = seen.iter().filter(|(reason, _)| reason.verdict() == verdict).map(|(_, n)| n).sum();
        assert!(of >= packets / 20, "only {of} packets were {verdict:?}: {seen:?}");
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
        hold(number, &mut seen, &mut |tables, frame| Some(kernel.judge(Hook::Received, tables, frame)));
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
            run(&history, &mut seen, &mut |tables, frame| Some(kernel.judge(Hook::Received, tables, frame)));
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
    let mut wrong = |tables: &MemoryTables, frame: &[u8]| {
        let (reason, outcome) = Outcome::of(tables, frame);
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
            hold(number, &mut seen, &mut |tables, frame| Some(kernel.judge(Hook::Received, tables, frame)));
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
