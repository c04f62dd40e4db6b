//! Names: one type for each kind of thing that users name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name, in bytes (RFC 1123 label).
pub const MAX_NAME: usize = 63;

/// A name that is not one: which, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than [`MAX_NAME`].
    #[error("`{name}` has {length} bytes, at most {MAX_NAME} are allowed")]
    TooLong {
        /// The name, cut.
        name: String,
        /// Its length in bytes.
        length: usize,
    },
    /// A character that names may not have.
    #[error(
        "`{name}` may only have lower-case letters, digits, `-`, `_` and `.`, and must begin and end with a letter or digit"
    )]
    Character {
        /// The name.
        name: String,
    },
}

fn check(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME {
        return Err(NameError::TooLong { name: name.chars().take(16).collect(), length: name.len() });
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inner = |c: char| plain(c) || matches!(c, '-' | '_' | '.');
    if name.starts_with(plain) && name.ends_with(plain) && name.chars().all(inner) {
        Ok(())
    } else {
        Err(NameError::Character { name: name.to_owned() })
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                check(&name)?;
                Ok(Self(name.into()))
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::try_from(name.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.into()
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
    )*};
}

names! {
    /// A fabric.
    FabricName;
    /// A node: a machine that runs an agent, or a switch that only forwards.
    NodeName;
    /// A port of a node. Agents look for a network interface of this name.
    PortName;
    /// A workload.
    WorkloadName;
    /// Something outside the fabric that the topology knows a place for.
    ExternalName;
    /// A segmentation policy.
    PolicyName;
    /// A tier of policy.
    TierName;
    /// A group of CIDRs.
    GroupName;
    /// A service port of a workload.
    ServiceName;
    /// A rule inside a policy.
    RuleName;
    /// A rack or other failure domain.
    RackName;
    /// A hardware profile: a family of devices.
    ProfileName;
    /// Somebody who works with the fabric through the controller.
    OperatorName;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_bounded() {
        for good in ["a", "web-1", "pf0hpf", "swp1.100", "a_b", &"x".repeat(63)] {
            assert_eq!(good.parse::<NodeName>().map(String::from), Ok(good.to_owned()));
        }
        assert_eq!("".parse::<NodeName>(), Err(NameError::Empty));
        assert_eq!(
            "x".repeat(64).parse::<NodeName>(),
            Err(NameError::TooLong { name: "x".repeat(16), length: 64 })
        );
        for bad in ["Web", "-a", "a-", "a b", "ä", "a/b", "a\n"] {
            assert_eq!(bad.parse::<NodeName>(), Err(NameError::Character { name: bad.to_owned() }));
        }
    }
}
