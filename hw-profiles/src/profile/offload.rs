//! What a device takes of programs that run in it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::source::Source;
use crate::units::{Bytes, Entries, Instructions, Maps};

/// What a device takes of programs that run in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OffloadLimits {
    /// Kinds of maps, and where that is from.
    pub map_types: Cited<Vec<MapType>>,
    /// How many maps.
    pub maps: Limit<Maps>,
    /// Entries of one map.
    pub entries_each: Limit<Entries>,
    /// Entries of all maps together.
    pub entries: Limit<Entries>,
    /// A key.
    pub key: Limit<Bytes>,
    /// A value.
    pub value: Limit<Bytes>,
    /// Key and value, each rounded up to eight bytes.
    pub entry: Limit<Bytes>,
    /// A program, in the device's own instructions.
    pub instructions: Limit<Instructions>,
    /// A program's stack.
    pub stack: Limit<Bytes>,
    /// Helpers that a program may call.
    pub helpers: Cited<Vec<String>>,
    /// Verdicts that it may give.
    pub verdicts: Cited<Vec<Verdict>>,
    /// Whether a program can take the place of another while packets pass.
    pub exchange: Cited<Exchange>,
}

/// Something, and where it is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cited<T> {
    /// What.
    pub value: T,
    /// Where it is from.
    pub source: Source,
}

/// A kind of map that a device can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapType {
    /// By index.
    Array,
    /// By key.
    Hash,
}

impl MapType {
    /// Its name, as in profiles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Hash => "hash",
        }
    }
}

/// A verdict that a device can carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// On to the host.
    Pass,
    /// Gone.
    Drop,
    /// Back out of the port.
    Tx,
    /// Gone, and counted as an error.
    Aborted,
}

impl Verdict {
    /// Its name, as in profiles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Tx => "tx",
            Self::Aborted => "aborted",
        }
    }
}

/// Whether a program can take the place of another while packets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exchange {
    /// It can.
    Live,
    /// Only with firmware that says so; else the device answers EBUSY.
    IfFirmwareSays,
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "while packets pass",
            Self::IfFirmwareSays => "while packets pass if the firmware says so, else refused",
        })
    }
}

/// How much of something a device takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawLimit<Q>", into = "RawLimit<Q>")]
#[serde(bound(serialize = "Q: Clone + Serialize", deserialize = "Q: Deserialize<'de>"))]
pub enum Limit<Q> {
    /// At most this.
    AtMost(Q, Source),
    /// The device says how much, or refuses: how it is learnt.
    Learnt(String, Source),
    /// As much as the kernel allows.
    Unlimited(Source),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawLimit<Q> {
    #[serde(skip_serializing_if = "Option::is_none")]
    at_most: Option<Q>,
    #[serde(skip_serializing_if = "Option::is_none")]
    learnt: Option<String>,
    source: Source,
}

#[derive(Debug, thiserror::Error)]
#[error("`at-most` and `learnt` exclude each other")]
struct LimitError;

impl<Q> TryFrom<RawLimit<Q>> for Limit<Q> {
    type Error = LimitError;

    fn try_from(RawLimit { at_most, learnt, source }: RawLimit<Q>) -> Result<Self, LimitError> {
        match (at_most, learnt) {
            (Some(quantity), None) => Ok(Self::AtMost(quantity, source)),
            (None, Some(how)) => Ok(Self::Learnt(how, source)),
            (None, None) => Ok(Self::Unlimited(source)),
            (Some(_), Some(_)) => Err(LimitError),
        }
    }
}

impl<Q> From<Limit<Q>> for RawLimit<Q> {
    fn from(limit: Limit<Q>) -> Self {
        let (at_most, learnt, source) = match limit {
            Limit::AtMost(quantity, source) => (Some(quantity), None, source),
            Limit::Learnt(how, source) => (None, Some(how), source),
            Limit::Unlimited(source) => (None, None, source),
        };
        Self { at_most, learnt, source }
    }
}

impl<Q: fmt::Display> fmt::Display for Limit<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(quantity, _) => write!(f, "at most {quantity}"),
            Self::Learnt(how, _) => write!(f, "{how}"),
            Self::Unlimited(_) => f.write_str("no limit of its own"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_with_a_unit_or_how_it_is_learnt_or_none() {
        let read = |text: &str| serde_norway::from_str::<Limit<Entries>>(text);
        let source = Source::try_from("drivers/net/netdevsim/bpf.c x".to_owned()).unwrap();
        let cases = [
            ("{at-most: 2 entries, source: drivers/net/netdevsim/bpf.c x}", "at most 2 entries"),
            ("{learnt: the firmware says, source: drivers/net/netdevsim/bpf.c x}", "the firmware says"),
            ("{source: drivers/net/netdevsim/bpf.c x}", "no limit of its own"),
        ];
        for (text, shown) in cases {
            let limit = read(text).unwrap();
            assert_eq!(limit.to_string(), shown);
            assert_eq!(read(&serde_norway::to_string(&limit).unwrap()).unwrap(), limit);
        }
        assert_eq!(read(cases[0].0).unwrap(), Limit::AtMost(Entries(2), source));
        let both = "{at-most: 2 entries, learnt: x, source: drivers/net/netdevsim/bpf.c x}";
        assert!(read(both).unwrap_err().to_string().contains("exclude each other"));
        assert!(read("{at-most: 2 B, source: a/b.c x}").unwrap_err().to_string().contains("`2 entries`"));
    }
}
