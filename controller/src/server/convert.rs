//! The model as the API says it, and requests as the model says them.

use std::mem;
use std::time::Duration;

use selvedge_proto::{DecodeError, Flow, GenerationRecord, Signature, targets_from_wire, wire};
use selvedge_topology::documents::{Diagnostic, Excerpt, Removal, Severity, SourceFile};
use selvedge_topology::l4::Protocol;
use selvedge_topology::model::NodeRole;
use selvedge_topology::names::NameError;
use selvedge_topology::plan::Generation;
use tonic::Status;

use super::apply::{Applied, ApplyError, End, Intent, Signed, Wish};
use crate::state::{ChangeKind, Filter, FlowItem, NodeState};
use crate::store::StoreError;

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn role(role: NodeRole) -> wire::NodeRole {
    match role {
        NodeRole::Host => wire::NodeRole::Host,
        NodeRole::Dpu => wire::NodeRole::Dpu,
        NodeRole::Switch => wire::NodeRole::Switch,
    }
}

pub(super) fn state(state: NodeState) -> wire::NodeState {
    match state {
        NodeState::InForce => wire::NodeState::InForce,
        NodeState::Pending => wire::NodeState::Pending,
        NodeState::Refused => wire::NodeState::Refused,
        NodeState::Silent => wire::NodeState::Silent,
        NodeState::NeverSeen => wire::NodeState::NeverSeen,
    }
}

fn change_kind(kind: ChangeKind) -> wire::ChangeKind {
    match kind {
        ChangeKind::Added => wire::ChangeKind::Added,
        ChangeKind::Changed => wire::ChangeKind::Changed,
        ChangeKind::Removed => wire::ChangeKind::Removed,
    }
}

/// Reads files, which are whole.
pub(super) fn files(files: Vec<wire::SourceFile>) -> Vec<SourceFile> {
    files.into_iter().map(|wire::SourceFile { name, text, line: _ }| SourceFile { name, text }).collect()
}

/// The documents of a generation, in answers of about a mebibyte; one at least.
pub(super) fn documents(generation: u64, excerpts: &[Excerpt]) -> Vec<wire::DocumentsResponse> {
    const ENOUGH: usize = 1 << 20;
    let (mut answers, mut files, mut bytes) = (Vec::new(), Vec::new(), 0);
    for Excerpt { file, line, text } in excerpts {
        if bytes >= ENOUGH {
            answers.push(wire::DocumentsResponse { generation, files: mem::take(&mut files) });
            bytes = 0;
        }
        bytes += file.len() + text.len();
        files.push(wire::SourceFile { name: file.to_string(), text: text.to_string(), line: *line });
    }
    answers.push(wire::DocumentsResponse { generation, files });
    answers
}

/// Reads what a request to apply wishes.
pub(super) fn wish(
    files: Vec<wire::SourceFile>,
    partial: bool,
    remove: Vec<wire::DocumentName>,
) -> Result<Wish, Status> {
    let files = self::files(files);
    if partial {
        let removal = |wire::DocumentName { kind, name }| Removal { kind, name };
        return Ok(Wish::Partial { written: files, removed: remove.into_iter().map(removal).collect() });
    }
    match remove.is_empty() {
        true => Ok(Wish::Whole(files)),
        false => Err(invalid("documents are removed by name in a partial request only")),
    }
}

/// Reads what an operator signed.
pub(super) fn signed(signed: wire::SignedGeneration) -> Result<Signed, DecodeError> {
    let wire::SignedGeneration { generation, created_ms, targets, signature } = signed;
    Ok(Signed {
        generation: Generation(generation),
        created: selvedge_proto::time(created_ms)?,
        targets: targets_from_wire(targets)?,
        signature: Signature::decode(&signature)?.ok_or(DecodeError::Missing { field: "signature" })?,
    })
}

fn diagnostic(diagnostic: Diagnostic) -> wire::Diagnostic {
    let Diagnostic { severity, code, place, width, source, source_column, message, help } = diagnostic;
    let severity = match severity {
        Severity::Error => wire::Severity::Error,
        Severity::Warning => wire::Severity::Warning,
    };
    wire::Diagnostic {
        severity: severity.into(),
        code: code.to_owned(),
        file: place.file,
        line: place.line,
        column: place.column,
        width,
        source,
        source_column,
        message,
        help: help.unwrap_or_default(),
    }
}

pub(super) fn applied(applied: Applied, intent: Intent) -> wire::ApplyResponse {
    let Applied { diagnostics, end } = applied;
    let mut response = wire::ApplyResponse {
        diagnostics: diagnostics.into_iter().map(diagnostic).collect(),
        ..wire::ApplyResponse::default()
    };
    let outcome = match end {
        End::Invalid => wire::ApplyOutcome::Invalid,
        End::Unchanged(generation) => {
            response.generation = generation.0;
            wire::ApplyOutcome::Unchanged
        }
        End::Changed { generation, changes, nodes, holes, lockouts } => {
            response.lockouts = lockouts.iter().map(ToString::to_string).collect();
            response.unenforced = holes.iter().map(ToString::to_string).collect();
            response.generation = generation.map_or(0, |generation| generation.0);
            response.nodes_changed = nodes.iter().map(ToString::to_string).collect();
            response.changes = changes.into_iter().map(document_change).collect();
            match intent {
                Intent::Apply => wire::ApplyOutcome::Applied,
                Intent::DryRun | Intent::Draft => wire::ApplyOutcome::DryRun,
            }
        }
    };
    response.set_outcome(outcome);
    response
}

fn document_change(
    (kind, document_kind, document_name): (ChangeKind, String, String),
) -> wire::DocumentChange {
    wire::DocumentChange { kind: change_kind(kind).into(), document_kind, document_name }
}

pub(super) fn generation(record: &GenerationRecord) -> wire::GenerationSummary {
    let since = record.created.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    wire::GenerationSummary {
        generation: record.generation.0,
        created_ms: millis(since),
        summary: Some(record.summary.into()),
    }
}

/// Reads the filters of a request to observe.
pub(super) fn filter(request: &wire::ObserveRequest) -> Result<Filter, Status> {
    fn names<N: Ord + std::str::FromStr<Err = NameError>, S: FromIterator<N>>(
        texts: &[String],
    ) -> Result<S, Status> {
        texts.iter().map(|text| text.parse().map_err(invalid)).collect()
    }
    let verdict = |number: &i32| selvedge_proto::Verdict::try_from(*number).map_err(invalid);
    let protocol = |number: &u32| {
        u8::try_from(*number).map(Protocol).map_err(|_| invalid(format!("{number} is no IP protocol number")))
    };
    let port = |number: &u32| u16::try_from(*number).map_err(|_| invalid(format!("{number} is no port")));
    Ok(Filter {
        verdicts: request.verdicts.iter().map(verdict).collect::<Result<_, _>>()?,
        workloads: names(&request.workloads)?,
        nodes: names(&request.nodes)?,
        protocols: request.protocols.iter().map(protocol).collect::<Result<_, _>>()?,
        ports: request.ports.iter().map(port).collect::<Result<_, _>>()?,
    })
}

pub(super) fn flow(flow: &Flow) -> wire::ObserveResponse {
    wire::ObserveResponse { item: Some(wire::observe_response::Item::Flow(flow.into())) }
}

pub(super) fn lost(count: u64) -> wire::ObserveResponse {
    wire::ObserveResponse { item: Some(wire::observe_response::Item::Lost(count)) }
}

/// What a follower is told; nothing for flows that don't match.
pub(super) fn item(item: &FlowItem, filter: &Filter) -> Option<wire::ObserveResponse> {
    match item {
        FlowItem::Flow(seen) => filter.matches(seen).then(|| flow(seen)),
        FlowItem::Lost(count) => Some(lost(*count)),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "so that `map_err(invalid)` reads well")]
pub(super) fn invalid(error: impl ToString) -> Status {
    Status::invalid_argument(error.to_string())
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Unreachable { .. } | StoreError::Request(_) => Self::unavailable(message),
            StoreError::Deposed | StoreError::NewerFormat { .. } => Self::failed_precondition(message),
            StoreError::Conflict => Self::aborted(message),
            StoreError::Missing { .. }
            | StoreError::WentBack { .. }
            | StoreError::Value { .. }
            | StoreError::Mistrusted { .. }
            | StoreError::Key(_)
            | StoreError::Number { .. }
            | StoreError::Chunk(_)
            | StoreError::Record(_) => Self::data_loss(message),
            StoreError::Identity(_) => Self::resource_exhausted(message),
        }
    }
}

impl From<ApplyError> for Status {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::FileTwice { .. } | ApplyError::NothingThere { .. } => invalid(error),
            ApplyError::Labels(_) => Self::permission_denied(error.to_string()),
            ApplyError::Proposal(_)
            | ApplyError::Unenforced(_)
            | ApplyError::Lockouts(_)
            | ApplyError::Demands(_)
            | ApplyError::SignatureNeeded
            | ApplyError::SignatureUnasked => Self::failed_precondition(error.to_string()),
            ApplyError::Unreadable { .. } => Self::data_loss(error.to_string()),
            ApplyError::OtherThanSigned(_) => Self::aborted(error.to_string()),
            ApplyError::Identity(error) => Self::resource_exhausted(error.to_string()),
            ApplyError::Store(error) => error.into(),
            ApplyError::Interrupted(error) => Self::internal(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_any_size_come_in_answers_that_fit_a_message() {
        let sizes = [700 << 10, 700 << 10, 1, 3 << 20, 0, 700 << 10];
        let excerpts: Vec<Excerpt> = sizes
            .into_iter()
            .zip(1..)
            .map(|(size, line)| Excerpt { file: "f".into(), line, text: "x".repeat(size).into() })
            .collect();
        let answers = documents(7, &excerpts);
        assert!(answers.iter().all(|answer| answer.generation == 7));
        let lines = |answer: &wire::DocumentsResponse| answer.files.iter().map(|file| file.line).collect();
        assert_eq!(
            answers.iter().map(lines).collect::<Vec<Vec<u32>>>(),
            [vec![1, 2], vec![3, 4], vec![5, 6]]
        );
        assert_eq!(documents(7, &[]), [wire::DocumentsResponse { generation: 7, files: Vec::new() }]);
    }
}
