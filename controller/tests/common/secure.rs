//! A controller as it should be run: with TLS, its own etcd, and certificates for whoever a test needs.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use selvedge_controller::server::{Authority, Backing, Controller, Options, Strangers};
use selvedge_controller::store::Retention;
use selvedge_controller::trust::{Folder, Init, Security, Trust, client, init};
use selvedge_proto::wire;
use selvedge_proto::wire::enrol_client::EnrolClient;
use selvedge_proto::wire::fabric_client::FabricClient;
use selvedge_proto::wire::members_client::MembersClient;
use selvedge_trust::member::{Invitee, MemberName};
use selvedge_trust::pki::{Identity, NewKey, Role};
use selvedge_trust::token::Secret;
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error};
use tonic::{Code, Status, codegen};

use super::own_address;

/// A data directory as `init` makes it.
pub(crate) struct Initialised {
    pub(crate) folder: TempDir,
}

impl Initialised {
    /// The first administrator.
    pub(crate) fn admin(&self) -> Identity {
        Identity::load(&Folder::of(self.folder.path()).admin()).unwrap()
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::load(self.folder.path()).unwrap()
    }
}

/// A running controller with TLS.
pub(crate) struct Secure {
    pub(crate) data: Initialised,
    pub(crate) controller: Controller,
    listen: SocketAddr,
    lifetime: Duration,
}

impl Secure {
    /// Only the files.
    pub(crate) fn init() -> Initialised {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().to_owned();
        init(
            &Init { data_dir, ca_cert: None, ca_key: None, signing_public: None, names: Vec::new() },
            SystemTime::now(),
        )
        .unwrap();
        Initialised { folder }
    }

    pub(crate) async fn start() -> Self {
        Self::start_with(Duration::from_secs(3600)).await
    }

    /// With certificates that hold for so long.
    pub(crate) async fn start_with(certificate_lifetime: Duration) -> Self {
        let data = Self::init();
        let listen = own_address();
        // A name that resolves would do as well; addresses of loopback are many, and one's own is nobody else's.
        let names = vec![listen.ip().to_string()];
        let data_dir = data.folder.path().to_owned();
        let all =
            Init { data_dir: data_dir.clone(), ca_cert: None, ca_key: None, signing_public: None, names };
        init(&all, SystemTime::now()).unwrap();
        Self::serve(data, listen, certificate_lifetime).await
    }

    async fn serve(data: Initialised, listen: SocketAddr, lifetime: Duration) -> Self {
        let security = Security::Mutual(data.trust().into());
        let data_dir = data.folder.path().to_owned();
        let backing = Backing::Embedded { data_dir, listen };
        let api = (listen.ip(), 0).into();
        let authority = Authority::load(Folder::of(data.folder.path()).path()).unwrap();
        let options = Options {
            listen: api,
            backing,
            name: "secure".to_owned(),
            retention: Retention::DEFAULT,
            memory: None,
            authority,
            strangers: Strangers::Refuse,
            security,
            certificate_lifetime: lifetime,
        };
        let controller = Controller::start(options).await.unwrap();
        Self { data, controller, listen, lifetime }
    }

    pub(crate) fn admin(&self) -> Identity {
        self.data.admin()
    }

    /// Stops the controller and starts it again on the same data.
    pub(crate) async fn restart(self) -> Self {
        let Self { data, controller, listen, lifetime } = self;
        controller.shutdown().await;
        Self::serve(data, listen, lifetime).await
    }

    /// The controller's own.
    pub(crate) fn controller_identity(&self) -> Identity {
        Identity::load(&self.data.folder.path().join("trust/controller")).unwrap()
    }

    async fn as_admin(&self) -> MembersClient<Channel> {
        MembersClient::new(self.channel(client(&self.admin())).await.unwrap())
    }

    /// Invites somebody; the secret of the invitation.
    pub(crate) async fn invite(&self, invitee: &Invitee, valid: Duration) -> Result<Secret, Status> {
        let request =
            wire::InviteRequest { invitee: Some(invitee.into()), valid_ms: valid.as_millis() as u64 };
        let answer = self.as_admin().await.invite(request).await?.into_inner();
        Ok(Secret::from_bytes(&answer.secret).unwrap())
    }

    /// Revokes somebody; how many invitations are void.
    pub(crate) async fn revoke(&self, name: &MemberName) -> Result<u32, Code> {
        let request = wire::RevokeRequest { name: Some(name.into()) };
        let answer = self.as_admin().await.revoke(request).await.map_err(|status| status.code())?;
        Ok(answer.into_inner().invitations)
    }

    pub(crate) async fn members(&self) -> wire::ListMembersResponse {
        self.as_admin().await.list(wire::ListMembersRequest {}).await.unwrap().into_inner()
    }

    /// Invites and enrols somebody.
    pub(crate) async fn member(&self, invitee: &Invitee) -> Identity {
        let secret = self.invite(invitee, Duration::from_secs(60)).await.unwrap();
        Newcomer::new().enrol(self, &secret).await.unwrap()
    }

    pub(crate) async fn operator(&self, name: &str, role: Role) -> Identity {
        self.member(&Invitee::Operator { name: name.parse().unwrap(), role }).await
    }

    /// etcd, as whoever `identity` is.
    pub(crate) async fn etcd(&self, identity: &Identity) -> Result<etcd_client::Client, etcd_client::Error> {
        let options = etcd_client::ConnectOptions::new()
            .with_tls(client(identity))
            .with_connect_timeout(Duration::from_secs(2))
            .with_timeout(Duration::from_secs(2));
        etcd_client::Client::connect(self.controller.etcd_endpoints(), Some(options)).await
    }

    pub(crate) fn authority(&self) -> Certificate {
        Certificate::from_pem(self.admin().authority_pem())
    }

    pub(crate) async fn channel(&self, tls: ClientTlsConfig) -> Result<Channel, Error> {
        let url = format!("https://{}", self.controller.address());
        Endpoint::from_shared(url)?.tls_config(tls)?.connect().await
    }

    pub(crate) async fn fabric(&self, identity: &Identity) -> Result<FabricClient<Channel>, Error> {
        Ok(FabricClient::new(self.channel(client(identity)).await?))
    }
}

/// Somebody with a key, who would be one of the fabric.
pub(crate) struct Newcomer(NewKey);

impl Newcomer {
    pub(crate) fn new() -> Self {
        Self(NewKey::generate().unwrap())
    }

    /// Uses a secret up, as somebody who has no certificate yet.
    pub(crate) async fn enrol(&self, fabric: &Secure, secret: &Secret) -> Result<Identity, Status> {
        let bare = ClientTlsConfig::new().ca_certificate(fabric.authority());
        let mut client = EnrolClient::new(fabric.channel(bare).await.unwrap());
        let request = wire::EnrolRequest { secret: secret.to_bytes(), request: self.0.request().unwrap() };
        let chain = client.enrol(request).await?.into_inner().chain;
        Ok(Identity::new(&self.0, chain, fabric.admin().authority_pem().to_owned()).unwrap())
    }
}

/// Calls `method` with an empty message; the error that this ended in, if it did.
pub(crate) async fn call(channel: Channel, method: &str) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = codegen::http::uri::PathAndQuery::try_from(method).unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let messages = tokio_stream::iter([()]);
    let mut response = client.streaming(tonic::Request::new(messages), path, codec).await?.into_inner();
    response.message().await.map(drop)
}
