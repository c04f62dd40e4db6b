//! Names of labs and of the places in one.

use std::fmt;
use std::str::FromStr;

use selvedge_topology::model::Endpoint;
use selvedge_topology::names::{ExternalName, FabricName, NameError, NodeName, WorkloadName};
use serde::{Deserialize, Serialize};

/// The name of a lab; by default that of its fabric. Its namespaces begin with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LabName(FabricName);

impl LabName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl From<FabricName> for LabName {
    fn from(name: FabricName) -> Self {
        Self(name)
    }
}

impl FromStr for LabName {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Self, NameError> {
        name.parse().map(Self)
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in a lab; each is a network namespace, but for workloads that are a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "of", rename_all = "kebab-case")]
pub enum Target {
    /// Where controller and etcd run; the out-of-band network's centre.
    Controller,
    /// A node of the fabric.
    Node(NodeName),
    /// A workload.
    Workload(WorkloadName),
    /// Something outside the fabric.
    External(ExternalName),
    /// The wire behind a port that faces not exactly one workload.
    Segment(Endpoint),
}

impl Target {
    /// What kind of place, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Node(_) => "node",
            Self::Workload(_) => "workload",
            Self::External(_) => "external",
            Self::Segment(_) => "segment",
        }
    }
}

impl fmt::Display for Target {
    /// The name users give it on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Controller => f.pad("controller"),
            Self::Node(name) => name.fmt(f),
            Self::Workload(name) => name.fmt(f),
            Self::External(name) => name.fmt(f),
            Self::Segment(port) => f.pad(&format!("{}-{}", port.node, port.port)),
        }
    }
}

/// The name of a network namespace, `<lab>-<target>`, as `ip netns` lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NamespaceName(String);

impl NamespaceName {
    /// The namespace of `target` in `lab`.
    pub fn of(lab: &LabName, target: &Target) -> Self {
        Self(format!("{lab}-{target}"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
