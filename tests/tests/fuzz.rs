//! A short run of every fuzz target: each seed and corpus file, then damaged ones, the same on every machine.
//! `make fuzz TARGET=… SECONDS=…` looks further.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use selvedge_tests::cases::Numbers;
use selvedge_tests::fuzz::damage::damaged;
use selvedge_tests::fuzz::{Outcome, TARGETS, Target};

/// Damaged inputs of each target.
const DAMAGED: usize = 4_000;

/// Runs the target; where it panics, the input is kept under `target/fuzz` and named.
fn run(target: &Target, name: &str, input: &[u8]) -> Outcome {
    catch_unwind(|| (target.run)(input)).unwrap_or_else(|_| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
        fs::create_dir_all(&folder).expect("the target folder can be written");
        let file = folder.join(format!("{}-from-test", target.name));
        fs::write(&file, input).expect("the target folder can be written");
        panic!(
            "{}: {name} breaks the promise that {}; the input is in {}: keep it under {} with a name that says what it is",
            target.name,
            target.promise,
            file.display(),
            target.folder().display(),
        )
    })
}

fn short_run(target: &Target) {
    let corpus = target.corpus();
    let seeds = (target.seeds)();
    assert!(!corpus.is_empty() && !seeds.is_empty(), "{} has a corpus and seeds", target.name);
    let mut accepted = 0;
    let named = seeds.iter().enumerate().map(|(number, seed)| (format!("seed {number}"), seed));
    let files = corpus.iter().map(|(name, input)| (name.clone(), input));
    for (name, input) in named.chain(files) {
        accepted += usize::from(run(target, &name, input) == Outcome::Accepted);
    }
    let seeds: Vec<&Vec<u8>> = seeds.iter().collect();
    let found: Vec<&Vec<u8>> = corpus.iter().map(|(_, input)| input).collect();
    let mut numbers = Numbers::new(0x5e1_7ed6e);
    let mut refused = 0;
    for number in 0..DAMAGED {
        // Most of what a fuzzer finds is refused; seeds are accepted.
        let base = if numbers.one_in(2) { &found } else { &seeds };
        let (seed, other) = (numbers.pick(base), numbers.pick(&found));
        let input = damaged(seed, other, &mut numbers);
        match run(target, &format!("damaged input {number}"), &input) {
            Outcome::Accepted => accepted += 1,
            Outcome::Refused => refused += 1,
        }
    }
    println!(
        "{}: {} seeds, {} files, {accepted} accepted, {refused} refused",
        target.name,
        seeds.len(),
        corpus.len()
    );
    assert!(accepted >= 20, "{}: only {accepted} were accepted", target.name);
    assert!(refused >= 100, "{}: only {refused} were refused", target.name);
}

macro_rules! short_runs {
    ($($test:ident = $name:literal;)*) => {
        $(#[test]
        fn $test() {
            short_run(&Target::named($name).expect("a target"));
        })*

        #[test]
        fn every_target_has_a_short_run() {
            let run: BTreeSet<&str> = [$($name),*].into();
            assert_eq!(run, TARGETS.iter().map(|target| target.name).collect());
        }
    };
}

short_runs! {
    packets_keep_their_promise = "packets";
    documents_keep_their_promise = "documents";
    plans_keep_their_promise = "plan";
    manifests_keep_their_promise = "manifest";
    targets_keep_their_promise = "target";
    reports_keep_their_promise = "report";
    generations_keep_their_promise = "generation";
    identities_keep_their_promise = "identity";
    flows_keep_their_promise = "flow";
    keys_keep_their_promise = "keys";
}
