//! A fabric of any size that runs: a real etcd, the real controller, and the agents' own parts on every node, over a data path
//! that stands in for the kernel's.

#![allow(dead_code, reason = "the test and the bench each use a part")]

pub(crate) mod agent;
pub(crate) mod clock;
pub(crate) mod crew;
pub(crate) mod ledger;
pub(crate) mod metrics;
pub(crate) mod operator;
pub(crate) mod server;
pub(crate) mod stand_in;
pub(crate) mod written;
