//! In which mode a port is to run, in which it runs, and why.

mod unmet;

use selvedge_hw_profiles::profile::{OffloadLimits, Support};
use selvedge_hw_profiles::{Demand, Fit, Mode, ModeChoice, Profiles, Requirement, fit};
use selvedge_topology::demands::Demands;
use selvedge_topology::names::PortName;
use serde::{Deserialize, Serialize};

pub use unmet::{Unmet, unmet};

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

/// What decides the mode of a port, beside what is seen of it.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// What devices can do.
    pub profiles: &'a Profiles,
    /// What the plan demands; nothing where there is none.
    pub demands: Option<&'a Demands>,
}

impl<'a> Terms<'a> {
    /// The name of the profile of an interface.
    pub fn profile(&self, interface: &Interface) -> Option<&str> {
        self.profiles.of(&interface.seen).map(|found| found.entry.profile.name.as_str())
    }

    /// What the device of an interface takes of programs, where it runs any.
    pub fn offload(&self, interface: &Interface) -> Option<&'a OffloadLimits> {
        let profile = &self.profiles.of(&interface.seen)?.entry.profile;
        let runs = matches!(profile.netdev(&interface.seen)?.offload, Support::Runs(_));
        profile.offload.as_ref().filter(|_| runs)
    }

    /// All that is demanded of the mode of the interface `name`.
    pub fn demand(&self, name: &PortName, interface: &Interface) -> Demand {
        self.demands.map(|demands| demands.of(name, self.profile(interface))).unwrap_or_default()
    }

    /// Why an interface that runs no programs itself does not.
    fn no_offload(&self, name: &PortName, interface: &Interface) -> String {
        let fit = self.fit(name, interface, Demand::default());
        let against = fit.passed_over.into_iter().find(|passed| passed.mode == Mode::Offload);
        let reasons = against.into_iter().flat_map(|passed| passed.reasons).map(|reason| reason.to_string());
        reasons.collect::<Vec<_>>().join(", and ")
    }

    fn fit(&self, name: &PortName, interface: &Interface, demand: Demand) -> Fit {
        let profile = self.profiles.of(&interface.seen).map(|found| &found.entry.profile);
        let asked = Requirement { demand, ..Requirement::best() };
        fit(&asked, profile, name.as_str(), &interface.seen)
    }
}

/// The modes to try for the program in the kernel on the interface `name`: those that are demanded, and generic after them. A port
/// that is enforced in another mode than is demanded is better than one that is open.
pub fn choose(terms: Terms<'_>, name: &PortName, interface: &Interface) -> ModeChoice {
    let mut choice = terms.fit(name, interface, terms.demand(name, interface).in_kernel()).choice();
    if choice.first != Mode::Generic && !choice.fallbacks.contains(&Mode::Generic) {
        choice.fallbacks.push(Mode::Generic);
    }
    choice
}

/// What the device of the interface `name` forwards past any program on it, and the command that ends that where there is one.
pub fn forwarded_past(terms: Terms<'_>, name: &PortName, interface: &Interface) -> Vec<String> {
    let fit = terms.fit(name, interface, Demand::default());
    let past = fit.forwarded_past().map(|bypass| match &bypass.mend {
        Some(mend) => format!("{} (`{mend}` ends that)", bypass.risk),
        None => bypass.risk.clone(),
    });
    past.collect()
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
    use selvedge_hw_profiles::port::Switch;

    use super::*;

    fn choice() -> ModeChoice {
        let reason = "no profile for driver x, so native is tried".to_owned();
        ModeChoice { first: Mode::Native, fallbacks: vec![Mode::Generic], reason }
    }

    #[test]
    fn what_a_device_forwards_itself_is_told_with_what_ends_it() {
        let profiles = Profiles::embedded().unwrap();
        let name: PortName = "pf0hpf".parse().unwrap();
        let mut interface = Interface::veth(crate::IfIndex(7));
        let terms = Terms { profiles: &profiles, demands: None };
        assert_eq!(forwarded_past(terms, &name, &interface), Vec::<String>::new());
        interface.seen.driver = "mlx5e_rep".to_owned();
        interface.seen.tc_offload = Some(Switch::On);
        let told = forwarded_past(terms, &name, &interface);
        assert!(told[0].ends_with("(`ethtool -K pf0hpf hw-tc-offload off` ends that)"), "{told:?}");
        interface.seen.driver = "prestera".to_owned();
        assert!(forwarded_past(terms, &name, &interface)[0].contains("the ASIC forwards"));
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
