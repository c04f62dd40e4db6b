//! Versions of the layout in etcd: who may start on what.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::time::Duration;

use common::{TestEtcd, apply, client, documents, start};
use selvedge_controller::server::{Backing, StartError};
use selvedge_controller::store::StoreError;
use selvedge_proto::keys::{self, FORMAT, FORMAT_KEY};
use selvedge_proto::wire::ApplyOutcome;

async fn value(etcd: &TestEtcd, key: &str) -> Option<String> {
    let found = etcd.raw().await.get(key, None).await.unwrap();
    found.kvs().first().map(|pair| pair.value_str().unwrap().to_owned())
}

fn backing(etcd: &TestEtcd) -> Backing {
    Backing::Cluster { access: etcd.etcd.access().clone() }
}

#[tokio::test]
async fn a_controller_says_in_etcd_which_format_it_writes() {
    let etcd = TestEtcd::start().await;
    for before in [None, Some("0"), Some("1"), Some("2"), Some("3")] {
        if let Some(before) = before {
            etcd.raw().await.put(FORMAT_KEY, before, None).await.unwrap();
        }
        let controller = etcd.controller().await;
        assert_eq!(value(&etcd, FORMAT_KEY).await, Some(FORMAT.to_string()), "after {before:?}");
        controller.shutdown().await;
    }
}

#[tokio::test]
async fn a_controller_that_finds_a_later_format_refuses_by_name_and_touches_nothing() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    apply(&mut client(&controller).await, documents(), ApplyOutcome::Applied).await;
    controller.shutdown().await;
    etcd.raw().await.put(FORMAT_KEY, "4", None).await.unwrap();
    let before = etcd.dump().await;
    let refused = start(backing(&etcd), "older").await.err().unwrap();
    assert_eq!(
        refused.to_string(),
        "etcd holds format 4 of the layout (`/selvedge/v1/format`), and this controller knows none after 3: a later \
         version led here; start that version, or a later one"
    );
    assert_eq!((etcd.dump().await, value(&etcd, FORMAT_KEY).await), (before, Some("4".to_owned())));
    assert_eq!(value(&etcd, keys::LEADER).await, None);
}

#[tokio::test]
async fn a_controller_that_waited_while_a_later_version_led_refuses_to_follow_it() {
    let etcd = TestEtcd::start().await;
    etcd.raw().await.put(keys::LEADER, "later", None).await.unwrap();
    let mut waiting = Box::pin(start(backing(&etcd), "older"));
    // Long enough for it to find the key held; a short wait can only hide a failure, not make one.
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut waiting).await.is_err(), "two leaders");
    etcd.raw().await.put(FORMAT_KEY, "7", None).await.unwrap();
    etcd.raw().await.delete(keys::LEADER, None).await.unwrap();
    let refused = tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().err().unwrap();
    assert!(
        matches!(refused, StartError::Store(StoreError::NewerFormat { found: 7, known: FORMAT })),
        "{refused}"
    );
    assert_eq!(value(&etcd, keys::LEADER).await, None, "it gave leadership up");
}

#[tokio::test]
async fn a_format_that_is_no_number_is_refused_by_key() {
    let etcd = TestEtcd::start().await;
    etcd.raw().await.put(FORMAT_KEY, "new", None).await.unwrap();
    let refused = start(backing(&etcd), "test").await.err().unwrap();
    assert_eq!(refused.to_string(), "`/selvedge/v1/format` in etcd is `new`, not a number");
}
