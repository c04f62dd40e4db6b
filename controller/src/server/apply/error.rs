//! What can stand against documents beside their own errors.

use selvedge_topology::failsafe::Lockout;
use selvedge_topology::identity::IdentityError;
use selvedge_topology::names::NodeName;
use selvedge_topology::placement::{Hole, UnmetDemand};
use selvedge_topology::plan::Generation;
use selvedge_trust::Mistrust;

use super::claims::LabelRefusal;
use crate::state::ProposalError;
use crate::store::StoreError;

/// Why documents were not applied, other than by their own errors.
#[derive(Debug, thiserror::Error)]
pub(in crate::server) enum ApplyError {
    #[error("file `{name}` is given twice")]
    FileTwice { name: String },
    #[error("nothing was applied yet, so there is no {kind} `{name}` to be removed")]
    NothingThere { kind: String, name: String },
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    #[error(transparent)]
    Labels(#[from] LabelRefusal),
    #[error("{}", unenforced(.0))]
    Unenforced(Vec<Hole>),
    #[error("{}", cut(.0))]
    Lockouts(Vec<Lockout>),
    #[error("{}", unmet(.0))]
    Demands(Vec<UnmetDemand>),
    #[error(
        "generations of this fabric are signed by an operator, who signs all documents together: apply them all with --signing-key, where \
         the key is"
    )]
    SignatureNeeded,
    #[error("this controller signs generations itself; apply without --signing-key")]
    SignatureUnasked,
    #[error("what was signed is not what these documents mean here: {0}; draft and sign anew")]
    OtherThanSigned(#[from] Discrepancy),
    #[error(
        "the documents of generation {generation} can't be read by this version, so they can't be changed one by one, nor be signed \
         anew; start the version that wrote them"
    )]
    Unreadable { generation: Generation },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the work was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

fn lines(all: &[impl ToString]) -> String {
    all.iter().map(|each| format!("\n  {}", each.to_string())).collect()
}

fn unmet(demands: &[UnmetDemand]) -> String {
    let lines = lines(demands);
    format!(
        "ports do not run in the mode that is demanded of them:{lines}\nmend the ports, or change `xdp` of the node or port, or \
         `hardware` of the fabric"
    )
}

fn cut(lockouts: &[Lockout]) -> String {
    let lines = lines(lockouts);
    format!(
        "failsafe flows would be cut, and no later policy could reach whom they keep:{lines}\nallow them, or apply with \
         --allow-lockout; `selvedge describe node` shows every failsafe flow of a node"
    )
}

fn unenforced(holes: &[Hole]) -> String {
    let lines = lines(holes);
    format!(
        "workloads that are to be enforced would not be:{lines}\nmend the ports, say `enforcement: optional` of these \
         workloads, or apply with --allow-unenforced; `selvedge placement` shows every port"
    )
}

/// How what an operator signed is not what the controller would publish.
#[derive(Debug, thiserror::Error)]
pub(in crate::server) enum Discrepancy {
    #[error("it is of generation {signed}, the next one is {next}")]
    Generation { signed: Generation, next: Generation },
    #[error("the plan of node {0} is another")]
    Plan(NodeName),
    #[error("the target of node {node}: {source}")]
    Target { node: NodeName, source: Mistrust },
    #[error("the generation: {0}")]
    Record(Mistrust),
}
