//! How much documents may ask for. Every limit is here, and each has an error that names it.
//!
//! They bound memory and time before anything is believed: a file is refused by its size before it is parsed,
//! and a document by its nodes while it is.

/// Bytes of one file. Who reads files stops there, and need not read more than one byte beyond.
pub const FILE_BYTES: usize = 64 << 20;
/// Bytes of all files together.
pub const TOTAL_BYTES: usize = 512 << 20;
/// Characters from one key, item or text to the end of the next. A list or map in brackets may turn out to be a
/// key for as long as it goes on, so the YAML parser keeps all of it, at some 150 bytes a character.
pub const STRETCH: usize = 2 << 20;
/// Levels of lists and maps inside each other in a document. The deepest legal document has 9.
pub const DEPTH: usize = 32;
/// Scalars, lists and maps of one document; at about 100 bytes each in memory.
pub const NODES: usize = 2_000_000;
/// Workloads of a fabric.
pub const WORKLOADS: usize = 1 << 20;
/// Policies of a fabric.
pub const POLICIES: usize = 20_000;
/// CIDR groups of a fabric.
pub const GROUPS: usize = 20_000;
/// CIDRs of a group.
pub const CIDRS: usize = 100_000;
/// Nodes of a fabric.
pub const FABRIC_NODES: usize = 20_000;
/// Ports of a node.
pub const NODE_PORTS: usize = 4_096;
/// Links of a fabric.
pub const LINKS: usize = 200_000;
/// Kinds of devices of which a fabric demands something.
pub const HARDWARE: usize = 256;
/// Externals of a fabric.
pub const EXTERNALS: usize = 1_000;
/// Tiers of a fabric.
pub const TIERS: usize = 16;
/// Rules of a policy in one direction.
pub const RULES: usize = 1_000;
/// Assertions of a test.
pub const ASSERTIONS: usize = 10_000;
/// Peers of a rule.
pub const PEERS: usize = 1_000;
/// Ports of a rule.
pub const RULE_PORTS: usize = 1_000;
/// Holes in one CIDR.
pub const EXCEPTS: usize = 1_000;
/// Requirements of a selector, under `matchLabels` and under `matchExpressions`.
pub const REQUIREMENTS: usize = 64;
/// Values of one requirement, or of one rule for labels.
pub const VALUES: usize = 1_000;
/// Labels of a workload.
pub const LABELS: usize = 64;
/// Rules for labels.
pub const LABEL_RULES: usize = 1_000;
/// Operators that a rule for a label names.
pub const SETTERS: usize = 1_000;
/// Addresses of a workload, a node or an external.
pub const ADDRESSES: usize = 256;
/// Services of a workload.
pub const SERVICES: usize = 64;
/// Characters of a description.
pub const DESCRIPTION: usize = 1_024;
/// Bytes of a port's name: what Linux allows an interface (`IFNAMSIZ` less its zero).
pub const PORT_NAME: usize = 15;
/// Bytes of a service's name: `service.<name>` is the name part of a label key, which has 63.
pub const SERVICE_NAME: usize = 55;
/// Errors, and warnings, that are shown; the rest are counted.
pub const FINDINGS: usize = 200;
/// Characters of a source line that a finding carries.
pub const SOURCE_LINE: usize = 160;
