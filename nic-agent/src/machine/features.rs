//! What the driver says through ethtool's netlink family: features that are on, and channels.

use std::collections::BTreeSet;

use ethtool::{EthtoolAttr, EthtoolChannelAttr, EthtoolError, EthtoolFeatureAttr, EthtoolHandle};
use futures::StreamExt;
use selvedge_hw_profiles::Port;
use selvedge_hw_profiles::port::{Channels, Switch};

/// Writes down what can be had of the interface `name`. What a driver has no answer to stays unknown.
pub(crate) async fn look(name: &str, port: &mut Port) {
    let Ok((connection, mut handle, _)) = ethtool::new_connection() else { return };
    let connection = tokio::spawn(connection);
    match active(&mut handle, name).await {
        Ok(active) => {
            let switch =
                |feature: &str| Some(if active.contains(feature) { Switch::On } else { Switch::Off });
            port.lro = switch("rx-lro");
            port.hw_gro = switch("rx-gro-hw");
            port.vlan_stripping = switch("rx-vlan-hw-parse");
            port.tc_offload = switch("hw-tc-offload");
        }
        Err(error) => tracing::debug!(name, %error, "the driver tells no features"),
    }
    match channels(&mut handle, name).await {
        Ok(channels) => port.channels = channels,
        Err(error) => tracing::debug!(name, %error, "the driver tells no channels"),
    }
    connection.abort();
}

/// The features that are on, by the names of `ethtool -k`'s strings in the kernel (net/ethtool/common.c).
async fn active(handle: &mut EthtoolHandle, name: &str) -> Result<BTreeSet<String>, EthtoolError> {
    let mut answers = Box::pin(handle.feature().get(Some(name)).execute().await?);
    let mut active = BTreeSet::new();
    while let Some(answer) = answers.next().await {
        for attribute in answer?.payload.nlas {
            if let EthtoolAttr::Feature(EthtoolFeatureAttr::Active(bits)) = attribute {
                active.extend(bits.into_iter().filter(|bit| bit.value).map(|bit| bit.name));
            }
        }
    }
    Ok(active)
}

async fn channels(handle: &mut EthtoolHandle, name: &str) -> Result<Option<Channels>, EthtoolError> {
    let mut answers = Box::pin(handle.channel().get(Some(name)).execute().await?);
    let mut found = None;
    while let Some(answer) = answers.next().await {
        let nlas = answer?.payload.nlas;
        found = Some(nlas.into_iter().fold(found.unwrap_or(NONE), with));
    }
    Ok(found)
}

const NONE: Channels = Channels { rx: 0, tx: 0, combined: 0, max_rx: 0, max_tx: 0, max_combined: 0 };

/// A driver leaves out what it has none of.
fn with(channels: Channels, attribute: EthtoolAttr) -> Channels {
    let EthtoolAttr::Channel(attribute) = attribute else { return channels };
    match attribute {
        EthtoolChannelAttr::RxMax(max_rx) => Channels { max_rx, ..channels },
        EthtoolChannelAttr::TxMax(max_tx) => Channels { max_tx, ..channels },
        EthtoolChannelAttr::CombinedMax(max_combined) => Channels { max_combined, ..channels },
        EthtoolChannelAttr::RxCount(rx) => Channels { rx, ..channels },
        EthtoolChannelAttr::TxCount(tx) => Channels { tx, ..channels },
        EthtoolChannelAttr::CombinedCount(combined) => Channels { combined, ..channels },
        _ => channels,
    }
}
