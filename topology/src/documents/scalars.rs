//! How the single values of documents are read.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde_json::{Value as Json, json};

use super::codes::Code as Finding;
use super::decode::{Decode, FieldSpec, text, text_of, within, wrong_type};
use super::kinds::{BlockSpec, HoledCidrSpec};
use super::limits;
use super::schema::Definitions;
use super::sink::{Sink, quoted};
use super::tree::{Node, Typed, Value};
use crate::labels::{LabelKey, LabelValue, Labels, MAX_LABEL_KEY, MAX_LABEL_VALUE};
use crate::model::Endpoint;
use crate::names::{
    ExternalName, GroupName, MAX_NAME, NodeName, PortName, RackName, RuleName, ServiceName, TierName,
    WorkloadName,
};

const NAME_PATTERN: &str = "^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$";

impl Decode for bool {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        match node.typed() {
            Some(Typed::Bool(value)) => Some(value),
            _ => wrong_type(node, field, "`true` or `false`", None, sink),
        }
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "boolean"})
    }
}

/// Reads text that `T` parses, and reports what is wrong with it under `code`.
fn parsed<T: FromStr<Err: ToString>>(
    node: &Node,
    field: &FieldSpec,
    (what, code): (&str, Finding),
    sink: &mut Sink<'_>,
) -> Option<T> {
    let text = text(node, field, what, sink)?;
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            let help = simpler_name(text).filter(|_| code == Finding::BadName);
            sink.error(code, node.span, error.to_string(), help.map(|name| format!("`{name}` would do")));
            None
        }
    }
}

/// The name that was probably meant.
fn simpler_name(text: &str) -> Option<String> {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '.') { c.to_ascii_lowercase() } else { '-' }
    };
    let name: String = text.chars().take(MAX_NAME).map(plain).collect();
    let name = name.trim_matches(['-', '_', '.']);
    name.parse::<WorkloadName>().is_ok().then(|| name.to_owned())
}

fn name_schema(longest: usize) -> Json {
    json!({"type": "string", "pattern": NAME_PATTERN, "maxLength": longest})
}

macro_rules! name {
    ($($name:ty),*) => {$(
        impl Decode for $name {
            fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
                parsed(node, field, ("a name", Finding::BadName), sink)
            }

            fn schema(_: &mut Definitions) -> Json {
                name_schema(MAX_NAME)
            }
        }
    )*};
}
name!(NodeName, ExternalName, TierName, GroupName, RuleName, RackName);

/// The name of a document; the kind says of what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) Box<str>);

impl Decode for Name {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        // All kinds of names are spelled alike.
        parsed::<WorkloadName>(node, field, ("a name", Finding::BadName), sink)
            .map(|name| Self(name.as_str().into()))
    }

    fn schema(_: &mut Definitions) -> Json {
        name_schema(MAX_NAME)
    }
}

/// Reports a name with more than `most` bytes.
fn at_most<T>(name: T, text: &str, most: usize, why: &str, node: &Node, sink: &mut Sink<'_>) -> Option<T> {
    if text.len() <= most {
        return Some(name);
    }
    let message = format!("{} has {} bytes, at most {most} are allowed: {why}", quoted(text), text.len());
    sink.error(Finding::BadName, node.span, message, None);
    None
}

impl Decode for PortName {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        let name: Self = parsed(node, field, ("a name", Finding::BadName), sink)?;
        let text = name.as_str().to_owned();
        at_most(name, &text, limits::PORT_NAME, "it is the name of a network interface", node, sink)
    }

    fn schema(_: &mut Definitions) -> Json {
        name_schema(limits::PORT_NAME)
    }
}

impl Decode for ServiceName {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        let name: Self = parsed(node, field, ("a name", Finding::BadName), sink)?;
        let text = name.as_str().to_owned();
        if text == "any" || text.bytes().all(|b| b.is_ascii_digit()) {
            let message =
                format!("{} can't name a service: as a port it means something else", quoted(&text));
            sink.error(Finding::BadName, node.span, message, None);
            return None;
        }
        at_most(name, &text, limits::SERVICE_NAME, "it is part of a label key", node, sink)
    }

    fn schema(_: &mut Definitions) -> Json {
        let mut schema = name_schema(limits::SERVICE_NAME);
        schema["not"] = json!({"pattern": "^(any|[0-9]+)$"});
        schema
    }
}

impl Decode for LabelKey {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        let text = text(node, field, "a label key", sink)?;
        label_key(text, node, sink)
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "string", "minLength": 1, "maxLength": MAX_LABEL_KEY, "not": {"pattern": "^selvedge\\.io/"}})
    }
}

fn label_key(text: &str, node: &Node, sink: &mut Sink<'_>) -> Option<LabelKey> {
    match LabelKey::from_document(text) {
        Ok(key) => Some(key),
        Err(error) => {
            sink.error(Finding::BadLabel, node.span, error.to_string(), None);
            None
        }
    }
}

impl Decode for LabelValue {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        label_value(node, field.key, sink)
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "string", "maxLength": MAX_LABEL_VALUE, "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"})
    }
}

fn label_value(node: &Node, key: &str, sink: &mut Sink<'_>) -> Option<LabelValue> {
    let text = text_of(node, key, "a label value", sink)?;
    match text.parse::<LabelValue>() {
        Ok(value) => Some(value),
        Err(error) => {
            sink.error(Finding::BadLabel, node.span, error.to_string(), None);
            None
        }
    }
}

/// Labels, or labels to match.
#[derive(Clone, Debug)]
pub(crate) struct LabelMap(pub(crate) Labels);

impl Decode for LabelMap {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            return wrong_type(node, field, "a map of labels", None, sink);
        };
        within(entries.len(), limits::LABELS, field, node.span, sink)?;
        let mut labels = BTreeMap::new();
        let mut good = true;
        for entry in entries {
            let at_key = Node { span: entry.key_span, value: Value::Broken };
            let key = label_key(&entry.key, &at_key, sink);
            let value = label_value(&entry.node, &entry.key, sink);
            match key.zip(value) {
                Some((key, value)) => drop(labels.insert(key, value)),
                None => good = false,
            }
        }
        good.then_some(Self(Labels(labels)))
    }

    fn schema(definitions: &mut Definitions) -> Json {
        json!({
            "type": "object", "maxProperties": limits::LABELS,
            "propertyNames": LabelKey::schema(definitions), "additionalProperties": LabelValue::schema(definitions),
        })
    }
}

/// Words about something.
#[derive(Clone, Debug)]
pub(crate) struct Description(pub(crate) String);

impl Decode for Description {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        let text = text(node, field, "text", sink)?;
        let length = text.chars().count();
        if length > limits::DESCRIPTION {
            let message = format!(
                "`{}` has {length} characters, at most {} are allowed",
                field.key,
                limits::DESCRIPTION
            );
            sink.error(Finding::TooLong, node.span, message, None);
            return None;
        }
        Some(Self(text.to_owned()))
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "string", "maxLength": limits::DESCRIPTION})
    }
}

/// `node:port`.
#[derive(Clone, Debug)]
pub(crate) struct EndpointText(pub(crate) Endpoint);

impl Decode for EndpointText {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        let text = text(node, field, "`node:port`", sink)?;
        let parts =
            text.split_once(':').and_then(|(node, port)| Some((node.parse().ok()?, port.parse().ok()?)));
        let Some((name, port)) = parts else {
            let message = format!("{} is no end of a link", quoted(text));
            sink.error(
                Finding::BadEndpoint,
                node.span,
                message,
                "write `node:port`, e.g. \"leaf1:swp1\"".to_owned(),
            );
            return None;
        };
        Some(Self(Endpoint { node: name, port }))
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "string", "pattern": "^[^:]+:[^:]+$"})
    }
}

/// The number of a node that must be one between `first` and `last`.
fn number(node: &Node, field: &FieldSpec, (first, last): (u16, u16), sink: &mut Sink<'_>) -> Option<u16> {
    let what = format!("a number from {first} to {last}");
    let help = match node.typed() {
        Some(Typed::Text(text)) if text.parse::<u16>().is_ok() => {
            Some(format!("write it without quotes: {text}"))
        }
        _ => None,
    };
    let Some(Typed::Int(written)) = node.typed() else {
        return wrong_type(node, field, &what, help, sink);
    };
    let number = u16::try_from(written).ok().filter(|number| (first..=last).contains(number));
    if number.is_none() {
        let message = format!("`{}` is {written}: it must be {what}", field.key);
        let help = (field.key == "port").then(|| "for every port write `port: any`".to_owned());
        sink.error(Finding::OutOfRange, node.span, message, help);
    }
    number
}

/// A port, never 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port(pub(crate) u16);

impl Decode for Port {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        number(node, field, (1, u16::MAX), sink).map(Self)
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "integer", "minimum": 1, "maximum": u16::MAX})
    }
}

/// Which ports a rule means.
#[derive(Clone, Debug)]
pub(crate) enum PortReference {
    Any,
    Number(u16),
    Service(ServiceName),
}

impl Decode for PortReference {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        match node.typed() {
            Some(Typed::Text("any")) => Some(Self::Any),
            Some(Typed::Text(text)) if !text.bytes().all(|b| b.is_ascii_digit()) => {
                ServiceName::decode(node, field, sink).map(Self::Service)
            }
            _ => Port::decode(node, field, sink).map(|Port(number)| Self::Number(number)),
        }
    }

    fn schema(definitions: &mut Definitions) -> Json {
        json!({"anyOf": [Port::schema(definitions), {"const": "any"}, ServiceName::schema(definitions)]})
    }
}

macro_rules! byte_or_any {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum $name {
            Any,
            Number(u8),
        }

        impl Decode for $name {
            fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
                match node.typed() {
                    Some(Typed::Text("any")) => Some(Self::Any),
                    _ => {
                        let number = number(node, field, (0, u8::MAX.into()), sink)?;
                        u8::try_from(number).ok().map(Self::Number)
                    }
                }
            }

            fn schema(_: &mut Definitions) -> Json {
                json!({"anyOf": [{"type": "integer", "minimum": 0, "maximum": u8::MAX}, {"const": "any"}]})
            }
        }
    )*};
}
byte_or_any! {
    /// The type of ICMP messages.
    MessageType
    /// The code of ICMP messages.
    Code
}

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
