//! The data path: what the agent asks of it, and the kernel's.

mod arrays;
mod attach;
mod counters;
mod egress;
mod held;
mod inspect;
mod kernel;
mod known;
mod lineage;
mod nic;
mod observe;
mod pins;
mod plain;
mod programs;
mod prove;
mod rules;
mod shapes;
mod stand_in;
mod sweep;
mod tables;

use std::collections::BTreeMap;

use selvedge_abi::{Reason, Revocations};
use selvedge_agent_core::device::Reading;
use selvedge_agent_core::{Action, Choices, Observed, Placement, Proof};
use selvedge_topology::model::RuleId;
use selvedge_topology::names::PortName;
use selvedge_topology::plan::Generation;

pub use inspect::{PinnedPort, PinnedState, PlainLink};
pub use kernel::{DatapathError, KernelDatapath, Sizes};
pub use nic::NicRefusal;
pub use pins::{DetachedPort, PinError, PinLock, Pins, Was};
pub(crate) use sweep::monotonic;
pub use sweep::{Sweep, Sweeper, Swept};

use crate::machine::RawInterface;
use selvedge_proto::Count;

/// What the engine needs of a data path. The kernel's is [`KernelDatapath`]; tests put faults in between.
pub trait Datapath {
    /// Everything that actions can change, and the machine it is on.
    fn observe(&mut self, interfaces: &[RawInterface]) -> Result<Observed, DatapathError>;

    /// Forgets what is known of the tables without reading them: the next look reads all of them.
    fn doubt(&mut self);

    /// Whether that of which nothing tells is as it was: the agent's program is the first to judge what is sent, at every port that has
    /// it. Pins that are not where they belong are put back.
    fn is_undisturbed(&mut self) -> Result<bool, DatapathError>;

    /// Executes one action.
    fn execute(&mut self, action: &Action) -> Result<Effect, DatapathError>;

    /// Packets by reason and rule, and events that found the ring full. `nics` says where the programs in NICs count.
    fn counters(&mut self, nics: &Choices) -> Result<Counters, DatapathError>;
}

/// What an action did that the action itself does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing more.
    Done,
    /// A port is attached: in which mode, and why.
    Placed(PortName, Placement),
    /// A slot was tried and nothing was found wrong.
    Proved(Proof),
    /// A NIC got a program, or refused it and has none.
    Loaded(PortName, Result<(), NicRefusal>, Last),
    /// The program of a NIC was taken out.
    Unloaded(PortName, Last),
}

/// What a program that is no longer in a NIC has counted in all; none where there was none, or where it counts was not known.
pub type Last = Option<Result<Reading, String>>;

/// The program in a NIC, and what it has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The kernel's number of the program.
    pub program: u32,
    /// What it has counted, or why that can't be read.
    pub reading: Result<Reading, String>,
}

/// Sums over all CPUs and ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets by reason.
    pub reasons: BTreeMap<Reason, Count>,
    /// Packets by rule.
    pub rules: BTreeMap<RuleId, Count>,
    /// Connections that the latest generations revoked.
    pub revocations: BTreeMap<Generation, Revocations>,
    /// Events that found the ring full.
    pub events_lost: u64,
    /// What programs in NICs counted, by port.
    pub nics: BTreeMap<PortName, Counted>,
}
