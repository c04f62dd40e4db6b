//! From what is observed to what is wanted: a list of actions, to be executed in order.
//!
//! Traffic is never judged by half a generation, whichever action is the last that happens:
//! 1. **protect**: new ports get the programs, and are judged by the generation in force, or shut where there is none; failsafe
//!    flows that are new are passed; ports whose program should run in another mode get it in that one, behind a stand-in (`exchange`);
//! 2. **fill**: the slot that is not in use is written, and counters are made;
//! 3. **insist** and **prove**: ports run in the modes that are demanded, packets of every class are judged by that slot, and all
//!    that follows waits for it;
//! 4. **switch**: one write of the configuration puts that slot in use. A port whose role changes is shut around it,
//!    because its role is not part of a slot;
//! 5. **take over**: links that run over other tables get the programs over these (`take_over`);
//! 6. **clean**: failsafe flows that nobody wants any more are judged again, and what only the old generation used goes, ports that
//!    are no longer enforced at the very last.
//!
//! NICs are relaxed before the first of these that passes more, and tightened after the last that passes less, so that none drops
//! what the program in the kernel would pass.
//!
//! Reconciling again after any prefix of the list leads to the same end; after all of it, to no action.

mod action;
mod diff;
mod egress;
mod exchange;
mod nic;
mod take_over;

use std::collections::{BTreeMap, BTreeSet};

use selvedge_abi::{Config, FailsafeKey, PortEntry, PortRole, Reason, ReasonKey};
use selvedge_hw_profiles::{Demand, Mode, Profiles};
use selvedge_topology::model::RuleId;
use selvedge_topology::names::PortName;
use selvedge_topology::plan::{Generation, Plan};

pub use action::{Action, Entry, Key};
pub use diff::differences;
pub use egress::{Egress, EgressLink, Hook, Precedence, Support};
pub use exchange::{Exchanges, StandIn};

use self::nic::Nics;
use crate::device::{Choices, NicLink, ProgramName};
use crate::lower::{self, LowerError, Lowered};
use crate::machine::{ForeignPrograms, IfIndex, Machine};
use crate::place::{self, Refused, Terms};
use crate::prove;
use crate::standing::Standing;
use crate::tables::{Slot, Tables};

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Desired<'a> {
    /// The accepted plan and its generation; none yet means that what is in force stays as it is.
    pub plan: Option<(&'a Plan, Generation)>,
    /// Ports to enforce at whether a plan names them or not; as uplinks where none ever did.
    pub fail_closed: &'a BTreeSet<PortName>,
    /// Traffic that the node itself can't live without.
    pub failsafe: &'a BTreeSet<FailsafeKey>,
    /// What to do about somebody else's programs.
    pub foreign: ForeignPrograms,
    /// What the drivers can do.
    pub profiles: &'a Profiles,
    /// What becomes of the NICs of the plan's ports.
    pub nics: &'a Choices,
    /// The plan of the generation in force, where that is another and still known.
    pub before: Option<&'a Plan>,
    /// Programs that NICs refused, not to be tried again yet.
    pub held_back: &'a BTreeMap<PortName, ProgramName>,
    /// Modes that the kernel refused, not to be tried again yet.
    pub refused_modes: &'a BTreeMap<PortName, Refused>,
    /// What of the tables may be other than the plan says.
    pub standing: &'a Standing,
}

impl Desired<'_> {
    fn terms(&self) -> Terms<'_> {
        Terms { profiles: self.profiles, demands: self.plan.map(|(plan, _)| &plan.demands) }
    }
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Interfaces and the programs on them.
    pub machine: Machine,
    /// The maps.
    pub tables: Tables,
    /// The agent's own XDP links, by the port they were made for.
    pub attachments: BTreeMap<PortName, Attachment>,
    /// The links by which what the node itself sends is judged.
    pub egress: Egress,
    /// The links by which programs are in NICs.
    pub nics: BTreeMap<PortName, NicLink>,
    /// The links by which ports are judged while their programs are exchanged.
    pub stand_ins: BTreeMap<PortName, StandIn>,
    /// Where what is said of the maps is from.
    pub source: Source,
}

/// Where it is from what is said of the maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// They were read just now.
    #[default]
    Read,
    /// It is what was there when they were read, and what actions made of it since.
    Kept,
}

/// An XDP link of the agent's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The interface it is on; `None` when that interface is gone, and the link with it but for its pin.
    pub index: Option<IfIndex>,
    /// The mode it runs in.
    pub mode: Mode,
    /// Which program it runs.
    pub program: Program,
}

/// Which program a link runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The one this agent carries.
    Current,
    /// Another, of an agent before it, over the same tables or over others that hold no generation.
    Outdated,
    /// One over other tables, which hold this generation: they are of another ABI version, or have lost their pins.
    Apart(Generation),
}

impl Observed {
    /// Whether the agent's program is on `port` as the interface it is now.
    fn has(&self, port: &PortName, index: IfIndex) -> bool {
        self.attachments.get(port).is_some_and(|attachment| attachment.index == Some(index))
    }
}

/// The actions that lead from `observed` to `desired`.
pub fn reconcile(desired: Desired<'_>, observed: &Observed) -> Result<Vec<Action>, LowerError> {
    let ports = wanted_ports(desired, observed);
    let mut nics = Nics::new(desired, observed, &ports);
    let mut actions = Vec::new();
    let_failsafe_through(desired, observed, &mut nics, &mut actions);
    protect(desired, observed, &ports, &mut actions);
    if let Some((plan, generation)) = desired.plan {
        let half = half(plan, observed, desired.standing)?;
        let rules = lower::rules(plan);
        create_rule_counters(&observed.tables, &rules, &mut actions);
        count_revocations(&observed.tables, generation, &mut actions);
        diff::fill(&half.lowered.found, &half.lowered.wanted, &mut actions);
        let config = lower::config(plan, generation, half.slot);
        if observed.tables.config != config {
            let touched = desired.standing.touched(half.slot);
            let trial = prove::trial(plan, &observed.machine, generation, half.slot, (touched, prove::LIMIT));
            insist(desired, &observed.machine, &ports, &mut actions);
            actions.push(Action::Prove(trial.into()));
        }
        if observed.tables.config != config {
            nics.relax_for_switch(&mut actions);
        }
        switch(observed, config, &ports, &mut actions);
        take_over::take_over(desired, observed, &ports, generation, &mut actions);
        let stale = observed.tables.failsafe.difference(desired.failsafe);
        actions.extend(stale.map(|key| Action::Delete(Key::Failsafe(*key))));
        nics.tighten(&mut actions);
        clean(desired, observed, &ports, &rules, &mut actions);
    } else {
        let holds = Generation(observed.tables.config.generation);
        take_over::take_over(desired, observed, &ports, holds, &mut actions);
    }
    Ok(actions)
}

/// A port to enforce at that the machine has.
#[derive(Clone, Copy)]
struct WantedPort {
    index: IfIndex,
    entry: PortEntry,
}

type WantedPorts = BTreeMap<PortName, WantedPort>;

fn wanted_ports(desired: Desired<'_>, observed: &Observed) -> WantedPorts {
    let Observed { machine, tables, .. } = observed;
    let unplanned = desired.fail_closed.iter().filter_map(|name| {
        let index = machine.port(name)?.index;
        let entry = tables.ports.get(&index).copied().unwrap_or(lower::port_entry(PortRole::Uplink));
        Some((name.clone(), WantedPort { index, entry }))
    });
    let mut wanted: WantedPorts = unplanned.collect();
    if let Some((plan, _)) = desired.plan {
        let planned = lower::ports(plan, machine);
        wanted.extend(planned.into_iter().map(|(name, (index, entry))| (name, WantedPort { index, entry })));
    }
    wanted
}

/// The slot to use and what it must hold. The slot in use stays where it says all of it already, so that a generation that
/// changes nothing for this node is one write.
struct Half<'a> {
    slot: Slot,
    lowered: Lowered<'a>,
}

fn half<'a>(plan: &Plan, observed: &'a Observed, standing: &Standing) -> Result<Half<'a>, LowerError> {
    let Observed { machine, tables, .. } = observed;
    let lower = |slot| {
        let lowered = lower::lower_touched(plan, machine, slot, tables.slot(slot), standing.touched(slot))?;
        Ok(Half { slot, lowered })
    };
    let active = Slot::in_use(&tables.config);
    // Of a half that was proven to hold something else it need not be found out.
    if !standing.touched(active).is_something() {
        let stays: Half<'_> = lower(active)?;
        if stays.lowered.wanted == *stays.lowered.found {
            return Ok(stays);
        }
    }
    lower(active.other())
}

/// NICs know failsafe flows by the programs in them, so those give way first.
fn let_failsafe_through(
    desired: Desired<'_>,
    observed: &Observed,
    nics: &mut Nics<'_>,
    actions: &mut Vec<Action>,
) {
    let new: Vec<_> = desired.failsafe.difference(&observed.tables.failsafe).collect();
    if !new.is_empty() {
        nics.relax_for_failsafe(actions);
    }
    actions.extend(new.into_iter().map(|key| Action::Put(Entry::Failsafe(*key))));
}

/// New ports get the programs. Their entry comes first, so that what the node itself lives by passes from the first packet.
fn protect(desired: Desired<'_>, observed: &Observed, ports: &WantedPorts, actions: &mut Vec<Action>) {
    for (port, attachment) in &observed.attachments {
        if attachment.program == Program::Outdated && attachment.index.is_some() {
            actions.push(Action::Refresh { hook: Hook::Ingress, port: port.clone() });
        }
    }
    egress::renew(observed, actions);
    for (port, wanted) in ports {
        let missing = reasons(wanted.index).filter(|key| !observed.tables.reason_counters.contains(key));
        actions.extend(missing.map(|key| Action::Put(Entry::ReasonCounter(key))));
        if !observed.has(port, wanted.index) {
            if observed.attachments.contains_key(port) {
                // The port was deleted and made again: the link died with it.
                actions.push(Action::Detach { hook: Hook::Ingress, port: port.clone() });
            }
            if observed.tables.ports.get(&wanted.index) != Some(&wanted.entry) {
                actions.push(Action::Put(Entry::Port(wanted.index, wanted.entry)));
            }
            actions.extend(attach(desired, &observed.machine, port));
        }
        // What judges by other tables goes on until these hold as much.
        if !observed.is_apart(port) {
            exchange::exchange(desired, observed, port, wanted.index, actions);
            egress::attach(observed, port, wanted.index, actions);
        }
    }
}

fn attach(desired: Desired<'_>, machine: &Machine, port: &PortName) -> Option<Action> {
    let interface = machine.port(port)?;
    let displace = match desired.foreign {
        ForeignPrograms::Refuse => Vec::new(),
        ForeignPrograms::Replace => interface.foreign().cloned().collect(),
    };
    let choice = place::choose(desired.terms(), port, interface);
    Some(Action::Attach { port: port.clone(), index: interface.index, choice, displace })
}

/// What is demanded of modes is known to be so only when the kernel has granted them.
fn insist(desired: Desired<'_>, machine: &Machine, ports: &WantedPorts, actions: &mut Vec<Action>) {
    let terms = desired.terms();
    let insist = ports.iter().filter_map(|(port, wanted)| {
        let demand = terms.demand(port, machine.port(port)?).in_kernel();
        let (port, index) = (port.clone(), wanted.index);
        (demand != Demand::default()).then_some(Action::Insist { port, index, demand })
    });
    actions.extend(insist);
}

fn reasons(index: IfIndex) -> impl Iterator<Item = ReasonKey> {
    Reason::ALL.iter().map(move |reason| ReasonKey { ifindex: index.0, reason: *reason as u32 })
}

fn create_rule_counters(tables: &Tables, rules: &BTreeSet<RuleId>, actions: &mut Vec<Action>) {
    actions
        .extend(rules.difference(&tables.rule_counters).map(|rule| Action::Put(Entry::RuleCounter(*rule))));
}

/// Generations of which it is still told how many connections they revoked.
const TOLD_GENERATIONS: usize = 8;

/// Makes the generation's counter of revoked connections, in the place of the oldest one where there are enough.
fn count_revocations(tables: &Tables, generation: Generation, actions: &mut Vec<Action>) {
    if tables.revocations.contains(&generation) {
        return;
    }
    let too_many = (tables.revocations.len() + 1).saturating_sub(TOLD_GENERATIONS);
    let oldest = tables.revocations.iter().take(too_many);
    actions.extend(oldest.map(|oldest| Action::Delete(Key::Revocations(*oldest))));
    actions.push(Action::Put(Entry::Revocations(generation)));
}

fn switch(observed: &Observed, config: Config, ports: &WantedPorts, actions: &mut Vec<Action>) {
    let tables = &observed.tables;
    // Ports that were not attached got their entry when they were protected.
    let attached =
        ports.iter().filter(|(port, wanted)| observed.has(port, wanted.index)).map(|(_, wanted)| wanted);
    let changing: Vec<&WantedPort> =
        attached.filter(|wanted| tables.ports.get(&wanted.index) != Some(&wanted.entry)).collect();
    let shut = changing.iter().filter(|wanted| tables.ports.contains_key(&wanted.index));
    actions.extend(shut.map(|wanted| Action::Delete(Key::Port(wanted.index))));
    if tables.config != config {
        actions.push(Action::Switch(config));
    }
    actions.extend(changing.iter().map(|wanted| Action::Put(Entry::Port(wanted.index, wanted.entry))));
}

fn clean(
    desired: Desired<'_>,
    observed: &Observed,
    ports: &WantedPorts,
    rules: &BTreeSet<RuleId>,
    actions: &mut Vec<Action>,
) {
    let Observed { machine: _, tables, attachments, egress, nics: _, stand_ins, source: _ } = observed;
    let mut delete = |key: Key| actions.push(Action::Delete(key));
    tables.rule_counters.difference(rules).for_each(|rule| delete(Key::RuleCounter(*rule)));

    let planned: BTreeSet<&PortName> =
        desired.plan.iter().flat_map(|(plan, _)| &plan.ports).map(|port| &port.name).collect();
    let is_unwanted = |port: &PortName, index: Option<IfIndex>| {
        let named = planned.contains(port) || desired.fail_closed.contains(port);
        // The pin of a link that died with its interface holds nothing.
        !named || (index.is_none() && !ports.contains_key(port))
    };
    let received = attachments.iter().map(|(port, attachment)| (Hook::Ingress, port, attachment.index));
    let sent = egress.links.iter().map(|(port, link)| (Hook::Egress, port, link.index));
    for (hook, port, index) in sent.chain(received) {
        if is_unwanted(port, index) {
            actions.push(Action::Detach { hook, port: port.clone() });
        }
    }
    let unwanted = stand_ins.iter().filter(|(port, stand_in)| is_unwanted(port, stand_in.index));
    actions.extend(unwanted.map(|(port, _)| Action::Relieve { port: port.clone() }));

    let used: BTreeSet<IfIndex> = ports.values().map(|wanted| wanted.index).collect();
    let stale_ports = tables.ports.keys().filter(|index| !used.contains(index));
    actions.extend(stale_ports.map(|index| Action::Delete(Key::Port(*index))));
    let stale_reasons = tables.reason_counters.iter().filter(|key| !used.contains(&IfIndex(key.ifindex)));
    actions.extend(stale_reasons.map(|key| Action::Delete(Key::ReasonCounter(*key))));
}

#[cfg(test)]
mod tests;
