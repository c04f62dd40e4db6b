//! The programs in the kernel, held to the classifier: the table of cases, and random packets over random tables.
//!
//! Packets go in by `BPF_PROG_TEST_RUN`, which reports the loopback interface as the port. Nothing is attached or
//! pinned; all of it ends with the process. Needs root.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

#[path = "datapath/floods.rs"]
mod floods;
#[path = "datapath/kernel.rs"]
mod kernel;
#[path = "datapath/random.rs"]
mod random;

use std::collections::BTreeMap;

use kernel::Kernel;
use selvedge_abi::{CONNECTION_ANSWERED, CONNECTION_ASSURED, Passage, PortRole, Reason, Verdict};
use selvedge_classifier::testing::world::{key, world};
use selvedge_classifier::testing::{Case, Hook, Outcome, PORT, SECOND, cases, frame};

#[test]
fn the_kernel_program_ends_every_case_as_its_row_says() {
    let asserted = end_as_their_rows_say(Kernel::load(), |case| takes(case.hook, &case.frame));
    assert!(asserted >= 150, "only {asserted} cases ran");
}

#[test]
fn what_judges_while_the_program_is_exchanged_ends_every_case_of_what_is_received_as_its_row_says() {
    let received = |case: &Case| case.hook == Hook::Received && takes(Hook::Sent, &case.frame);
    let asserted = end_as_their_rows_say(Kernel::load().standing_in(), received);
    assert!(asserted >= 120, "only {asserted} cases ran");
}

fn end_as_their_rows_say(mut kernel: Kernel, which: impl Fn(&Case) -> bool) -> usize {
    let mut wrong = Vec::new();
    let mut asserted = 0;
    for case in cases::all().iter().filter(|case| which(case)) {
        let (verdict, outcome) = kernel.judge(case.hook, &case.tables, &case.frame);
        let faults = case.faults(&outcome);
        if verdict != passes(case.expected.reason) || !faults.is_empty() {
            wrong.push(format!("{}: passed {verdict}, wrong in {faults:?}: {outcome:#?}", case.name));
        }
        asserted += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    asserted
}

#[test]
fn kernel_and_classifier_agree_on_random_packets_that_are_received() {
    let seen = agree(Hook::Received, 24_000);
    assert_many(
        &seen,
        50,
        &[
            Reason::Established,
            Reason::Related,
            Reason::PolicyAllow,
            Reason::PolicyDeny,
            Reason::Stateless,
            Reason::Cut,
            Reason::NotTracked,
            Reason::LaterFragment,
            Reason::Fragment,
            Reason::FragmentTiny,
        ],
    );
}

#[test]
fn kernel_and_classifier_agree_on_random_packets_that_the_node_sends() {
    let seen = agree(Hook::Sent, 9_000);
    assert_many(
        &seen,
        15,
        &[
            Reason::FromNode,
            Reason::Established,
            Reason::PolicyAllow,
            Reason::PolicyDeny,
            Reason::Stateless,
            Reason::Cut,
            Reason::NotTracked,
            Reason::Spoofed,
            Reason::Fragment,
            Reason::NoGeneration,
        ],
    );
}

/// Judges random packets by both, which have to agree in all that comes of each; how often each reason was seen.
fn agree(hook: Hook, packets: usize) -> BTreeMap<Reason, usize> {
    const PACKETS_PER_WORLD: usize = 60;
    let mut kernel = Kernel::load();
    let mut random = random::Random::new(0x5e1_7ed6e, hook);
    let mut seen: BTreeMap<Reason, usize> = BTreeMap::new();
    for _ in 0..packets / PACKETS_PER_WORLD {
        let tables = random.tables();
        for frame in random.frames(&tables, PACKETS_PER_WORLD).iter().filter(|frame| takes(hook, frame)) {
            let (reason, expected) = Outcome::at(hook, &tables, frame);
            let (verdict, outcome) = kernel.judge(hook, &tables, frame);
            assert_eq!(outcome, expected, "{reason:?} of {frame:02x?}\nby {tables:#?}");
            assert_eq!(verdict, passes(reason), "{reason:?} of {frame:02x?}");
            *seen.entry(reason).or_default() += 1;
        }
    }
    assert!(seen.values().sum::<usize>() >= packets * 5 / 6, "{seen:?}");
    seen
}

/// Of each verdict a tenth at least, and of each of `reasons` at least `least`.
fn assert_many(seen: &BTreeMap<Reason, usize>, least: usize, reasons: &[Reason]) {
    let all: usize = seen.values().sum();
    for verdict in [Verdict::Allowed, Verdict::Denied, Verdict::Dropped] {
        let of = seen.iter().filter(|(reason, _)| reason.verdict() == verdict).map(|(_, n)| n).sum::<usize>();
        assert!(of >= all / 10, "only {of} were {verdict:?}: {seen:?}");
    }
    for reason in reasons {
        assert!(seen.get(reason).is_some_and(|n| *n >= least), "{reason:?} was seen too rarely: {seen:?}");
    }
}

#[test]
fn the_program_notes_what_the_classifier_notes_and_goes_by_it() {
    let mut kernel = Kernel::load();
    let ends = [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")];
    for (low, high) in ends {
        let connection = key((low, 40_000), (high, 80), 6);
        let tables = world(PortRole::Workload).with(connection, CONNECTION_ANSWERED | CONNECTION_ASSURED, 0);
        let segment = |flags| frame::packet(low, high, frame::tcp(40_000, 80, flags));
        assert_eq!(tables.classify(&segment(frame::ACK), PORT), Reason::Established);
        let passages: Vec<Passage> = tables.passages.borrow().keys().copied().collect();
        let [passage] = passages[..] else { panic!("not one note: {passages:?}") };

        tables.passages.borrow_mut().clear();
        assert!(kernel.judge(Hook::Received, &tables, &segment(frame::ACK)).0 && kernel.has_note(&passage));

        tables.passages.borrow_mut().insert(passage, tables.clock.get());
        assert!(kernel.judge(Hook::Received, &tables, &segment(frame::RST)).0 && !kernel.has_note(&passage));

        tables.connections.borrow_mut().clear();
        assert!(kernel.judge(Hook::Received, &tables, &segment(frame::ACK)).0, "by the note alone");
        tables.clock.set(tables.clock.get() + 11 * SECOND);
        assert!(!kernel.judge(Hook::Received, &tables, &segment(frame::ACK)).0, "which is too old now");
    }
}

fn passes(reason: Reason) -> bool {
    reason.verdict() == Verdict::Allowed
}

/// Whether the kernel runs a test on the frame: only on one that has an Ethernet header, and more where the stack has looked at
/// it before.
fn takes(hook: Hook, frame: &[u8]) -> bool {
    const ETHERNET: usize = 14;
    let least = match (hook, frame.get(12..ETHERNET)) {
        (Hook::Received, _) => ETHERNET,
        (Hook::Sent, Some([0x08, 0x00])) => ETHERNET + 20,
        (Hook::Sent, Some([0x86, 0xdd])) => ETHERNET + 40,
        (Hook::Sent, _) => ETHERNET + 1,
    };
    frame.len() >= least
}
