//! Who is of a fabric, and who is invited to be.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message;
use selvedge_proto::{DecodeError, wire};
use selvedge_topology::names::{NameError, NodeName, OperatorName};
use serde::{Deserialize, Serialize};

use crate::pki::{Enrolment, Role, Subject};

/// Somebody, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MemberName {
    /// A node.
    Node(NodeName),
    /// An operator.
    Operator(OperatorName),
}

/// Somebody, and what they are to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Invitee {
    /// A node's agent.
    Node(NodeName),
    /// An operator, with a role.
    Operator {
        /// Their name.
        name: OperatorName,
        /// What they may do.
        role: Role,
    },
}

/// An invitation that nobody has used yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Who is invited.
    pub invitee: Invitee,
    /// Until when it holds, in whole milliseconds.
    pub expires: SystemTime,
}

/// How somebody stands with the fabric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// One of it.
    Enrolled,
    /// No longer.
    Revoked,
}

/// Somebody who is, or was, of the fabric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who, and what they may do.
    pub who: Invitee,
    /// Which of their enrolments counts.
    pub enrolment: Enrolment,
    /// How they stand.
    pub standing: Standing,
    /// Since when, in whole milliseconds.
    pub since: SystemTime,
}

impl Invitee {
    /// Their name.
    pub fn name(&self) -> MemberName {
        match self {
            Self::Node(node) => MemberName::Node(node.clone()),
            Self::Operator { name, .. } => MemberName::Operator(name.clone()),
        }
    }

    /// What their certificate says.
    pub fn subject(&self, enrolment: Enrolment) -> Subject {
        match self.clone() {
            Self::Node(node) => Subject::Node { node, enrolment },
            Self::Operator { name, role } => Subject::Operator { operator: name, role, enrolment },
        }
    }
}

impl Member {
    /// Whether a certificate for `subject` is theirs, and still counts.
    pub fn is(&self, subject: &Subject) -> bool {
        self.standing == Standing::Enrolled && self.who.subject(self.enrolment) == *subject
    }

    /// As it lies in etcd.
    pub fn encode(&self) -> Vec<u8> {
        wire::Member::from(self).encode_to_vec()
    }

    /// Reads what lies in etcd.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::Member::decode(bytes)?.try_into()
    }
}

impl Invitation {
    /// As it lies in etcd.
    pub fn encode(&self) -> Vec<u8> {
        wire::Invitation::from(self).encode_to_vec()
    }

    /// Reads what lies in etcd.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::Invitation::decode(bytes)?.try_into()
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Operator(operator) => write!(f, "operator {operator}"),
        }
    }
}

impl From<&MemberName> for wire::MemberName {
    fn from(name: &MemberName) -> Self {
        let name = match name {
            MemberName::Node(node) => wire::member_name::Name::Node(node.to_string()),
            MemberName::Operator(operator) => wire::member_name::Name::Operator(operator.to_string()),
        };
        Self { name: Some(name) }
    }
}

impl TryFrom<wire::MemberName> for MemberName {
    type Error = DecodeError;
    fn try_from(name: wire::MemberName) -> Result<Self, DecodeError> {
        let wrong = |field| move |source: NameError| DecodeError::Name { field, source };
        match name.name.ok_or(DecodeError::Missing { field: "name" })? {
            wire::member_name::Name::Node(node) => Ok(Self::Node(node.parse().map_err(wrong("node"))?)),
            wire::member_name::Name::Operator(operator) => {
                Ok(Self::Operator(operator.parse().map_err(wrong("operator"))?))
            }
        }
    }
}

impl From<&Invitee> for wire::Invitee {
    fn from(invitee: &Invitee) -> Self {
        let role = match invitee {
            Invitee::Node(_) => wire::Role::Unspecified,
            Invitee::Operator { role: Role::Viewer, .. } => wire::Role::Viewer,
            Invitee::Operator { role: Role::Operator, .. } => wire::Role::Operator,
            Invitee::Operator { role: Role::Admin, .. } => wire::Role::Admin,
        };
        Self { name: Some((&invitee.name()).into()), role: role.into() }
    }
}

impl TryFrom<wire::Invitee> for Invitee {
    type Error = DecodeError;
    fn try_from(invitee: wire::Invitee) -> Result<Self, DecodeError> {
        let wire::Invitee { name, role } = invitee;
        let unknown = || DecodeError::Unknown { field: "role", value: role.into() };
        let known = wire::Role::try_from(role).map_err(|_| unknown())?;
        match (name.ok_or(DecodeError::Missing { field: "name" })?.try_into()?, known) {
            (MemberName::Node(node), wire::Role::Unspecified) => Ok(Self::Node(node)),
            (MemberName::Operator(name), wire::Role::Viewer) => {
                Ok(Self::Operator { name, role: Role::Viewer })
            }
            (MemberName::Operator(name), wire::Role::Operator) => {
                Ok(Self::Operator { name, role: Role::Operator })
            }
            (MemberName::Operator(name), wire::Role::Admin) => Ok(Self::Operator { name, role: Role::Admin }),
            (MemberName::Node(_), _) | (MemberName::Operator(_), wire::Role::Unspecified) => Err(unknown()),
        }
    }
}

impl From<&Invitation> for wire::Invitation {
    fn from(invitation: &Invitation) -> Self {
        let Invitation { invitee, expires } = invitation;
        Self { invitee: Some(invitee.into()), expires_ms: millis(*expires) }
    }
}

impl TryFrom<wire::Invitation> for Invitation {
    type Error = DecodeError;
    fn try_from(invitation: wire::Invitation) -> Result<Self, DecodeError> {
        let wire::Invitation { invitee, expires_ms } = invitation;
        let invitee = invitee.ok_or(DecodeError::Missing { field: "invitee" })?.try_into()?;
        Ok(Self { invitee, expires: time("expires_ms", expires_ms)? })
    }
}

impl From<&Member> for wire::Member {
    fn from(member: &Member) -> Self {
        let Member { who, enrolment, standing, since } = member;
        let standing = match standing {
            Standing::Enrolled => wire::Standing::Enrolled,
            Standing::Revoked => wire::Standing::Revoked,
        };
        Self {
            who: Some(who.into()),
            enrolment: enrolment.0,
            standing: standing.into(),
            since_ms: millis(*since),
        }
    }
}

impl TryFrom<wire::Member> for Member {
    type Error = DecodeError;
    fn try_from(member: wire::Member) -> Result<Self, DecodeError> {
        let wire::Member { who, enrolment, standing, since_ms } = member;
        let unknown = || DecodeError::Unknown { field: "standing", value: standing.into() };
        let standing = match wire::Standing::try_from(standing).map_err(|_| unknown())? {
            wire::Standing::Enrolled => Standing::Enrolled,
            wire::Standing::Revoked => Standing::Revoked,
            wire::Standing::Unspecified => return Err(unknown()),
        };
        Ok(Self {
            who: who.ok_or(DecodeError::Missing { field: "who" })?.try_into()?,
            enrolment: Enrolment(enrolment),
            standing,
            since: time("since_ms", since_ms)?,
        })
    }
}

/// Milliseconds since 1970.
pub fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The moment so many milliseconds after 1970.
pub fn time(field: &'static str, millis: u64) -> Result<SystemTime, DecodeError> {
    /// The year 10000, beyond which dates have no usual form.
    const LIMIT: u64 = 253_402_300_800_000;
    let wrong = DecodeError::TooLarge { field, value: millis, limit: LIMIT };
    if millis < LIMIT { Ok(UNIX_EPOCH + Duration::from_millis(millis)) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_invitations_are_read_back_as_they_were_written() {
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let node = Invitee::Node("host1".parse().unwrap());
        let operators = Role::ALL.map(|role| Invitee::Operator { name: "alice".parse().unwrap(), role });
        for who in [node].into_iter().chain(operators) {
            let invitation = Invitation { invitee: who.clone(), expires: at };
            assert_eq!(Invitation::decode(&invitation.encode()), Ok(invitation));
            for standing in [Standing::Enrolled, Standing::Revoked] {
                let member = Member { who: who.clone(), enrolment: Enrolment(2), standing, since: at };
                assert_eq!(Member::decode(&member.encode()), Ok(member.clone()));
                assert_eq!(member.is(&who.subject(Enrolment(2))), standing == Standing::Enrolled);
                assert!(!member.is(&who.subject(Enrolment(1))), "of an earlier enrolment");
            }
        }
    }

    #[test]
    fn a_node_with_a_role_and_an_operator_without_one_are_nobody() {
        let name = |name| Some(wire::MemberName { name: Some(name) });
        let node = name(wire::member_name::Name::Node("host1".into()));
        let operator = name(wire::member_name::Name::Operator("alice".into()));
        for (name, role) in [(node, wire::Role::Admin), (operator, wire::Role::Unspecified)] {
            let invitee = wire::Invitee { name, role: role.into() };
            assert!(matches!(Invitee::try_from(invitee), Err(DecodeError::Unknown { field: "role", .. })));
        }
    }
}
