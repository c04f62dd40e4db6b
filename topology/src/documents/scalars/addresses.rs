//! IP addresses and CIDRs.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::{Value as Json, json};

use super::super::codes::Code as Finding;
use super::super::decode::{Decode, FieldSpec, text};
use super::super::kinds::{BlockSpec, HoledCidrSpec};
use super::super::schema::Definitions;
use super::super::sink::{Sink, quoted};
use super::super::tree::{Node, Value};

impl Decode for IpAddr {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        let text = text(node, field, "an IP address", sink)?;
        let Ok(address) = text.parse::<Self>() else {
            let help = text
                .split_once('/')
                .map(|(address, _)| format!("an address has no prefix length: {}", quoted(address)));
            sink.error(Finding::BadAddress, node.span, format!("{} is no IP address", quoted(text)), help);
            return None;
        };
        match unusable(address) {
            None => Some(address),
            Some((what, help)) => {
                sink.error(Finding::BadAddress, node.span, format!("`{address}` is {what}"), help);
                None
            }
        }
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]})
    }
}

/// Why nobody can have `address`, and what to do.
fn unusable(address: IpAddr) -> Option<(&'static str, Option<String>)> {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let mapped = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => address.to_ipv4_mapped(),
    };
    if let Some(v4) = mapped {
        return Some(("an IPv4 address in IPv6 clothes", Some(format!("write `{v4}`"))));
    }
    let what = match address {
        _ if address.is_unspecified() => "the unspecified address",
        _ if address.is_loopback() => "a loopback address",
        _ if address.is_multicast() => "a multicast address",
        _ if address == IpAddr::from([255, 255, 255, 255]) => "the broadcast address",
        _ if link_local => "a link-local address, which means something else on every link",
        _ => return None,
    };
    Some((what, Some("give it an address that is its own in the whole fabric".to_owned())))
}

/// A block of addresses, host bits zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cidr(pub(crate) IpNet);

impl Decode for Cidr {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        let text = text(node, field, "a CIDR such as 10.0.0.0/8", sink)?;
        match cidr(text) {
            Ok(net) => Some(Self(net)),
            Err((message, help)) => {
                sink.error(Finding::BadCidr, node.span, message, help);
                None
            }
        }
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$"})
    }
}

fn cidr(text: &str) -> Result<IpNet, (String, Option<String>)> {
    if let Ok(address) = text.parse::<IpAddr>() {
        let help = format!("for this one address write `{}`", IpNet::from(address));
        return Err((format!("{} has no prefix length", quoted(text)), Some(help)));
    }
    let net: IpNet = text.parse().map_err(|_| (format!("{} is no CIDR", quoted(text)), None))?;
    if net.trunc() != net {
        let help = format!(
            "write `{}` for the block, or `{}` for the address",
            net.trunc(),
            IpNet::from(net.addr())
        );
        return Err((format!("`{net}` has bits set beyond its prefix"), Some(help)));
    }
    match net {
        IpNet::V6(v6) if is_mapped(v6.network(), v6.prefix_len()) => {
            let help = "write the IPv4 block itself, e.g. `0.0.0.0/0`".to_owned();
            Err((format!("`{net}` is of IPv4 addresses in IPv6 clothes"), Some(help)))
        }
        _ => Ok(net),
    }
}

/// Whether every address of the block is of ::ffff:0:0/96.
fn is_mapped(network: Ipv6Addr, prefix_len: u8) -> bool {
    prefix_len >= 96 && network.to_ipv4_mapped().is_some()
}

impl Decode for BlockSpec {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        match node.value {
            Value::Map(_) => HoledCidrSpec::decode(node, field, sink).map(Self::Holed),
            _ => Cidr::decode(node, field, sink).map(Self::Bare),
        }
    }

    fn schema(definitions: &mut Definitions) -> Json {
        json!({"anyOf": [Cidr::schema(definitions), HoledCidrSpec::schema(definitions)]})
    }
}
