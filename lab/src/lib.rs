//! The lab: a fabric made of network namespaces, and the probe that holds it against the oracle.
//!
//! A [`blueprint`] says, as plain data, every namespace, wire, address and route of a lab; [`build`] makes it
//! in the kernel through rtnetlink; [`registry`] remembers what was made, before it is made, so that it can
//! always be cleared; [`probe`] sends packets between all workloads and compares what arrives with what the
//! policy says. A [`vm`] is for what this machine's kernel has not: another architecture, other devices.

pub mod blueprint;
pub mod build;
pub mod clear;
pub mod commands;
pub mod documents;
pub mod kernel;
pub mod names;
pub mod probe;
pub mod registry;
pub mod table;
pub mod traffic;
pub mod vm;
