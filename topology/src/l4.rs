//! Layer 4: protocols, keys of single packets, and what rules match of them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::ServiceName;

/// An IP protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP (1).
    pub const ICMP: Self = Self(1);
    /// TCP (6).
    pub const TCP: Self = Self(6);
    /// UDP (17).
    pub const UDP: Self = Self(17);
    /// ICMPv6 (58).
    pub const ICMPV6: Self = Self(58);
    /// SCTP (132).
    pub const SCTP: Self = Self(132);
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ICMP => f.pad("ICMP"),
            Self::TCP => f.pad("TCP"),
            Self::UDP => f.pad("UDP"),
            Self::ICMPV6 => f.pad("ICMPv6"),
            Self::SCTP => f.pad("SCTP"),
            Self(number) => f.pad(&number.to_string()),
        }
    }
}

/// The layer-4 key policy is decided on: `protocol << 16 | low`, 24 bits. `low` is the destination port
/// (TCP, UDP, SCTP), `type << 8 | code` (ICMP, ICMPv6), or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct L4Key(u32);

impl L4Key {
    /// The lowest key.
    pub const FIRST: Self = Self(0);
    /// The highest key.
    pub const LAST: Self = Self(0x00ff_ffff);

    /// The key of `protocol` with `low`.
    pub const fn new(protocol: Protocol, low: u16) -> Self {
        Self((protocol.0 as u32) << 16 | low as u32)
    }

    /// The key of an ICMP or ICMPv6 message.
    pub const fn icmp(protocol: Protocol, icmp_type: u8, code: u8) -> Self {
        Self::new(protocol, (icmp_type as u16) << 8 | code as u16)
    }

    /// The key with this number, if it is one.
    pub const fn from_number(number: u32) -> Option<Self> {
        if number <= Self::LAST.0 { Some(Self(number)) } else { None }
    }

    /// The key as a number, as the tables hold it.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The protocol part.
    pub const fn protocol(self) -> Protocol {
        Protocol((self.0 >> 16) as u8)
    }

    /// Destination port, or type and code.
    pub const fn low(self) -> u16 {
        self.0 as u16
    }

    /// The next higher key.
    pub(crate) const fn next(self) -> Option<Self> {
        Self::from_number(self.0 + 1)
    }

    /// The next lower key.
    pub(crate) fn previous(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

impl fmt::Display for L4Key {
    /// `8080/TCP`, `ICMP 8/0`, `47`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (protocol, low) = (self.protocol(), self.low());
        let text = match protocol {
            Protocol::TCP | Protocol::UDP | Protocol::SCTP => format!("{low}/{protocol}"),
            Protocol::ICMP | Protocol::ICMPV6 => format!("{protocol} {}/{}", low >> 8, low & 0xff),
            _ => protocol.to_string(),
        };
        f.pad(&text)
    }
}

/// Keys from `first` to `last`, both included; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct L4Range {
    /// Lowest key.
    pub first: L4Key,
    /// Highest key, not below `first`.
    pub last: L4Key,
}

impl L4Range {
    /// Every key.
    pub const ALL: Self = Self { first: L4Key::FIRST, last: L4Key::LAST };

    /// Whether `key` is inside.
    pub fn contains(&self, key: L4Key) -> bool {
        self.first <= key && key <= self.last
    }

    /// Its parts, in order: of protocols that are in it whole, one for all that follow each other; of any other, one each.
    fn parts(self) -> impl Iterator<Item = Self> {
        let whole = |number: u8| Self {
            first: L4Key::new(Protocol(number), 0),
            last: L4Key::new(Protocol(number), u16::MAX),
        };
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let Self { first, last } = rest?;
            let mut end = whole(first.protocol().0).last;
            if first.low() == 0 && end <= last {
                let partial = u8::from(last.low() != u16::MAX);
                end = whole(last.protocol().0 - partial).last;
            }
            let part = Self { first, last: end.min(last) };
            rest = part.last.next().filter(|next| *next <= last).map(|first| Self { first, last });
            Some(part)
        })
    }
}

impl fmt::Display for L4Range {
    /// `any`, `TCP`, `8080/TCP`, `8080-8090/TCP`, `ICMP 8`, `ICMP 8/0`, `ICMP 8/1-9/4`, `protocol 47`, `protocols 0-5`; where it begins
    /// or ends inside a protocol, one after the other: `8091-65535/TCP, protocols 7-255`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.pad("any");
        }
        let parts: Vec<String> = self.parts().map(part_text).collect();
        f.pad(&parts.join(", "))
    }
}

/// One of [`L4Range::parts`].
fn part_text(L4Range { first, last }: L4Range) -> String {
    let (protocol, low, high) = (first.protocol(), first.low(), last.low());
    if protocol != last.protocol() {
        return format!("protocols {}-{}", protocol.0, last.protocol().0);
    }
    let whole = (low, high) == (0, u16::MAX);
    let types = low & 0xff == 0 && high & 0xff == 0xff;
    match protocol {
        Protocol::TCP | Protocol::UDP | Protocol::SCTP | Protocol::ICMP | Protocol::ICMPV6 if whole => {
            protocol.to_string()
        }
        Protocol::TCP | Protocol::UDP | Protocol::SCTP if low != high => format!("{low}-{high}/{protocol}"),
        Protocol::ICMP | Protocol::ICMPV6 if types && low >> 8 == high >> 8 => {
            format!("{protocol} {}", low >> 8)
        }
        Protocol::ICMP | Protocol::ICMPV6 if types => format!("{protocol} {}-{}", low >> 8, high >> 8),
        Protocol::ICMP | Protocol::ICMPV6 if low != high => {
            format!("{first}-{}/{}", high >> 8, high & 0xff)
        }
        Protocol::TCP | Protocol::UDP | Protocol::SCTP | Protocol::ICMP | Protocol::ICMPV6 => {
            first.to_string()
        }
        // No other protocol has anything by which its packets differ.
        Protocol(number) => format!("protocol {number}"),
    }
}

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PortProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl From<PortProtocol> for Protocol {
    fn from(protocol: PortProtocol) -> Protocol {
        match protocol {
            PortProtocol::Tcp => Protocol::TCP,
            PortProtocol::Udp => Protocol::UDP,
            PortProtocol::Sctp => Protocol::SCTP,
        }
    }
}

/// The two ICMPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IcmpProtocol {
    /// ICMP of IPv4.
    #[serde(rename = "ICMP")]
    V4,
    /// ICMP of IPv6.
    #[serde(rename = "ICMPv6")]
    V6,
}

impl From<IcmpProtocol> for Protocol {
    fn from(protocol: IcmpProtocol) -> Protocol {
        match protocol {
            IcmpProtocol::V4 => Protocol::ICMP,
            IcmpProtocol::V6 => Protocol::ICMPV6,
        }
    }
}

/// What a rule's `ports` entry matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum L4Match {
    /// `protocol: any`.
    Any,
    /// Ports `first..=last`; `port: any` is 0..=65535.
    Ports {
        /// The protocol.
        protocol: PortProtocol,
        /// Lowest port.
        first: u16,
        /// Highest port.
        last: u16,
    },
    /// The port that the *destination* workload gives this service name, if it has one of this protocol.
    Service {
        /// The protocol the service must have.
        protocol: PortProtocol,
        /// Its name.
        name: ServiceName,
    },
    /// ICMP messages.
    Icmp {
        /// Which ICMP.
        protocol: IcmpProtocol,
        /// Types and codes.
        messages: IcmpMatch,
    },
}

/// What an ICMP match covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IcmpMatch {
    /// Every type.
    Any,
    /// Every code of one type.
    Type(u8),
    /// One type and code.
    TypeCode(u8, u8),
}

impl IcmpMatch {
    /// Lowest and highest `type << 8 | code`.
    pub const fn range(self) -> (u16, u16) {
        match self {
            Self::Any => (0, u16::MAX),
            Self::Type(kind) => ((kind as u16) << 8, (kind as u16) << 8 | 0xff),
            Self::TypeCode(kind, code) => {
                ((kind as u16) << 8 | code as u16, (kind as u16) << 8 | code as u16)
            }
        }
    }
}

impl fmt::Display for L4Match {
    /// `any`, `8080/TCP`, `8080-8090/TCP`, `http/TCP`, `ICMP`, `ICMP 8/0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => write!(f, "any"),
            Self::Ports { protocol, first: 0, last: u16::MAX } => write!(f, "{}", Protocol::from(*protocol)),
            Self::Ports { protocol, first, last } if first == last => {
                write!(f, "{first}/{}", Protocol::from(*protocol))
            }
            Self::Ports { protocol, first, last } => {
                write!(f, "{first}-{last}/{}", Protocol::from(*protocol))
            }
            Self::Service { protocol, name } => write!(f, "{name}/{}", Protocol::from(*protocol)),
            Self::Icmp { protocol, messages } => {
                let protocol = Protocol::from(*protocol);
                match messages {
                    IcmpMatch::Any => write!(f, "{protocol}"),
                    IcmpMatch::Type(kind) => write!(f, "{protocol} {kind}"),
                    IcmpMatch::TypeCode(kind, code) => write!(f, "{protocol} {kind}/{code}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_read_as_rules_are_written() {
        let key = L4Key::new;
        let icmp = |kind, code| L4Key::icmp(Protocol::ICMP, kind, code);
        for (first, last, text) in [
            (L4Key::FIRST, L4Key::LAST, "any"),
            (key(Protocol::TCP, 0), key(Protocol::TCP, u16::MAX), "TCP"),
            (key(Protocol::TCP, 22), key(Protocol::TCP, 22), "22/TCP"),
            (key(Protocol::UDP, 8080), key(Protocol::UDP, 8090), "8080-8090/UDP"),
            (icmp(8, 0), icmp(8, 0), "ICMP 8/0"),
            (icmp(8, 0), icmp(8, 0xff), "ICMP 8"),
            (icmp(8, 0), icmp(9, 0xff), "ICMP 8-9"),
            (icmp(8, 1), icmp(9, 4), "ICMP 8/1-9/4"),
            (key(Protocol::ICMPV6, 0), key(Protocol::ICMPV6, u16::MAX), "ICMPv6"),
            (key(Protocol(47), 0), key(Protocol(47), u16::MAX), "protocol 47"),
            (key(Protocol(0), 0), key(Protocol(5), u16::MAX), "protocols 0-5"),
            (key(Protocol::TCP, 8091), L4Key::LAST, "8091-65535/TCP, protocols 7-255"),
            (L4Key::FIRST, key(Protocol::TCP, 21), "protocols 0-5, 0-21/TCP"),
            (key(Protocol::TCP, 23), key(Protocol::UDP, 52), "23-65535/TCP, protocols 7-16, 0-52/UDP"),
            (key(Protocol(16), 0), key(Protocol::UDP, 52), "protocol 16, 0-52/UDP"),
        ] {
            assert_eq!(L4Range { first, last }.to_string(), text);
        }
    }
}
