//! What the engine says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use selvedge_abi::{ABI_VERSION, Revocations};
use selvedge_agent_core::place::Terms;
use selvedge_agent_core::prove::Coverage;
use selvedge_agent_core::{Attachment, Egress, Interface, Placement, Program, Proof, Support, place};
use selvedge_hw_profiles::Mode;
use selvedge_proto::{
    EgressReport, MAX_PAST, MAX_RULE_COUNTS, MAX_SERVICES, MAX_TEXT, Occupancy, PortReport, ProofReport,
    Refusal, Report, RevocationReport,
};
use selvedge_topology::model::{PortRole, RuleId};
use selvedge_topology::names::PortName;
use selvedge_topology::placement::{Nic, PortState};
use selvedge_topology::plan::Generation;

use super::Engine;
use crate::datapath::{Counted, Counters, Datapath, DatapathError};

/// How often an agent reports when nothing changes, and looks whether somebody else's program came before its own.
pub const REPORT_EVERY: Duration = Duration::from_secs(5);

/// What the tasks around the engine counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tallies {
    /// Connections that stay until they end, at the last sweep.
    pub connections: Occupancy,
    /// Those before that.
    pub half_open: Occupancy,
    /// Those of both that drain.
    pub draining: u64,
    /// Events read and not sent.
    pub events_lost: u64,
}

impl<D: Datapath> Engine<D> {
    /// What is in force, and why it is not more. Connections that were revoked since the last report are told to the log.
    pub fn report(&mut self, tallies: Tallies, time: SystemTime) -> Result<Report, DatapathError> {
        let Counters { reasons, rules, revocations, events_lost, nics } =
            self.datapath.counters(&self.nics)?;
        self.revoked.tell(&revocations);
        self.count_devices(nics, time);
        self.weigh(&rules, time);
        let in_force = self.observed.generation();
        Ok(Report {
            node: self.settings.node.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            abi_version: ABI_VERSION,
            wanted: self.wanted,
            in_force: (in_force.0 != 0).then_some(in_force),
            refusal: self.refusal(),
            proof: self.proof.clone().map(proof_report),
            ports: self.ports(),
            reasons: reasons.into_iter().map(|(reason, count)| (reason.name().to_owned(), count)).collect(),
            rules: busiest(rules, |count| count.packets),
            device_rules: busiest(self.devices.packets(), |packets| *packets),
            connections: tallies.connections,
            half_open: tallies.half_open,
            draining: tallies.draining,
            revocations: revocations.into_iter().map(revocation_report).collect(),
            events_lost: events_lost + tallies.events_lost,
            services: self.settings.services.iter().take(MAX_SERVICES).cloned().collect(),
            time,
        })
    }

    fn count_devices(&mut self, nics: BTreeMap<PortName, Counted>, now: SystemTime) {
        self.devices.add(nics);
        if let Some(plan) = self.plan() {
            let rules: BTreeSet<RuleId> = plan.rules.iter().map(|rule| rule.id).collect();
            self.devices.keep_rules(&rules);
        }
        if self.devices.is_due(now) {
            let saved = self.devices.save(&self.state, now);
            self.warn(saved);
        }
    }

    fn refusal(&self) -> Option<Refusal> {
        let failed = || {
            let generation =
                self.accepted.as_ref().map(|accepted| accepted.target.generation).or(self.wanted)?;
            Some(Refusal { generation, reason: cut(self.failure.clone()?) })
        };
        let refused = self.refused.as_ref();
        refused
            .map(|refused| Refusal { generation: refused.generation, reason: cut(refused.reason.clone()) })
            .or_else(failed)
    }

    fn ports(&self) -> Vec<PortReport> {
        let mut roles: BTreeMap<&PortName, PortRole> = BTreeMap::new();
        // Adopted without a plan, or shut before one.
        let unplanned = self.observed.attachments.keys().chain(&self.settings.fail_closed);
        roles.extend(unplanned.map(|port| (port, PortRole::Uplink)));
        roles
            .extend(self.plan().into_iter().flat_map(|plan| &plan.ports).map(|port| (&port.name, port.role)));
        roles.into_iter().map(|(name, role)| self.port(name, role)).collect()
    }

    fn port(&self, name: &PortName, role: PortRole) -> PortReport {
        let Some(interface) = self.observed.machine.port(name) else {
            let reason = "the machine has no interface of this name; its workloads stay shut".to_owned();
            let (requested, state) = (Mode::Native, PortState::Gone);
            let egress = EgressReport::Unenforced { reason: reason.clone() };
            let past = Vec::new();
            let (profile, nic) = (None, Nic::Unable);
            return PortReport {
                name: name.clone(),
                role,
                profile,
                requested,
                state,
                reason,
                egress,
                past,
                nic,
            };
        };
        let attachment =
            self.observed.attachments.get(name).filter(|found| found.index == Some(interface.index));
        let (requested, state, reason) = match attachment {
            Some(attachment) => {
                let Placement { requested, granted, reason } = self.placement(name, interface, attachment);
                let demand = self.terms().demand(name, interface);
                let reason = match demand.in_kernel().admits(granted) {
                    true => reason,
                    false => format!("{reason}; {demand} is demanded, and the port stays enforced as it is"),
                };
                let reason = match self.stays(name) {
                    None => reason,
                    Some(stays) => format!("{reason}; {stays}"),
                };
                (requested, self.judged(interface, attachment, granted), reason)
            }
            None => {
                let requested = place::choose(self.terms(), name, interface).first;
                let failure = self.failure.clone();
                (requested, PortState::Open, failure.unwrap_or_else(|| "not attached yet".to_owned()))
            }
        };
        let egress = self.egress(name, interface);
        let nic = self.nic(name, interface);
        let profile = self.terms().profile(interface).and_then(|name| name.parse().ok());
        let past = place::forwarded_past(self.terms(), name, interface);
        let past = past.into_iter().take(MAX_PAST).map(cut).collect();
        PortReport {
            name: name.clone(),
            role,
            profile,
            requested,
            state,
            reason: cut(reason),
            egress,
            past,
            nic,
        }
    }

    pub(super) fn terms(&self) -> Terms<'_> {
        Terms { profiles: &self.settings.profiles, demands: self.plan().map(|plan| &plan.demands) }
    }

    /// What becomes of packets at a port that has the program.
    fn judged(&self, interface: &Interface, attachment: &Attachment, mode: Mode) -> PortState {
        let tables = &self.observed.tables;
        let has_generation = match attachment.program {
            Program::Apart(_) => true,
            _ => tables.config.generation != 0 && tables.ports.contains_key(&interface.index),
        };
        if has_generation { PortState::Enforced(mode) } else { PortState::Shut(mode) }
    }

    fn egress(&self, name: &PortName, interface: &Interface) -> EgressReport {
        let Egress { support, .. } = &self.observed.egress;
        let reason = match support {
            Support::Tcx if self.observed.egress.is_on(name, interface.index) => {
                return EgressReport::Enforced;
            }
            Support::Tcx => self.failure.clone().unwrap_or_else(|| "not attached yet".to_owned()),
            Support::Missing { reason } => reason.clone(),
        };
        EgressReport::Unenforced { reason: cut(reason) }
    }

    /// The ledger's entry where it agrees with what is seen, else what can be said of what is seen.
    fn placement(&self, name: &PortName, interface: &Interface, attachment: &Attachment) -> Placement {
        let recorded = self.placements.get(name).filter(|placement| placement.granted == attachment.mode);
        let seen = || Placement::adopted(&place::choose(self.terms(), name, interface), attachment.mode);
        recorded.cloned().unwrap_or_else(seen)
    }
}

fn proof_report(proof: Proof) -> ProofReport {
    match proof {
        Proof::Proven(Coverage { of, classes, skipped, packets }) => {
            ProofReport::Proven { packets, classes, of, skipped }
        }
        Proof::Unproven { reason } => ProofReport::Unproven { reason: cut(reason) },
    }
}

fn revocation_report((generation, revocations): (Generation, Revocations)) -> RevocationReport {
    let Revocations { cut, draining } = revocations;
    RevocationReport { generation, cut, draining }
}

/// The rules with most packets, as many as a report takes, by number.
fn busiest<C>(rules: BTreeMap<RuleId, C>, packets: impl Fn(&C) -> u64) -> Vec<(RuleId, C)> {
    let mut rules: Vec<(RuleId, C)> = rules.into_iter().collect();
    if rules.len() > MAX_RULE_COUNTS {
        rules.sort_by_key(|(_, count)| std::cmp::Reverse(packets(count)));
        let kept: BTreeSet<RuleId> = rules[..MAX_RULE_COUNTS].iter().map(|(rule, _)| *rule).collect();
        rules.retain(|(rule, _)| kept.contains(rule));
        rules.sort_by_key(|(rule, _)| *rule);
    }
    rules
}

/// As much of a text as a report takes.
pub(super) fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use selvedge_proto::Count;

    use super::*;

    #[test]
    fn a_report_names_the_busiest_rules_in_order() {
        let count = |packets| Count { packets, bytes: 0 };
        let many = (0..=MAX_RULE_COUNTS as u32).map(|id| (RuleId(id), count(if id == 3 { 0 } else { 1 })));
        let kept = busiest(many.collect(), |count| count.packets);
        assert_eq!(kept.len(), MAX_RULE_COUNTS);
        assert!(kept.iter().all(|(rule, _)| *rule != RuleId(3)));
        assert!(kept.is_sorted_by_key(|(rule, _)| *rule));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("short".to_owned()), "short");
        assert_eq!(cut(format!("x{}", "ä".repeat(MAX_TEXT))).len(), MAX_TEXT - 1);
    }
}
