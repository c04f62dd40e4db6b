//! For tests of this and other crates: tables in memory, frames, and the table of cases that the classifier and the
//! kernel program are both held to.

pub mod cases;
mod fragments;
pub mod frame;
mod outcome;
mod tables;
pub mod world;

pub use cases::{Case, Effect, Expected};
pub use outcome::{Datagram, Hook, Outcome, Tracked};
pub use tables::MemoryTables;

/// Interface index of the port on which every test frame arrives: the loopback's, which is what
/// `BPF_PROG_TEST_RUN` reports to a program.
pub const PORT: u32 = 1;
/// Room in the connection table under test.
pub const CONNECTION_LIMIT: u32 = 6;
/// Room for half-open connections under test.
pub const HALF_OPEN_LIMIT: u32 = 64;
/// Room in the fragment table under test.
pub const FRAGMENT_LIMIT: u32 = 4;
/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;
