//! Why a command fails.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use selvedge_hw_profiles::ProfileError;
use selvedge_hw_profiles::recording::RecordingError;
use selvedge_proto::{ChunkError, DecodeError};
use selvedge_topology::compile::CompileError;
use selvedge_topology::explain::{NoEnd, NoPorts};
use selvedge_topology::identity::IdentityError;
use selvedge_trust::pki::{PkiError, Subject};
use selvedge_trust::token::TokenError;
use selvedge_trust::{AnchorError, KeyError};

use crate::state::ProposalError;

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or ")
}

/// How somebody whose certificate ended gets another.
fn remedy(subject: &Subject) -> String {
    const ON_ITS_MACHINE: &str =
        "on the controller's machine, `selvedge-controller init` makes the first administrator another";
    match subject {
        Subject::Operator { operator, role, .. } => format!(
            "have an administrator make a token (`selvedge operator invite {operator} --role {role}`) and use it with \
             `selvedge login`; {ON_ITS_MACHINE}"
        ),
        Subject::Controller | Subject::Etcd | Subject::Node { .. } => ON_ITS_MACHINE.to_owned(),
    }
}

/// Why a command fails, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Nobody answers.
    #[error(
        "no controller answers at {server} ({reason}); start selvedge-controller, or name another with --server"
    )]
    Unreachable {
        /// Where it was looked for.
        server: String,
        /// What the connection said.
        reason: String,
    },
    /// A picture of one connection.
    #[error(
        "a picture is of who reaches whom: `selvedge explain --all -o svg`; one connection is shown with -o table, wide, json or yaml"
    )]
    OnlyOfAll,
    /// A picture of too much.
    #[error(
        "there are {ends} ends that policy tells apart, and a picture has room for {most}; -o table and -o json have all"
    )]
    TooManyEnds {
        /// How many there are.
        ends: usize,
        /// How many there may be.
        most: usize,
    },
    /// A file that can't be written.
    #[error("{} can't be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not an address.
    #[error("`{server}` is no address of a controller; it looks like https://127.0.0.1:7471")]
    Server {
        /// What was given.
        server: String,
    },
    /// No identity to show.
    #[error(
        "this takes an identity, and there is none in {}; `selvedge login` makes one of an administrator's token, and on the controller's machine root has one from `selvedge-controller init`",
        paths(looked_in)
    )]
    Nobody {
        /// Where it was looked for.
        looked_in: Vec<PathBuf>,
    },
    /// An identity that can't be used.
    #[error("the identity in {}: {source}", folder.display())]
    Identity {
        /// Its folder.
        folder: PathBuf,
        /// What is wrong with it.
        source: PkiError,
    },
    /// An identity that is over.
    #[error(
        "the certificate of {subject} in {} ended at {}; {}",
        folder.display(), humantime::format_rfc3339_seconds(*end), remedy(subject)
    )]
    CertificateEnded {
        /// Its folder.
        folder: PathBuf,
        /// Whose it is.
        subject: Subject,
        /// When it ended.
        end: SystemTime,
    },
    /// A token that is none.
    #[error("{0}")]
    Token(#[source] TokenError),
    /// A token that is too old.
    #[error("the token ended; ask for a new one (`selvedge operator invite`)")]
    TokenOver,
    /// A token for a machine.
    #[error("that token is a node's; it goes to `selvedge-agent enroll`")]
    NodesToken,
    /// A secret that is none.
    #[error("the controller's answer can't be read: a secret of {length} bytes")]
    Secret {
        /// How many it has.
        length: usize,
    },
    /// A key or certificate that can't be had.
    #[error("{0}")]
    Pki(#[source] PkiError),
    /// No place for an identity.
    #[error("there is no home directory to keep an identity in; $SELVEDGE_CONFIG names a folder for it")]
    Homeless,
    /// The controller says no.
    #[error("{}", .0.message())]
    Refused(Box<tonic::Status>),
    /// A file or directory can't be read.
    #[error("{path}: {source}")]
    Read {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something that is neither file nor directory.
    #[error("{path} is neither a file nor a directory; documents are read from regular files, and from `-`")]
    NotRegular {
        /// The path.
        path: PathBuf,
    },
    /// Not text.
    #[error("{path} is not UTF-8 text")]
    NotText {
        /// The path.
        path: PathBuf,
    },
    /// More than documents may be.
    #[error("{path}: with it, there are more than {limit} bytes of documents")]
    TooLarge {
        /// The path at which it became too much.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// No documents at all.
    #[error("{path} has no *.yaml or *.yml file")]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// Documents with errors, which were shown.
    #[error("the documents have errors{consequence}")]
    Invalid {
        /// What follows from that.
        consequence: &'static str,
    },
    /// There is no desired state.
    #[error("nothing was applied yet; begin with `selvedge apply -f DIR`")]
    NothingApplied,
    /// The controller's documents can't be read by this version.
    #[error(
        "this version of selvedge can't read the documents in force: {first}; `selvedge version` compares versions"
    )]
    Skew {
        /// What is wrong with them first.
        first: String,
    },
    /// A thing that is not there.
    #[error("there is no {kind} `{name}`; `selvedge get {list}` lists what there is")]
    NotFound {
        /// What was looked for.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What lists them.
        list: &'static str,
    },
    /// An end of a connection that is not there.
    #[error(transparent)]
    NoEnd(#[from] NoEnd),
    /// Ports that are none.
    #[error(transparent)]
    NoPorts(#[from] NoPorts),
    /// Ends between which there are no such connections.
    #[error("there is no such connection from `{from}` to `{to}`: it takes two addresses of one family")]
    NoPair {
        /// Who would open it.
        from: String,
        /// To whom.
        to: String,
    },
    /// A profile that is not there.
    #[error("there is no hardware profile `{name}`; `selvedge hw list` lists what there is")]
    NoProfile {
        /// Its name.
        name: String,
    },
    /// Profiles that can't be used.
    #[error(transparent)]
    Profiles(#[from] ProfileError),
    /// A recording that can't be used.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The controller sent what can't be read.
    #[error("the controller's answer can't be read: {0}")]
    Answer(#[from] DecodeError),
    /// The controller's identities contradict each other.
    #[error("the controller's identities can't be: {0}")]
    Numbers(#[from] IdentityError),
    /// What nodes trust can't be read.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// The key can't be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key is another than nodes trust.
    #[error("the signing key is not the one that {} names: nodes would believe nothing that it signs", fabric.display())]
    OtherKey {
        /// What nodes trust.
        fabric: PathBuf,
    },
    /// What is to be signed can't be compiled here.
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    /// What is to be signed can't be put together here.
    #[error(transparent)]
    Record(#[from] ChunkError),
    /// The documents in force can't be compiled here.
    #[error("the documents in force can't be compiled: {0}")]
    Compile(#[source] CompileError),
    /// Output can't be written.
    #[error("can't write the output: {0}")]
    Output(#[source] io::Error),
    /// Output can't be put in the form that was asked for.
    #[error("can't write that as {format}: {reason}")]
    Format {
        /// The form.
        format: &'static str,
        /// Why.
        reason: String,
    },
    /// The runtime does not start.
    #[error("can't start: {0}")]
    Runtime(#[source] io::Error),
}
