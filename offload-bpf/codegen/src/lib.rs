//! Device programs: what a port's policy drops, as eBPF that a NIC can run.
//!
//! A device has arrays and hash tables, few instructions and no clock, so it gets a program made for the policy in force,
//! [`DeviceProgram`], within what its profile says ([`Limits`]). [`check()`] refuses what the device would not run, or
//! would take and do otherwise. The program prints itself as annotated text, to be reviewed like code.
//!
//! Nothing here loads or attaches anything.

pub mod assembler;
mod change;
mod check;
mod complete;
mod emit;
pub mod instruction;
mod limits;
mod matrix;
mod outcome;
mod policy;
mod prefilter;
mod prefixes;
mod program;
#[cfg(test)]
mod testing;
mod text;

pub use change::{Device, Step, change};
pub use check::{Violation, check};
pub use complete::{Incomplete, complete};
pub use limits::Limits;
pub use policy::{List, PortPolicy, Prefix, Row, Subject};
pub use prefilter::{Hits, prefilter};
pub use program::{Counter, DeviceProgram, Drops, Kind, Map, Note, Relocation, Shed, Worth};
