//! What the tests of the controller share: a real etcd, a controller, documents.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod secure;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use etcd_client::GetOptions;
use selvedge_controller::server::{Authority, Backing, Controller, EmbeddedEtcd, Options, Strangers};
use selvedge_controller::store::Retention;
use selvedge_controller::trust::Security;
use selvedge_proto::wire::fabric_client::FabricClient;
use selvedge_proto::wire::{self, ApplyOutcome};
use selvedge_proto::{Occupancy, Report, Target, keys};
use selvedge_topology::plan::Generation;
use tempfile::TempDir;
use tonic::transport::Channel;

/// Two hosts behind a leaf that only forwards, a workload on each, and a policy for one of them.
pub(crate) const FABRIC: &str = r#"apiVersion: selvedge/v1
kind: Fabric
metadata: {name: small}
spec:
  defaultAction: allow
  nodes:
    - name: leaf1
      role: switch
      agent: none
      ports: [{name: swp1, role: fabric}, {name: swp2, role: fabric}]
    - name: host1
      role: host
      rack: r1
      addresses: [10.255.0.11]
      ports: [{name: eth0, role: uplink}, {name: w1, role: workload}]
    - name: host2
      role: host
      rack: r1
      addresses: [10.255.0.12]
      ports: [{name: eth0, role: uplink}, {name: w1, role: workload}]
  links:
    - endpoints: ["leaf1:swp1", "host1:eth0"]
    - endpoints: ["leaf1:swp2", "host2:eth0"]
"#;

/// The workloads.
pub(crate) const WORKLOADS: &str = r#"apiVersion: selvedge/v1
kind: Workload
metadata: {name: web1}
spec:
  labels: {app: shop, role: web}
  addresses: [10.1.0.11, "fd00:1::11"]
  attachment: {node: host1, port: w1}
---
apiVersion: selvedge/v1
kind: Workload
metadata: {name: db1}
spec:
  labels: {app: shop, role: db}
  addresses: [10.1.0.21]
  attachment: {node: host2, port: w1}
  services: [{name: sql, protocol: TCP, port: 5432}]
"#;

/// The policy: only web reaches the database.
pub(crate) const POLICY: &str = r#"apiVersion: selvedge/v1
kind: SegmentationPolicy
metadata: {name: db, description: Only the web servers reach the databases.}
spec:
  tier: application
  selector: {matchLabels: {role: db}}
  ingress:
    - name: sql
      action: allow
      from: [{selector: {matchLabels: {role: web}}}]
      ports: [{protocol: TCP, port: sql}]
"#;

/// All of it.
pub(crate) fn documents() -> Vec<wire::SourceFile> {
    files(&[("fabric.yaml", FABRIC), ("policy.yaml", POLICY), ("workloads.yaml", WORKLOADS)])
}

/// Files of these names and texts.
pub(crate) fn files(files: &[(&str, &str)]) -> Vec<wire::SourceFile> {
    files.iter().map(|(name, text)| excerpt(name, 1, text)).collect()
}

/// A text that begins at a line of a file.
pub(crate) fn excerpt(name: &str, line: u32, text: &str) -> wire::SourceFile {
    wire::SourceFile { name: name.into(), text: text.into(), line }
}

/// All documents one by one, as they are kept.
pub(crate) fn excerpts() -> Vec<wire::SourceFile> {
    let (web, db) = WORKLOADS.split_at(WORKLOADS.find("---\n").unwrap());
    let below = 1 + u32::try_from(web.lines().count()).unwrap();
    vec![
        excerpt("fabric.yaml", 1, FABRIC),
        excerpt("workloads.yaml", below, db),
        excerpt("workloads.yaml", 1, web),
        excerpt("policy.yaml", 1, POLICY),
    ]
}

/// A real etcd on loopback, gone with the value and with the test's thread.
pub(crate) struct TestEtcd {
    pub(crate) etcd: EmbeddedEtcd,
    directory: TempDir,
}

impl TestEtcd {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let etcd = EmbeddedEtcd::start(directory.path(), own_address(), &Security::Insecure).await;
        Self { etcd: etcd.unwrap(), directory }
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        vec![self.etcd.endpoint().to_owned()]
    }

    /// A controller on it, on a free port.
    pub(crate) async fn controller(&self) -> Controller {
        let backing = Backing::Cluster { access: self.etcd.access().clone() };
        start(backing, "test").await.unwrap()
    }

    pub(crate) async fn raw(&self) -> etcd_client::Client {
        etcd_client::Client::connect(self.endpoints(), None).await.unwrap()
    }

    /// Everything of ours that lies in it, but for the leader key and the number of the format.
    pub(crate) async fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        let options = GetOptions::new().with_prefix();
        let mut all = self.raw().await.get(keys::PREFIX, Some(options)).await.unwrap();
        let pairs = all.take_kvs().into_iter().map(|pair| {
            let (key, value) = pair.into_key_value();
            (String::from_utf8(key).unwrap(), value)
        });
        pairs.filter(|(key, _)| key != keys::LEADER && key != keys::FORMAT_KEY).collect()
    }

    /// The targets that lie in it.
    pub(crate) async fn targets(&self) -> BTreeMap<String, Target> {
        let all = self.dump().await.into_iter();
        all.filter_map(|(key, value)| {
            let node = key.strip_prefix(keys::TARGETS)?.to_owned();
            Some((node, Target::decode(&value).unwrap()))
        })
        .collect()
    }

    /// Writes a report as an agent does.
    pub(crate) async fn report(&self, report: &Report) {
        self.raw().await.put(keys::report(&report.node), report.encode(), None).await.unwrap();
    }
}

/// Where nobody else is: etcd's port at a loopback address of one's own. A free port that is looked for first may be
/// another's by the time etcd asks for it.
pub(crate) fn own_address() -> SocketAddr {
    let [first, second, third, ..] = RandomState::new().build_hasher().finish().to_ne_bytes();
    (Ipv4Addr::new(127, first, second, third.clamp(1, 254)), 2379).into()
}

/// An address on loopback where nobody listens.
pub(crate) fn free_address() -> String {
    own_address().to_string().replace(":2379", ":7471")
}

/// A client of a controller that is about to listen there.
pub(crate) async fn client_at(address: &str) -> FabricClient<Channel> {
    for _ in 0..500 {
        if let Ok(client) = FabricClient::connect(format!("http://{address}")).await {
            return client;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no controller came up at {address}");
}

/// Starts a controller on a free port.
pub(crate) async fn start(
    backing: Backing,
    name: &str,
) -> Result<Controller, selvedge_controller::server::StartError> {
    start_with(backing, name, Authority::Nobody, Strangers::Refuse).await
}

/// Starts a controller that keeps in a folder what etcd might forget.
pub(crate) async fn start_remembering(backing: Backing, folder: &std::path::Path) -> Controller {
    let listen = "127.0.0.1:0".parse().unwrap();
    let (name, memory) = ("test".to_owned(), Some(folder.to_owned()));
    Controller::start(Options {
        listen,
        backing,
        name,
        retention: Retention::DEFAULT,
        memory,
        authority: Authority::Nobody,
        strangers: Strangers::Refuse,
        security: Security::Insecure,
        certificate_lifetime: Duration::from_secs(3600),
    })
    .await
    .unwrap()
}

/// Starts a controller whose generations are signed as `authority` says.
pub(crate) async fn start_with(
    backing: Backing,
    name: &str,
    authority: Authority,
    strangers: Strangers,
) -> Result<Controller, selvedge_controller::server::StartError> {
    let listen = "127.0.0.1:0".parse().unwrap();
    let (name, security, retention) = (name.to_owned(), Security::Insecure, Retention::DEFAULT);
    let certificate_lifetime = Duration::from_secs(3600);
    Controller::start(Options {
        listen,
        backing,
        name,
        retention,
        memory: None,
        authority,
        strangers,
        security,
        certificate_lifetime,
    })
    .await
}

/// A client of a controller.
pub(crate) async fn client(controller: &Controller) -> FabricClient<Channel> {
    FabricClient::connect(format!("http://{}", controller.address())).await.unwrap()
}

/// Applies documents and expects that to end as `outcome`.
pub(crate) async fn apply(
    client: &mut FabricClient<Channel>,
    files: Vec<wire::SourceFile>,
    outcome: ApplyOutcome,
) -> wire::ApplyResponse {
    let response =
        client.apply(wire::ApplyRequest { files, ..Default::default() }).await.unwrap().into_inner();
    assert_eq!(response.outcome(), outcome, "{response:#?}");
    response
}

/// A fresh report of `node` with `in_force` in force.
pub(crate) fn report(node: &str, in_force: Option<u64>) -> Report {
    Report {
        node: node.parse().unwrap(),
        agent_version: "0.1.0".into(),
        abi_version: 1,
        wanted: in_force.map(Generation),
        in_force: in_force.map(Generation),
        refusal: None,
        proof: None,
        ports: Vec::new(),
        reasons: Vec::new(),
        rules: Vec::new(),
        device_rules: Vec::new(),
        connections: Occupancy::default(),
        half_open: Occupancy::default(),
        draining: 0,
        revocations: Vec::new(),
        events_lost: 0,
        services: Vec::new(),
        time: std::time::SystemTime::now(),
    }
}

/// The documents of a generation, 0 being the newest, and its number; however many answers they come in.
pub(crate) async fn documents_of(
    client: &mut FabricClient<Channel>,
    generation: u64,
) -> Result<(u64, Vec<wire::SourceFile>), tonic::Status> {
    let mut answers = client.documents(wire::DocumentsRequest { generation }).await?.into_inner();
    let (mut number, mut all) = (None, Vec::new());
    while let Some(wire::DocumentsResponse { generation, files }) = answers.message().await? {
        assert!(number.is_none_or(|number| number == generation), "answers about several generations");
        number = Some(generation);
        all.extend(files);
    }
    Ok((number.expect("there is one answer at least"), all))
}
