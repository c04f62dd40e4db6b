//! A real etcd inside the node's namespace, and a hand that writes what a controller would.

use std::process::{Child, Stdio};

use etcd_client::Client;
use selvedge_proto::plan::{EncodedPlan, encode_plan};
use selvedge_proto::{Report, Target, keys};
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::{Generation, Plan};

use super::{Namespace, Node, wait};

/// etcd in a namespace; killed when dropped.
pub(crate) struct Etcd<'a> {
    child: Child,
    namespace: &'a Namespace,
    url: String,
    directory: tempfile::TempDir,
}

fn host1() -> NodeName {
    "host1".parse().unwrap()
}

impl<'a> Etcd<'a> {
    /// On the node's loopback.
    pub(crate) fn start(node: &'a Node) -> Self {
        Self::start_at(&node.namespace, "http://127.0.0.1:2379")
    }

    /// At `url`, an address of `namespace`.
    pub(crate) fn start_at(namespace: &'a Namespace, url: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let child = Self::spawn(namespace, url, &directory);
        let etcd = Self { child, namespace, url: url.to_owned(), directory };
        etcd.wait_ready();
        etcd
    }

    fn spawn(namespace: &Namespace, url: &str, directory: &tempfile::TempDir) -> Child {
        let mut command = namespace.command("etcd");
        command.arg("--data-dir").arg(directory.path());
        command.args(["--listen-client-urls", url, "--advertise-client-urls", url]);
        command.args(["--listen-peer-urls", "http://127.0.0.1:2380", "--log-level", "error"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn wait_ready(&self) {
        let ready = || self.with(async |client| client.get("x", None).await.ok().map(drop)).flatten();
        wait(ready).expect("etcd answers");
    }

    /// Stops it, as an outage would.
    pub(crate) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same data.
    pub(crate) fn restart(&mut self) {
        self.child = Self::spawn(self.namespace, &self.url, &self.directory);
        self.wait_ready();
    }

    fn with<T: Send>(&self, work: impl AsyncFnOnce(&mut Client) -> T + Send) -> Option<T> {
        self.namespace.enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut client = Client::connect([&self.url], None).await.ok()?;
                Some(work(&mut client).await)
            })
        })
    }

    /// Publishes `plan` as a controller does: content first, then the target.
    pub(crate) fn publish(&self, generation: u64, plan: &Plan) {
        let encoded = encode_plan(&plan.clone().into()).unwrap();
        self.put_content(&encoded);
        self.publish_target(generation, &encoded);
    }

    /// Has the node enforce a plan, wherever its content is.
    pub(crate) fn publish_target(&self, generation: u64, encoded: &EncodedPlan) {
        let target = Target { generation: Generation(generation), manifest: encoded.digest, signature: None };
        self.put(&keys::target(&host1()), &target.encode());
    }

    /// Writes content of any plan, which nobody has to believe for that.
    pub(crate) fn put_content(&self, encoded: &EncodedPlan) {
        self.with(async |client| {
            for (digest, bytes) in encoded.chunks.iter() {
                client.put(keys::chunk(digest), bytes, None).await.unwrap();
            }
            client.put(keys::manifest(encoded.digest), encoded.manifest.clone(), None).await.unwrap();
        })
        .unwrap();
    }

    /// Writes whatever at whatever key.
    pub(crate) fn put(&self, key: &str, value: &[u8]) {
        self.with(async |client| client.put(key, value, None).await.unwrap()).unwrap();
    }

    /// Takes a key away.
    pub(crate) fn delete(&self, key: &str) {
        self.with(async |client| client.delete(key, None).await.unwrap()).unwrap();
    }

    /// Publishes a target whose content is nowhere.
    pub(crate) fn publish_without_content(&self, generation: u64, plan: &Plan) {
        self.publish_target(generation, &encode_plan(&plan.clone().into()).unwrap());
    }

    pub(crate) fn report(&self) -> Option<Report> {
        let answer = self.with(async |client| client.get(keys::report(&host1()), None).await.unwrap())?;
        answer.kvs().first().map(|entry| Report::decode(entry.value()).unwrap())
    }

    /// Waits for a report as it should be.
    pub(crate) fn wait_report(&self, what: &str, good: impl Fn(&Report) -> bool) -> Report {
        let mut last = None;
        wait(|| {
            last = self.report();
            last.clone().filter(&good)
        })
        .unwrap_or_else(|| panic!("no report where {what}: {last:#?}"))
    }
}

impl Drop for Etcd<'_> {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
