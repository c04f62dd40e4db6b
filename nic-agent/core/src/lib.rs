//! What an agent decides, without doing any of it.
//!
//! One folder a step: [`accept`] says whether an offered plan may replace the one in force, [`place`] in which
//! mode each port is to run and why, [`lower`] what the tables must hold for it, and [`reconcile()`] which actions
//! lead there from what is observed; [`storage`] how tables lie in arrays of buckets. The shell around this crate observes, and executes the actions in order.
//! Nothing here does I/O, reads a clock or remembers anything.

pub mod accept;
pub mod change;
pub mod device;
pub mod failsafe;
pub mod lower;
pub mod machine;
pub mod place;
pub mod prove;
pub mod reconcile;
pub mod simulate;
pub mod standing;
pub mod storage;
pub mod tables;
#[cfg(test)]
mod testing;

pub use accept::{Acceptance, Content, Digest, Here, InForce, Offer, Refusal, accept};
pub use change::{Change, Touched};
pub use device::{Choice, Choices, Grounds, NicLink, NicProgram, ProgramName};
pub use lower::{LowerError, lower};
pub use machine::{ForeignPrograms, IfIndex, Interface, Machine, Owner, XdpProgram};
pub use place::{Placement, Refused};
pub use prove::{Mismatch, Proof, Trial};
pub use reconcile::{
    Action, Attachment, Desired, Egress, EgressLink, Entry, Exchanges, Hook, Key, Observed, Precedence,
    Program, Source, StandIn, Support, differences, reconcile,
};
pub use standing::Standing;
pub use tables::{Slot, SlotTables, Tables};
