//! The node as one of its fabric: what enrolment left on disk, and the certificate, which is renewed in time.
//!
//! `<state-dir>/<node>/identity/` holds `identity.pem` (the key, which never leaves the node, and its certificate),
//! `ca.pem` (the authority that the controller and etcd are held against), `fabric.json` (the fabric, and the public key that
//! signs its generations) and `whereabouts.json` (the URLs).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use selvedge_proto::wire::enrol_client::EnrolClient;
use selvedge_proto::wire::{EnrolRequest, RenewRequest};
use selvedge_topology::names::NodeName;
use selvedge_trust::pki::{Identity, NewKey, PkiError};
use selvedge_trust::token::{Token, Whereabouts};
use selvedge_trust::{Anchor, AnchorError, FileError, read, replace_private};
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity as TlsIdentity};

use crate::retry::Backoff;

/// The longest wait between two tries to renew.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often the clock is looked at while a certificate is good: it may be set.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long the controller may take to answer.
const REQUEST: Duration = Duration::from_secs(10);

/// Why a node is not, or can't become, one of the fabric.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// Nobody enrolled it.
    #[error(
        "node {node} is not enrolled ({} holds no identity): `selvedge node enroll {node}` makes a token, and \
         `selvedge-agent enroll --token-file FILE` uses it here; or try things out unencrypted with --insecure", folder.display()
    )]
    NotEnrolled {
        /// The node.
        node: NodeName,
        /// Where its identity should be.
        folder: PathBuf,
    },
    /// A key or certificate.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// What the node trusts.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file that holds something else.
    #[error("{}: {source}; enrol the node again", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// No answer.
    #[error("the controller can't be reached at {url}: {}", bottom(source))]
    Unreachable {
        /// Where it should be.
        url: String,
        /// Why not.
        source: tonic::transport::Error,
    },
    /// The controller says no.
    #[error("the controller says: {}", .0.message())]
    Refused(Box<tonic::Status>),
}

/// The cause at the bottom, which is the one that means something to a user.
fn bottom(error: &tonic::transport::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

impl From<tonic::Status> for MembershipError {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// What a node is in its fabric.
#[derive(Clone, Debug)]
pub struct Membership {
    folder: PathBuf,
    identity: Identity,
    /// The fabric, and the key that signs for it.
    pub anchor: Anchor,
    /// Where the controller and etcd are.
    pub whereabouts: Whereabouts,
}

/// Where a node's identity lies.
pub fn folder(state_dir: &Path, node: &NodeName) -> PathBuf {
    state_dir.join(node.as_str()).join("identity")
}

impl Membership {
    /// Reads what enrolment left.
    pub fn load(state_dir: &Path, node: &NodeName) -> Result<Self, MembershipError> {
        let folder = folder(state_dir, node);
        if !Identity::is_in(&folder) {
            return Err(MembershipError::NotEnrolled { node: node.clone(), folder });
        }
        let path = folder.join("whereabouts.json");
        let whereabouts = serde_json::from_str(&read(&path)?);
        let whereabouts = whereabouts.map_err(|source| MembershipError::Form { path, source })?;
        let (identity, anchor) = (Identity::load(&folder)?, Anchor::load(&folder.join("fabric.json"))?);
        Ok(Self { folder, identity, anchor, whereabouts })
    }

    /// Uses a token up: makes a key, has it certified, and keeps both.
    pub async fn enrol(token: Token, state_dir: &Path, node: &NodeName) -> Result<Self, MembershipError> {
        let key = NewKey::generate()?;
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&token.authority));
        let request = EnrolRequest { secret: token.secret.to_bytes(), request: key.request()? };
        let mut client = EnrolClient::new(connect(&token.whereabouts.controller, tls).await?);
        let chain = client.enrol(request).await?.into_inner().chain;
        let identity = Identity::new(&key, chain, token.authority)?;
        let (whereabouts, anchor) = (token.whereabouts, token.anchor);
        let membership = Self { folder: folder(state_dir, node), identity, anchor, whereabouts };
        membership.save()?;
        Ok(membership)
    }

    /// The identity last: whoever has one has the rest.
    fn save(&self) -> Result<(), MembershipError> {
        let Self { folder, identity, anchor, whereabouts } = self;
        selvedge_trust::make_private_folder(folder)?;
        let write = |name: &str, text: Result<String, serde_json::Error>| {
            let path = folder.join(name);
            let text = text.map_err(|source| MembershipError::Form { path: path.clone(), source })?;
            Ok::<_, MembershipError>(replace_private(&path, &text)?)
        };
        write("fabric.json", serde_json::to_string_pretty(anchor))?;
        write("whereabouts.json", serde_json::to_string_pretty(whereabouts))?;
        Ok(identity.save(folder)?)
    }

    /// The certificate and its key.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Has a new key certified in place of the one before, and keeps it.
    async fn renew(&mut self) -> Result<(), MembershipError> {
        let key = NewKey::generate()?;
        let channel = connect(&self.whereabouts.controller, tls(&self.identity)).await?;
        let request = RenewRequest { request: key.request()? };
        let chain = EnrolClient::new(channel).renew(request).await?.into_inner().chain;
        self.identity = Identity::new(&key, chain, self.identity.authority_pem().to_owned())?;
        Ok(self.identity.save(&self.folder)?)
    }
}

async fn connect(url: &str, tls: ClientTlsConfig) -> Result<tonic::transport::Channel, MembershipError> {
    let unreachable = |source| MembershipError::Unreachable { url: url.to_owned(), source };
    let endpoint = Endpoint::from_shared(url.to_owned()).and_then(|endpoint| endpoint.tls_config(tls));
    endpoint
        .map_err(unreachable)?
        .connect_timeout(REQUEST)
        .timeout(REQUEST)
        .connect()
        .await
        .map_err(unreachable)
}

/// What is shown to etcd and the controller, and what they are held against.
fn tls(identity: &Identity) -> ClientTlsConfig {
    ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(identity.authority_pem()))
        .identity(TlsIdentity::from_pem(identity.chain_pem(), identity.key_pem()))
}

/// What a node shows of itself when it connects, now; it changes when it is renewed.
#[derive(Clone, Debug)]
pub struct Credentials(watch::Receiver<Option<Arc<Identity>>>);

impl Credentials {
    /// Nothing, to nobody: unencrypted.
    pub fn none() -> Self {
        Self(watch::channel(None).1)
    }

    /// For a connection that is made now; nothing where it is unencrypted.
    pub fn tls(&mut self) -> Option<ClientTlsConfig> {
        self.0.borrow_and_update().as_deref().map(tls)
    }

    /// Returns when connections should be made anew, with what there is then.
    pub async fn renewed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether they should be made anew already.
    pub fn are_new(&self) -> bool {
        self.0.has_changed().unwrap_or(false)
    }
}

/// Renews a certificate whenever two thirds of its life are over, for ever.
pub fn keep(membership: Membership) -> (Credentials, impl Future<Output = ()> + Send + 'static) {
    let (announce, credentials) = watch::channel(Some(Arc::new(membership.identity.clone())));
    (Credentials(credentials), renew_forever(membership, announce))
}

async fn renew_forever(mut membership: Membership, announce: watch::Sender<Option<Arc<Identity>>>) {
    let mut backoff = Backoff::new(LONGEST_WAIT);
    loop {
        let due = membership.identity.certificate().renew_at();
        if let Ok(left) = due.duration_since(SystemTime::now()) {
            sleep(left.min(LOOK_EVERY)).await;
            continue;
        }
        match membership.renew().await {
            Ok(()) => {
                let end = humantime::format_rfc3339_seconds(membership.identity.certificate().end);
                tracing::info!(until = %end, "renewed the node's certificate");
                announce.send_replace(Some(Arc::new(membership.identity.clone())));
                backoff.reset();
            }
            Err(error) => {
                let end = humantime::format_rfc3339_seconds(membership.identity.certificate().end);
                tracing::warn!(%error, until = %end, "the node's certificate could not be renewed; what is in force stays");
                sleep(backoff.wait()).await;
            }
        }
    }
}
