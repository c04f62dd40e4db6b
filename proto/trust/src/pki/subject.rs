//! Who a certificate is for: a role in its organisation (O), a name in its common name (CN).

use std::fmt;

use selvedge_topology::names::{NameError, NodeName, OperatorName};
use selvedge_topology::operators::Role;
use serde::{Deserialize, Serialize};

/// Before every organisation.
const ORGANISATION: &str = "selvedge:";
/// Before the common name of a node.
const NODE: &str = "node:";
/// Before the common name of an operator.
const OPERATOR: &str = "operator:";
/// The common name of a controller, and its user name in etcd.
const CONTROLLER: &str = "controller";
/// The common name of the embedded etcd. It is nobody's user name.
const ETCD: &str = "etcd";

/// How often somebody of a name was enrolled, from 1. A certificate of an earlier enrolment is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Enrolment(pub u64);

impl Enrolment {
    /// The first.
    pub const FIRST: Self = Self(1);

    /// The one after.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A controller: it may do anything in etcd.
    Controller,
    /// The embedded etcd.
    Etcd,
    /// A node's agent.
    Node {
        /// The node.
        node: NodeName,
        /// Which of its enrolments.
        enrolment: Enrolment,
    },
    /// Somebody at the command line.
    Operator {
        /// Their name.
        operator: OperatorName,
        /// What they may do.
        role: Role,
        /// Which of their enrolments.
        enrolment: Enrolment,
    },
}

/// The subject of a certificate that is nobody in a fabric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// Organisation and common name don't make a subject.
    #[error("O={organisation}, CN={name} is nobody in a Selvedge fabric")]
    Unknown {
        /// The organisation.
        organisation: String,
        /// The common name.
        name: String,
    },
    /// There is a name in it that is none.
    #[error("CN={name}: {source}")]
    Name {
        /// The common name.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
}

impl Subject {
    /// The organisation: the role.
    pub fn organisation(&self) -> String {
        let role = match self {
            Self::Controller => CONTROLLER,
            Self::Etcd => ETCD,
            Self::Node { .. } => "node",
            Self::Operator { role, .. } => role.as_str(),
        };
        format!("{ORGANISATION}{role}")
    }

    /// The common name, which is the user name in etcd.
    pub fn common_name(&self) -> String {
        match self {
            Self::Controller => CONTROLLER.to_owned(),
            Self::Etcd => ETCD.to_owned(),
            Self::Node { node, enrolment } => format!("{NODE}{node}:{enrolment}"),
            Self::Operator { operator, enrolment, .. } => format!("{OPERATOR}{operator}:{enrolment}"),
        }
    }

    /// Reads a subject as a certificate has it.
    pub fn parse(organisation: &str, name: &str) -> Result<Self, SubjectError> {
        let unknown = || SubjectError::Unknown { organisation: organisation.into(), name: name.into() };
        let wrong = |source| SubjectError::Name { name: name.to_owned(), source };
        let role = organisation.strip_prefix(ORGANISATION).ok_or_else(unknown)?;
        let subject = match role {
            CONTROLLER => Self::Controller,
            ETCD => Self::Etcd,
            "node" => {
                let (node, enrolment) = numbered(name, NODE).ok_or_else(unknown)?;
                Self::Node { node: node.parse().map_err(wrong)?, enrolment }
            }
            role => {
                let role = role.parse().map_err(|_| unknown())?;
                let (operator, enrolment) = numbered(name, OPERATOR).ok_or_else(unknown)?;
                Self::Operator { operator: operator.parse().map_err(wrong)?, role, enrolment }
            }
        };
        // One subject, one text: neither a leading zero nor another name for the controller.
        if subject.common_name() == name { Ok(subject) } else { Err(unknown()) }
    }
}

/// `<kind><name>:<number>`
fn numbered<'t>(text: &'t str, kind: &str) -> Option<(&'t str, Enrolment)> {
    let (name, number) = text.strip_prefix(kind)?.rsplit_once(':')?;
    Some((name, Enrolment(number.parse().ok()?)))
}

impl fmt::Display for Subject {
    /// As people are told: `node host1`, `operator alice (admin)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Controller => f.write_str("the controller"),
            Self::Etcd => f.write_str("etcd"),
            Self::Node { node, .. } => write!(f, "node {node}"),
            Self::Operator { operator, role, .. } => write!(f, "operator {operator} ({role})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read_back_as_they_were_written() {
        let node = Subject::Node { node: "host1".parse().unwrap(), enrolment: Enrolment(7) };
        assert_eq!(
            (node.organisation().as_str(), node.common_name().as_str()),
            ("selvedge:node", "node:host1:7")
        );
        let operators = Role::ALL.map(|role| Subject::Operator {
            operator: "alice".parse().unwrap(),
            role,
            enrolment: Enrolment::FIRST,
        });
        for subject in [Subject::Controller, Subject::Etcd, node].into_iter().chain(operators) {
            assert_eq!(Subject::parse(&subject.organisation(), &subject.common_name()), Ok(subject));
        }
    }

    #[test]
    fn what_is_nobody_is_refused() {
        let strangers = [
            ("", "controller"),
            ("controller", "controller"),
            ("selvedge:controller", "root"),
            ("selvedge:node", "controller"),
            ("selvedge:node", "node:host1"),
            ("selvedge:node", "node:host1:01"),
            ("selvedge:node", "node:host1:+1"),
            ("selvedge:node", "node:Host1:1"),
            ("selvedge:node", "operator:host1:1"),
            ("selvedge:admin", "node:host1:1"),
            ("selvedge:root", "operator:alice:1"),
        ];
        for (organisation, name) in strangers {
            assert!(Subject::parse(organisation, name).is_err(), "{organisation} {name}");
        }
    }
}
