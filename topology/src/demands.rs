//! What users demand of the modes of ports.

use std::collections::BTreeMap;

pub use selvedge_hw_profiles::{Demand, Mode};

use crate::names::{PortName, ProfileName};

/// What is demanded of a node's ports: of one by its name, and of those of a kind of device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// By port: what is demanded of it and of all ports of its node.
    pub ports: BTreeMap<PortName, Demand>,
    /// By hardware profile.
    pub profiles: BTreeMap<ProfileName, Demand>,
}

impl Demands {
    /// All that is demanded of `port`, whose device has `profile`.
    pub fn of(&self, port: &PortName, profile: Option<&str>) -> Demand {
        let named = self.ports.get(port).cloned().unwrap_or_default();
        let of_profile = profile.and_then(|name| {
            self.profiles.iter().find(|(candidate, _)| candidate.as_str() == name).map(|(_, demand)| demand)
        });
        of_profile.map_or(named.clone(), |demand| named.and(demand))
    }
}
