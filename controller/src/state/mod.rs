//! What there is to know without any I/O: what documents change, how far nodes are, which flows were seen.

mod changes;
mod diff;
mod flows;
mod owners;
mod progress;
mod proposal;
mod targets;
mod workshop;

pub use changes::{Change, ChangeKind, changes, summary};
pub use diff::unified_diff;
pub use flows::{Filter, FlowItem, FlowLog};
pub use owners::Owners;
pub use progress::{NodeState, SILENT_AFTER, Sighting, Sightings, judge};
pub use proposal::{Proposal, ProposalError};
pub use targets::{differing, is_same, targets};
pub use workshop::{Additions, Workshop};
