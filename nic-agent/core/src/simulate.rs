//! A node in memory that executes actions: what tests of every layer above need in the place of a kernel.

use std::collections::BTreeMap;

use selvedge_abi::{Interval, Run};
use selvedge_hw_profiles::Mode;
use selvedge_hw_profiles::units::Bytes;
use selvedge_topology::names::PortName;
use selvedge_topology::plan::Generation;

use crate::device::{NicLink, ProgramName};
use crate::machine::{IfIndex, Interface, Machine};
use crate::reconcile::{
    Action, Attachment, Egress, EgressLink, Entry, Hook, Key, Observed, Precedence, Program, StandIn, Support,
};
use crate::tables::{Slot, Tables};

/// A machine, its maps and links. Every attach is granted in the mode asked for first.
#[derive(Clone, Debug, Default)]
pub struct Simulation {
    observed: Observed,
    /// The interval array, with all that was ever written to it.
    memory: BTreeMap<u32, Interval>,
}

/// An action that no reconciling of what is there would have led to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// Attached where a link is already.
    #[error("{port} is attached twice, {hook}")]
    AttachedTwice {
        /// Where on the port.
        hook: Hook,
        /// The port.
        port: PortName,
    },
    /// No link where one is renewed or taken off.
    #[error("{port} is not attached, {hook}")]
    NotAttached {
        /// Where on the port.
        hook: Hook,
        /// The port.
        port: PortName,
    },
    /// A link that judges by other tables is given these, which hold less.
    #[error("{port} goes from tables of generation {from} to those of generation {to}, {hook}")]
    TakenBack {
        /// Where on the port.
        hook: Hook,
        /// The port.
        port: PortName,
        /// What it was judged by.
        from: Generation,
        /// What it would be judged by.
        to: Generation,
    },
    /// A stand-in where one is already.
    #[error("{port} gets two stand-ins")]
    StandsTwice {
        /// The port.
        port: PortName,
    },
    /// No stand-in where one is relieved.
    #[error("{port} has no stand-in")]
    NoStandIn {
        /// The port.
        port: PortName,
    },
    /// Nothing in a NIC where something is taken out.
    #[error("the NIC of {port} has no program")]
    NoProgramInNic {
        /// The port.
        port: PortName,
    },
    /// Deleted what is not there.
    #[error("{key:?} is deleted and was not there")]
    Absent {
        /// What.
        key: Key,
    },
}

impl Simulation {
    /// A node that has nothing but interfaces.
    pub fn new(machine: Machine) -> Self {
        Self { observed: Observed { machine, ..Observed::default() }, memory: BTreeMap::new() }
    }

    /// As a shell observes it: of the array, only what policies point at.
    pub fn observe(&self) -> Observed {
        let mut observed = self.observed.clone();
        Slot::BOTH.into_iter().for_each(|slot| self.read_intervals(slot, &mut observed.tables));
        observed
    }

    /// Enters the intervals of the slot's runs. What is there already is shared, not copied.
    fn read_intervals(&self, slot: Slot, tables: &mut Tables) {
        let runs = tables.slot(slot).runs().into_iter();
        let found = runs.flat_map(|Run { first, count }| self.memory.range(first..first + count));
        let intervals: BTreeMap<u32, Interval> = found.map(|(index, interval)| (*index, *interval)).collect();
        if tables.slot(slot).intervals != intervals {
            tables.slot_mut(slot).intervals = intervals;
        }
    }

    /// Executes one action.
    pub fn execute(&mut self, action: &Action) -> Result<(), Mistake> {
        let Observed { tables, attachments, egress: Egress { links, .. }, nics, stand_ins, .. } =
            &mut self.observed;
        match action {
            Action::Put(Entry::Interval(index, interval)) => drop(self.memory.insert(*index, *interval)),
            Action::Put(entry) => tables.put(entry),
            Action::Delete(key) if tables.delete(key) => {}
            Action::Delete(key) => return Err(Mistake::Absent { key: *key }),
            // There is no program here to judge a packet, and no kernel that refuses a mode.
            Action::Prove(_) | Action::Insist { .. } => {}
            Action::Switch(config) => {
                tables.config = *config;
                let mut tables = std::mem::take(&mut self.observed.tables);
                self.read_intervals(Slot::in_use(config), &mut tables);
                self.observed.tables = tables;
            }
            Action::Attach { port, index, choice, .. } => {
                let attachment =
                    Attachment { index: Some(*index), mode: choice.first, program: Program::Current };
                if attachments.insert(port.clone(), attachment).is_some() {
                    return Err(Mistake::AttachedTwice { hook: Hook::Ingress, port: port.clone() });
                }
            }
            Action::AttachEgress { port, index } => {
                let place = Precedence::First;
                let link = EgressLink { index: Some(*index), program: Program::Current, place };
                if links.insert(port.clone(), link).is_some() {
                    return Err(Mistake::AttachedTwice { hook: Hook::Egress, port: port.clone() });
                }
            }
            Action::Advance { port } => {
                let missing = || Mistake::NotAttached { hook: Hook::Egress, port: port.clone() };
                links.get_mut(port).ok_or_else(missing)?.place = Precedence::First;
            }
            Action::Refresh { hook, port } => {
                let program = match hook {
                    Hook::Ingress => attachments.get_mut(port).map(|attachment| &mut attachment.program),
                    Hook::Egress => links.get_mut(port).map(|link| &mut link.program),
                };
                let missing = || Mistake::NotAttached { hook: *hook, port: port.clone() };
                let before = std::mem::replace(program.ok_or_else(missing)?, Program::Current);
                let to = Generation(tables.config.generation);
                if let Program::Apart(from) = before
                    && from > to
                {
                    return Err(Mistake::TakenBack { hook: *hook, port: port.clone(), from, to });
                }
            }
            Action::StandIn { port, index } => {
                let stand_in = StandIn { index: Some(*index) };
                if stand_ins.insert(port.clone(), stand_in).is_some() {
                    return Err(Mistake::StandsTwice { port: port.clone() });
                }
            }
            Action::Relieve { port } => {
                let missing = Mistake::NoStandIn { port: port.clone() };
                stand_ins.remove(port).ok_or(missing)?;
            }
            Action::Load { port, index, program } => {
                let link = NicLink { index: Some(*index), program: program.name.clone() };
                nics.insert(port.clone(), link);
            }
            Action::Unload { port } => {
                let missing = Mistake::NoProgramInNic { port: port.clone() };
                nics.remove(port).ok_or(missing)?;
            }
            Action::Detach { hook, port } => {
                let was_there = match hook {
                    Hook::Ingress => attachments.remove(port).is_some(),
                    Hook::Egress => links.remove(port).is_some(),
                };
                if !was_there {
                    return Err(Mistake::NotAttached { hook: *hook, port: port.clone() });
                }
            }
        }
        Ok(())
    }

    /// Takes an interface away; the links on it die, their pins stay.
    pub fn remove_interface(&mut self, port: &PortName) {
        self.observed.machine.interfaces.remove(port.as_str());
        if let Some(attachment) = self.observed.attachments.get_mut(port) {
            attachment.index = None;
        }
        if let Some(link) = self.observed.egress.links.get_mut(port) {
            link.index = None;
        }
        if let Some(link) = self.observed.nics.get_mut(port) {
            link.index = None;
        }
        if let Some(stand_in) = self.observed.stand_ins.get_mut(port) {
            stand_in.index = None;
        }
    }

    /// Makes a port's program one that was attached in `mode`, whatever would be chosen now.
    pub fn change_mode(&mut self, port: &PortName, mode: Mode) {
        if let Some(attachment) = self.observed.attachments.get_mut(port) {
            attachment.mode = mode;
        }
    }

    /// Makes a port one of another kind of device.
    pub fn change_driver(&mut self, port: &PortName, driver: &str) {
        if let Some(interface) = self.observed.machine.interfaces.get_mut(port.as_str()) {
            interface.seen.driver = driver.to_owned();
        }
    }

    /// Gives a port another MTU.
    pub fn change_mtu(&mut self, port: &PortName, mtu: Bytes) {
        if let Some(interface) = self.observed.machine.interfaces.get_mut(port.as_str()) {
            interface.seen.mtu = mtu;
        }
    }

    /// Makes the program in a port's NIC another.
    pub fn rename_nic_program(&mut self, port: &PortName, program: ProgramName) {
        if let Some(link) = self.observed.nics.get_mut(port) {
            link.program = program;
        }
    }

    /// Makes the kernel one that has no place for programs where packets are sent.
    pub fn without_tcx(&mut self, reason: &str) {
        self.observed.egress.support = Support::Missing { reason: reason.to_owned() };
    }

    /// Adds a veth.
    pub fn add_interface(&mut self, port: &PortName, index: IfIndex) {
        let interface = Interface::veth(index);
        self.observed.machine.interfaces.insert(port.to_string(), interface);
    }

    /// Lets somebody else judge first what is sent by a port.
    pub fn overtake(&mut self, port: &PortName) {
        if let Some(link) = self.observed.egress.links.get_mut(port) {
            link.place = Precedence::Behind;
        }
    }

    /// Makes the programs on a port those of an agent before this.
    pub fn age_program(&mut self, port: &PortName) {
        if let Some(attachment) = self.observed.attachments.get_mut(port) {
            attachment.program = Program::Outdated;
        }
        if let Some(link) = self.observed.egress.links.get_mut(port) {
            link.program = Program::Outdated;
        }
    }
    /// Leaves every link with the tables there are, and gives the node others, which are empty: as an agent of another ABI version does.
    pub fn leave_tables_behind(&mut self) {
        let Observed { tables, attachments, egress, .. } = &mut self.observed;
        let program = match std::mem::take(tables) {
            Tables { config, .. } if config.generation == 0 => Program::Outdated,
            Tables { config, .. } => Program::Apart(Generation(config.generation)),
        };
        attachments.values_mut().for_each(|attachment| attachment.program = program);
        egress.links.values_mut().for_each(|link| link.program = program);
        self.memory.clear();
    }
}
