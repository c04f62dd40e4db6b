//! The daemon: one leader, its store, and the API.

mod apply;
mod audit;
mod authority;
mod authorize;
mod convert;
mod etcd;
mod export;
mod fabric;
mod members;
mod memory;
mod status;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use selvedge_proto::MAX_MESSAGE_BYTES;
use selvedge_proto::wire::audit_server::AuditServer;
use selvedge_proto::wire::enrol_server::EnrolServer;
use selvedge_proto::wire::export_server::ExportServer;
use selvedge_proto::wire::fabric_server::FabricServer;
use selvedge_proto::wire::members_server::MembersServer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tower::layer::util::{Identity, Stack};
use tracing::{info, warn};

use crate::state::{FlowLog, Sightings};
use crate::store::{Access, Leadership, Retention, Store, StoreError, watch_reports};
use crate::trust::{Security, Trust};
use apply::{ApplyError, Collected, Desired};
use audit::Audit;
pub use authority::{Authority, AuthorityError};
use authorize::Authorize;
pub use etcd::{EmbeddedEtcd, EtcdError};
use members::Members;
use memory::Memory;
pub use memory::MemoryError;

/// How long requests that are under way may take when the controller stops.
const DRAIN: Duration = Duration::from_secs(3);

/// How often targets in etcd are held against what they should be.
const MEND_EVERY: Duration = Duration::from_secs(10);

/// Where the state is kept.
#[derive(Clone, Debug)]
pub enum Backing {
    /// In an etcd that somebody else runs.
    Cluster {
        /// How it is reached.
        access: Access,
    },
    /// In a single-member etcd that the controller runs as its child.
    Embedded {
        /// Where it keeps its data.
        data_dir: PathBuf,
        /// Where it listens for clients: this controller, and agents. Not port 0.
        listen: SocketAddr,
    },
}

/// What a controller needs to know.
#[derive(Debug)]
pub struct Options {
    /// Where the API listens. Port 0: any free one.
    pub listen: SocketAddr,
    /// Where the state is kept.
    pub backing: Backing,
    /// What other controllers see as the leader's name.
    pub name: String,
    /// What stays of generations.
    pub retention: Retention,
    /// Where the newest generation is kept beside etcd, so that an etcd that was restored from an older snapshot gets it back.
    /// Without, it does not.
    pub memory: Option<PathBuf>,
    /// Who signs what is published.
    pub authority: Authority,
    /// What to make of a newest generation that nobody signed whom this fabric trusts.
    pub strangers: Strangers,
    /// Who may talk to the API and to the embedded etcd.
    pub security: Security,
    /// How long the certificates of nodes and operators hold.
    pub certificate_lifetime: Duration,
}

/// What to make of documents in etcd that are not signed as they should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strangers {
    /// Somebody put them there: don't start.
    #[default]
    Refuse,
    /// The operator knows whose they are: sign them.
    Resign,
}

/// Why a controller can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The API's address can't be had.
    #[error(
        "can't listen on {address}: {source}; is another controller running? --listen chooses another address"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The embedded etcd does not start.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The API's TLS can't be set up.
    #[error("the API's certificate can't be used: {0}")]
    Tls(#[source] tonic::transport::Error),
    /// What lies in the store can't be signed anew.
    #[error("can't sign anew: {0}")]
    Resign(String),
}

impl From<ApplyError> for StartError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Store(error) => error.into(),
            other => Self::Resign(other.to_string()),
        }
    }
}

/// Why a running controller has to stop.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Another controller may be the leader by now.
    #[error("the leader's lease was lost: etcd did not answer for too long, or another controller took over")]
    LeadershipLost,
    /// The embedded etcd ended.
    #[error("the embedded etcd ended: {0}")]
    EtcdEnded(EtcdError),
    /// The API ended.
    #[error("the API stopped serving: {0}")]
    Api(String),
}

/// What the parts of the API share.
struct Shared {
    store: Store,
    desired: Desired,
    sightings: Mutex<Sightings>,
    /// Moves whenever a report came or the desired state changed.
    moved: watch::Sender<()>,
    flows: FlowLog,
    /// The last time that garbage was collected.
    collected: watch::Sender<Option<Collected>>,
    /// What was done, and by whom.
    audit: Arc<Audit>,
    /// The fabric's authority; none where everybody is let in.
    trust: Option<Arc<Trust>>,
    /// Who is of the fabric; nobody is asked where everybody is let in.
    members: Option<Arc<Members>>,
    certificate_lifetime: Duration,
    /// Client URLs of etcd.
    etcd_endpoints: Vec<String>,
    /// Becomes true when the controller stops; streams end then.
    stopping: watch::Receiver<bool>,
}

/// A running controller.
pub struct Controller {
    address: SocketAddr,
    etcd_endpoints: Vec<String>,
    etcd: Option<EmbeddedEtcd>,
    leadership: Leadership,
    stop: watch::Sender<bool>,
    api: JoinHandle<Result<(), tonic::transport::Error>>,
    tasks: [AbortHandle; 3],
}

impl Controller {
    /// Starts everything, and returns when the API answers: after any other controller has gone.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let Options {
            listen,
            backing,
            name,
            retention,
            memory,
            authority,
            strangers,
            security,
            certificate_lifetime,
        } = options;
        let listen_error = |source| StartError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let server = builder(&security).map_err(StartError::Tls)?;
        let (etcd, access) = match backing {
            Backing::Cluster { access } => (None, access),
            Backing::Embedded { data_dir, listen } => {
                let etcd = EmbeddedEtcd::start(&data_dir, listen, &security).await?;
                let access = etcd.access().clone();
                (Some(etcd), access)
            }
        };
        let store = Store::connect(&access).await?;
        store.require_known_format().await?;
        let leadership = Leadership::acquire(&store, &name).await?;
        // The leader that this one waited for may have been a later version.
        if let Err(error) = store.claim_format(leadership.fence()).await {
            leadership.resign().await;
            return Err(error.into());
        }
        let audit = Arc::new(Audit::read(&store).await?);
        let memory = memory.map(Memory::in_folder);
        let desired = match strangers {
            Strangers::Refuse => Desired::read(&store, leadership.fence(), authority, &audit, memory).await?,
            Strangers::Resign => {
                Desired::resign(&store, leadership.fence(), authority, &audit, memory).await?
            }
        };
        let (trust, members) = match &security {
            Security::Insecure => (None, None),
            Security::Mutual(trust) => {
                let members = Members::establish(&store, leadership.fence(), trust).await?;
                (Some(Arc::clone(trust)), Some(Arc::new(members)))
            }
        };
        let authorize = Authorize::new(members.clone());
        let (stop, stopping) = watch::channel(false);
        let shared = Arc::new(Shared {
            store: store.clone(),
            desired,
            sightings: Mutex::default(),
            moved: watch::Sender::new(()),
            flows: FlowLog::default(),
            audit,
            collected: watch::Sender::new(None),
            trust,
            members,
            certificate_lifetime,
            etcd_endpoints: access.endpoints().to_vec(),
            stopping,
        });
        let cleaned = Arc::clone(&shared);
        let cleaning = tokio::spawn(async move {
            cleaned.desired.keep_clean(&cleaned.store, retention, &cleaned.collected).await;
        })
        .abort_handle();
        let sink = Arc::clone(&shared);
        let reports = tokio::spawn(watch_reports(store, move |change| sink.sighted(change))).abort_handle();
        let mending = tokio::spawn(mend(Arc::clone(&shared))).abort_handle();
        let api = tokio::spawn(serve(shared, server.layer(authorize), listener));
        info!(%address, etcd = %access, "serving");
        Ok(Self {
            address,
            etcd_endpoints: access.endpoints().to_vec(),
            etcd,
            leadership,
            stop,
            api,
            tasks: [reports, mending, cleaning],
        })
    }

    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where etcd is.
    pub fn etcd_endpoints(&self) -> &[String] {
        &self.etcd_endpoints
    }

    /// The process of the embedded etcd, where there is one.
    pub fn etcd_pid(&self) -> Option<u32> {
        self.etcd.as_ref().and_then(EmbeddedEtcd::pid)
    }

    /// Returns when the controller can't go on. It has to be shut down all the same.
    pub async fn failed(&mut self) -> Failure {
        let ended = async {
            match &mut self.etcd {
                Some(etcd) => etcd.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.leadership.lost() => Failure::LeadershipLost,
            error = ended => Failure::EtcdEnded(error),
            result = &mut self.api => Failure::Api(match result {
                Ok(Ok(())) => "it was asked to".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            }),
        }
    }

    /// Stops: no new requests, leadership given up, etcd ended. Agents go on with what they have.
    pub async fn shutdown(self) {
        let Self { etcd, leadership, stop, mut api, tasks, .. } = self;
        stop.send_replace(true);
        if !api.is_finished() && tokio::time::timeout(DRAIN, &mut api).await.is_err() {
            warn!("some requests did not end in time");
            api.abort();
        }
        tasks.iter().for_each(AbortHandle::abort);
        leadership.resign().await;
        if let Some(etcd) = etcd {
            etcd.stop().await;
        }
    }
}

/// Holds targets to what they should be for as long as the controller lives.
async fn mend(shared: Arc<Shared>) {
    if let Err(error) = shared.desired.prepare(&shared.store).await {
        warn!(%error, "what is in force could not be looked through; the next application does that");
    }
    let mut due = interval(MEND_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        if let Err(error) = shared.desired.mend(&shared.store, &shared.audit).await {
            warn!(%error, "targets in etcd could not be looked at");
        }
    }
}

/// What serves the API, with TLS where that is wanted.
fn builder(security: &Security) -> Result<Server, tonic::transport::Error> {
    let server = Server::builder().http2_keepalive_interval(Some(Duration::from_secs(20)));
    match security {
        Security::Insecure => Ok(server),
        Security::Mutual(trust) => server.tls_config(trust.server()),
    }
}

async fn serve(
    shared: Arc<Shared>,
    mut server: Server<Stack<Authorize, Identity>>,
    listener: TcpListener,
) -> Result<(), tonic::transport::Error> {
    let mut stopping = shared.stopping.clone();
    let fabric = FabricServer::from_arc(Arc::clone(&shared))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let enrol = EnrolServer::from_arc(Arc::clone(&shared));
    let members = MembersServer::from_arc(Arc::clone(&shared));
    let audit = AuditServer::from_arc(Arc::clone(&shared));
    let export = ExportServer::from_arc(shared);
    server
        .add_service(fabric)
        .add_service(export)
        .add_service(enrol)
        .add_service(members)
        .add_service(audit)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move {
            // An error means that the controller is gone: stop as well.
            let _ = stopping.wait_for(|stop| *stop).await;
        })
        .await
}
