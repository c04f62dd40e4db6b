//! Those who work with the fabric through the controller.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::OperatorName;

/// What somebody may do through the controller. Each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See.
    Viewer,
    /// Change policy.
    Operator,
    /// Say who may do what.
    Admin,
}

impl Role {
    /// All, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The role in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Not a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role; there are viewer, operator and admin")]
pub struct RoleError(String);

impl FromStr for Role {
    type Err = RoleError;
    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| RoleError(text.to_owned()))
    }
}

/// Somebody who asks for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// An operator, by their certificate.
    Operator {
        /// Their name.
        name: OperatorName,
        /// What they may do.
        role: Role,
    },
    /// Nobody knows who.
    Unknown,
}

impl fmt::Display for Asker {
    /// `operator alice (admin)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator { name, role } => write!(f, "operator {name} ({role})"),
            Self::Unknown => f.write_str("somebody unknown"),
        }
    }
}
