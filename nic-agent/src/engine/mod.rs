//! The loop of observing, deciding and executing, around one data path.

mod devices;
mod error;
mod modes;
mod nics;
mod report;
mod revoked;
mod worth;

pub use error::EngineError;
pub use report::{REPORT_EVERY, Tallies};

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use selvedge_abi::FailsafeKey;
use selvedge_agent_core::device::Worth;
use selvedge_agent_core::{
    Acceptance, Action, Choices, Content, Desired, Exchanges, ForeignPrograms, Here, InForce, Observed,
    Offer, Placement, Proof, Refusal, Slot, Source, Standing, accept, failsafe, reconcile,
};
use selvedge_hw_profiles::{Demand, Profiles};
use selvedge_proto::Target;
use selvedge_topology::failsafe::Service;
use selvedge_topology::names::{NodeName, PortName};
use selvedge_topology::plan::{Generation, Plan};

use crate::datapath::{Datapath, DatapathError, Effect, Last};
use crate::machine::RawInterface;
use crate::store::{Fetched, StateDir, StateError};
use crate::sys;

/// What the user decided.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The node.
    pub node: NodeName,
    /// Ports to shut before any plan.
    pub fail_closed: BTreeSet<PortName>,
    /// What the node itself can't live without.
    pub services: Vec<Service>,
    /// What to do about somebody else's programs.
    pub foreign: ForeignPrograms,
    /// What devices can do.
    pub profiles: Profiles,
}

/// What converging did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All was as it should be.
    Settled,
    /// All is as it should be, and was not.
    Executed,
}

/// Why an offered generation is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refused {
    generation: Generation,
    reason: String,
}

/// The agent without its sockets.
pub struct Engine<D> {
    settings: Settings,
    /// Entries for the services of the settings.
    failsafe: BTreeSet<FailsafeKey>,
    datapath: D,
    state: StateDir,
    accepted: Option<Fetched>,
    offered: Option<Fetched>,
    wanted: Option<Generation>,
    refused: Option<Refused>,
    failure: Option<String>,
    placements: BTreeMap<PortName, Placement>,
    /// Modes that the kernel refused.
    refused_modes: modes::Refusals,
    /// What is known of the slot in force: nothing after a restart, until the next switch.
    proof: Option<Proof>,
    observed: Observed,
    /// What of the tables may be other than the accepted plan says.
    standing: Standing,
    /// What the log has of revoked connections.
    revoked: revoked::Told,
    /// What becomes of NICs.
    nics: Choices,
    /// What NICs refused, and why.
    refused_by_nics: BTreeMap<PortName, nics::Refused>,
    /// The plan that was accepted before, where it was in force then.
    before: Option<(Generation, Plan)>,
    /// What NICs dropped.
    devices: devices::Devices,
    /// By which counts programs are made for NICs that do not hold all drops.
    worth: Worth,
    /// Whether those are others than when NICs were last looked at.
    outdone: bool,
}

impl<D: Datapath> Engine<D> {
    /// An engine that starts from what the disk has.
    pub fn new(settings: Settings, datapath: D, state: StateDir) -> Self {
        let accepted = state.load().unwrap_or_else(|error| {
            tracing::warn!(%error, "the last accepted plan can't be read; what is in force stays");
            None
        });
        let placements = state.load_placements();
        let devices = devices::Devices::load(&state, sys::boot());
        let worth = Worth::taken_up(state.load_hits());
        Self {
            failsafe: failsafe::entries(&settings.services),
            settings,
            datapath,
            state,
            accepted,
            offered: None,
            wanted: None,
            refused: None,
            failure: None,
            refused_modes: modes::Refusals::of_before(&placements),
            placements,
            proof: None,
            observed: Observed::default(),
            standing: Standing::default(),
            revoked: revoked::Told::default(),
            nics: Choices::new(),
            refused_by_nics: BTreeMap::new(),
            before: None,
            devices,
            worth,
            outdone: false,
        }
    }

    /// Takes note of a plan to consider; [`Self::converge`] considers it.
    pub fn offer(&mut self, fetched: Fetched) {
        self.wanted = Some(fetched.target.generation);
        self.offered = Some(fetched);
    }

    /// Takes note of a target whose plan can't be had.
    pub fn unfetchable(&mut self, target: Target, reason: String) {
        (self.wanted, self.offered) = (Some(target.generation), None);
        self.refused = Some(Refused { generation: target.generation, reason });
    }

    /// Takes note that what should be a target is none, or somebody else's. What is wanted, offered and in force stays.
    pub fn unreadable(&mut self, reason: String) {
        let generation = self.wanted.unwrap_or(Generation(0));
        self.refused = Some(Refused { generation, reason });
    }

    /// Takes note that nobody wants anything of the node. What is in force stays.
    pub fn no_target(&mut self) {
        (self.wanted, self.offered, self.refused) = (None, None, None);
    }

    /// The plan in force, or about to be.
    pub fn plan(&self) -> Option<&Plan> {
        self.accepted.as_ref().map(|accepted| &accepted.plan)
    }

    /// What was last observed.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// The data path, for what is no decision of the engine.
    pub fn datapath(&mut self) -> &mut D {
        &mut self.datapath
    }

    /// What devices can do.
    pub fn profiles(&self) -> &Profiles {
        &self.settings.profiles
    }

    /// What is demanded of an interface that a plan, offered or accepted, or the user names as a port, and that has no program yet.
    pub fn about_to_attach(&self, interface: &RawInterface) -> Option<Demand> {
        let offered = self.offered.as_ref().map(|offered| &offered.plan);
        let plan = offered.or(self.plan());
        let planned = plan.into_iter().flat_map(|plan| &plan.ports).map(|port| &port.name);
        let port = planned.chain(&self.settings.fail_closed).find(|port| port.as_str() == interface.name)?;
        let attached =
            self.observed.attachments.get(port).is_some_and(|it| it.index == Some(interface.index));
        if attached {
            return None;
        }
        let profile = self.settings.profiles.of(&interface.seen).map(|it| it.entry.profile.name.as_str());
        Some(plan.map(|plan| plan.demands.of(port, profile)).unwrap_or_default())
    }

    /// Observes, considers what is offered, and executes what follows. An error leaves a state that may last. Whatever comes of
    /// it, where anything was executed the machine is another: [`Self::observe`] it again.
    pub fn converge(&mut self, interfaces: &[RawInterface]) -> Result<Progress, EngineError> {
        let result = self.try_converge(interfaces);
        self.failure = result.as_ref().err().map(ToString::to_string);
        result
    }

    fn try_converge(&mut self, interfaces: &[RawInterface]) -> Result<Progress, EngineError> {
        self.observe(interfaces)?;
        self.refused_modes.look(&self.observed);
        self.forget_what_the_maps_outran();
        self.consider();
        if let Some(Fetched { plan, .. }) = &self.accepted {
            self.standing.look(plan, &self.observed.machine);
        }
        (self.nics, self.outdone) = (self.choose_nics()?, false);
        let in_force = Generation(self.observed.tables.config.generation);
        let before = self.before.as_ref().filter(|(generation, _)| *generation == in_force);
        let (held_back, refused_modes) = (self.held_back(), self.refused_modes.not_due());
        let desired = Desired {
            plan: self.accepted.as_ref().map(|accepted| (&accepted.plan, accepted.target.generation)),
            fail_closed: &self.settings.fail_closed,
            failsafe: &self.failsafe,
            foreign: self.settings.foreign,
            profiles: &self.settings.profiles,
            nics: &self.nics,
            before: before.map(|(_, plan)| plan),
            held_back: &held_back,
            refused_modes: &refused_modes,
            standing: &self.standing,
        };
        let actions = reconcile(desired, &self.observed)?;
        if actions.is_empty() {
            return Ok(Progress::Settled);
        }
        // Whoever knows what is in the tables changes it where it is, unless somebody else looks at it.
        self.observed.tables.slots = Default::default();
        let executed = self.execute(&actions);
        if executed.is_err() {
            self.standing.forget();
        }
        executed.map(|()| Progress::Executed)
    }

    /// Looks at the data path and the machine.
    pub fn observe(&mut self, interfaces: &[RawInterface]) -> Result<(), EngineError> {
        self.observed =
            self.datapath.observe(interfaces).map_err(|error| EngineError::Observe(error.into()))?;
        if self.observed.source == Source::Read {
            self.standing.forget();
        }
        Ok(())
    }

    fn execute(&mut self, actions: &[Action]) -> Result<(), EngineError> {
        tracing::debug!(actions = actions.len(), "executing");
        for action in actions {
            let failed = |error: DatapathError| EngineError::Execute {
                action: action.to_string(),
                source: error.into(),
            };
            match action {
                Action::Put(_) | Action::Delete(_) => {}
                notable => tracing::info!("{notable}"),
            }
            let begun = Instant::now();
            let executed = self.datapath.execute(action);
            if let (Action::StandIn { port, .. }, Err(error)) = (action, &executed) {
                self.keep_mode(port, error);
            }
            match executed.map_err(failed)? {
                Effect::Done => {
                    if let Action::Switch(config) = action {
                        self.standing.proven(Slot::in_use(config));
                    }
                }
                Effect::Placed(port, placement) => self.place(port, placement),
                Effect::Proved(proof) => self.proved(proof, begun.elapsed()),
                Effect::Loaded(port, loaded, last) => {
                    self.exchanged(&port, last);
                    self.loaded(port, loaded);
                }
                Effect::Unloaded(port, last) => self.exchanged(&port, last),
            }
        }
        Ok(())
    }

    fn proved(&mut self, proof: Proof, took: Duration) {
        match &proof {
            Proof::Proven(coverage) => {
                tracing::info!(took_ms = took.as_millis() as u64, "proven by {coverage}");
            }
            Proof::Unproven { reason } => tracing::warn!(
                reason,
                "this kernel can't try a slot before it is used; the plan is enforced unproven"
            ),
        }
        self.proof = Some(proof);
    }

    fn place(&mut self, port: PortName, placement: Placement) {
        self.refused_modes.note(&port, &placement, &self.observed);
        let before = self.placements.get(&port);
        let Placement { requested, granted, reason } = &placement;
        if requested > granted && before == Some(&placement) {
            tracing::debug!(%port, %requested, %granted, reason, "refused as before");
        } else if before.is_some_and(|before| before.granted > *granted) {
            tracing::warn!(%port, mode = %granted, reason, "attached in a lesser mode than before");
        } else if requested == granted {
            tracing::info!(%port, mode = %granted, reason, "attached");
        } else {
            tracing::warn!(%port, %requested, %granted, reason, "attached in a lesser mode");
        }
        self.placements.insert(port, placement);
        self.warn(self.state.save_placements(&self.placements));
    }

    /// What a program in a NIC counted goes with it.
    fn exchanged(&mut self, port: &PortName, last: Last) {
        self.devices.close(port, last);
        let saved = self.devices.save(&self.state, SystemTime::now());
        self.warn(saved);
    }

    fn warn(&self, result: Result<(), StateError>) {
        if let Err(error) = result {
            tracing::warn!(%error, "enforcement goes on, but the state on disk is behind");
        }
    }

    /// A state directory older than the maps (restored, or another one) never takes the node back.
    fn forget_what_the_maps_outran(&mut self) {
        let in_maps = self.observed.generation();
        if let Some(accepted) = self.accepted.take_if(|accepted| accepted.target.generation < in_maps) {
            let on_disk = accepted.target.generation;
            tracing::warn!(%on_disk, in_force = %in_maps, "the plan on disk is older than what is in force; it is left aside");
        }
    }

    fn in_force(&self) -> Option<InForce> {
        let generation = self.observed.generation();
        match &self.accepted {
            Some(accepted) => {
                let content = Content::Known(accepted.digest());
                Some(InForce { generation: accepted.target.generation, content })
            }
            None => (generation.0 != 0).then_some(InForce { generation, content: Content::Unknown }),
        }
    }

    fn consider(&mut self) {
        let Some(fetched) = self.offered.take() else { return };
        let generation = fetched.target.generation;
        let offer = Offer { generation, digest: fetched.digest(), plan: &fetched.plan };
        let refused = self.refused_modes.all();
        let here = Here {
            machine: &self.observed.machine,
            attachments: &self.observed.attachments,
            exchanges: Exchanges { support: &self.observed.egress.support, refused: &refused },
            foreign: self.settings.foreign,
            profiles: &self.settings.profiles,
            failsafe: &self.failsafe,
        };
        match accept(&self.settings.node, self.in_force(), offer, here) {
            Ok(Acceptance::Unchanged) => self.refused = None,
            Ok(Acceptance::New) => {
                tracing::info!(%generation, "accepted");
                self.warn(self.state.save(&fetched));
                match &self.accepted {
                    Some(before) => self.standing.wanted(&before.plan, &fetched.plan),
                    None => self.standing.forget(),
                }
                self.leave_behind();
                self.accepted = Some(fetched);
                self.refused = None;
            }
            Err(refusal) => self.refuse(fetched, &refusal),
        }
    }

    /// The offer is kept: a port may appear, a foreign program go.
    fn refuse(&mut self, fetched: Fetched, refusal: &Refusal) {
        let refused = Refused { generation: fetched.target.generation, reason: refusal.to_string() };
        if self.refused.as_ref() != Some(&refused) {
            tracing::warn!(generation = %refused.generation, reason = refused.reason, "refused; what is in force stays");
        }
        self.refused = Some(refused);
        self.offered = Some(fetched);
    }
}

#[cfg(test)]
mod tests;
