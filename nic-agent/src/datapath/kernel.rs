//! The kernel's data path: maps, two programs, and a link of each a port.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use aya::maps::{MapError, MapInfo, RingBuf};
use aya::programs::{ProgramError, SchedClassifier, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader};
use selvedge_abi::{DEFAULT_CONNECTIONS, DEFAULT_HALF_OPEN, map};
use selvedge_agent_core::{
    Action, Choices, Egress, Hook, IfIndex, Mismatch, Observed, Precedence, Program, Refused, Support,
};
use selvedge_hw_profiles::{Demand, Mode};
use selvedge_topology::names::PortName;

use super::arrays;
use super::held::Held;
use super::known::KnownTables;
use super::lineage::{self, Lineage};
use super::nic::{self, Hardware};
use super::observe;
use super::pins::{PinError, Pins};
use super::prove::Prover;
use super::shapes;
use super::sweep::Sweeper;
use super::tables;
use super::{Counters, Datapath, Effect, attach, counters, egress, programs, stand_in};
use crate::machine::RawInterface;
use crate::sys::bpf;

/// Why something could not be done to the data path.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// A pin can't be read or made.
    #[error("{}: {source}", path.display())]
    Pin {
        /// The pin.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The place for pins fails.
    #[error(transparent)]
    Pins(#[from] PinError),
    /// The object has no such map.
    #[error("the embedded object has no map {name}")]
    MissingMap {
        /// The map.
        name: &'static str,
    },
    /// The object has no such program.
    #[error("the embedded object has no program {name}")]
    MissingProgram {
        /// The program.
        name: &'static str,
    },
    /// The kernel does not take the object.
    #[error("the kernel does not take the programs: {}", chain(.0))]
    Load(#[from] EbpfError),
    /// The kernel does not take the program.
    #[error("the kernel does not take the program: {}", chain(.0))]
    Program(#[from] ProgramError),
    /// A map does not take an entry, or give it.
    #[error("map {map}: {}", chain(source))]
    Map {
        /// The map.
        map: &'static str,
        /// Why not.
        source: MapError,
    },
    /// A slot judges a packet otherwise than the plan. It is not put in use.
    #[error(transparent)]
    Disproved(#[from] Box<Mismatch>),
    /// No mode works on a port.
    #[error("port {port}: {}", refusals(refused))]
    Attach {
        /// The port.
        port: PortName,
        /// The modes and the kernel's words.
        refused: Vec<Refused>,
    },
    /// A port does not run in a mode that is demanded.
    #[error("port {port} runs {}, and {demand} is demanded", mode.map_or("nothing".to_owned(), |mode| mode.to_string()))]
    Demand {
        /// The port.
        port: PortName,
        /// What is demanded.
        demand: Demand,
        /// What it runs in.
        mode: Option<Mode>,
    },
    /// What the node sends can't be judged on a port.
    #[error("port {port}, {}: {reason}", Hook::Egress)]
    AttachEgress {
        /// The port.
        port: PortName,
        /// Why not.
        reason: String,
    },
    /// Nothing can judge a port while its program is exchanged, so it keeps the one that it has.
    #[error("port {port}, while its program is exchanged: {reason}")]
    StandIn {
        /// The port.
        port: PortName,
        /// Why not.
        reason: String,
    },
    /// Somebody else's program can't be taken off.
    #[error("port {port}: the program {program} of somebody else can't be taken off: {reason}")]
    Displace {
        /// The port.
        port: PortName,
        /// The program.
        program: String,
        /// Why not.
        reason: String,
    },
}

fn refusals(refused: &[Refused]) -> String {
    let all: Vec<String> =
        refused.iter().map(|each| format!("{} refused: {}", each.mode, each.reason)).collect();
    all.join("; ")
}

/// An error and what caused it, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// How many entries the tables of connections get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Connections that nothing makes room in place of.
    pub connections: u32,
    /// Those before that.
    pub half_open: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { connections: DEFAULT_CONNECTIONS, half_open: DEFAULT_HALF_OPEN }
    }
}

/// Maps, programs and pins of one node.
pub struct KernelDatapath {
    pins: Pins,
    tables: KnownTables,
    prover: Prover,
    program: Xdp,
    received: Lineage,
    egress: SchedClassifier,
    sent: Lineage,
    held: Held,
    /// Whether the kernel has a place for `egress`.
    support: Support,
    /// What the programs came from, held for their life.
    _object: Ebpf,
    /// Interface and mode of what is attached, as last observed.
    modes: BTreeMap<u32, Mode>,
    /// Where the programs in NICs count.
    counts: nic::Counts,
}

impl KernelDatapath {
    /// Adopts what is pinned, and makes what is missing: all of it where it is not whole. Links are left as they are:
    /// [`Datapath::observe`] says which run an older program, or go by other tables.
    ///
    /// Tables of connections that are there keep their size: to make others would cut what they hold.
    pub fn open(pins: Pins, sizes: Sizes) -> Result<Self, DatapathError> {
        if let Some(flaw) = shapes::flaw(&pins) {
            tracing::warn!(%flaw, "the pinned tables are not whole; others take their place once these hold the plan");
            pins.discard_maps()?;
        }
        lineage::inherit(&pins)?;
        let mut loader = EbpfLoader::new();
        loader.map_max_entries(map::CONNECTIONS, sizes.connections);
        loader.map_max_entries(map::HALF_OPEN, sizes.half_open);
        for name in map::ALL {
            loader.map_pin_path(name, pins.map(name));
        }
        let mut object = loader.load(selvedge_object::OBJECT)?;
        let config = MapInfo::from_pin(pins.map(map::CONFIG)).map_err(tables::in_map(map::CONFIG))?.id();
        let program: Xdp = programs::adopt(&mut object, &pins.program(Hook::Ingress), config)?;
        arrays::establish(&pins)?;
        let egress: SchedClassifier = programs::adopt(&mut object, &pins.program(Hook::Egress), config)?;
        let received = Lineage { program: program.info()?.id(), config };
        let sent = Lineage { program: egress.info()?.id(), config };
        let (tables, support, held) = (KnownTables::open(&pins)?, egress::support(), Held::open(&pins)?);
        let opened = Self {
            pins,
            tables,
            prover: Prover::default(),
            program,
            received,
            egress,
            sent,
            held,
            support,
            _object: object,
            modes: BTreeMap::new(),
            counts: nic::Counts::default(),
        };
        opened.leave_other_versions()?;
        Ok(opened)
    }

    /// The ring of events; to be read by one reader.
    pub fn events(&self) -> Result<RingBuf<aya::maps::MapData>, DatapathError> {
        tables::ring(&self.pins)
    }

    /// What deletes expired connections.
    pub fn sweeper(&self) -> Result<Sweeper, DatapathError> {
        Sweeper::open(&self.pins)
    }
}

impl Datapath for KernelDatapath {
    fn observe(&mut self, interfaces: &[RawInterface]) -> Result<Observed, DatapathError> {
        self.held.put_back(&self.pins, &mut self.program, &mut self.egress)?;
        self.held.take_links(&self.pins)?;
        let links = observe::links(&self.pins, interfaces, self.received)?;
        let nics = nic::links(&self.pins)?;
        let own = nics.values().filter_map(|(link, program)| Some((link.index?, *program))).collect();
        let machine = observe::machine(interfaces, &links, &own);
        self.modes = links.values().filter_map(|link| Some((link.index?.0, link.mode))).collect();
        let attachments = links.into_iter().map(|(port, link)| (port, link.attachment())).collect();
        let links = egress::links(&self.pins, self.sent)?;
        let egress = Egress { links, support: self.support.clone() };
        let (tables, source) = self.tables.look(&self.pins)?;
        let nics = nics.into_iter().map(|(port, (link, _))| (port, link)).collect();
        let stand_ins = stand_in::links(&self.pins)?;
        Ok(Observed { machine, tables, attachments, egress, nics, stand_ins, source })
    }

    fn execute(&mut self, action: &Action) -> Result<Effect, DatapathError> {
        match action {
            Action::Put(entry) => self.tables.put(entry)?,
            Action::Delete(key) => self.tables.delete(key)?,
            Action::Prove(trial) => {
                let proof = self.prover.prove(&self.pins, trial);
                if proof.is_err() {
                    self.tables.forget(); // they are not what was thought
                }
                return proof.map(Effect::Proved);
            }
            Action::Insist { port, index, demand } => self.insist(port, *index, demand)?,
            Action::Switch(config) => self.tables.switch(config)?,
            Action::Attach { port, index, choice, displace } => {
                attach::displace(port, *index, displace)?;
                let pin = self.pins.link(Hook::Ingress, port);
                let placement = attach::attach(&mut self.program, port, *index, choice, &pin)?;
                self.modes.insert(index.0, placement.granted);
                return Ok(Effect::Placed(port.clone(), placement));
            }
            Action::AttachEgress { port, .. } => {
                egress::attach(&mut self.egress, port, &self.pins.link(Hook::Egress, port))?;
            }
            Action::StandIn { port, .. } => stand_in::attach(&self.pins, port)?,
            Action::Relieve { port } => {
                let pin = self.pins.stand_in(port);
                stand_in::relieve(&pin).map_err(|source| DatapathError::Pin { path: pin, source })?;
            }
            Action::Advance { port } => {
                self.held.release(Hook::Egress, port);
                egress::advance(&self.egress, &self.pins, port)?;
            }
            Action::Refresh { hook, port } => self.refresh(*hook, port)?,
            Action::Load { port, index, program } => {
                let failed = |source| self.in_nic(port, source);
                let loaded = nic::put(&mut self.nic(), port, *index, program).map_err(failed)?;
                let last = self.counts.last(port);
                if loaded.is_ok() {
                    self.counts.begin(&self.pins, port, program);
                }
                return Ok(Effect::Loaded(port.clone(), loaded, last));
            }
            Action::Unload { port } => {
                self.nic().take_out(port).map_err(|source| self.in_nic(port, source))?;
                return Ok(Effect::Unloaded(port.clone(), self.counts.last(port)));
            }
            Action::Detach { hook, port } => self.detach(*hook, port)?,
        }
        Ok(Effect::Done)
    }

    fn is_undisturbed(&mut self) -> Result<bool, DatapathError> {
        self.held.put_back(&self.pins, &mut self.program, &mut self.egress)?;
        let links = egress::links(&self.pins, self.sent)?;
        Ok(links.values().all(|link| link.place == Precedence::First))
    }

    fn doubt(&mut self) {
        self.tables.doubt();
    }

    fn counters(&mut self, nics: &Choices) -> Result<Counters, DatapathError> {
        let counters = counters::read(self.tables.kernel())?;
        Ok(Counters { nics: self.counts.read(&self.pins, nics)?, ..counters })
    }
}

impl KernelDatapath {
    fn nic(&self) -> nic::Kernel<'_> {
        nic::Kernel { pins: &self.pins }
    }

    fn in_nic(&self, port: &PortName, source: io::Error) -> DatapathError {
        DatapathError::Pin { path: self.pins.nic(port), source }
    }

    fn insist(&self, port: &PortName, index: IfIndex, demand: &Demand) -> Result<(), DatapathError> {
        match self.modes.get(&index.0) {
            Some(mode) if demand.admits(*mode) => Ok(()),
            mode => {
                Err(DatapathError::Demand { port: port.clone(), demand: demand.clone(), mode: mode.copied() })
            }
        }
    }

    fn refresh(&self, hook: Hook, port: &PortName) -> Result<(), DatapathError> {
        let path = self.pins.link(hook, port);
        let failed = |source: io::Error| DatapathError::Pin { path: path.clone(), source };
        let link = bpf::open_pin(&path).map_err(failed)?;
        let program = match hook {
            Hook::Ingress => self.program.fd()?,
            Hook::Egress => self.egress.fd()?,
        };
        bpf::update_link(link.as_fd(), program.as_fd()).map_err(failed)?;
        self.leave_other_versions()
    }

    /// Tables of another ABI version are of no use once no link runs over them.
    fn leave_other_versions(&self) -> Result<(), DatapathError> {
        for (hook, lineage) in [(Hook::Ingress, self.received), (Hook::Egress, self.sent)] {
            for (_, link) in self.pins.pinned_links(hook)? {
                if link.info.ifindex != 0 && lineage.of(&link.info)? != Program::Current {
                    return Ok(());
                }
            }
        }
        Ok(self.pins.remove_other_versions()?)
    }

    fn detach(&mut self, hook: Hook, port: &PortName) -> Result<(), DatapathError> {
        self.held.release(hook, port);
        let path = self.pins.link(hook, port);
        let failed = |source: io::Error| DatapathError::Pin { path: path.clone(), source };
        let link = bpf::open_pin(&path).map_err(failed)?;
        if bpf::link_info(link.as_fd()).map_err(failed)?.ifindex != 0 {
            bpf::detach_link(link.as_fd()).map_err(failed)?;
        }
        std::fs::remove_file(&path).map_err(failed)
    }
}
