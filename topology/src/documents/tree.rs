//! YAML as a small tree in which everything knows where it stands.

use std::borrow::Cow;

/// A stretch of one line of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Index of the file.
    pub(crate) file: u32,
    /// Line, from 1.
    pub(crate) line: u32,
    /// Column in characters, from 1.
    pub(crate) column: u32,
    /// Characters, at least 1.
    pub(crate) width: u32,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Scalar {
        text: Box<str>,
        style: Style,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something that an error already tells about; nothing more is to be said of it.
    Broken,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Box<str>,
    pub(crate) key_span: Span,
    pub(crate) node: Node,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Bare: its text decides its type.
    Plain,
    /// In quotes or as a block: always text.
    Quoted,
}

/// A scalar by the core schema of YAML 1.2.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Typed<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that is no `i64`.
    Float(f64),
    Text(&'a str),
}

impl Node {
    /// The entries of a map.
    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value under `key`, where this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| &*entry.key == key)
    }

    /// The scalar, typed.
    pub(crate) fn typed(&self) -> Option<Typed<'_>> {
        match &self.value {
            Value::Scalar { text, style: Style::Plain } => Some(plain(text)),
            Value::Scalar { text, style: Style::Quoted } => Some(Typed::Text(text)),
            _ => None,
        }
    }

    /// What it is, for messages: "a list", "the number 8080".
    pub(crate) fn describe(&self) -> Cow<'static, str> {
        match (&self.value, self.typed()) {
            (Value::List(_), _) => "a list".into(),
            (Value::Map(_), _) => "a map".into(),
            (_, Some(Typed::Null)) => "nothing".into(),
            (_, Some(Typed::Bool(value))) => format!("the boolean {value}").into(),
            (_, Some(Typed::Int(value))) => format!("the number {value}").into(),
            (_, Some(Typed::Float(value))) => format!("the number {value}").into(),
            (_, Some(Typed::Text(text))) => format!("the text {}", super::sink::quoted(text)).into(),
            (Value::Broken, _) | (Value::Scalar { .. }, None) => "something broken".into(),
        }
    }
}

pub(crate) fn plain(text: &str) -> Typed<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Typed::Null,
        "true" | "True" | "TRUE" => return Typed::Bool(true),
        "false" | "False" | "FALSE" => return Typed::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" => return Typed::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Typed::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Typed::Float(f64::NAN),
        _ => {}
    }
    let radix = |prefix, radix| text.strip_prefix(prefix).map(|digits| i64::from_str_radix(digits, radix));
    if let Some(Ok(number)) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Typed::Int(number);
    }
    let digits = text.trim_start_matches(['-', '+']);
    if text.len() - digits.len() > 1 || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Typed::Text(text);
    }
    if digits.bytes().all(|b| b.is_ascii_digit())
        && let Ok(number) = text.parse()
    {
        return Typed::Int(number);
    }
    // Rust's notation of floats is that of YAML, but for its words, which begin with no digit.
    text.parse().map_or(Typed::Text(text), Typed::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_have_the_types_of_the_core_schema() {
        for (text, typed) in [
            ("", Typed::Null),
            ("true", Typed::Bool(true)),
            ("no", Typed::Text("no")),
            ("8080", Typed::Int(8080)),
            ("-1", Typed::Int(-1)),
            ("0x10", Typed::Int(16)),
            ("1.5", Typed::Float(1.5)),
            ("1e3", Typed::Float(1000.0)),
            ("99999999999999999999", Typed::Float(1e20)),
            ("10.1.0.1", Typed::Text("10.1.0.1")),
            ("10.0.0.0/8", Typed::Text("10.0.0.0/8")),
            ("--1", Typed::Text("--1")),
            ("infinity", Typed::Text("infinity")),
            (".", Typed::Text(".")),
        ] {
            assert_eq!(plain(text), typed, "{text}");
        }
    }
}
