//! A controller and agents' connections to etcd, without anything that enforces.

mod herd;

use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

use selvedge_agent::store::{Access, Following, StateDir, StoreEvent, follow, publish_reports};
use selvedge_controller::server::{Authority, Backing, Controller, Options, Strangers};
use selvedge_controller::store::{self, Retention};
use selvedge_controller::trust::Security;
use selvedge_proto::wire::fabric_client::FabricClient;
use selvedge_proto::wire::{self, ApplyOutcome};
use selvedge_proto::{Occupancy, Report};
use selvedge_tests::etcd::Servers;
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::Generation;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tonic::transport::Channel;

const DOCUMENTS: &str = r#"apiVersion: selvedge/v1
kind: Fabric
metadata: {name: small}
spec:
  defaultAction: allow
  nodes:
    - name: host1
      role: host
      ports: [{name: eth0, role: uplink}, {name: w1, role: workload}]
    - name: host2
      role: host
      ports: [{name: eth0, role: uplink}, {name: w1, role: workload}]
  links: [{endpoints: ["host1:eth0", "host2:eth0"]}]
---
apiVersion: selvedge/v1
kind: Workload
metadata: {name: web1}
spec: {labels: {role: web}, addresses: [10.1.0.11], attachment: {node: host1, port: w1}}
---
apiVersion: selvedge/v1
kind: Workload
metadata: {name: db1}
spec: {labels: {role: db}, addresses: [10.1.0.21], attachment: {node: host2, port: w1}}
---
apiVersion: selvedge/v1
kind: SegmentationPolicy
metadata: {name: db}
spec:
  tier: application
  selector: {}
  ingress:
    - action: allow
      from: [{selector: {matchLabels: {role: web}}}]
      ports: [{protocol: TCP, port: PORT}]
"#;

/// Waits for `future`, and not longer than `limit`.
pub(crate) async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {limit:?}: {what}"),
    }
}

/// Polls until `holds`, for at most thirty seconds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A controller, and somebody who applies documents.
pub(crate) struct Fabric {
    controller: Controller,
    client: FabricClient<Channel>,
}

impl Fabric {
    pub(crate) async fn start(servers: &Servers) -> Self {
        Self::start_keeping(servers, Retention::DEFAULT).await
    }

    pub(crate) async fn start_keeping(servers: &Servers, retention: Retention) -> Self {
        let backing = Backing::Cluster { access: store::Access::plain(servers.endpoints()) };
        let listen = "127.0.0.1:0".parse().unwrap();
        let (authority, strangers) = (Authority::Nobody, Strangers::Refuse);
        let (name, security) = ("test".to_owned(), Security::Insecure);
        let certificate_lifetime = Duration::from_secs(3600);
        let options = Options {
            listen,
            backing,
            name,
            retention,
            memory: None,
            authority,
            strangers,
            security,
            certificate_lifetime,
        };
        let controller = Controller::start(options).await.unwrap();
        let client = FabricClient::connect(format!("http://{}", controller.address())).await.unwrap();
        Self { controller, client }
    }

    /// Makes `generation`, which changes every node; tries again while etcd is away, as a user would.
    pub(crate) async fn apply(&mut self, generation: u64) {
        let text = DOCUMENTS.replace("PORT", &(1000 + generation).to_string());
        let file = wire::SourceFile { name: "fabric.yaml".to_owned(), text, line: 1 };
        let request = wire::ApplyRequest { files: vec![file], allow_unenforced: true, ..Default::default() };
        let begun = Instant::now();
        let response = loop {
            match self.client.apply(request.clone()).await {
                Ok(response) => break response.into_inner(),
                Err(error) => assert!(begun.elapsed() < Duration::from_secs(30), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        // A try that seemed to fail may have succeeded.
        let again = begun.elapsed() > Duration::from_secs(1) && response.outcome() == ApplyOutcome::Unchanged;
        assert!(again || response.outcome() == ApplyOutcome::Applied, "{response:#?}");
        assert_eq!(response.generation, generation);
    }

    /// How far the nodes are, once all have `generation` in force.
    pub(crate) async fn settled(&mut self, generation: u64) -> wire::StatusResponse {
        let request = wire::StatusRequest { generation, wait_ms: 20_000 };
        self.client.status(request).await.unwrap().into_inner()
    }

    pub(crate) async fn stop(self) {
        self.controller.shutdown().await;
    }
}

/// What an agent has of etcd, which says that it has in force whatever it is offered.
pub(crate) struct Agent {
    node: String,
    events: mpsc::Receiver<StoreEvent>,
    reports: watch::Sender<Option<Report>>,
    tasks: [JoinHandle<()>; 2],
    _state: tempfile::TempDir,
}

impl Agent {
    pub(crate) fn start(servers: &Servers, name: &str) -> Self {
        Self::start_at(servers.endpoints(), name)
    }

    pub(crate) fn start_at(endpoints: Vec<String>, name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let node: NodeName = name.parse().unwrap();
        let state = StateDir::open(directory.path(), &node, None).unwrap();
        let (found, events) = mpsc::channel(4);
        let (reports, to_publish) = watch::channel(None);
        let following = Following { node: node.clone(), anchor: None, cache: state, events: found };
        let access = Access::plain(endpoints);
        let following = tokio::spawn(follow(access.clone(), following));
        let publishing = tokio::spawn(publish_reports(access, node, to_publish, |_| {}));
        let tasks = [following, publishing];
        Self { node: name.to_owned(), events, reports, tasks, _state: directory }
    }

    /// What comes next from the store, but for complaints that it is away.
    async fn next(&mut self) -> StoreEvent {
        let next = async {
            loop {
                match self.events.recv().await.expect("it follows for ever") {
                    StoreEvent::Away(_) | StoreEvent::NoTarget => {}
                    event => return event,
                }
            }
        };
        within(Duration::from_secs(40), "the store says something", next).await
    }

    /// Takes what it is offered, until that is `generation`.
    pub(crate) async fn takes(&mut self, generation: u64) {
        loop {
            let StoreEvent::Offered(fetched) = self.next().await else { continue };
            let offered = fetched.target.generation;
            assert!(offered.0 <= generation, "offered {offered}, which was not published yet");
            self.reports.send_replace(Some(report(&self.node, offered.0)));
            if offered.0 == generation {
                return;
            }
        }
    }

    /// Is told of `generation`, whose content is gone.
    pub(crate) async fn cannot_fetch(&mut self, generation: u64) {
        match self.next().await {
            StoreEvent::Unfetchable { target, .. } => assert_eq!(target.generation, Generation(generation)),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A fresh report of `node`.
pub(crate) fn report(node: &str, in_force: u64) -> Report {
    Report {
        node: node.parse().unwrap(),
        agent_version: "0.1.0".into(),
        abi_version: 1,
        wanted: Some(Generation(in_force)),
        in_force: Some(Generation(in_force)),
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
        time: SystemTime::now(),
    }
}
