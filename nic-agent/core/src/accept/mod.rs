//! Whether an offered plan may replace the one in force.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use selvedge_abi::FailsafeKey;
use selvedge_hw_profiles::Profiles;
use selvedge_topology::names::{NodeName, PortName};
use selvedge_topology::plan::{Generation, Plan};

use crate::device::Grounds;
use crate::lower::{self, LowerError};
use crate::machine::{ForeignPrograms, Machine, XdpProgram};
use crate::place::{self, Terms, Unmet};
use crate::reconcile::{Attachment, Exchanges};

/// SHA-256 of a manifest: what a generation means for this node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the node has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The generation.
    pub generation: Generation,
    /// What it says.
    pub content: Content,
}

/// Whether it is known what the generation in force says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The plan on disk, of this manifest.
    Known(Digest),
    /// The maps were adopted and the plan on disk is lost: anything not older is news.
    Unknown,
}

/// What is offered.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The generation.
    pub generation: Generation,
    /// The manifest.
    pub digest: Digest,
    /// The plan it describes.
    pub plan: &'a Plan,
}

/// What an offer is held against.
#[derive(Clone, Copy, Debug)]
pub struct Here<'a> {
    /// The interfaces.
    pub machine: &'a Machine,
    /// The agent's own links.
    pub attachments: &'a BTreeMap<PortName, Attachment>,
    /// What is known of exchanging their programs for ones in other modes.
    pub exchanges: Exchanges<'a>,
    /// What to do about somebody else's programs.
    pub foreign: ForeignPrograms,
    /// What devices can do.
    pub profiles: &'a Profiles,
    /// Traffic that the node itself can't live without.
    pub failsafe: &'a BTreeSet<FailsafeKey>,
}

/// What comes of an offer that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It is what the node has already.
    Unchanged,
    /// It is to be put in force.
    New,
}

/// Why a plan is refused. The one in force stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// For another node.
    #[error("the plan is for node {plan}, this is {this}")]
    OtherNode {
        /// The plan's node.
        plan: NodeName,
        /// This one.
        this: NodeName,
    },
    /// From the past.
    #[error("generation {offered} is older than generation {in_force}, which is in force")]
    Older {
        /// What was offered.
        offered: Generation,
        /// What is in force.
        in_force: Generation,
    },
    /// One number, two meanings.
    #[error(
        "generation {generation} is in force with manifest {in_force}, and offered again with manifest {offered}"
    )]
    OtherContent {
        /// The number.
        generation: Generation,
        /// The manifest in force.
        in_force: Digest,
        /// The one offered.
        offered: Digest,
    },
    /// Ports of the plan that the machine has not.
    #[error("the machine has no interface {}", list(ports))]
    NoSuchPort {
        /// Which.
        ports: Vec<PortName>,
    },
    /// Somebody else's program is on a port of the plan.
    #[error(
        "port {port} already runs the XDP program {program} of somebody else; remove it, or start the agent with --replace-foreign"
    )]
    ForeignProgram {
        /// The port.
        port: PortName,
        /// The program.
        program: XdpProgram,
    },
    /// A port does not run as the plan demands, or would not.
    #[error(transparent)]
    Demand(#[from] Unmet),
    /// Larger than the tables, or it contradicts itself.
    #[error(transparent)]
    Plan(#[from] LowerError),
}

fn list(ports: &[PortName]) -> String {
    ports.iter().map(|port| format!("`{port}`")).collect::<Vec<_>>().join(", ")
}

/// Whether `offer` may be put in force on `node`, where `in_force` is what it has (if anything), as things are `here`.
pub fn accept(
    node: &NodeName,
    in_force: Option<InForce>,
    offer: Offer<'_>,
    here: Here<'_>,
) -> Result<Acceptance, Refusal> {
    if offer.plan.node != *node {
        return Err(Refusal::OtherNode { plan: offer.plan.node.clone(), this: node.clone() });
    }
    if let Some(in_force) = in_force
        && compare(in_force, offer)? == Acceptance::Unchanged
    {
        return Ok(Acceptance::Unchanged);
    }
    lower::check(offer.plan)?;
    let Here { machine, attachments, exchanges, foreign, profiles, failsafe } = here;
    check_ports(offer.plan, machine, foreign)?;
    let terms = Terms { profiles, demands: Some(&offer.plan.demands) };
    let grounds = Grounds { plan: offer.plan, terms, machine, failsafe };
    match place::unmet(grounds, &grounds.choices(None)?, attachments, exchanges) {
        Some(unmet) => Err(unmet.into()),
        None => Ok(Acceptance::New),
    }
}

fn compare(in_force: InForce, offer: Offer<'_>) -> Result<Acceptance, Refusal> {
    let generation = offer.generation;
    if generation < in_force.generation {
        return Err(Refusal::Older { offered: generation, in_force: in_force.generation });
    }
    match in_force.content {
        _ if generation > in_force.generation => Ok(Acceptance::New),
        Content::Unknown => Ok(Acceptance::New),
        Content::Known(digest) if digest == offer.digest => Ok(Acceptance::Unchanged),
        Content::Known(in_force) => {
            Err(Refusal::OtherContent { generation, in_force, offered: offer.digest })
        }
    }
}

fn check_ports(plan: &Plan, machine: &Machine, foreign: ForeignPrograms) -> Result<(), Refusal> {
    let missing: Vec<PortName> = plan
        .ports
        .iter()
        .filter(|port| machine.port(&port.name).is_none())
        .map(|port| port.name.clone())
        .collect();
    if !missing.is_empty() {
        return Err(Refusal::NoSuchPort { ports: missing });
    }
    if foreign == ForeignPrograms::Replace {
        return Ok(());
    }
    let found = plan.ports.iter().find_map(|port| {
        let program = machine.port(&port.name)?.foreign().next()?;
        Some(Refusal::ForeignProgram { port: port.name.clone(), program: program.clone() })
    });
    found.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
