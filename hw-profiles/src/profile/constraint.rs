//! What a mode needs of a port, as typed values, and the command that mends it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::source::Source;
use super::{Mode, Pattern};
use crate::port::{Port, Switch};
use crate::units::{Bytes, QuantityError, Queues};

/// Something that modes need of a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct Constraint {
    /// What is needed.
    pub needs: Need,
    /// The modes that need it.
    pub modes: Vec<Mode>,
    /// What happens where it is not so.
    pub otherwise: Otherwise,
    /// The command that makes it so, where there is one; `{port}`, `{value}` and the like stand for what is known.
    pub mend: Option<Mend>,
    /// Where this is from.
    pub source: Source,
}

/// What a mode can need of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// An MTU of at most this, whatever the program takes.
    MtuAtMost(Bytes),
    /// The same, of a program that does not take frames in fragments.
    LinearMtuAtMost(Bytes),
    /// The same, of the peer.
    LinearPeerMtuAtMost(Bytes),
    /// No large receive offload.
    LroOff,
    /// No GRO by the hardware.
    HwGroOff,
    /// Tags left in the frame.
    VlanStrippingOff,
    /// Queues that receive and transmit, none that does one only.
    CombinedChannels,
    /// No more channels than half of those there can be.
    ChannelsAtMostHalf,
    /// For each CPU, a channel that nothing uses.
    SpareChannelPerCpu,
    /// For each CPU, so many transmit queues.
    TxQueuesPerCpu(Queues),
    /// No virtual functions.
    NoVfs,
    /// Firmware of this kind.
    Firmware(Pattern),
    /// Something that can't be seen from outside; the kernel says when it is not so.
    Configuration(String),
}

/// What happens where a need is not met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Otherwise {
    /// The driver refuses the program.
    #[default]
    Refused,
    /// It works, and takes longer.
    Slower,
    /// It works, and the program does not see all of the packet.
    Blind,
}

/// A command that mends, with places for what is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mend(String);

/// A command with a place that nothing fills.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` has a place `{{{place}}}` that nothing fills; there are {{port}}, {{value}} and {{half}}")]
pub struct MendError {
    /// The command.
    pub given: String,
    /// The place.
    pub place: String,
}

impl TryFrom<String> for Mend {
    type Error = MendError;

    fn try_from(given: String) -> Result<Self, MendError> {
        let places = given.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(place, _)| place);
        match places.into_iter().find(|place| !["port", "value", "half"].contains(place)) {
            Some(place) => Err(MendError { place: place.to_owned(), given: given.clone() }),
            None => Ok(Self(given)),
        }
    }
}

impl From<Mend> for String {
    fn from(mend: Mend) -> Self {
        mend.0
    }
}

impl Mend {
    /// The command for the interface `name`, where nothing else stands open.
    pub(crate) fn of(&self, name: &str) -> String {
        self.0.replace("{port}", name)
    }
}

impl Constraint {
    /// The command for the interface `name`; what is not known of it stands as `N`.
    pub fn mend(&self, name: &str, port: &Port) -> Option<String> {
        let command = self.mend.as_ref()?.of(name);
        let value = match &self.needs {
            Need::MtuAtMost(limit) | Need::LinearMtuAtMost(limit) | Need::LinearPeerMtuAtMost(limit) => {
                limit.0.to_string()
            }
            Need::TxQueuesPerCpu(queues) => queues.0.to_string(),
            _ => "N".to_owned(),
        };
        let half = |channels: crate::port::Channels| (channels.max_combined / 2).max(1).to_string();
        let half = port.channels.map_or("N".to_owned(), half);
        Some(command.replace("{value}", &value).replace("{half}", &half))
    }
}

/// Whether a port has what is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// It has.
    Met,
    /// It has not: what was found instead.
    Unmet {
        /// What was found.
        found: String,
    },
    /// Nobody looked, or it can't be seen.
    Unseen,
}

/// Whether a program takes frames of several buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Frames {
    /// Only frames in one piece.
    Linear,
    /// Frames in fragments too (`xdp.frags`).
    Fragments,
}

impl Need {
    /// Whether `port` has it, for a program that takes `frames`.
    pub fn check(&self, port: &Port, frames: Frames) -> Check {
        match self {
            Self::MtuAtMost(limit) => at_most(port.mtu, *limit),
            Self::LinearMtuAtMost(limit) => match frames {
                Frames::Linear => at_most(port.mtu, *limit),
                Frames::Fragments => Check::Met,
            },
            Self::LinearPeerMtuAtMost(limit) => match (frames, port.peer_mtu) {
                (Frames::Fragments, _) => Check::Met,
                (Frames::Linear, Some(mtu)) => at_most(mtu, *limit),
                (Frames::Linear, None) => Check::Unseen,
            },
            Self::LroOff => off(port.lro),
            Self::HwGroOff => off(port.hw_gro),
            Self::VlanStrippingOff => off(port.vlan_stripping),
            Self::CombinedChannels => seen(port.channels, |it| {
                found(it.rx == 0 && it.tx == 0, || format!("{} rx and {} tx", it.rx, it.tx))
            }),
            Self::ChannelsAtMostHalf => seen(port.channels, |it| {
                let (used, all) =
                    (it.combined + it.rx.max(it.tx), it.max_combined + it.max_rx.max(it.max_tx));
                found(used <= all / 2, || format!("{used} of {all}"))
            }),
            Self::SpareChannelPerCpu => seen(port.channels.zip(port.cpus), |(it, cpus)| {
                let spare = it.max_combined.saturating_sub(it.combined);
                found(spare >= cpus, || format!("{spare} for {cpus} CPUs"))
            }),
            Self::TxQueuesPerCpu(each) => seen(port.tx_queues.zip(port.cpus), |(queues, cpus)| {
                let enough = u64::from(queues.0) >= u64::from(each.0) * u64::from(cpus);
                found(enough, || format!("{queues} for {cpus} CPUs"))
            }),
            Self::NoVfs => seen(port.vfs, |vfs| found(vfs == 0, || format!("{vfs}"))),
            Self::Firmware(pattern) => seen(port.firmware(), |firmware| {
                found(pattern.matches(&firmware), || format!("`{firmware}`"))
            }),
            Self::Configuration(_) => Check::Unseen,
        }
    }
}

fn seen<T>(seen: Option<T>, check: impl FnOnce(T) -> Check) -> Check {
    seen.map_or(Check::Unseen, check)
}

fn found(met: bool, found: impl FnOnce() -> String) -> Check {
    if met { Check::Met } else { Check::Unmet { found: found() } }
}

fn at_most(mtu: Bytes, limit: Bytes) -> Check {
    found(mtu <= limit, || mtu.to_string())
}

fn off(switch: Option<Switch>) -> Check {
    seen(switch, |switch| found(switch == Switch::Off, || "on".to_owned()))
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MtuAtMost(limit) => write!(f, "an MTU of at most {limit}"),
            Self::LinearMtuAtMost(limit) => {
                write!(f, "an MTU of at most {limit} for a program without fragments")
            }
            Self::LinearPeerMtuAtMost(limit) => {
                write!(f, "a peer with an MTU of at most {limit} for a program without fragments")
            }
            Self::LroOff => f.write_str("LRO off"),
            Self::HwGroOff => f.write_str("hardware GRO off"),
            Self::VlanStrippingOff => f.write_str("VLAN stripping off"),
            Self::CombinedChannels => f.write_str("combined channels"),
            Self::ChannelsAtMostHalf => f.write_str("at most half of the channels in use"),
            Self::SpareChannelPerCpu => f.write_str("a spare channel for each CPU"),
            Self::TxQueuesPerCpu(queues) => {
                let plural = if queues.0 == 1 { "" } else { "s" };
                write!(f, "{} transmit queue{plural} for each CPU", queues.0)
            }
            Self::NoVfs => f.write_str("no virtual functions"),
            Self::Firmware(pattern) => write!(f, "firmware like `{pattern}`"),
            Self::Configuration(what) => f.write_str(what),
        }
    }
}

/// A constraint as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Raw {
    needs: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default = "native")]
    modes: Vec<Mode>,
    #[serde(default)]
    otherwise: Otherwise,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<Mend>,
    source: Source,
}

fn native() -> Vec<Mode> {
    vec![Mode::Native]
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    MtuAtMost,
    LinearMtuAtMost,
    LinearPeerMtuAtMost,
    LroOff,
    HwGroOff,
    VlanStrippingOff,
    CombinedChannels,
    ChannelsAtMostHalf,
    SpareChannelPerCpu,
    TxQueuesPerCpu,
    NoVfs,
    Firmware,
    Configuration,
}

/// A constraint that says too little or too much.
#[derive(Debug, thiserror::Error)]
enum RawError {
    #[error("`value` is missing: how much, or what, does it need?")]
    NoValue,
    #[error("`value: {value}` says nothing here; leave it out")]
    Value { value: String },
    #[error("`value`: {0}")]
    Quantity(#[from] QuantityError),
    #[error("`modes` is empty; leave it out where xdp-native alone needs this")]
    NoModes,
}

impl TryFrom<Raw> for Constraint {
    type Error = RawError;

    fn try_from(raw: Raw) -> Result<Self, RawError> {
        let Raw { needs, value, modes, otherwise, mend, source } = raw;
        if modes.is_empty() {
            return Err(RawError::NoModes);
        }
        Ok(Self { needs: need(needs, value)?, modes, otherwise, mend, source })
    }
}

fn need(kind: Kind, value: Option<String>) -> Result<Need, RawError> {
    let plain = match kind {
        Kind::LroOff => Need::LroOff,
        Kind::HwGroOff => Need::HwGroOff,
        Kind::VlanStrippingOff => Need::VlanStrippingOff,
        Kind::CombinedChannels => Need::CombinedChannels,
        Kind::ChannelsAtMostHalf => Need::ChannelsAtMostHalf,
        Kind::SpareChannelPerCpu => Need::SpareChannelPerCpu,
        Kind::NoVfs => Need::NoVfs,
        of_value => {
            let value = value.ok_or(RawError::NoValue)?;
            return Ok(match of_value {
                Kind::MtuAtMost => Need::MtuAtMost(Bytes::try_from(value)?),
                Kind::LinearMtuAtMost => Need::LinearMtuAtMost(Bytes::try_from(value)?),
                Kind::LinearPeerMtuAtMost => Need::LinearPeerMtuAtMost(Bytes::try_from(value)?),
                Kind::TxQueuesPerCpu => Need::TxQueuesPerCpu(Queues::try_from(value)?),
                Kind::Firmware => Need::Firmware(Pattern::from(value)),
                _ => Need::Configuration(value),
            });
        }
    };
    match value {
        Some(value) => Err(RawError::Value { value }),
        None => Ok(plain),
    }
}

impl From<Constraint> for Raw {
    fn from(Constraint { needs, modes, otherwise, mend, source }: Constraint) -> Self {
        let (needs, value) = match needs {
            Need::MtuAtMost(limit) => (Kind::MtuAtMost, Some(limit.to_string())),
            Need::LinearMtuAtMost(limit) => (Kind::LinearMtuAtMost, Some(limit.to_string())),
            Need::LinearPeerMtuAtMost(limit) => (Kind::LinearPeerMtuAtMost, Some(limit.to_string())),
            Need::LroOff => (Kind::LroOff, None),
            Need::HwGroOff => (Kind::HwGroOff, None),
            Need::VlanStrippingOff => (Kind::VlanStrippingOff, None),
            Need::CombinedChannels => (Kind::CombinedChannels, None),
            Need::ChannelsAtMostHalf => (Kind::ChannelsAtMostHalf, None),
            Need::SpareChannelPerCpu => (Kind::SpareChannelPerCpu, None),
            Need::TxQueuesPerCpu(queues) => (Kind::TxQueuesPerCpu, Some(queues.to_string())),
            Need::NoVfs => (Kind::NoVfs, None),
            Need::Firmware(pattern) => (Kind::Firmware, Some(pattern.to_string())),
            Need::Configuration(what) => (Kind::Configuration, Some(what)),
        };
        Self { needs, value, modes, otherwise, mend, source }
    }
}

#[cfg(test)]
mod tests;
