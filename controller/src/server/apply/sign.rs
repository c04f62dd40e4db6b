//! From plans to a generation that nodes believe: signed here, or held against what an operator signed elsewhere.

use std::collections::BTreeMap;
use std::time::SystemTime;

use selvedge_proto::{Digest, GenerationRecord, Signature, Summary, Target, TargetList};
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::Generation;
use selvedge_trust::Anchor;

use super::Current;
use super::desk::{Draft, Outcome};
use super::error::{ApplyError, Discrepancy};
use crate::server::Authority;
use crate::state::{Proposal, ProposalError, targets};
use crate::store::{Novelty, Publication};

/// A generation as an operator signed it.
#[derive(Clone, Debug)]
pub(in crate::server) struct Signed {
    pub(in crate::server) generation: Generation,
    pub(in crate::server) created: SystemTime,
    pub(in crate::server) targets: TargetList,
    pub(in crate::server) signature: Signature,
}

/// What is to be the next generation.
pub(super) struct Next<'a> {
    pub(super) before: Option<&'a Current>,
    pub(super) generation: Generation,
    pub(super) summary: Summary,
    pub(super) draft: &'a Draft,
}

impl Next<'_> {
    /// All targets, and what has to be written so that they are in force.
    pub(super) fn signed_by(
        self,
        authority: &Authority,
        signed: Option<Signed>,
    ) -> Result<(TargetList, Publication), ApplyError> {
        match (authority, signed) {
            (Authority::Operator(anchor), Some(signed)) => self.signed_elsewhere(anchor, signed),
            (Authority::Operator(_), None) => Err(ApplyError::SignatureNeeded),
            (Authority::Nobody | Authority::Controller { .. }, Some(_)) => Err(ApplyError::SignatureUnasked),
            (Authority::Nobody | Authority::Controller { .. }, None) => self.signed_here(authority),
        }
    }

    fn signed_here(self, authority: &Authority) -> Result<(TargetList, Publication), ApplyError> {
        let sign = |node: &NodeName, target: &Target| authority.sign_target(node, target);
        let all = targets(self.old(), &self.draft.outcome.proposal.plans, self.generation, sign);
        self.publication(SystemTime::now(), all, |record| authority.sign_record(record))
    }

    /// Believes nothing that is not what this controller compiled, under the operator's signature.
    fn signed_elsewhere(
        self,
        anchor: &Anchor,
        signed: Signed,
    ) -> Result<(TargetList, Publication), ApplyError> {
        let Signed { generation, created, targets, signature } = signed;
        if generation != self.generation {
            return Err(Discrepancy::Generation { signed: generation, next: self.generation }.into());
        }
        self.check_targets(anchor, &targets)?;
        let (all, publication) = self.publication(created, targets, |_| Some(signature))?;
        anchor.verify_record(&publication.record).map_err(Discrepancy::Record)?;
        Ok((all, publication))
    }

    /// Whether `signed` are targets that nodes will take: the old ones where a plan stays, else of this generation.
    fn check_targets(&self, anchor: &Anchor, signed: &TargetList) -> Result<(), Discrepancy> {
        let plans: &BTreeMap<NodeName, Digest> = &self.draft.outcome.proposal.plans;
        if let Some(node) = crate::state::differing(signed, plans).into_iter().next() {
            return Err(Discrepancy::Plan(node));
        }
        let unsigned = targets(self.old(), plans, self.generation, |_, _| None);
        for (node, target) in signed {
            let refused = |source| Discrepancy::Target { node: node.clone(), source };
            anchor.verify_target(node, target).map_err(refused)?;
            if unsigned.get(node).map(|target| target.generation) != Some(target.generation) {
                return Err(Discrepancy::Generation { signed: target.generation, next: self.generation });
            }
        }
        Ok(())
    }

    fn old(&self) -> &TargetList {
        static NONE: TargetList = TargetList::new();
        self.before.map_or(&NONE, |current| &current.targets)
    }

    fn publication(
        self,
        created: SystemTime,
        all: TargetList,
        sign: impl FnOnce(&GenerationRecord) -> Option<Signature>,
    ) -> Result<(TargetList, Publication), ApplyError> {
        let old = self.old();
        let gone = old.keys().filter(|node| !all.contains_key(*node)).cloned().collect();
        let changed = all.iter().filter(|(node, target)| old.get(*node) != Some(*target));
        let targets = changed.map(|(node, target)| (node.clone(), *target)).collect();
        let Self { generation, summary, draft, .. } = self;
        let Outcome { proposal: Proposal { manifests, chunks, .. }, chunks: sources, .. } = &draft.outcome;
        let (manifests, mut chunks) = (manifests.clone(), chunks.clone());
        let (mut record, names) = GenerationRecord::new(generation, created, summary, draft.sources(), &all)
            .map_err(ProposalError::from)?;
        record.signature = sign(&record);
        chunks.append(sources.clone());
        chunks.append(names);
        let novelty = if draft.is_update() { Novelty::New } else { Novelty::Unknown };
        Ok((all, Publication { record, targets, gone, manifests, chunks, novelty }))
    }
}
