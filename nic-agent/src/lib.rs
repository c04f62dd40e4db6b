//! The agent: what a node runs to enforce its plan.
//!
//! All decisions are `selvedge_agent_core`'s. This crate observes and executes: [`store`] follows the node's target in etcd and
//! keeps the accepted plan on disk, [`membership`] is the node's certificate and where its fabric is, [`machine`] lists interfaces, [`probe`] looks closer at them, [`datapath`] holds maps, program and links, [`engine`] closes the
//! loop between them, [`flows`] tells the controller what happened to packets, [`cli`] is what users type.

pub mod cli;
pub mod datapath;
pub mod engine;
pub mod flows;
pub mod machine;
pub mod membership;
pub mod probe;
mod retry;
mod service;
pub mod store;
mod surroundings;
mod sys;
