//! What can be changed of a port so that it has what its best modes need.

use std::fmt;

use crate::fit::Demand;
use crate::mode::Mode;
use crate::port::Port;
use crate::profile::{Check, Frames, Need, Profile, Support};
use crate::units::Bytes;

/// A change to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// Another MTU.
    Mtu(Bytes),
    /// No large receive offload.
    LroOff,
    /// Other numbers of channels.
    Channels {
        /// That only receive.
        rx: u32,
        /// That only transmit.
        tx: u32,
        /// That do both.
        combined: u32,
    },
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mtu(mtu) => write!(f, "MTU {mtu}"),
            Self::LroOff => f.write_str("LRO off"),
            Self::Channels { rx, tx, combined } => {
                write!(f, "channels: {combined} combined, {rx} rx, {tx} tx")
            }
        }
    }
}

/// What to change of `port`, as the profile of its device says: everything that modes which the demand admits need, that is not so, and
/// that can be changed from here.
pub fn remedies(profile: &Profile, port: &Port, demand: &Demand) -> Vec<Remedy> {
    let Some(netdev) = profile.netdev(port) else { return Vec::new() };
    let runs = |mode: &Mode| match mode {
        Mode::Offload => matches!(netdev.offload, Support::Runs(_)),
        Mode::Native => matches!(netdev.native, Support::Runs(_)),
        Mode::Generic => true,
    };
    let is_for = |modes: &[Mode]| modes.iter().any(|mode| runs(mode) && demand.admits(*mode));
    let constraints = profile.constraints.iter().filter(|constraint| is_for(&constraint.modes));
    let broken = constraints
        .filter(|constraint| matches!(constraint.needs.check(port, Frames::Linear), Check::Unmet { .. }));
    broken.filter_map(|constraint| remedy(&constraint.needs, port)).collect()
}

fn remedy(need: &Need, port: &Port) -> Option<Remedy> {
    let channels = port.channels;
    match need {
        Need::MtuAtMost(limit) | Need::LinearMtuAtMost(limit) => Some(Remedy::Mtu(*limit)),
        Need::LroOff => Some(Remedy::LroOff),
        Need::CombinedChannels => channels.filter(|it| it.max_combined > 0).map(|it| Remedy::Channels {
            rx: 0,
            tx: 0,
            combined: (it.combined + it.rx.max(it.tx)).min(it.max_combined),
        }),
        Need::ChannelsAtMostHalf => channels.map(|it| Remedy::Channels {
            rx: it.rx.min(it.max_rx / 2),
            tx: it.tx.min(it.max_tx / 2),
            combined: it.combined.min(it.max_combined / 2),
        }),
        Need::SpareChannelPerCpu => channels.zip(port.cpus).and_then(|(it, cpus)| {
            let combined = it.max_combined.saturating_sub(cpus);
            (combined > 0).then_some(Remedy::Channels { rx: it.rx, tx: it.tx, combined })
        }),
        Need::LinearPeerMtuAtMost(_)
        | Need::HwGroOff
        | Need::VlanStrippingOff
        | Need::TxQueuesPerCpu(_)
        | Need::NoVfs
        | Need::Firmware(_)
        | Need::Configuration(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::Profiles;
    use crate::port::{Channels, Switch};

    use super::*;

    fn of(profile: &str, driver: &str, change: impl FnOnce(&mut Port)) -> Vec<Remedy> {
        let profiles = Profiles::embedded().unwrap();
        let profile = &profiles.get(profile).unwrap().profile;
        let mut port = Port::new(driver, Bytes(1500));
        change(&mut port);
        remedies(profile, &port, &Demand::default())
    }

    #[test]
    fn what_is_not_as_a_mode_needs_it_is_changed_and_nothing_else_is() {
        assert_eq!(of("i225", "igc", |_| {}), []);
        assert_eq!(of("i225", "igc", |port| port.mtu = Bytes(9000)), [Remedy::Mtu(Bytes(1500))]);
        let lro = of("ixgbe", "ixgbe", |port| port.lro = Some(Switch::On));
        assert_eq!(lro, [Remedy::LroOff]);
        let all = Channels { rx: 0, tx: 0, combined: 8, max_rx: 0, max_tx: 0, max_combined: 8 };
        let half = Remedy::Channels { rx: 0, tx: 0, combined: 4 };
        assert_eq!(of("ena", "ena", |port| port.channels = Some(all)), [half]);
    }

    #[test]
    fn nothing_is_changed_for_a_mode_that_nobody_wants() {
        let profiles = Profiles::embedded().unwrap();
        let port = Port::new("igc", Bytes(9000));
        let generic = Demand { at_most: Some(Mode::Generic), ..Demand::default() };
        assert_eq!(remedies(&profiles.get("i225").unwrap().profile, &port, &generic), []);
    }
}
