//! A node's certificate against etcd itself: what it may read and write, and everything else.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::documents;
use common::secure::Secure;
use etcd_client::{
    Client, Compare, CompareOp, DeleteOptions, GetOptions, Permission, PutOptions, Txn, TxnOp, WatchOptions,
};
use selvedge_proto::{Digest, keys, wire};
use selvedge_trust::member::Invitee;

/// A key of every kind that there is, but for those that host1 may read.
fn others() -> Vec<String> {
    let host2 = "host2".parse().unwrap();
    let [first, other] = [b"a", b"b"].map(|text| Digest::of(text));
    vec![
        keys::LEADER.to_owned(),
        keys::FORMAT_KEY.to_owned(),
        keys::SWEPT.to_owned(),
        keys::audit(1),
        keys::generation(selvedge_topology::plan::Generation(1)),
        keys::target(&host2),
        keys::report(&host2),
        format!("{}{first}", keys::LABEL_IDENTITIES),
        format!("{}10.0.0.0/8", keys::CIDR_IDENTITIES),
        format!("{}identity/next/labels", keys::PREFIX),
        keys::invitation(other),
        keys::member_node(&host2),
        keys::member_operator(&"admin".parse().unwrap()),
        format!("{}host1x", keys::TARGETS),
        format!("{}host", keys::TARGETS),
        keys::PREFIX.to_owned(),
        "/".to_owned(),
        "elsewhere".to_owned(),
    ]
}

async fn node(fabric: &Secure) -> Client {
    let identity = fabric.member(&Invitee::Node("host1".parse().unwrap())).await;
    fabric.etcd(&identity).await.unwrap()
}

#[tokio::test]
async fn a_node_reads_what_it_is_to_enforce_and_writes_its_own_report() {
    let fabric = Secure::start().await;
    let mut admin = fabric.fabric(&fabric.admin()).await.unwrap();
    let request = wire::ApplyRequest { files: documents(), ..Default::default() };
    admin.apply(request).await.unwrap();
    let mut etcd = node(&fabric).await;
    let host1 = "host1".parse().unwrap();

    let target = etcd.get(keys::target(&host1), None).await.unwrap();
    let target = selvedge_proto::Target::decode(target.kvs()[0].value()).unwrap();
    let manifest = etcd.get(keys::manifest(target.manifest), None).await.unwrap();
    assert_eq!(manifest.kvs().len(), 1);
    for prefix in [keys::MANIFESTS, keys::CHUNKS] {
        let all = etcd.get(prefix, Some(GetOptions::new().with_prefix())).await.unwrap();
        assert!(all.count() > 0, "{prefix}");
    }
    let mut watch =
        etcd.watch(keys::target(&host1), Some(WatchOptions::new().with_start_revision(1))).await.unwrap();
    assert!(!watch.message().await.unwrap().unwrap().canceled());
    etcd.put(keys::report(&host1), "a report", None).await.unwrap();
    fabric.controller.shutdown().await;
}

#[tokio::test]
async fn a_node_can_neither_read_nor_write_anything_else() {
    let fabric = Secure::start().await;
    let mut etcd = node(&fabric).await;
    let host1 = "host1".parse().unwrap();
    let own = [keys::target(&host1), keys::manifest(Digest::of(b"x")), keys::chunk(Digest::of(b"x"))];
    let mut refused = 0;
    let mut no = |what: &str, key: &str, done: bool| {
        assert!(!done, "{what} {key}");
        refused += 1;
    };
    for key in others() {
        no("get", &key, etcd.get(key.as_str(), None).await.is_ok());
        no("range from", &key, etcd.get(key.as_str(), Some(GetOptions::new().with_from_key())).await.is_ok());
        let compared = Txn::new().when([Compare::version(key.as_str(), CompareOp::Greater, 0)]);
        no("compare", &key, etcd.txn(compared).await.is_ok());
        let mut watch = etcd.watch(key.as_str(), None).await.unwrap();
        let answer = watch.message().await;
        no("watch", &key, !matches!(&answer, Ok(Some(message)) if message.canceled()) && answer.is_ok());
    }
    // Its own target, and content: to be read only. Its own report: to be written only.
    for key in others().into_iter().chain(own) {
        no("put", &key, etcd.put(key.as_str(), "x", None).await.is_ok());
        no("delete", &key, etcd.delete(key.as_str(), None).await.is_ok());
        let put = Txn::new().and_then([TxnOp::put(key.as_str(), "x", None)]);
        no("put in a transaction", &key, etcd.txn(put).await.is_ok());
    }
    no("get", "its report", etcd.get(keys::report(&host1), None).await.is_ok());
    for (from, to) in [("", "\0"), (keys::PREFIX, "/selvedge/v10"), (keys::TARGETS, "/selvedge/v1/target0")] {
        let all = GetOptions::new().with_range(to);
        no("range", from, etcd.get(if from.is_empty() { "\0" } else { from }, Some(all)).await.is_ok());
        let all = DeleteOptions::new().with_range(to);
        no(
            "delete range",
            from,
            etcd.delete(if from.is_empty() { "\0" } else { from }, Some(all)).await.is_ok(),
        );
    }
    // Leases: the leader's is not its to end, nor anything to be put under one of its own.
    let leases = etcd.leases().await.unwrap();
    for lease in leases.leases() {
        no("revoke", "the leader's lease", etcd.lease_revoke(lease.id()).await.is_ok());
    }
    assert!(!leases.leases().is_empty());
    let lease = etcd.lease_grant(60, None).await.unwrap().id();
    let leased = PutOptions::new().with_lease(lease);
    no("put under a lease", keys::LEADER, etcd.put(keys::LEADER, "me", Some(leased)).await.is_ok());
    // etcd's own users and roles.
    let mut users = etcd.auth_client();
    no("list", "users", users.user_list().await.is_ok());
    no("list", "roles", users.role_list().await.is_ok());
    no("add", "a user", users.user_add("me", "", None).await.is_ok());
    no("grant itself", "root", users.user_grant_role("node:host1:1", "root").await.is_ok());
    let all = Permission::read_write("\0").with_all_keys();
    no("grant", "its role everything", users.role_grant_permission("node:host1", all).await.is_ok());
    no("disable", "authentication", users.auth_disable().await.is_ok());
    let mut maintenance = etcd.maintenance_client();
    no("hash", "the store", maintenance.hash().await.is_ok());
    no("defragment", "the store", maintenance.defragment().await.is_ok());
    let snapshot = match maintenance.snapshot().await {
        Ok(mut stream) => matches!(stream.message().await, Ok(Some(_))),
        Err(_) => false,
    };
    no("take a snapshot of", "the store", snapshot);
    assert!(refused > 120, "{refused} tries");
    fabric.controller.shutdown().await;
}

#[tokio::test]
async fn nobody_is_root_in_etcd_and_strangers_are_nobody() {
    let fabric = Secure::start().await;
    // An operator's certificate is of the same authority, and no user of etcd.
    let mut etcd = fabric.etcd(&fabric.admin()).await.unwrap();
    assert!(etcd.get(keys::PREFIX, Some(GetOptions::new().with_prefix())).await.is_err());
    // A name that etcd knows, in a certificate of the authority: only the controller has it.
    let mut etcd = fabric.etcd(&fabric.controller_identity()).await.unwrap();
    assert!(etcd.get(keys::PREFIX, Some(GetOptions::new().with_prefix())).await.is_ok());
    fabric.controller.shutdown().await;
}

#[tokio::test]
async fn what_etcd_leaves_open_to_a_node_is_what_the_threat_model_says() {
    let fabric = Secure::start().await;
    let mut etcd = node(&fabric).await;
    let revision =
        etcd.get(keys::target(&"host1".parse().unwrap()), None).await.unwrap().header().unwrap().revision();
    let mut open = Vec::new();
    let leases = etcd.leases().await.unwrap();
    let leader = leases.leases().first().unwrap().id();
    open.push(("list leases", true));
    open.push(("grant leases", etcd.lease_grant(60, None).await.is_ok()));
    open.push(("keep the leader's lease alive", etcd.lease_keep_alive(leader).await.is_ok()));
    open.push(("compact", etcd.compact(revision, None).await.is_ok()));
    let mut maintenance = etcd.maintenance_client();
    let raised = maintenance.alarm(etcd_client::AlarmAction::Activate, etcd_client::AlarmType::Nospace, None);
    open.push(("raise an alarm", raised.await.is_ok()));
    let status = maintenance.status().await;
    open.push(("ask for its status", status.is_ok()));
    let text: String =
        open.iter().map(|(what, done)| format!("{what}: {}\n", if *done { "yes" } else { "no" })).collect();
    insta::assert_snapshot!("open_in_etcd", text);
    fabric.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_etcd_refuses_because_users_change_at_that_moment_is_done_nevertheless() {
    let fabric = Secure::start().await;
    let own = fabric.controller_identity();
    let etcd = fabric.etcd(&own).await.unwrap();
    // As many changes as it takes until etcd has refused others that often; what it refuses shows by asking it as the product does not.
    let (enough, refused) = (20, AtomicUsize::new(0));
    let still = || refused.load(Ordering::Relaxed) < enough;
    let change = async {
        let mut users = etcd.auth_client();
        while still() {
            users.role_add("somebody").await.unwrap();
            users.role_delete("somebody").await.unwrap();
        }
    };
    let ask = async {
        let mut etcd = fabric.etcd(&own).await.unwrap();
        while still() {
            if let Err(error) = etcd.put("elsewhere", "x", None).await {
                assert!(error.to_string().contains("revision of auth store is old"), "{error}");
                refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let mut asked = 0;
    let work = async {
        while still() || asked < 100 {
            fabric.invite(&Invitee::Node("host1".parse().unwrap()), Duration::from_secs(60)).await.unwrap();
            asked += 1;
        }
    };
    let all = async { tokio::join!(change, ask, work) };
    tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
    eprintln!("{asked} invitations while etcd refused {}", refused.load(Ordering::Relaxed));
    fabric.controller.shutdown().await;
}
