//! The pure core of Selvedge: documents → validated [`Model`](model::Model) → identities → [`Plan`](plan::Plan),
//! and the [`oracle`] that says what policy means.
//!
//! Nothing here does I/O, reads a clock or draws a random number. Data flows one way:
//! [`documents`] parses and validates, [`identity`] numbers the label sets, [`compile`] makes one plan per
//! node, and everything the fabric enforces is checked against [`oracle`].

pub mod assertions;
pub mod claims;
pub mod compile;
pub mod demands;
pub mod diff;
pub mod documents;
pub mod explain;
pub mod failsafe;
pub mod identity;
pub mod l4;
pub mod labels;
pub mod lint;
pub mod model;
pub mod names;
pub mod operators;
pub mod oracle;
pub mod placement;
pub mod plan;
pub mod reach;
mod rules;
pub mod timeouts;
