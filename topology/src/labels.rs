//! Labels and selectors, with the meaning Kubernetes gives them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest label key in bytes: a DNS prefix of 253, a slash, a name of 63.
pub const MAX_LABEL_KEY: usize = 317;
/// Longest label value in bytes.
pub const MAX_LABEL_VALUE: usize = 63;
/// Keys under this prefix are Selvedge's own; documents can't claim or select them.
pub const RESERVED_PREFIX: &str = "selvedge.io/";

/// What is wrong with a label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// The key.
    #[error(
        "`{key}` is no label key: [prefix/]name of letters, digits, `-`, `_`, `.`, the name at most 63 bytes"
    )]
    Key {
        /// As written.
        key: String,
    },
    /// The value.
    #[error("`{value}` is no label value: at most {MAX_LABEL_VALUE} letters, digits, `-`, `_`, `.`")]
    Value {
        /// As written.
        value: String,
    },
    /// A key that documents can't use.
    #[error("`{key}` is reserved: keys under `{RESERVED_PREFIX}` are set by Selvedge itself")]
    Reserved {
        /// As written.
        key: String,
    },
}

/// The key of a label, e.g. `role` or `example.com/team`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabelKey(Box<str>);

/// The value of a label; may be empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabelValue(Box<str>);

fn word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

impl LabelKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A key of Selvedge's own; `name` must be a word.
    pub(crate) fn reserved(name: &str) -> Self {
        Self(format!("{RESERVED_PREFIX}{name}").into())
    }

    /// Reads a key as documents may write it: not a reserved one.
    pub fn from_document(key: &str) -> Result<Self, LabelError> {
        if key.starts_with(RESERVED_PREFIX) {
            return Err(LabelError::Reserved { key: key.to_owned() });
        }
        key.parse()
    }
}

impl FromStr for LabelKey {
    type Err = LabelError;
    fn from_str(key: &str) -> Result<Self, LabelError> {
        let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(p, n)| (Some(p), n));
        let good = key.len() <= MAX_LABEL_KEY && name.len() <= 63 && word(name) && prefix.is_none_or(word);
        if good { Ok(Self(key.into())) } else { Err(LabelError::Key { key: key.chars().take(80).collect() }) }
    }
}

impl LabelValue {
    /// The value as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A value of Selvedge's own making; must be a word.
    pub(crate) fn reserved(value: &str) -> Self {
        Self(value.into())
    }
}

impl FromStr for LabelValue {
    type Err = LabelError;
    fn from_str(value: &str) -> Result<Self, LabelError> {
        let good = value.is_empty() || (value.len() <= MAX_LABEL_VALUE && word(value));
        if good {
            Ok(Self(value.into()))
        } else {
            Err(LabelError::Value { value: value.chars().take(80).collect() })
        }
    }
}

macro_rules! text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = LabelError;
            fn try_from(text: String) -> Result<Self, LabelError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0.into()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }
    };
}
text!(LabelKey);
text!(LabelValue);

/// A set of labels: at most one value a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<LabelKey, LabelValue>);

impl fmt::Display for Labels {
    /// `app=shop,role=web`, sorted by key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: Vec<String> = self.0.iter().map(|(k, v)| format!("{k}={v}")).collect();
        f.pad(&text.join(","))
    }
}

/// One requirement of a selector on one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Requirement {
    /// The key has one of these values (`matchLabels` is this with one value).
    In(LabelKey, BTreeSet<LabelValue>),
    /// The key is absent or has none of these values.
    NotIn(LabelKey, BTreeSet<LabelValue>),
    /// The key is there.
    Exists(LabelKey),
    /// The key is absent.
    DoesNotExist(LabelKey),
}

impl Requirement {
    /// Whether `labels` meet it.
    pub fn matches(&self, labels: &Labels) -> bool {
        match self {
            Self::In(key, values) => labels.0.get(key).is_some_and(|v| values.contains(v)),
            Self::NotIn(key, values) => labels.0.get(key).is_none_or(|v| !values.contains(v)),
            Self::Exists(key) => labels.0.contains_key(key),
            Self::DoesNotExist(key) => !labels.0.contains_key(key),
        }
    }
}

impl fmt::Display for Requirement {
    /// `role=web`, `role in (app,web)`, `role notin (web)`, `role`, `!role`, as kubectl writes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &BTreeSet<LabelValue>| {
            values.iter().map(LabelValue::as_str).collect::<Vec<_>>().join(",")
        };
        match self {
            Self::In(key, values) if values.len() == 1 => write!(f, "{key}={}", list(values)),
            Self::In(key, values) => write!(f, "{key} in ({})", list(values)),
            Self::NotIn(key, values) => write!(f, "{key} notin ({})", list(values)),
            Self::Exists(key) => write!(f, "{key}"),
            Self::DoesNotExist(key) => write!(f, "!{key}"),
        }
    }
}

/// Selects workloads by label: all requirements must hold; none (written `{}`) selects every workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(pub BTreeSet<Requirement>);

impl Selector {
    /// Whether a workload with `labels` is selected.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.matches(labels))
    }
}

impl fmt::Display for Selector {
    /// The requirements, sorted, with commas; `{}` where there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.pad("{}");
        }
        let text: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.pad(&text.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels(pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect())
    }

    fn values(values: &[&str]) -> BTreeSet<LabelValue> {
        values.iter().map(|v| v.parse().unwrap()).collect()
    }

    #[test]
    fn an_absent_key_satisfies_not_in_and_does_not_exist_only() {
        let none = labels(&[]);
        let key: LabelKey = "role".parse().unwrap();
        assert!(!Requirement::In(key.clone(), values(&["web"])).matches(&none));
        assert!(Requirement::NotIn(key.clone(), values(&["web"])).matches(&none));
        assert!(!Requirement::Exists(key.clone()).matches(&none));
        assert!(Requirement::DoesNotExist(key).matches(&none));
    }

    #[test]
    fn the_empty_selector_selects_every_workload() {
        assert!(Selector(BTreeSet::new()).matches(&labels(&[])));
        assert!(Selector(BTreeSet::new()).matches(&labels(&[("a", "b")])));
    }

    #[test]
    fn documents_cannot_write_reserved_keys() {
        let reserved = "selvedge.io/unmanaged";
        assert_eq!(LabelKey::from_document(reserved), Err(LabelError::Reserved { key: reserved.to_owned() }));
        assert!(reserved.parse::<LabelKey>().is_ok());
        assert!("a/b".parse::<LabelValue>().is_err());
    }
}
