//! Digests name content.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::convert::DecodeError;
use crate::signature::hexadecimal;

/// A SHA-256 digest. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<Digest> for Vec<u8> {
    fn from(digest: Digest) -> Self {
        digest.0.to_vec()
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = DecodeError;
    fn try_from(bytes: &[u8]) -> Result<Self, DecodeError> {
        bytes.try_into().map(Self).map_err(|_| DecodeError::Digest { length: bytes.len() })
    }
}

impl FromStr for Digest {
    type Err = DecodeError;
    fn from_str(text: &str) -> Result<Self, DecodeError> {
        hexadecimal(text).map(Self).ok_or(DecodeError::Digest { length: text.len() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
