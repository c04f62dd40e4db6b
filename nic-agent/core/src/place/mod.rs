//! In which mode a port is to run, in which it runs, and why.

use selvedge_hw_profiles::{Mode, ModeChoice, Profiles, Requirement, fit};
use selvedge_topology::names::PortName;
use serde::{Deserialize, Serialize};

use crate::machine::Interface;

/// A mode that the kernel refused, and its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The mode.
    pub mode: Mode,
    /// The kernel's reason: errno and, where it gave one, its message.
    pub reason: String,
}

/// A port's entry in the ledger: what was asked for, what was granted, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The mode asked for.
    pub requested: Mode,
    /// The mode in which the program runs.
    pub granted: Mode,
    /// Why.
    pub reason: String,
}

/// The modes to try on the interface `name`.
pub fn choose(profiles: &Profiles, name: &PortName, interface: &Interface) -> ModeChoice {
    let profile = profiles.of(&interface.seen).map(|found| &found.entry.profile);
    fit(&Requirement::best(), profile, name.as_str(), &interface.seen).choice()
}

impl Placement {
    /// The entry for a port that got `granted` after the kernel refused `refused`.
    pub fn after_attach(choice: &ModeChoice, refused: &[Refused], granted: Mode) -> Self {
        let reason = if refused.is_empty() {
            choice.reason.clone()
        } else {
            let refusals: Vec<String> = refused
                .iter()
                .map(|refused| format!("{} refused: {}", refused.mode, refused.reason))
                .collect();
            refusals.join("; ")
        };
        Self { requested: choice.first, granted, reason }
    }

    /// The entry for a port that was found running, and whose own entry is lost.
    pub fn adopted(choice: &ModeChoice, granted: Mode) -> Self {
        let reason = if granted == choice.first {
            format!("adopted as found; {}", choice.reason)
        } else {
            "adopted as found; why it is not the mode asked for was not recorded".to_owned()
        };
        Self { requested: choice.first, granted, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice() -> ModeChoice {
        let reason = "no profile for driver x, so native is tried".to_owned();
        ModeChoice { first: Mode::Native, fallbacks: vec![Mode::Generic], reason }
    }

    #[test]
    fn a_port_that_gets_what_it_asked_for_says_why_it_asked() {
        let placement = Placement::after_attach(&choice(), &[], Mode::Native);
        assert_eq!((placement.requested, placement.granted), (Mode::Native, Mode::Native));
        assert_eq!(placement.reason, "no profile for driver x, so native is tried");
    }

    #[test]
    fn a_downgrade_carries_the_kernels_words() {
        let refused =
            Refused { mode: Mode::Native, reason: "Peer MTU is too large to set XDP (errno 34)".to_owned() };
        let placement = Placement::after_attach(&choice(), &[refused], Mode::Generic);
        assert_eq!((placement.requested, placement.granted), (Mode::Native, Mode::Generic));
        assert_eq!(placement.reason, "xdp-native refused: Peer MTU is too large to set XDP (errno 34)");
    }

    #[test]
    fn an_adopted_port_in_a_lesser_mode_does_not_claim_a_reason_it_does_not_know() {
        let placement = Placement::adopted(&choice(), Mode::Generic);
        assert_eq!(placement.reason, "adopted as found; why it is not the mode asked for was not recorded");
        assert!(
            Placement::adopted(&choice(), Mode::Native).reason.starts_with("adopted as found; no profile")
        );
    }
}
