//! What is signed: statements, byte by byte, that can mean one thing only.
//!
//! A statement begins with what it is about, so that a signature for one is none for the other, and names the
//! fabric, so that it is none in another fabric. Keys are elsewhere: this crate only says what they sign.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::convert::DecodeError;

/// A number from 16 random bytes that no other fabric has. Written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FabricId(pub [u8; 16]);

/// An Ed25519 signature (RFC 8032): 64 bytes. Written as 128 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// Reads what a message carries, where none is the empty string.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        match bytes.try_into() {
            Ok(bytes) => Ok(Some(Self(bytes))),
            Err(_) if bytes.is_empty() => Ok(None),
            Err(_) => Err(DecodeError::Signature { length: bytes.len() }),
        }
    }

    /// As it lies in etcd.
    pub(crate) fn encode(signature: Option<Self>) -> Vec<u8> {
        signature.map(|signature| signature.0.to_vec()).unwrap_or_default()
    }
}

/// The beginning of a statement of `kind` in `fabric`.
pub(crate) fn statement(kind: &str, fabric: FabricId) -> Vec<u8> {
    [b"selvedge ", kind.as_bytes(), b"\0", &fabric.0].concat()
}

/// The bytes of `2 * N` lower-case hexadecimal digits.
pub fn hexadecimal<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 2 * N || !text.bytes().all(digit) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

impl FromStr for Signature {
    type Err = DecodeError;
    fn from_str(text: &str) -> Result<Self, DecodeError> {
        hexadecimal(text).map(Self).ok_or(DecodeError::Signature { length: text.len() / 2 })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for FabricId {
    type Err = DecodeError;
    fn from_str(text: &str) -> Result<Self, DecodeError> {
        let wrong = || DecodeError::Form { field: "fabric", text: text.chars().take(40).collect() };
        hexadecimal(text).map(Self).ok_or_else(wrong)
    }
}

impl TryFrom<String> for FabricId {
    type Error = DecodeError;
    fn try_from(text: String) -> Result<Self, DecodeError> {
        text.parse()
    }
}

impl From<FabricId> for String {
    fn from(fabric: FabricId) -> Self {
        fabric.to_string()
    }
}

impl fmt::Display for FabricId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FabricId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Signature {
    /// The first digits: enough to tell two apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…")
    }
}
