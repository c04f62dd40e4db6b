//! Times.

use serde_json::{Value as Json, json};

use super::super::codes::Code as Finding;
use super::super::decode::{Decode, FieldSpec, text, wrong_type};
use super::super::schema::Definitions;
use super::super::sink::{Sink, quoted};
use super::super::tree::{Node, Typed};
use crate::timeouts::Seconds;

/// A time of whole seconds between `LEAST` and `MOST`, written with units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time<const LEAST: u32, const MOST: u32>(pub(crate) Seconds);

impl<const LEAST: u32, const MOST: u32> Decode for Time<LEAST, MOST> {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        if let Some(Typed::Int(number)) = node.typed() {
            let help = format!("write the unit: `{number}s` for seconds, `{number}m` for minutes");
            return wrong_type(node, field, "a time with its unit", Some(help), sink);
        }
        let text = text(node, field, "a time with its unit, such as `90s` or `2h 5m`", sink)?;
        let time = match humantime::parse_duration(text) {
            Ok(time) if time.subsec_nanos() == 0 => time,
            Ok(_) => {
                let message = format!("{} is not in whole seconds", quoted(text));
                sink.error(Finding::BadTime, node.span, message, "no time is counted more finely".to_owned());
                return None;
            }
            Err(error) => {
                let message = format!("{} is no time: {error}", quoted(text));
                let help = "write numbers with their units, such as `90s`, `5m` or `2h 5m`".to_owned();
                sink.error(Finding::BadTime, node.span, message, help);
                return None;
            }
        };
        let within = u32::try_from(time.as_secs()).ok().filter(|time| (LEAST..=MOST).contains(time));
        if within.is_none() {
            let (least, most) = (Seconds(LEAST), Seconds(MOST));
            let message = format!("`{}` is {}: it must be from {least} to {most}", field.key, quoted(text));
            sink.error(Finding::OutOfRange, node.span, message, None);
        }
        within.map(|time| Self(Seconds(time)))
    }

    fn schema(_: &mut Definitions) -> Json {
        let pattern = "^[0-9]+ ?[A-Za-z]+( ?[0-9]+ ?[A-Za-z]+)*$";
        let bounds = format!("From {} to {}, such as 90s or 2h 5m.", Seconds(LEAST), Seconds(MOST));
        json!({"type": "string", "pattern": pattern, "markdownDescription": bounds})
    }
}
