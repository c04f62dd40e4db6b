//! Whether what is in force was tried before.

use std::fmt;

use crate::convert::{DecodeError, prose};
use crate::report::MAX_TEXT;
use crate::wire;

/// What came of trying the tables in force on packets of every class of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofReport {
    /// Every packet was judged as the plan says.
    Proven {
        /// Packets.
        packets: u64,
        /// Classes that they are of.
        classes: u64,
        /// Classes of the plan.
        of: u64,
        /// Classes that were looked at and that no packet can be of.
        skipped: u64,
    },
    /// The node's kernel can't try them.
    Unproven {
        /// Why not: one sentence for the user.
        reason: String,
    },
}

impl fmt::Display for ProofReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proven { packets, classes, of, skipped } => {
                write!(f, "proven by {packets} packets of {classes} of {of} classes")?;
                if *skipped > 0 { write!(f, "; no packet can be of {skipped} more") } else { Ok(()) }
            }
            Self::Unproven { reason } => write!(f, "unproven: {reason}"),
        }
    }
}

pub(crate) fn to_wire(proof: &ProofReport) -> wire::Proof {
    let outcome = match proof {
        ProofReport::Proven { packets, classes, of, skipped } => {
            let (packets, classes, of, skipped) = (*packets, *classes, *of, *skipped);
            wire::proof::Outcome::Proven(wire::ProofCoverage { packets, classes, of, skipped })
        }
        ProofReport::Unproven { reason } => wire::proof::Outcome::Unproven(reason.clone()),
    };
    wire::Proof { outcome: Some(outcome) }
}

pub(crate) fn from_wire(proof: wire::Proof) -> Result<ProofReport, DecodeError> {
    let wire::Proof { outcome } = proof;
    Ok(match outcome.ok_or(DecodeError::Missing { field: "outcome of the proof" })? {
        wire::proof::Outcome::Proven(wire::ProofCoverage { packets, classes, of, skipped }) => {
            ProofReport::Proven { packets, classes, of, skipped }
        }
        wire::proof::Outcome::Unproven(reason) => {
            ProofReport::Unproven { reason: prose("reason of no proof", &reason, MAX_TEXT)? }
        }
    })
}
