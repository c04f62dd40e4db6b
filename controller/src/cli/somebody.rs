//! One end of a connection.

use std::fmt;
use std::net::IpAddr;

use selvedge_topology::names::WorkloadName;
use serde::Serialize;

/// An address, and the workload that has it.
#[derive(Serialize)]
pub(super) struct Somebody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) workload: Option<WorkloadName>,
    pub(super) address: IpAddr,
}

impl fmt::Display for Somebody {
    /// `web1 (10.1.0.11)`, `198.51.100.1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.workload {
            Some(workload) => write!(f, "{workload} ({})", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}
