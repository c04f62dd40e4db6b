//! What was seen of the machine: its interfaces, and the XDP programs on them.

use std::collections::BTreeMap;
use std::fmt;

use selvedge_hw_profiles::units::Bytes;
use selvedge_hw_profiles::{Mode, Port};
use selvedge_topology::names::PortName;

/// The kernel's number of an interface. A port that is deleted and made again gets another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfIndex(pub u32);

impl IfIndex {
    /// An index that no interface has (the kernel counts up to `i32::MAX`). Addresses behind a port that is gone get
    /// it, so that they stay local, and their policy stays in force, while nothing can claim to be them.
    pub const GONE: Self = Self(u32::MAX);
}

impl fmt::Display for IfIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its number.
    pub index: IfIndex,
    /// What was seen of it that decides what it can do.
    pub seen: Port,
    /// The XDP programs on it, at most one a mode.
    pub programs: Vec<XdpProgram>,
}

/// An XDP program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdpProgram {
    /// The kernel's number of the program.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Where it runs.
    pub mode: Mode,
    /// Whose it is.
    pub owner: Owner,
}

impl fmt::Display for XdpProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (id {}, {})", self.name, self.id, self.mode)
    }
}

/// Who attached a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This node's agent: a link of it is pinned where this agent keeps its pins.
    Agent,
    /// Somebody else.
    Foreign,
}

/// What to do about somebody else's program on a port of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignPrograms {
    /// Leave it, and refuse the plan.
    Refuse,
    /// Take it off.
    Replace,
}

/// The interfaces of the machine, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// By name, as the kernel has it.
    pub interfaces: BTreeMap<String, Interface>,
}

impl Machine {
    /// The interface of this name.
    pub fn port(&self, name: &PortName) -> Option<&Interface> {
        self.interfaces.get(name.as_str())
    }
}

impl Interface {
    /// A veth with Ethernet's MTU and no programs, of which no more is known: what labs and tests are made of.
    pub fn veth(index: IfIndex) -> Self {
        Self { index, seen: Port::new("veth", Bytes(1500)), programs: Vec::new() }
    }

    /// The programs on it that are not the agent's.
    pub fn foreign(&self) -> impl Iterator<Item = &XdpProgram> {
        self.programs.iter().filter(|program| program.owner == Owner::Foreign)
    }
}
