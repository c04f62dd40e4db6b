//! A real etcd of three members, in the controller's namespace; each can be killed, started again, filled, and given the
//! data of an earlier day.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, Client, CompactionOptions, ConnectOptions, GetOptions, KeyValue,
};
use selvedge_proto::keys;
use tonic::transport::ClientTlsConfig;

use super::trust::{CENTRE, Trust, copy};
use crate::live::lab::Lab;

/// How many members there are; two of them are a quorum.
pub(crate) const MEMBERS: usize = 3;
/// No single step takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes that a member keeps.
const QUOTA: usize = 24 << 20;

/// The members, running or not.
pub(crate) struct Cluster {
    members: [Option<Child>; MEMBERS],
    folder: PathBuf,
    /// What members show and believe.
    identity: Vec<String>,
    /// Who we are to them.
    client: ClientTlsConfig,
}

/// Where a member's clients reach it.
pub(crate) fn endpoint(member: usize) -> String {
    format!("https://{CENTRE}:{}", 2379 + 100 * member)
}

/// Where all members' clients reach them, as options have it.
pub(crate) fn endpoints() -> String {
    (0..MEMBERS).map(endpoint).collect::<Vec<_>>().join(",")
}

fn peer(member: usize) -> String {
    format!("http://127.0.0.1:{}", 2380 + 100 * member)
}

impl Cluster {
    /// Starts all members.
    pub(crate) fn start(lab: &Lab, trust: &Trust) -> Self {
        let (folder, identity, client) = (lab.folder().join("etcd"), trust.etcd(), trust.controller());
        let mut cluster = Self { members: [const { None }; MEMBERS], folder, identity, client };
        (0..MEMBERS).for_each(|member| cluster.start_member(lab, member));
        cluster
    }

    /// Starts a member that does not run.
    pub(crate) fn start_member(&mut self, lab: &Lab, member: usize) {
        assert!(self.members[member].is_none(), "member {member} runs");
        let all: Vec<String> = (0..MEMBERS).map(|member| format!("m{member}={}", peer(member))).collect();
        let (name, data) = (format!("m{member}"), self.data(member).display().to_string());
        let (client, peer, all, quota) = (endpoint(member), peer(member), all.join(","), QUOTA.to_string());
        let arguments = [
            ["--name", &name],
            ["--data-dir", &data],
            ["--listen-client-urls", &client],
            ["--advertise-client-urls", &client],
            ["--listen-peer-urls", &peer],
            ["--initial-advertise-peer-urls", &peer],
            ["--initial-cluster", &all],
            ["--quota-backend-bytes", &quota],
            ["--log-level", "error"],
        ];
        let identity = self.identity.iter().map(String::as_str);
        let arguments: Vec<&str> = arguments.into_iter().flatten().chain(identity).collect();
        self.members[member] = Some(lab.exec("controller", "/usr/bin/etcd", &arguments));
    }

    /// Kills a member without a word.
    pub(crate) fn kill_member(&mut self, member: usize) {
        let mut child = self.members[member].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Kills all.
    pub(crate) fn kill_all(&mut self) {
        (0..MEMBERS).for_each(|member| self.kill_member(member));
    }

    /// Starts all.
    pub(crate) fn start_all(&mut self, lab: &Lab) {
        (0..MEMBERS).for_each(|member| self.start_member(lab, member));
    }

    fn data(&self, member: usize) -> PathBuf {
        self.folder.join(format!("m{member}"))
    }

    /// Keeps a copy of all data; nobody may run.
    pub(crate) fn keep(&self) -> tempfile::TempDir {
        assert!(self.members.iter().all(Option::is_none));
        let kept = tempfile::tempdir().unwrap();
        copy(&self.folder, kept.path());
        kept
    }

    /// Puts a copy in the place of all data; nobody may run.
    pub(crate) fn restore(&self, kept: &Path) {
        assert!(self.members.iter().all(Option::is_none));
        fs::remove_dir_all(&self.folder).unwrap();
        copy(kept, &self.folder);
    }

    /// The member that leads.
    pub(crate) async fn leader(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for member in (0..MEMBERS).filter(|member| self.members[*member].is_some()) {
                let status = async { self.connect(member).await?.status().await };
                if let Ok(status) = status.await
                    && status.leader() != 0
                    && status.header().is_some_and(|header| header.member_id() == status.leader())
                {
                    return member;
                }
            }
            assert!(Instant::now() < deadline, "no member of etcd leads");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A client of one member, who may do anything.
    pub(crate) async fn connect(&self, member: usize) -> Result<Client, etcd_client::Error> {
        let options = ConnectOptions::new().with_tls(self.client.clone());
        let options = options.with_connect_timeout(Duration::from_secs(2)).with_timeout(PATIENCE);
        Client::connect([endpoint(member)], Some(options)).await
    }

    /// Every node's target.
    pub(crate) async fn targets(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let options = GetOptions::new().with_prefix();
        let mut all = self.connect(0).await.unwrap().get(keys::TARGETS, Some(options)).await.unwrap();
        all.take_kvs().into_iter().map(KeyValue::into_key_value).collect()
    }

    /// Writes until etcd takes no more: it raises the alarm NOSPACE.
    pub(crate) async fn fill(&self) {
        let mut client = self.connect(0).await.unwrap();
        // Twice what there is room for.
        for number in 0..2 * (QUOTA >> 20) {
            if client.put(format!("rubbish{number}"), vec![0xff; 1 << 20], None).await.is_err() {
                return;
            }
        }
        panic!("etcd takes more than its quota");
    }

    /// What an operator does then: delete, compact, defragment, and disarm.
    pub(crate) async fn make_room(&self) {
        let mut client = self.connect(0).await.unwrap();
        let options = etcd_client::DeleteOptions::new().with_prefix();
        let deleted = client.delete("rubbish", Some(options)).await.unwrap();
        let revision = deleted.header().unwrap().revision();
        client.compact(revision, Some(CompactionOptions::new().with_physical())).await.unwrap();
        for member in 0..MEMBERS {
            self.connect(member).await.unwrap().defragment().await.unwrap();
        }
        let raised = client.alarm(AlarmAction::Get, AlarmType::None, None).await.unwrap();
        for alarm in raised.alarms() {
            let mut of = AlarmOptions::new();
            of.with_member(alarm.member_id());
            client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(of)).await.unwrap();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in self.members.iter_mut().flatten() {
            let _ended = member.kill().and_then(|()| member.wait());
        }
    }
}
