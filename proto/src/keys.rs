//! Where everything lies in etcd: the one place that knows.
//!
//! | key | value | written by |
//! |---|---|---|
//! | `/selvedge/v1/format` | [`FORMAT`] of the newest controller that led, in decimal | controller |
//! | `/selvedge/v1/leader` | name of the active controller, under its lease | controller |
//! | `/selvedge/v1/generation/<20 digits>` | [`GenerationRecord`](crate::GenerationRecord), signed | controller |
//! | `/selvedge/v1/target/<node>` | [`Target`](crate::Target): what the node has to enforce, signed; written when its plan changes | controller |
//! | `/selvedge/v1/manifest/<sha256>` | [`Manifest`](crate::plan::Manifest) of one plan | controller |
//! | `/selvedge/v1/chunk/<sha256>` | a run of messages, at most 256 KiB: of plans, of documents and targets, or of names of chunks | controller |
//! | `/selvedge/v1/identity/labels/<sha256>` | the number of a set of security labels | controller |
//! | `/selvedge/v1/identity/cidr/<cidr>` | the number of a CIDR | controller |
//! | `/selvedge/v1/identity/next/labels`, `…/cidr` | the next free number, in decimal | controller |
//! | `/selvedge/v1/swept` | empty; written whenever garbage is taken away | controller |
//! | `/selvedge/v1/enrolment/<sha256 of a secret>` | [`Invitation`](crate::wire::Invitation) that nobody has used yet | controller |
//! | `/selvedge/v1/member/node/<node>`, `…/operator/<operator>` | [`Member`](crate::wire::Member) of the fabric | controller |
//! | `/selvedge/v1/audit/<20 digits>` | [`AuditEntry`](crate::wire::AuditEntry): one thing that was done, with the digest of the entry before | controller |
//! | `/selvedge/v1/report/<node>` | [`Report`](crate::Report): what the agent says of itself | agent |
//!
//! Chunks and manifests are immutable and shared. A target names a manifest; that names the chunks of the node's own part of its plan, and
//! lists, which name the chunks of the blocks that nodes share. So what nodes have in common is there once, and where that changes, a node
//! costs its manifest and a piece of a list, some three kilobytes, and its target. A list of a thousand names is in some thirty chunks.
//! A generation's record names the chunks of its documents and targets by such lists, too.
//!
//! Everything the controller writes, it writes in transactions
//! that compare the create revision of its leader key, of at most [`MAX_TXN_OPS`] operations. A node's agent
//! watches its own target and nothing else.
//!
//! # Other versions
//!
//! What a later version may change, and how:
//!
//! - **A new key, or a new field that who does not know it may pass over**: at any time. Readers pass over both.
//! - **A meaning that an older controller would get wrong** (of records, identities, targets): with a higher [`FORMAT`]. The new controller
//!   reads both forms, writes the new one, and writes its number to [`FORMAT_KEY`] when it becomes the leader, before anything
//!   else. From then on a controller that does not know that number refuses to start, and says which is needed; going back means
//!   restoring a snapshot of etcd from before. It refuses even where it had waited for the new one to go.
//! - **A meaning that an older agent would get wrong** (of targets, manifests, chunks): a manifest has a format number of its own. An agent
//!   refuses one that it does not know, reports so, and goes on enforcing what it has. So agents are upgraded before the controller.
//! - **Where things lie**: under `/selvedge/v2/`. The controller of that version is the one that migrates, as the leader of both: it holds
//!   [`LEADER`] here too, so that no older one leads beside it, applies the documents of the newest generation here as a generation there
//!   with a higher number, and goes on writing targets here, of plans that older agents read, until every node's report has come in
//!   there. Then it takes `/selvedge/v1/` away. An agent of that version looks there first and here where there is nothing; an
//!   older one sees nothing but this. Identities keep their numbers.

use selvedge_topology::identity::IdentityKey;
use selvedge_topology::names::{NodeName, OperatorName};
use selvedge_topology::plan::Generation;

use crate::convert::{DecodeError, name};
use crate::digest::Digest;

/// Before every key.
pub const PREFIX: &str = "/selvedge/v1/";
/// Which format lies under [`PREFIX`].
pub const FORMAT_KEY: &str = "/selvedge/v1/format";
/// The format that this version writes, and the newest that it reads. Since 2, records of generations name their chunks by lists; they
/// did so one by one before, which is still read. Since 3, they keep documents one by one, sorted; they kept whole files before, which
/// are still read, too.
pub const FORMAT: u32 = 3;
/// The active controller.
pub const LEADER: &str = "/selvedge/v1/leader";
/// Before generations.
pub const GENERATIONS: &str = "/selvedge/v1/generation/";
/// Before entries of the audit record.
pub const AUDIT: &str = "/selvedge/v1/audit/";
/// Before manifests.
pub const MANIFESTS: &str = "/selvedge/v1/manifest/";
/// Before chunks.
pub const CHUNKS: &str = "/selvedge/v1/chunk/";
/// Written together with every deletion of content, and compared by publications: one that found content present before a
/// deletion can't come into being after it.
pub const SWEPT: &str = "/selvedge/v1/swept";
/// Before targets.
pub const TARGETS: &str = "/selvedge/v1/target/";
/// Before reports.
pub const REPORTS: &str = "/selvedge/v1/report/";
/// Before allocated identities of labels.
pub const LABEL_IDENTITIES: &str = "/selvedge/v1/identity/labels/";
/// Before allocated identities of CIDRs.
pub const CIDR_IDENTITIES: &str = "/selvedge/v1/identity/cidr/";
/// Before invitations.
pub const INVITATIONS: &str = "/selvedge/v1/enrolment/";
/// Before members.
pub const MEMBERS: &str = "/selvedge/v1/member/";
/// Operations in one transaction; etcd's own default limit.
pub const MAX_TXN_OPS: usize = 128;

/// A key that is not of the layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not under the prefix it was looked for under, or not text.
    #[error("`{key}` is no key under {prefix}")]
    Prefix {
        /// The key, as far as it is text.
        key: String,
        /// The prefix.
        prefix: &'static str,
    },
    /// What follows the prefix can't be read.
    #[error("`{key}`: {source}")]
    Rest {
        /// The key.
        key: String,
        /// What is wrong with it.
        source: DecodeError,
    },
}

/// Key of a chunk.
pub fn chunk(digest: Digest) -> String {
    format!("{CHUNKS}{digest}")
}

/// Key of a manifest.
pub fn manifest(digest: Digest) -> String {
    format!("{MANIFESTS}{digest}")
}

/// Key of a node's target.
pub fn target(node: &NodeName) -> String {
    format!("{TARGETS}{node}")
}

/// Key of a node's report.
pub fn report(node: &NodeName) -> String {
    format!("{REPORTS}{node}")
}

/// Key of an entry of the audit record: twenty digits, so that keys sort as numbers do.
pub fn audit(number: u64) -> String {
    format!("{AUDIT}{number:020}")
}

/// Key of an invitation, by the digest of its secret.
pub fn invitation(secret: Digest) -> String {
    format!("{INVITATIONS}{secret}")
}

/// Key of a member that is a node.
pub fn member_node(node: &NodeName) -> String {
    format!("{MEMBERS}node/{node}")
}

/// Key of a member that is an operator.
pub fn member_operator(operator: &OperatorName) -> String {
    format!("{MEMBERS}operator/{operator}")
}

/// Key of a generation: twenty digits, so that keys sort as numbers do.
pub fn generation(generation: Generation) -> String {
    format!("{GENERATIONS}{:020}", generation.0)
}

/// Key of an identity. Labels are digested, since a set of them can be longer than a key should be.
pub fn identity(key: &IdentityKey) -> String {
    match key {
        IdentityKey::Labels(labels) => {
            format!("{LABEL_IDENTITIES}{}", Digest::of(labels.labels().to_string().as_bytes()))
        }
        IdentityKey::Cidr(cidr) => format!("{CIDR_IDENTITIES}{cidr}"),
    }
}

/// Key of the next free number for keys of this kind.
pub fn next_identity(key: &IdentityKey) -> String {
    let kind = match key {
        IdentityKey::Labels(_) => "labels",
        IdentityKey::Cidr(_) => "cidr",
    };
    format!("{PREFIX}identity/next/{kind}")
}

/// The node of a report's key.
pub fn parse_report(key: &[u8]) -> Result<NodeName, KeyError> {
    parse(key, REPORTS, |rest| name("node", rest))
}

/// The node of a target's key.
pub fn parse_target(key: &[u8]) -> Result<NodeName, KeyError> {
    parse(key, TARGETS, |rest| name("node", rest))
}

/// The digest of a manifest's key.
pub fn parse_manifest(key: &[u8]) -> Result<Digest, KeyError> {
    parse(key, MANIFESTS, str::parse)
}

/// The digest of a chunk's key.
pub fn parse_chunk(key: &[u8]) -> Result<Digest, KeyError> {
    parse(key, CHUNKS, str::parse)
}

/// The number of a generation's key.
pub fn parse_generation(key: &[u8]) -> Result<Generation, KeyError> {
    parse(key, GENERATIONS, |rest| {
        let digits = rest.len() == 20 && rest.bytes().all(|byte| byte.is_ascii_digit());
        let number = rest.parse().ok().filter(|_| digits);
        let wrong = || DecodeError::Form { field: "generation", text: rest.chars().take(32).collect() };
        number.map(Generation).ok_or_else(wrong)
    })
}

fn parse<T>(
    key: &[u8],
    prefix: &'static str,
    read: impl FnOnce(&str) -> Result<T, DecodeError>,
) -> Result<T, KeyError> {
    let text = String::from_utf8_lossy(key);
    let rest = text.strip_prefix(prefix).ok_or_else(|| KeyError::Prefix { key: text.to_string(), prefix })?;
    read(rest).map_err(|source| KeyError::Rest { key: text.to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back_as_they_were_built() {
        let node: NodeName = "host1".parse().unwrap();
        assert_eq!(parse_report(report(&node).as_bytes()), Ok(node.clone()));
        assert_eq!(parse_target(target(&node).as_bytes()), Ok(node));
        let digest = Digest::of(b"content");
        assert_eq!(parse_manifest(manifest(digest).as_bytes()), Ok(digest));
        assert_eq!(parse_chunk(chunk(digest).as_bytes()), Ok(digest));
        for number in [1, 9, 10, u64::MAX] {
            assert_eq!(parse_generation(generation(Generation(number)).as_bytes()), Ok(Generation(number)));
        }
    }

    #[test]
    fn generations_sort_as_numbers_do() {
        assert!(generation(Generation(9)) < generation(Generation(10)));
        assert!(generation(Generation(99)) < generation(Generation(u64::MAX)));
    }

    #[test]
    fn foreign_keys_are_refused_by_name() {
        let other = KeyError::Prefix { key: "/other/host1".into(), prefix: REPORTS };
        assert_eq!(parse_report(b"/other/host1"), Err(other));
        assert!(matches!(parse_report(b"/selvedge/v1/report/UP"), Err(KeyError::Rest { .. })));
        assert!(matches!(parse_generation(b"/selvedge/v1/generation/+1"), Err(KeyError::Rest { .. })));
        assert!(matches!(parse_chunk(b"/selvedge/v1/chunk/00"), Err(KeyError::Rest { .. })));
        assert!(matches!(parse_report(b"\xff\xfe"), Err(KeyError::Prefix { .. })));
    }
}
