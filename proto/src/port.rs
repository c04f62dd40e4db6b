//! What an agent says of a port.

use selvedge_topology::model::PortRole;
use selvedge_topology::names::{PortName, ProfileName};
use selvedge_topology::placement::{Mode, Nic, PortState, SeenPort};

use crate::convert::{
    DecodeError, at_most, name, optional_name, port_role_from_wire, port_role_to_wire, prose,
    xdp_mode_from_wire, xdp_mode_to_wire,
};
use crate::device;
use crate::report::MAX_TEXT;
use crate::wire;

/// Most ways past a port in a report.
pub const MAX_PAST: usize = 8;

/// A port and how it is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortReport {
    /// The port.
    pub name: PortName,
    /// What it faces.
    pub role: PortRole,
    /// The hardware profile of its device, where one is known.
    pub profile: Option<ProfileName>,
    /// The mode that was asked for.
    pub requested: Mode,
    /// What becomes of packets that arrive, and the mode it got.
    pub state: PortState,
    /// Why that one.
    pub reason: String,
    /// Whether what the node itself sends out of it is judged.
    pub egress: EgressReport,
    /// Packets that the device is known to forward past the program, in words, with what ends that.
    pub past: Vec<String>,
    /// What its NIC drops before.
    pub nic: Nic,
}

/// Whether what a node itself sends out of a port is judged, for which there is one way: tcx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EgressReport {
    /// It is.
    Enforced,
    /// It passes unjudged.
    Unenforced {
        /// Why.
        reason: String,
    },
}

impl PortReport {
    /// What the ledger asks of it.
    pub(crate) fn seen(&self) -> SeenPort {
        let egress_unenforced = match &self.egress {
            EgressReport::Enforced => None,
            EgressReport::Unenforced { reason } => Some(reason.clone()),
        };
        SeenPort {
            profile: self.profile.clone(),
            state: self.state,
            reason: self.reason.clone(),
            egress_unenforced,
            past: self.past.clone(),
            nic: self.nic.clone(),
        }
    }
}

fn state_to_wire(state: PortState) -> (wire::PortState, i32) {
    match state {
        PortState::Enforced(mode) => (wire::PortState::Enforced, xdp_mode_to_wire(mode)),
        PortState::Shut(mode) => (wire::PortState::Shut, xdp_mode_to_wire(mode)),
        PortState::Open => (wire::PortState::Open, wire::XdpMode::Unspecified.into()),
        PortState::Gone => (wire::PortState::Gone, wire::XdpMode::Unspecified.into()),
    }
}

fn state_from_wire(state: i32, granted: i32) -> Result<PortState, DecodeError> {
    let unknown = || DecodeError::Unknown { field: "state of a port", value: state.into() };
    match wire::PortState::try_from(state).map_err(|_| unknown())? {
        wire::PortState::Enforced => Ok(PortState::Enforced(xdp_mode_from_wire(granted)?)),
        wire::PortState::Shut => Ok(PortState::Shut(xdp_mode_from_wire(granted)?)),
        wire::PortState::Open => Ok(PortState::Open),
        wire::PortState::Gone => Ok(PortState::Gone),
        wire::PortState::Unspecified => Err(unknown()),
    }
}

pub(crate) fn to_wire(port: &PortReport) -> wire::PortReport {
    let PortReport { name, role, profile, requested, state, reason, egress, past, nic } = port;
    let egress_unenforced = match egress {
        EgressReport::Enforced => String::new(),
        EgressReport::Unenforced { reason } => reason.clone(),
    };
    let (state, granted) = state_to_wire(*state);
    let (nic_runs, nic_idle) = match nic {
        Nic::Unable => (None, String::new()),
        Nic::Idle { reason } => (None, reason.clone()),
        Nic::Runs { program } => (Some(device::to_wire(program)), String::new()),
    };
    wire::PortReport {
        name: name.to_string(),
        role: port_role_to_wire(*role),
        profile: profile.as_ref().map(ToString::to_string).unwrap_or_default(),
        requested: xdp_mode_to_wire(*requested),
        granted,
        state: state.into(),
        reason: reason.clone(),
        egress_unenforced,
        past: past.clone(),
        nic_runs,
        nic_idle,
    }
}

pub(crate) fn from_wire(port: wire::PortReport) -> Result<PortReport, DecodeError> {
    let wire::PortReport {
        name: port_name,
        role,
        profile,
        requested,
        granted,
        state,
        reason,
        egress_unenforced,
        past,
        nic_runs,
        nic_idle,
    } = port;
    at_most("ways past a port", past.len(), MAX_PAST)?;
    let egress = if egress_unenforced.is_empty() {
        EgressReport::Enforced
    } else {
        EgressReport::Unenforced { reason: prose("reason of no egress", &egress_unenforced, MAX_TEXT)? }
    };
    let nic = match (nic_runs, nic_idle.as_str()) {
        (None, "") => Nic::Unable,
        (None, reason) => Nic::Idle { reason: prose("reason of a NIC", reason, MAX_TEXT)? },
        (Some(program), _) => Nic::Runs { program: device::from_wire(program)? },
    };
    Ok(PortReport {
        name: name("port", &port_name)?,
        role: port_role_from_wire(role)?,
        profile: optional_name("hardware profile", &profile)?,
        requested: xdp_mode_from_wire(requested)?,
        state: state_from_wire(state, granted)?,
        reason: prose("reason of a mode", &reason, MAX_TEXT)?,
        egress,
        past: past.iter().map(|way| prose("way past a port", way, MAX_TEXT)).collect::<Result<_, _>>()?,
        nic,
    })
}
