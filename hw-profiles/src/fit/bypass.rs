//! Ways of packets past a port's program.

use serde::Serialize;

use super::{Fit, Known, View};
use crate::port::Switch;
use crate::profile::{Bypass, Tell};

/// A way past a port's program, and whether it is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BypassCheck {
    /// Which packets.
    pub risk: String,
    /// Whether it is open.
    pub state: BypassState,
    /// What shows that.
    pub told_by: Tell,
    /// The command that shuts it, where there is one.
    pub mend: Option<String>,
}

/// Whether a way past a program is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BypassState {
    /// It is shut.
    Shut,
    /// Nobody looked, or it can't be seen.
    Unseen,
    /// It may be used: what it takes is there.
    Open,
    /// It is used: that is what the device is for.
    Always,
}

impl View<'_> {
    pub(super) fn bypasses(&self) -> Vec<BypassCheck> {
        let Some(Known { profile, netdev }) = self.known else { return Vec::new() };
        let here =
            profile.bypasses.iter().filter(|it| it.roles.is_empty() || it.roles.contains(&netdev.role));
        here.map(|bypass| self.bypass(bypass)).collect()
    }

    fn bypass(&self, Bypass { risk, told_by, mend, .. }: &Bypass) -> BypassCheck {
        let open = |open: Option<bool>| match open {
            Some(true) => BypassState::Open,
            Some(false) => BypassState::Shut,
            None => BypassState::Unseen,
        };
        let state = match told_by {
            Tell::Always => BypassState::Always,
            Tell::TcOffload => open(self.port.tc_offload.map(|switch| switch == Switch::On)),
            Tell::Vfs => open(self.port.vfs.map(|vfs| vfs > 0)),
            Tell::SwitchdevBridge => open(self.port.bridged_by_device()),
            Tell::Nothing => BypassState::Unseen,
        };
        let mend = mend.as_ref().map(|mend| mend.of(self.name));
        BypassCheck { risk: risk.clone(), state, told_by: *told_by, mend }
    }
}

impl Fit {
    /// Ways by which the device forwards packets of others past the port's program, as far as they are known to be open. Virtual
    /// functions are not among them: what comes from one to this machine comes through the port.
    pub fn forwarded_past(&self) -> impl Iterator<Item = &BypassCheck> {
        let forwards =
            |it: &&BypassCheck| matches!(it.told_by, Tell::Always | Tell::TcOffload | Tell::SwitchdevBridge);
        self.bypasses.iter().filter(forwards).filter(|it| it.state >= BypassState::Open)
    }
}
