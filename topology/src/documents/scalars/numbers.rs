//! Ports, and types and codes of ICMP messages.

use serde_json::{Value as Json, json};

use super::super::codes::Code as Finding;
use super::super::decode::{Decode, FieldSpec, wrong_type};
use super::super::schema::Definitions;
use super::super::sink::Sink;
use super::super::tree::{Node, Typed};
use crate::names::ServiceName;

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
