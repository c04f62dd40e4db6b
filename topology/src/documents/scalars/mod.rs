//! How the single values of documents are read.

mod addresses;
mod labels;
mod numbers;
mod times;

use std::str::FromStr;

use serde_json::{Value as Json, json};

use super::codes::Code as Finding;
use super::decode::{Decode, FieldSpec, text, wrong_type};
use super::limits;
use super::schema::Definitions;
use super::sink::{Sink, quoted};
use super::tree::{Node, Typed};
use crate::model::Endpoint;
use crate::names::{
    ExternalName, GroupName, MAX_NAME, NameError, NodeName, OperatorName, PortName, ProfileName, RackName,
    RuleName, ServiceName, TierName, WorkloadName,
};
pub(crate) use addresses::Cidr;
pub(crate) use labels::LabelMap;
pub(crate) use numbers::{Code, MessageType, Port, PortReference};
pub(crate) use times::Time;

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

/// Reads a name.
fn named<T: FromStr<Err = NameError>>(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<T> {
    let text = text(node, field, "a name", sink)?;
    match text.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            let help = simpler_name(text).map(|name| format!("`{name}` would do"));
            sink.error(Finding::BadName, node.span, error.to_string(), help);
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
                named(node, field, sink)
            }

            fn schema(_: &mut Definitions) -> Json {
                name_schema(MAX_NAME)
            }
        }
    )*};
}
name!(
    NodeName,
    WorkloadName,
    ExternalName,
    TierName,
    GroupName,
    RuleName,
    RackName,
    ProfileName,
    OperatorName
);

/// The name of a document; the kind says of what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) Box<str>);

impl Decode for Name {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        // All kinds of names are spelled alike.
        named::<WorkloadName>(node, field, sink).map(|name| Self(name.as_str().into()))
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
        let name: Self = named(node, field, sink)?;
        let text = name.as_str().to_owned();
        at_most(name, &text, limits::PORT_NAME, "it is the name of a network interface", node, sink)
    }

    fn schema(_: &mut Definitions) -> Json {
        name_schema(limits::PORT_NAME)
    }
}

impl Decode for ServiceName {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        let name: Self = named(node, field, sink)?;
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
