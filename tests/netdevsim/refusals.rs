//! What a card may refuse, caused one at a time.
//!
//! Each time the policy changes, so that there is a new program for the card to take. Whatever it refuses, the new policy is in
//! force, the status and the ledger say what was refused, and the card gets its program when it takes it.

use std::io;

use super::device::Device;
use super::documents::Documents;
use super::fabric::Fabric;
use super::foreign::Writer;
use super::kernel::programs;
use super::site::{CARD, PORTS, Site};
use super::tally::{Finding, Instead, Tally, equal, says};

/// One that a switch of the card's driver causes.
struct Refusal {
    what: &'static str,
    switches: &'static [&'static str],
    /// What the status says was refused.
    words: &'static str,
}

const REFUSALS: [Refusal; 3] = [
    Refusal {
        what: "a card that makes no map",
        switches: &["ports/0/bpf_map_accept", "ports/1/bpf_map_accept"],
        words: "the NIC does not take the map",
    },
    Refusal {
        what: "a card that binds no program",
        switches: &["bpf_bind_accept"],
        words: "the NIC does not take the program",
    },
    Refusal {
        what: "a card whose verifier refuses",
        switches: &["bpf_bind_verifier_accept"],
        words: "the NIC does not take the program",
    },
];

/// Of every request to run a program: in the place of another, alone, and to run none.
const RUNS: [&str; 2] = ["ports/0/bpf_xdpoffload_accept", "ports/1/bpf_xdpoffload_accept"];
/// What netdevsim says then. In the place of another, the kernel has only a number for it.
const RUNS_NONE: &str = "the NIC does not run the program: netdevsim: XDP offload disabled in DebugFS";
const CHANGES_NONE: &str =
    "the NIC does not take the program in the place of the one that it ran (Operation not supported";
/// What the kernel says of one entry too many.
const TAKES_NO_ENTRY: &str = "Argument list too long";

/// Milliseconds for which netdevsim's verifier holds up each program, between the maps and what is written to them.
const HOLD_UP: u32 = 1000;

/// What each check needs.
pub(crate) struct Refusals<'a> {
    pub(crate) site: &'a Site,
    pub(crate) fabric: &'a Fabric,
    pub(crate) documents: &'a mut Documents,
    pub(crate) tally: &'a mut Tally,
}

impl Refusals<'_> {
    /// Causes each; the documents go back and forth between two policies.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let device = Device::of(CARD);
        for Refusal { what, switches, words } in REFUSALS {
            switches.iter().try_for_each(|switch| device.accept(switch, false))?;
            self.changes_all_the_same(what, words)?;
            switches.iter().try_for_each(|switch| device.accept(switch, true))?;
            self.until_it_does(what);
        }
        self.replacing(&device)?;
        self.entries(&device)
    }

    /// The programs in the card are to give way to others, and are not replaced; then none is run at all.
    fn replacing(&mut self, device: &Device) -> io::Result<()> {
        RUNS.iter().try_for_each(|switch| device.accept(switch, false))?;
        let what = "a card that changes no program";
        self.changes_all_the_same(what, RUNS_NONE)?;
        for port in PORTS {
            let told = self.fabric.said("agent", &[port, CHANGES_NONE]) > 0;
            self.tally
                .now(&format!("{what}: the log says so in the kernel's words ({port})"), equal(&told, &true));
        }
        let what = "a card that runs no program";
        self.changes_all_the_same(what, RUNS_NONE)?;
        let fabric = self.fabric;
        let asked = || fabric.said("agent", &["load into the NIC of sim0"]);
        let before = asked();
        self.tally.soon(&format!("{what} is asked again"), || {
            if asked() >= before + 2 { Ok(()) } else { Err(Instead::Found(fabric.log("agent"))) }
        });
        RUNS.iter().try_for_each(|switch| device.accept(switch, true))?;
        self.until_it_does(what);
        Ok(())
    }

    /// Somebody else fills the maps of each program before the agent does.
    fn entries(&mut self, device: &Device) -> io::Result<()> {
        let what = "a card that takes no entry";
        self.documents.crowd()?;
        device.hold_up(HOLD_UP)?;
        let writer = Writer::comes();
        self.changes_all_the_same(what, TAKES_NO_ENTRY)?;
        let filled = writer.leaves();
        self.tally.now(&format!("{what}: its maps were full"), equal(&(filled > 0), &true));
        device.hold_up(0)?;
        self.until_it_does(what);
        Ok(())
    }

    /// Changes the policy, which the card refuses to follow.
    fn changes_all_the_same(&mut self, what: &str, words: &str) -> io::Result<()> {
        let Self { site, fabric, documents, tally } = self;
        documents.edit()?;
        let (allowed, denied) = documents.policy();
        tally.now(&format!("{what}: policy changes all the same"), fabric.apply(documents.folder()));
        tally.now(&format!("{what}: packets are judged by it"), site.is_policed(allowed, denied));
        for port in PORTS {
            tally.soon(&format!("{what}: the program in the kernel is alone ({port})"), || {
                carries(port, &["generic"])
            });
            tally.soon(&format!("{what}: the status says why ({port})"), || {
                let port = fabric.port(port)?;
                equal(&[port.mode.as_str(), &port.nic], &["generic", "idle"])?;
                says(&port.why_not, words)
            });
        }
        tally.soon(&format!("{what}: the ledger says what is in force, and why"), || {
            let (hooks, reasons) = fabric.points(PORTS[0])?;
            if hooks.iter().any(|hook| hook == "xdp-offload") {
                return Err(Instead::found(hooks));
            }
            says(&reasons, words)
        });
        Ok(())
    }

    /// Checks that the card gets its programs, now that it takes them.
    fn until_it_does(&mut self, what: &str) {
        for port in PORTS {
            self.tally
                .soon(&format!("{what}, until it does ({port})"), || carries(port, &["generic", "offload"]));
        }
    }
}

/// Checks in which slots `port` has programs.
fn carries(port: &str, expected: &[&str]) -> Finding {
    let slots: Vec<&str> = programs(port)?.into_keys().collect();
    equal(&slots.as_slice(), &expected)
}
