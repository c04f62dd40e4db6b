//! Faults caused for real: who runs, what is done to them, and what has to hold meanwhile.

mod agents;
pub(crate) mod catalogue;
mod clocks;
pub(crate) mod cluster;
mod controllers;
mod pins;
mod ports;
pub(crate) mod scene;
pub(crate) mod site;
mod stores;
mod trust;
