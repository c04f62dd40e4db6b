//! What was seen of a machine's ports, to be looked at again: elsewhere, later, or in a test as that machine's twin.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::mode::Mode;
use crate::port::Port;
use crate::profile::MapType;
use crate::units::{Bytes, Entries};

/// The form of recordings that this version writes and reads.
pub const VERSION: u32 = 1;

/// What was seen of a machine's ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Recording {
    /// The form it is written in.
    pub recording: u32,
    /// How it came about.
    pub origin: Origin,
    /// Whatever there is to say of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The kernel's release (`uname -r`).
    pub kernel: String,
    /// The processor's architecture (`uname -m`).
    pub architecture: String,
    /// A page of memory.
    pub page: Bytes,
    /// The ports, by name.
    pub ports: BTreeMap<String, RecordedPort>,
}

/// How a recording came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A machine was looked at.
    Recorded,
    /// Somebody wrote down what a machine would show, by its kernel's source; no such device was looked at.
    DerivedFromSource,
}

/// What was seen of a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RecordedPort {
    /// Its looks.
    pub seen: Port,
    /// What was tried on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Trial>,
}

/// Something that was tried, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Trial {
    /// Where.
    pub mode: Mode,
    /// What.
    pub load: Load,
    /// The kernel's words, where it refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What was loaded. Nothing is ever attached, so no packet is touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Load {
    /// A program that passes everything.
    Program,
    /// A map.
    Map {
        /// Its kind.
        kind: MapType,
        /// Bytes of a key.
        key: Bytes,
        /// Bytes of a value.
        value: Bytes,
        /// How many entries.
        entries: Entries,
    },
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("a program that passes everything"),
            Self::Map { kind, key, value, entries } => {
                write!(f, "{} map, key {key}, value {value}, {entries}", kind.name())
            }
        }
    }
}

/// A recording that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// Not YAML, or not a recording.
    #[error("recording {file}: {source}")]
    Syntax {
        /// The file.
        file: String,
        /// What is wrong, with field, line and column.
        source: serde_norway::Error,
    },
    /// Another form.
    #[error("recording {file}: it is of version {found}, and this is version {VERSION}; record it again")]
    Version {
        /// The file.
        file: String,
        /// Its version.
        found: u32,
    },
}

impl Recording {
    /// Reads one; JSON is YAML too.
    pub fn parse(file: &str, text: &str) -> Result<Self, RecordingError> {
        /// Only this much is sure of a recording of any version.
        #[derive(Deserialize)]
        struct Head {
            recording: u32,
        }
        let wrong = |source| RecordingError::Syntax { file: file.to_owned(), source };
        let Head { recording: found } = serde_norway::from_str(text).map_err(wrong)?;
        if found != VERSION {
            return Err(RecordingError::Version { file: file.to_owned(), found });
        }
        serde_norway::from_str(text).map_err(wrong)
    }

    /// Writes it as YAML.
    pub fn to_yaml(&self) -> Result<String, serde_norway::Error> {
        serde_norway::to_string(self)
    }
}

#[cfg(test)]
mod tests;
