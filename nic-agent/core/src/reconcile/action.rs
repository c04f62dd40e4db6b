//! Actions: every effect the agent has on the data path, as data.

use std::fmt;

use selvedge_abi::{
    AddressEntry, AddressKey, Config, FailsafeKey, Interval, PolicyEntry, PolicyKey, PortEntry, PrefixKey,
    ReasonKey, map,
};
use selvedge_hw_profiles::{Demand, ModeChoice};
use selvedge_topology::model::RuleId;
use selvedge_topology::names::PortName;
use selvedge_topology::plan::Generation;

use super::Hook;
use crate::device::NicProgram;
use crate::machine::{IfIndex, XdpProgram};
use crate::prove::Trial;

/// One effect. Each leaves the data path in a state that may last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Writes one entry, over one of the same key if there is one.
    Put(Entry),
    /// Deletes one entry; it is no error when there is none.
    Delete(Key),
    /// Goes on only where a port runs in a mode that is demanded. Else no later action may happen, and the generation before stays.
    Insist {
        /// The port.
        port: PortName,
        /// Its interface.
        index: IfIndex,
        /// What is demanded of the program in the kernel.
        demand: Demand,
    },
    /// Judges packets by a slot before it is put in use. Where one comes to anything else than the plan says, no later action
    /// may happen.
    Prove(Box<Trial>),
    /// Writes the configuration: the moment another generation is in force.
    Switch(Config),
    /// Attaches the XDP program to a port.
    Attach {
        /// The port.
        port: PortName,
        /// Its interface.
        index: IfIndex,
        /// Modes to try, in order.
        choice: ModeChoice,
        /// Somebody else's programs, to be taken off first.
        displace: Vec<XdpProgram>,
    },
    /// Attaches the program for what the node itself sends to a port.
    AttachEgress {
        /// The port.
        port: PortName,
        /// Its interface.
        index: IfIndex,
    },
    /// Puts the program for what the node itself sends before somebody else's that came to be before it. At no moment is there
    /// none.
    Advance {
        /// The port.
        port: PortName,
    },
    /// Puts the current program in the place of an older one, at once.
    Refresh {
        /// Where on the port.
        hook: Hook,
        /// The port.
        port: PortName,
    },
    /// Lets the stand-in judge what a port receives, before anybody else at tcx ingress, so that its program can be exchanged.
    StandIn {
        /// The port.
        port: PortName,
        /// Its interface.
        index: IfIndex,
    },
    /// Takes the stand-in off a port, and its pin away.
    Relieve {
        /// The port.
        port: PortName,
    },
    /// Puts a program into a port's NIC, before the one in the kernel: in the place of one that is there, while packets pass if the
    /// device can. Where it refuses, none is there afterwards.
    Load {
        /// The port.
        port: PortName,
        /// Its interface.
        index: IfIndex,
        /// The program.
        program: NicProgram,
    },
    /// Takes the program out of a port's NIC, and its pin away. The program in the kernel judges all of it then.
    Unload {
        /// The port.
        port: PortName,
    },
    /// Takes the program off a port, and its pin away: the port is open there.
    Detach {
        /// Where on the port.
        hook: Hook,
        /// The port.
        port: PortName,
    },
}

/// An entry of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Of the ports.
    Port(IfIndex, PortEntry),
    /// Of the exact addresses.
    Address(AddressKey, AddressEntry),
    /// Of the prefixes.
    Prefix(PrefixKey, AddressEntry),
    /// Of the policy rows.
    Policy(PolicyKey, PolicyEntry),
    /// Of the intervals, by index.
    Interval(u32, Interval),
    /// Of the failsafe entries.
    Failsafe(FailsafeKey),
    /// A rule's counter, at zero.
    RuleCounter(RuleId),
    /// A reason's counter, at zero.
    ReasonCounter(ReasonKey),
    /// A generation's counter of revoked connections, at zero.
    Revocations(Generation),
}

/// The key of an entry that can be deleted. Intervals can't: they are an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Of the ports.
    Port(IfIndex),
    /// Of the exact addresses.
    Address(AddressKey),
    /// Of the prefixes.
    Prefix(PrefixKey),
    /// Of the policy rows.
    Policy(PolicyKey),
    /// Of the failsafe entries.
    Failsafe(FailsafeKey),
    /// Of the rule counters.
    RuleCounter(RuleId),
    /// Of the reason counters.
    ReasonCounter(ReasonKey),
    /// Of the counters of revoked connections.
    Revocations(Generation),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(entry) => write!(f, "write {}", entry.table()),
            Self::Delete(key) => write!(f, "delete from {}", key.table()),
            Self::Insist { port, demand, .. } => write!(f, "run {port} as demanded ({demand})"),
            Self::Prove(trial) => {
                let Trial { config, coverage, .. } = &**trial;
                write!(f, "prove generation {} in slot {} with {coverage}", config.generation, config.slot)
            }
            Self::Switch(config) => {
                write!(f, "switch to generation {} in slot {}", config.generation, config.slot)
            }
            Self::Attach { port, index, choice, .. } => {
                write!(f, "attach to {port} (index {index}), {} first", choice.first)
            }
            Self::AttachEgress { port, index } => {
                write!(f, "attach to {port} (index {index}), {}", Hook::Egress)
            }
            Self::Advance { port } => {
                write!(
                    f,
                    "take the first place on {port} again, {}, before somebody else's program",
                    Hook::Egress
                )
            }
            Self::StandIn { port, .. } => write!(f, "let the stand-in judge what {port} receives"),
            Self::Relieve { port } => write!(f, "relieve the stand-in on {port}"),
            Self::Load { port, program, .. } => write!(f, "load into the NIC of {port}: {program}"),
            Self::Unload { port } => write!(f, "take the program out of the NIC of {port}"),
            Self::Refresh { hook, port } => write!(f, "renew the program on {port}, {hook}"),
            Self::Detach { hook, port } => write!(f, "detach from {port}, {hook}"),
        }
    }
}

fn of_address(key: &AddressKey) -> &'static str {
    if key.address.ipv4().is_some() { map::IPV4 } else { map::IPV6 }
}

fn of_prefix(key: &PrefixKey) -> &'static str {
    if key.is_ipv4() { map::IPV4_PREFIXES } else { map::IPV6_PREFIXES }
}

impl Entry {
    /// The map it is of.
    pub fn table(&self) -> &'static str {
        match self {
            Self::Port(..) => map::PORTS,
            Self::Address(key, _) => of_address(key),
            Self::Prefix(key, _) => of_prefix(key),
            Self::Policy(..) => map::POLICIES,
            Self::Interval(..) => map::INTERVALS,
            Self::Failsafe(_) => map::FAILSAFE,
            Self::RuleCounter(_) => map::RULE_COUNTERS,
            Self::ReasonCounter(_) => map::REASON_COUNTERS,
            Self::Revocations(_) => map::REVOCATIONS,
        }
    }
}

impl Key {
    /// The map it is of.
    pub fn table(&self) -> &'static str {
        match self {
            Self::Port(_) => map::PORTS,
            Self::Address(key) => of_address(key),
            Self::Prefix(key) => of_prefix(key),
            Self::Policy(_) => map::POLICIES,
            Self::Failsafe(_) => map::FAILSAFE,
            Self::RuleCounter(_) => map::RULE_COUNTERS,
            Self::ReasonCounter(_) => map::REASON_COUNTERS,
            Self::Revocations(_) => map::REVOCATIONS,
        }
    }
}
