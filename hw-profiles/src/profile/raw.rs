//! A profile as it is written: it may extend another, and then says only what is different.

use serde::Deserialize;

use super::{Bypass, Constraint, DeviceKind, Matching, Netdev, OffloadLimits, OnSet, Profile};
use crate::mode::Mode;

/// A profile as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Raw {
    #[serde(rename = "profile")]
    pub(crate) name: String,
    title: String,
    #[serde(rename = "match")]
    matching: Matching,
    /// The profile that says what this one does not.
    pub(crate) extends: Option<String>,
    kind: Option<DeviceKind>,
    kernel: Option<String>,
    netdevs: Option<Vec<Netdev>>,
    on_set: Option<OnSet>,
    constraints: Option<Vec<Constraint>>,
    offload: Option<OffloadLimits>,
    bypasses: Option<Vec<Bypass>>,
    unknown: Option<Vec<String>>,
}

/// Why a profile that can be read can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A field that neither it nor what it extends has.
    #[error("`{field}` is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A list that says nothing.
    #[error("`{field}` is empty")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// It runs programs, and does not say what setting one does.
    #[error("programs run in the driver of a {role}, and `on-set` does not say what setting one does")]
    OnSet {
        /// The role of the interface.
        role: &'static str,
    },
    /// It offloads, and does not say how much.
    #[error("programs run in the device, and `offload` does not say what it takes")]
    Offload,
    /// A constraint on a mode that no interface has.
    #[error("`constraints[{index}]` is of {mode}, which no interface of it has")]
    Constraint {
        /// Which, from 0.
        index: usize,
        /// The mode.
        mode: Mode,
    },
}

impl Raw {
    /// The profile, with `base` saying what this one does not.
    pub(crate) fn complete(self, base: Option<&Profile>) -> Result<Profile, Flaw> {
        fn or<T: Clone>(own: Option<T>, base: Option<&T>, field: &'static str) -> Result<T, Flaw> {
            own.or_else(|| base.cloned()).ok_or(Flaw::Missing { field })
        }
        let profile = Profile {
            name: self.name,
            title: self.title,
            matching: self.matching,
            kind: or(self.kind, base.map(|it| &it.kind), "kind")?,
            kernel: or(self.kernel, base.map(|it| &it.kernel), "kernel")?,
            netdevs: or(self.netdevs, base.map(|it| &it.netdevs), "netdevs")?,
            on_set: self.on_set.or_else(|| base.and_then(|it| it.on_set.clone())),
            constraints: or(self.constraints, base.map(|it| &it.constraints), "constraints")?,
            offload: self.offload.or_else(|| base.and_then(|it| it.offload.clone())),
            bypasses: or(self.bypasses, base.map(|it| &it.bypasses), "bypasses")?,
            unknown: or(self.unknown, base.map(|it| &it.unknown), "unknown")?,
        };
        flaw(&profile).map_or(Ok(profile), Err)
    }
}

fn flaw(profile: &Profile) -> Option<Flaw> {
    let Profile { matching, netdevs, on_set, constraints, offload, .. } = profile;
    if matching.drivers.is_empty() {
        return Some(Flaw::Empty { field: "match.drivers" });
    }
    if netdevs.is_empty() {
        return Some(Flaw::Empty { field: "netdevs" });
    }
    let has = |mode| mode == Mode::Generic || netdevs.iter().any(|netdev| netdev.runs(mode));
    let native = netdevs.iter().find(|netdev| netdev.runs(Mode::Native));
    if let (Some(netdev), None) = (native, on_set) {
        return Some(Flaw::OnSet { role: netdev.role.name() });
    }
    if has(Mode::Offload) && offload.is_none() {
        return Some(Flaw::Offload);
    }
    let modes = constraints
        .iter()
        .enumerate()
        .flat_map(|(index, it)| it.modes.iter().map(move |mode| (index, *mode)));
    modes.into_iter().find(|(_, mode)| !has(*mode)).map(|(index, mode)| Flaw::Constraint { index, mode })
}
