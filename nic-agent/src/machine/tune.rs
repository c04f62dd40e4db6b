//! Changing what keeps a port from its best mode, for who asks for that (`--tune`): before a program is attached, each change once.

use std::collections::BTreeSet;
use std::io;

use rtnetlink::{Handle, LinkUnspec};
use selvedge_agent_core::IfIndex;
use selvedge_hw_profiles::{Demand, Profiles, Remedy, remedies};

use super::{RawInterface, features};
use crate::sys::ethtool;

/// What was changed, or tried to be.
#[derive(Debug, Default)]
pub(crate) struct Tuner(BTreeSet<(IfIndex, Remedy)>);

/// Whether an interface is another now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tuned {
    Changed,
    AsItWas,
}

impl Tuner {
    /// Changes what the profile of `interface` says that it needs, and tells of it.
    pub(crate) async fn tune(
        &mut self,
        netlink: &Handle,
        profiles: &Profiles,
        interface: &RawInterface,
        demand: &Demand,
    ) -> Tuned {
        let RawInterface { name, index, seen, .. } = interface;
        let mut seen = seen.clone();
        features::look(name, &mut seen).await;
        let Some(profile) = profiles.of(&seen).map(|found| &found.entry.profile) else {
            return Tuned::AsItWas;
        };
        let mut tuned = Tuned::AsItWas;
        for remedy in remedies(profile, &seen, demand) {
            if !self.0.insert((*index, remedy)) {
                continue;
            }
            match change(netlink, interface, remedy).await {
                Ok(()) => {
                    tracing::warn!(port = name, mtu = %seen.mtu, channels = ?seen.channels, "changed what is named here, as --tune allows, to {remedy}");
                    tuned = Tuned::Changed;
                }
                Err(error) => {
                    tracing::warn!(port = name, %error, "can't change it as --tune would: {remedy}");
                }
            }
        }
        tuned
    }
}

async fn change(netlink: &Handle, interface: &RawInterface, remedy: Remedy) -> io::Result<()> {
    let RawInterface { name, index, .. } = interface;
    match remedy {
        Remedy::Mtu(mtu) => {
            let link = LinkUnspec::new_with_index(index.0).mtu(mtu.0).build();
            netlink.link().set(link).execute().await.map_err(io::Error::other)
        }
        Remedy::LroOff => ethtool::lro_off(name),
        Remedy::Channels { rx, tx, combined } => ethtool::set_channels(name, rx, tx, combined),
    }
}
