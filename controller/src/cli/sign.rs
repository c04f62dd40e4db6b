//! Signing a generation where the key is: it is compiled here from the operator's own documents, so that the controller can
//! publish just that, and nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use selvedge_proto::wire::{self, ApplyOutcome, ChangeKind};
use selvedge_proto::{
    GenerationRecord, Sources, Summary, Target, TargetList, millis, targets_from_wire, targets_to_wire,
};
use selvedge_topology::documents::{Registry, SourceFile};
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::Generation;
use selvedge_trust::{Anchor, SigningKey};

use super::client::{Client, refused};
use super::{CliError, snapshot};
use crate::state::{Proposal, targets};

/// An operator's key, and the fabric it signs for.
pub(super) struct Signer {
    anchor: Anchor,
    key: SigningKey,
}

/// Files as requests carry them.
pub(super) fn to_wire(files: Vec<SourceFile>) -> Vec<wire::SourceFile> {
    files.into_iter().map(|SourceFile { name, text }| wire::SourceFile { name, text, line: 1 }).collect()
}

impl Signer {
    pub(super) fn load(key: &Path, fabric: &Path) -> Result<Self, CliError> {
        let (anchor, key) = (Anchor::load(fabric)?, SigningKey::load(key)?);
        if key.public() != anchor.signing_key {
            return Err(CliError::OtherKey { fabric: fabric.to_owned() });
        }
        Ok(Self { anchor, key })
    }

    /// The generation that `files` would be, signed; nothing where they would be none. What the controller says of numbers and
    /// of targets there are is checked as far as it matters: by signatures, and by compiling here.
    pub(super) async fn sign(
        &self,
        client: &mut Client,
        files: &[SourceFile],
        (allow_unenforced, allow_lockout): (bool, bool),
    ) -> Result<Option<wire::SignedGeneration>, CliError> {
        let request = wire::DraftRequest { files: to_wire(files.to_vec()), allow_unenforced, allow_lockout };
        let wire::DraftResponse { would, targets: there } =
            client.draft(request).await.map_err(refused)?.into_inner();
        let would = would.unwrap_or_default();
        if would.outcome() != ApplyOutcome::DryRun {
            return Ok(None);
        }
        let Ok((registry, _)) = Registry::read(files) else { return Ok(None) };
        let identities = snapshot::identities(client).await?;
        let plans = Proposal::new(registry.model(), &identities, &BTreeMap::new())?.plans;
        let generation = Generation(would.generation);
        let sign = |node: &NodeName, target: &Target| {
            Some(self.key.sign(&target.statement(self.anchor.fabric, node)))
        };
        let targets = targets(&self.own(targets_from_wire(there)?), &plans, generation, sign);
        // Whole milliseconds, as the record has it.
        let created_ms = millis(SystemTime::now());
        let created = selvedge_proto::time(created_ms)?;
        let (sources, _) = Sources::cut(registry.excerpts_from(None))?;
        let (record, _) =
            GenerationRecord::new(generation, created, summary(&would), sources.digests(), &targets)?;
        let signature = self.key.sign(&record.statement(self.anchor.fabric)).0.to_vec();
        let targets = targets_to_wire(&targets);
        Ok(Some(wire::SignedGeneration { generation: generation.0, created_ms, targets, signature }))
    }

    /// Those of `targets` that are signed by the fabric's key.
    fn own(&self, mut targets: TargetList) -> TargetList {
        targets.retain(|node, target| self.anchor.verify_target(node, target).is_ok());
        targets
    }
}

fn summary(would: &wire::ApplyResponse) -> Summary {
    let count = |kind| {
        let found = would.changes.iter().filter(|change| change.kind() == kind).count();
        u32::try_from(found).unwrap_or(u32::MAX)
    };
    Summary {
        added: count(ChangeKind::Added),
        changed: count(ChangeKind::Changed),
        removed: count(ChangeKind::Removed),
    }
}
