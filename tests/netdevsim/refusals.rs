//! What a card may refuse, caused by its switches, one at a time.
//!
//! Each time the policy changes, so that there is a new program for the card to take. Whatever it refuses, the new policy is in
//! force, the status says what was refused, and the card gets its program when it takes it.

use std::io;

use super::fabric::Fabric;
use super::kernel::programs;
use super::site::{CARD, PORTS, Site};
use super::story::Documents;
use super::tally::{Tally, equal, says};
use crate::device::Device;

struct Refusal {
    what: &'static str,
    switches: &'static [&'static str],
    /// What the status says was refused.
    words: &'static str,
}

const REFUSALS: &[Refusal] = &[
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
    Refusal {
        what: "a card that runs no program",
        switches: &["ports/0/bpf_xdpoffload_accept", "ports/1/bpf_xdpoffload_accept"],
        words: "the NIC does not run the program",
    },
];

/// Causes each; the documents go back and forth between two policies.
pub(crate) fn run(
    site: &Site,
    fabric: &Fabric,
    documents: &mut Documents,
    tally: &mut Tally,
) -> io::Result<()> {
    let device = Device::of(CARD);
    for Refusal { what, switches, words } in REFUSALS {
        switches.iter().try_for_each(|switch| device.accept(switch, false))?;
        documents.edit()?;
        let (allowed, denied) = documents.policy();
        tally.now(&format!("{what}: policy changes all the same"), fabric.apply(documents.folder()));
        tally.now(&format!("{what}: packets are judged by it"), site.is_policed(allowed, denied));
        for port in PORTS {
            tally.soon(&format!("{what}: the program in the kernel is alone ({port})"), || {
                let slots: Vec<&str> = programs(port)?.into_keys().collect();
                equal(&slots, &vec!["generic"])
            });
            tally.soon(&format!("{what}: the status says why ({port})"), || {
                let port = fabric.port(port)?;
                equal(&port.nic.as_str(), &"idle")?;
                says(&port.why_not, words)
            });
        }
        tally.soon(&format!("{what}: the ledger says why"), || says(&fabric.points(PORTS[0])?.1, words));
        switches.iter().try_for_each(|switch| device.accept(switch, true))?;
        for port in PORTS {
            tally.soon(&format!("{what}, until it does ({port})"), || {
                let slots: Vec<&str> = programs(port)?.into_keys().collect();
                equal(&slots, &vec!["generic", "offload"])
            });
        }
    }
    Ok(())
}
