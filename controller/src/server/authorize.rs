//! Who may call what: one table, asked before anything of a request is read.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use futures::future::Either;
use selvedge_topology::operators::Asker;
use selvedge_trust::pki::{Certificate, Role, Subject};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tower::Layer;

use super::members::Members;

/// Who is let in to a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// Operators of this role or one that may more.
    Operators(Role),
    /// Nodes, each for itself.
    Nodes,
    /// Whoever is of the fabric, each for itself.
    Members,
    /// Anybody: what they bring is for the method to judge.
    Anybody,
}

/// Every method of the API. One that is not here nobody may call.
const METHODS: [(&str, Admitted); 15] = [
    ("/selvedge.v1.Fabric/Apply", Admitted::Operators(Role::Operator)),
    ("/selvedge.v1.Fabric/Draft", Admitted::Operators(Role::Operator)),
    ("/selvedge.v1.Fabric/Documents", Admitted::Operators(Role::Viewer)),
    ("/selvedge.v1.Fabric/Identities", Admitted::Operators(Role::Viewer)),
    ("/selvedge.v1.Fabric/Generations", Admitted::Operators(Role::Viewer)),
    ("/selvedge.v1.Fabric/Status", Admitted::Operators(Role::Viewer)),
    ("/selvedge.v1.Fabric/Observe", Admitted::Operators(Role::Viewer)),
    ("/selvedge.v1.Fabric/Version", Admitted::Operators(Role::Viewer)),
    ("/selvedge.v1.Export/Flows", Admitted::Nodes),
    ("/selvedge.v1.Enrol/Enrol", Admitted::Anybody),
    ("/selvedge.v1.Enrol/Renew", Admitted::Members),
    ("/selvedge.v1.Members/Invite", Admitted::Operators(Role::Admin)),
    ("/selvedge.v1.Members/Revoke", Admitted::Operators(Role::Admin)),
    ("/selvedge.v1.Audit/Read", Admitted::Operators(Role::Viewer)),
    ("/selvedge.v1.Members/List", Admitted::Operators(Role::Viewer)),
];

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Nobody knows: the API is open (`--insecure`).
    Anybody,
    /// Somebody with a certificate of the fabric's authority.
    Known(Subject),
    /// Somebody without a certificate.
    Stranger,
}

impl Caller {
    /// Who sent `request`; whoever got past [`Authorize`] is somebody.
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Result<&Self, Status> {
        request.extensions().get().ok_or_else(|| Status::internal("a request that nobody has let in"))
    }

    /// Who it is to those who apply documents.
    pub(super) fn asker(&self) -> Asker {
        match self {
            Self::Known(Subject::Operator { operator, role, .. }) => {
                Asker::Operator { name: operator.clone(), role: *role }
            }
            Self::Known(_) | Self::Anybody | Self::Stranger => Asker::Unknown,
        }
    }

    /// Whether it may speak as `node`.
    pub(super) fn is_node(&self, node: &str) -> bool {
        match self {
            Self::Anybody => true,
            Self::Known(Subject::Node { node: name, .. }) => name.as_str() == node,
            Self::Known(_) | Self::Stranger => false,
        }
    }
}

/// Who may call `path`; nobody where nothing is known of it.
pub(super) fn admitted(path: &str) -> Option<Admitted> {
    METHODS.iter().find(|(method, _)| *method == path).map(|(_, admitted)| *admitted)
}

/// Whether `caller` is let in to `path`.
pub(super) fn judge(path: &str, caller: &Subject) -> Result<(), Status> {
    let admitted =
        admitted(path).ok_or_else(|| Status::unimplemented(format!("there is no method {path}")))?;
    match (admitted, caller) {
        (Admitted::Anybody, _) | (Admitted::Members, Subject::Node { .. } | Subject::Operator { .. }) => {
            Ok(())
        }
        (Admitted::Nodes, Subject::Node { .. }) => Ok(()),
        (Admitted::Operators(least), Subject::Operator { role, .. }) if *role >= least => Ok(()),
        (Admitted::Members, _) => Err(Status::permission_denied(format!("{path} is not for {caller}"))),
        (Admitted::Nodes, _) => {
            Err(Status::permission_denied(format!("{caller} is no node; {path} is for nodes")))
        }
        (Admitted::Operators(least), _) => Err(Status::permission_denied(format!(
            "{caller} may not call {path}; it takes an operator with role {least}"
        ))),
    }
}

/// The layer that asks the table.
#[derive(Clone)]
pub(super) struct Authorize {
    door: Door,
}

/// Whether there is anything to ask for.
#[derive(Clone)]
enum Door {
    Open,
    Guarded(Arc<Members>),
}

impl Authorize {
    /// Lets in whom `members` knows; everybody where there are none to ask.
    pub(super) fn new(members: Option<Arc<Members>>) -> Self {
        Self { door: members.map_or(Door::Open, Door::Guarded) }
    }
}

impl<S> Layer<S> for Authorize {
    type Service = Guard<S>;
    fn layer(&self, inner: S) -> Guard<S> {
        Guard { door: self.door.clone(), inner }
    }
}

/// A service behind the table.
#[derive(Clone)]
pub(super) struct Guard<S> {
    door: Door,
    inner: S,
}

impl<S> Service<http::Request<Body>> for Guard<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let caller = match &self.door {
            Door::Open => Ok(Caller::Anybody),
            Door::Guarded(members) => identify(&request, members),
        };
        match caller {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                Either::Left(self.inner.call(request))
            }
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}

/// Who calls, if they may. TLS has checked that the fabric's authority signed their certificate.
fn identify(request: &http::Request<Body>, members: &Members) -> Result<Caller, Status> {
    let path = request.uri().path();
    let connection = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
    let certificates = connection.and_then(TlsConnectInfo::peer_certs);
    let first = certificates.as_ref().and_then(|chain| chain.first());
    let Some(first) = first else {
        if admitted(path) == Some(Admitted::Anybody) {
            return Ok(Caller::Stranger);
        }
        return Err(Status::unauthenticated("this takes a certificate of the fabric, and none was shown"));
    };
    let certificate = Certificate::from_der(first);
    let certificate =
        certificate.map_err(|error| Status::unauthenticated(format!("your certificate: {error}")))?;
    // TLS looked when the connection was made; it may be an old one.
    if certificate.end <= SystemTime::now() {
        return Err(Status::unauthenticated(
            "your certificate ended; connect with a newer one, or ask for an invitation",
        ));
    }
    if !members.count(&certificate.subject) {
        let subject = certificate.subject;
        return Err(Status::unauthenticated(format!(
            "{subject} was revoked or enrolled anew; this certificate no longer counts"
        )));
    }
    judge(path, &certificate.subject)?;
    Ok(Caller::Known(certificate.subject))
}
