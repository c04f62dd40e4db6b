//! Faults caused for real: who runs, what is done to them, and what has to hold meanwhile.

pub(crate) mod catalogue;
pub(crate) mod cluster;
pub(crate) mod scene;
pub(crate) mod site;
