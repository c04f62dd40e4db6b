//! The program that judges what the node itself sends: an enforcement point of its own on the same ports, by links of its own.
//!
//! A port gets it after the XDP program and before any switch, and loses it with the XDP program. Where the kernel has no
//! place for it (tcx, Linux 6.6), no port gets it, and the report says so.
//!
//! Others may judge there as well, and stay. But whoever comes first may let a packet go before anybody else sees it, so this
//! program takes the first place, and takes it again from whoever attached before it since.

use std::collections::BTreeMap;
use std::fmt;

use selvedge_topology::names::PortName;

use super::{Action, Observed, Program};
use crate::machine::IfIndex;

/// Where on a port a program judges packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// Where they are received: XDP.
    Ingress,
    /// Where the node sends them: tcx.
    Egress,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ingress => "xdp",
            Self::Egress => "tcx-egress",
        })
    }
}

/// What is there to judge what the node sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// The agent's own links, by the port they were made for.
    pub links: BTreeMap<PortName, EgressLink>,
    /// Whether the kernel has a place for them.
    pub support: Support,
}

/// A link of the agent's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressLink {
    /// The interface it is on; `None` when that interface is gone, and the link with it but for its pin.
    pub index: Option<IfIndex>,
    /// Which program it runs.
    pub program: Program,
    /// Whether it is the first to judge.
    pub place: Precedence,
}

/// Where a program stands among those that judge what is sent by a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precedence {
    /// It judges first.
    First,
    /// After somebody else's, which may let packets go that it never sees.
    Behind,
}

/// Whether the kernel lets programs judge what is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Support {
    /// By tcx.
    #[default]
    Tcx,
    /// Not in a way that outlives the agent.
    Missing {
        /// The kernel's words.
        reason: String,
    },
}

impl Egress {
    /// Whether the agent's program is on `port` as the interface it is now.
    pub fn is_on(&self, port: &PortName, index: IfIndex) -> bool {
        self.links.get(port).is_some_and(|link| link.index == Some(index))
    }
}

/// Links that run an older program get this agent's.
pub(super) fn renew(observed: &Observed, actions: &mut Vec<Action>) {
    for (port, link) in &observed.egress.links {
        if link.program == Program::Outdated && link.index.is_some() {
            actions.push(Action::Refresh { hook: Hook::Egress, port: port.clone() });
        }
    }
}

/// The port gets the program, if it hasn't it and there is a place for it; and the program the first place.
pub(super) fn attach(observed: &Observed, port: &PortName, index: IfIndex, actions: &mut Vec<Action>) {
    let Egress { links, support } = &observed.egress;
    if *support != Support::Tcx {
        return;
    }
    let link = links.get(port);
    if observed.egress.is_on(port, index) {
        if link.is_some_and(|link| link.place == Precedence::Behind) {
            actions.push(Action::Advance { port: port.clone() });
        }
        return;
    }
    if link.is_some() {
        actions.push(Action::Detach { hook: Hook::Egress, port: port.clone() });
    }
    actions.push(Action::AttachEgress { port: port.clone(), index });
}
