//! How long a silent connection counts: what may be said of it, and what holds where nothing is.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A time in whole seconds, which is as finely as data paths count. Written `2h 5m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(pub u32);

impl Seconds {
    const fn minutes(minutes: u32) -> Self {
        Self(minutes * 60)
    }

    const fn hours(hours: u32) -> Self {
        Self::minutes(hours * 60)
    }

    const fn days(days: u32) -> Self {
        Self::hours(days * 24)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let duration = Duration::from_secs(self.0.into());
        f.pad(&humantime::format_duration(duration).to_string())
    }
}

/// What one timeout may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Its name in documents.
    pub key: &'static str,
    /// What it is where nothing is said.
    pub default: Seconds,
    /// The shortest.
    pub least: Seconds,
    /// The longest.
    pub most: Seconds,
}

/// The shortest timeout of any connection. Data paths may let packets pass for up to 10 seconds by what they noted of one
/// before; no connection may end while such a note holds.
const LEAST: Seconds = Seconds(15);

/// An established TCP connection may be silent for as long as a peer with the usual keepalive of 2 hours (RFC 1122
/// §4.2.3.6) takes to prove itself alive, and some: 3 hours, above the 2 h 4 min that RFC 5382 asks of a NAT. All others
/// are short, because a lost entry costs no more than a new judgement, and a kept one costs a place in the table.
pub const TCP_ESTABLISHED: Bounds =
    Bounds { key: "tcpEstablished", default: Seconds::hours(3), least: LEAST, most: Seconds::days(30) };
/// TCP and SCTP before their opener goes on after an answer.
pub const TCP_HALF_OPEN: Bounds =
    Bounds { key: "tcpHalfOpen", default: Seconds::minutes(1), least: LEAST, most: Seconds::minutes(10) };
/// TCP and SCTP after an end said that it is over.
pub const TCP_CLOSING: Bounds =
    Bounds { key: "tcpClosing", default: Seconds::minutes(1), least: LEAST, most: Seconds::minutes(10) };
/// UDP.
pub const UDP: Bounds =
    Bounds { key: "udp", default: Seconds::minutes(1), least: LEAST, most: Seconds::days(1) };
/// ICMP and ICMPv6 echo.
pub const ICMP: Bounds = Bounds { key: "icmp", default: Seconds(30), least: LEAST, most: Seconds::hours(1) };
/// Every other protocol.
pub const OTHER: Bounds =
    Bounds { key: "other", default: Seconds::minutes(1), least: LEAST, most: Seconds::days(1) };
/// A datagram that comes in fragments, from its first one; receivers wait for 60 seconds (RFC 8200 §4.5).
pub const FRAGMENT: Bounds =
    Bounds { key: "fragment", default: Seconds::minutes(1), least: Seconds(1), most: Seconds::minutes(2) };

/// Idle times after which connections no longer count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeouts {
    /// TCP and SCTP whose opener went on after an answer.
    pub tcp_established: Seconds,
    /// TCP and SCTP before their opener goes on after an answer.
    pub tcp_half_open: Seconds,
    /// TCP and SCTP after an end said that it is over.
    pub tcp_closing: Seconds,
    /// UDP.
    pub udp: Seconds,
    /// ICMP and ICMPv6 echo.
    pub icmp: Seconds,
    /// Every other protocol.
    pub other: Seconds,
    /// A datagram that comes in fragments, from its first one.
    pub fragment: Seconds,
}

impl Timeouts {
    /// Each with its bounds, in the order in which they are declared.
    pub fn each(&self) -> [(Bounds, Seconds); 7] {
        let Self { tcp_established, tcp_half_open, tcp_closing, udp, icmp, other, fragment } = *self;
        [
            (TCP_ESTABLISHED, tcp_established),
            (TCP_HALF_OPEN, tcp_half_open),
            (TCP_CLOSING, tcp_closing),
            (UDP, udp),
            (ICMP, icmp),
            (OTHER, other),
            (FRAGMENT, fragment),
        ]
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_established: TCP_ESTABLISHED.default,
            tcp_half_open: TCP_HALF_OPEN.default,
            tcp_closing: TCP_CLOSING.default,
            udp: UDP.default,
            icmp: ICMP.default,
            other: OTHER.default,
            fragment: FRAGMENT.default,
        }
    }
}

impl fmt::Display for Timeouts {
    /// `tcpEstablished 3h, tcpHalfOpen 1m, …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.each().map(|(bounds, time)| format!("{} {time}", bounds.key));
        f.pad(&each.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_within_its_bounds_and_outlives_what_data_paths_note() {
        for (Bounds { key, default, least, most }, time) in Timeouts::default().each() {
            assert_eq!(time, default, "{key}");
            assert!(least <= default && default <= most, "{key}");
            assert!(least > Seconds(10) || key == "fragment", "{key}");
        }
    }

    #[test]
    fn the_page_on_policy_says_the_bounds_as_they_are() {
        let page = include_str!("../../docs/policy.md");
        for (Bounds { key, default, least, most }, _) in Timeouts::default().each() {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{key}` |"))).unwrap();
            assert!(row.ends_with(&format!("| {default} | {least} to {most} |")), "{row}");
        }
    }

    #[test]
    fn times_are_said_as_they_are_written() {
        assert_eq!(Seconds(7_500).to_string(), "2h 5m");
        assert!(Timeouts::default().to_string().starts_with("tcpEstablished 3h, tcpHalfOpen 1m, "));
    }
}
