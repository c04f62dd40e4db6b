//! The controller daemon and the `selvedge` command line.
//!
//! [`store`] is the only part that knows etcd; [`state`] does no I/O and says what documents change and how far
//! each node is; [`server`] wires both to the API; [`trust`] holds the fabric's keys and certificates. [`cli`] is a client of the API like any other, and [`draw`]
//! makes pictures of fabrics for it.

pub mod cli;
pub mod draw;
pub mod server;
pub mod state;
pub mod store;
pub mod trust;
