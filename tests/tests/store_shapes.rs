//! The store, seen from its users: the same with one etcd, with three, and through a `grpc-proxy`.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod store;

use std::time::Duration;

use selvedge_agent::store::{KeyWatch, StoreError as AgentError};
use selvedge_controller::store::{
    Access, Leadership, ReportChange, Retention, Store, StoreError, watch_reports,
};
use selvedge_proto::keys;
use selvedge_proto::wire::NodeState;
use selvedge_tests::etcd::{Servers, Shape};
use selvedge_topology::plan::Generation;
use store::{Agent, Fabric, eventually, within};

/// Each of these runs in every shape.
macro_rules! over_shapes {
    ($($name:ident),* $(,)?) => {
        over_shapes!(@shape single Single $($name)*);
        over_shapes!(@shape cluster Cluster $($name)*);
        over_shapes!(@shape proxy Proxy $($name)*);
    };
    (@shape $module:ident $shape:ident $($name:ident)*) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let servers = selvedge_tests::etcd::Servers::start(selvedge_tests::etcd::Shape::$shape).await;
                    super::$name(servers.unwrap()).await;
                }
            )*
        }
    };
}

over_shapes!(
    a_standby_takes_over_at_once_from_a_leader_that_resigns,
    a_standby_takes_over_from_a_leader_that_is_gone_without_a_word,
    a_deposed_leader_is_refused,
    a_generation_reaches_agents_and_their_reports_the_controller,
    a_killed_member_loses_nothing,
    history_that_is_compacted_makes_no_gap,
    a_watch_from_the_future_does_not_wait_in_silence,
    what_a_watch_does_not_tell_is_told_by_looking_once_and_ends_it_only_if_it_stays_silent,
    a_cancelled_watch_of_reports_begins_anew,
);

async fn a_standby_takes_over_at_once_from_a_leader_that_resigns(servers: Servers) {
    let store = Store::connect(&Access::plain(servers.endpoints())).await.unwrap();
    let first = Leadership::acquire(&store, "first").await.unwrap();
    let other = Store::connect(&Access::plain(servers.endpoints())).await.unwrap();
    let mut second = Box::pin(Leadership::acquire(&other, "second"));
    // A short wait can only hide a failure, not make one.
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut second).await.is_err(), "two leaders");
    first.resign().await;
    within(Duration::from_secs(3), "it takes over", second).await.unwrap().resign().await;
}

async fn a_standby_takes_over_from_a_leader_that_is_gone_without_a_word(servers: Servers) {
    let store = Store::connect(&Access::plain(servers.endpoints())).await.unwrap();
    let first = Leadership::acquire(&store, "first").await.unwrap();
    // As long as it is there, it keeps its lease beyond the time for which that was granted.
    assert!(tokio::time::timeout(Duration::from_secs(12), first.lost()).await.is_err(), "the lease is lost");
    drop(first);
    let second = Leadership::acquire(&store, "second");
    within(Duration::from_secs(20), "the lease runs out", second).await.unwrap().resign().await;
}

async fn a_deposed_leader_is_refused(servers: Servers) {
    let store = Store::connect(&Access::plain(servers.endpoints())).await.unwrap();
    let old = Leadership::acquire(&store, "old").await.unwrap();
    servers.client().await.delete(keys::LEADER, None).await.unwrap();
    let new = Leadership::acquire(&store, "new").await.unwrap();
    let sweep = |fence| {
        let store = store.clone();
        async move {
            let mut fresh = selvedge_controller::store::Fresh::default();
            fresh.begin();
            let waste = selvedge_controller::store::Waste::Generation(Generation(7));
            store.sweep(fence, Generation(0), &[waste], &fresh).await
        }
    };
    let refused = sweep(old.fence()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Deposed), "{refused}");
    assert_eq!(sweep(new.fence()).await.unwrap(), 1);
    new.resign().await;
}

async fn a_generation_reaches_agents_and_their_reports_the_controller(servers: Servers) {
    let mut fabric = Fabric::start(&servers).await;
    let mut agents = [Agent::start(&servers, "host1"), Agent::start(&servers, "host2")];
    for generation in 1..4 {
        fabric.apply(generation).await;
        for agent in &mut agents {
            agent.takes(generation).await;
        }
        let status = fabric.settled(generation).await;
        assert!(status.nodes.iter().all(|node| node.state() == NodeState::InForce), "{status:#?}");
    }
    fabric.stop().await;
}

async fn a_killed_member_loses_nothing(mut servers: Servers) {
    let mut fabric = Fabric::start(&servers).await;
    let mut agent = Agent::start(&servers, "host1");
    fabric.apply(1).await;
    agent.takes(1).await;
    let leader = servers.leader().await;
    servers.kill(leader);
    // Three go on with two. One is away for a moment.
    if servers.direct().len() == 1 {
        servers.restart(leader).await.unwrap();
    }
    fabric.apply(2).await;
    agent.takes(2).await;
    fabric.stop().await;
}

async fn history_that_is_compacted_makes_no_gap(servers: Servers) {
    let mut fabric = Fabric::start(&servers).await;
    let mut agent = Agent::start(&servers, "host1");
    fabric.apply(1).await;
    agent.takes(1).await;
    let mut raw = servers.client().await;
    let old = raw.get("/", None).await.unwrap().header().unwrap().revision();
    fabric.apply(2).await;
    agent.takes(2).await;
    // A compaction keeps its own revision, and a generation may be one transaction: something has to be later.
    let now = raw.put("/later", "", None).await.unwrap().header().unwrap().revision();
    raw.compact(now, None).await.unwrap();

    // A watch that was to go on from before it says so.
    let client = etcd_client::Client::connect(servers.endpoints(), None).await.unwrap();
    let key = keys::target(&"host1".parse().unwrap());
    let late =
        async { KeyWatch::resume(&client, key.clone(), old, None, LOOK).await?.changed().await.map(drop) };
    let refused = within(Duration::from_secs(5), "it says that it can't", late).await.unwrap_err();
    assert!(matches!(&refused, AgentError::WatchEnded { .. }), "{refused}");
    assert!(refused.to_string().contains("compacted"), "{refused}");

    // Those that were up to date go on.
    fabric.apply(3).await;
    agent.takes(3).await;
    fabric.stop().await;
}

/// How often a watch looks whether it is told the truth.
const LOOK: Duration = Duration::from_secs(1);

async fn a_watch_from_the_future_does_not_wait_in_silence(servers: Servers) {
    let mut raw = servers.client().await;
    let put = raw.put("/key", "value", None).await.unwrap();
    let now = put.header().unwrap().revision();
    let client = etcd_client::Client::connect(servers.endpoints(), None).await.unwrap();
    let future = KeyWatch::resume(&client, "/key".to_owned(), now + 1000, None, LOOK);
    let refused = within(Duration::from_secs(5), "it says so", future).await.err().unwrap();
    assert!(
        matches!(refused, AgentError::WentBack { from, to } if from == now + 1000 && to == now),
        "{refused}"
    );
}

async fn what_a_watch_does_not_tell_is_told_by_looking_once_and_ends_it_only_if_it_stays_silent(
    servers: Servers,
) {
    let mut raw = servers.client().await;
    let told = raw.put("/key", "told", None).await.unwrap().header().unwrap().revision();
    let client = etcd_client::Client::connect(servers.endpoints(), None).await.unwrap();
    // Watches from behind a change that nobody was told of: they never tell of it.
    let behind = async |value: &str| {
        let now = servers.client().await.put("/key", value, None).await.unwrap();
        let now = now.header().unwrap().revision();
        KeyWatch::resume(&client, "/key".to_owned(), now, Some(told), LOOK).await.unwrap()
    };
    let next =
        async |watch: &mut KeyWatch| within(Duration::from_secs(40), "it tells", watch.changed()).await;

    let mut watch = behind("untold").await;
    assert_eq!(next(&mut watch).await.unwrap().as_deref(), Some(b"untold".as_slice()));
    // It lives: what comes is told, and nothing twice.
    raw.put("/key", "later", None).await.unwrap();
    assert_eq!(next(&mut watch).await.unwrap().as_deref(), Some(b"later".as_slice()));
    let again = tokio::time::timeout(LOOK * 3, watch.changed()).await;
    assert!(again.is_err(), "{again:?}");
    raw.delete("/key", None).await.unwrap();
    assert_eq!(next(&mut watch).await.unwrap(), None);

    let mut watch = behind("untold again").await;
    assert_eq!(next(&mut watch).await.unwrap().as_deref(), Some(b"untold again".as_slice()));
    let ended = next(&mut watch).await.unwrap_err();
    assert!(matches!(&ended, AgentError::WatchEnded { .. }), "{ended}");
    assert!(ended.to_string().contains("did not tell"), "{ended}");
}

async fn a_cancelled_watch_of_reports_begins_anew(mut servers: Servers) {
    let store = Store::connect(&Access::plain(servers.endpoints())).await.unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let watching = tokio::spawn(watch_reports(store, move |change| drop(tell.send(change))));
    let mut next = async || within(Duration::from_secs(40), "a change is told", told.recv()).await.unwrap();
    assert!(matches!(next().await, ReportChange::Reset));
    let mut raw = servers.client().await;
    let report = |generation| store::report("host1", generation).encode();
    let key = keys::report(&"host1".parse().unwrap());
    raw.put(key.as_str(), report(1), None).await.unwrap();
    assert!(matches!(next().await, ReportChange::Written(report) if report.in_force == Some(Generation(1))));

    for index in 0..servers.direct().len() {
        servers.kill(index);
        servers.restart(index).await.unwrap();
    }
    let mut raw = servers.client().await;
    let put = raw.put(key.as_str(), report(2), None).await.unwrap();
    raw.compact(put.header().unwrap().revision(), None).await.unwrap();
    // By a new listing or by the old watch: what counts is that it is told.
    loop {
        let (ReportChange::Written(report) | ReportChange::Found(report)) = next().await else { continue };
        if report.in_force == Some(Generation(2)) {
            break;
        }
    }
    watching.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_follow_an_etcd_that_was_restored_from_an_older_state() {
    for shape in [Shape::Single, Shape::Proxy] {
        let mut servers = Servers::start(shape).await.unwrap();
        let mut raw = servers.client().await;
        raw.put("/key", "old", None).await.unwrap();
        let backup = servers.back_up().await.unwrap();
        let mut raw = servers.client().await;
        for value in 0..50 {
            raw.put("/key", format!("newer {value}"), None).await.unwrap();
        }
        let client = etcd_client::Client::connect(servers.endpoints(), None).await.unwrap();
        let (value, mut watch) = KeyWatch::open(&client, "/key".to_owned(), LOOK).await.unwrap();
        assert_eq!(value.as_deref(), Some(b"newer 49".as_slice()));
        servers.restore(&backup).await.unwrap();
        let lost = within(Duration::from_secs(10), "it notices", watch.changed()).await.unwrap_err();
        if shape == Shape::Proxy {
            // The proxy keeps its watch, which would be silent for 50 revisions.
            assert!(matches!(lost, AgentError::WentBack { .. }), "{lost}");
        }
        let open = async || KeyWatch::open(&client, "/key".to_owned(), LOOK).await;
        let begun = std::time::Instant::now();
        let (value, mut watch) = loop {
            match open().await {
                Ok(opened) => break opened,
                Err(error) => assert!(begun.elapsed() < Duration::from_secs(20), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert_eq!(value.as_deref(), Some(b"old".as_slice()));
        let mut raw = servers.client().await;
        raw.put("/key", "after", None).await.unwrap();
        let after = within(Duration::from_secs(5), "the new watch tells", watch.changed()).await.unwrap();
        assert_eq!(after.as_deref(), Some(b"after".as_slice()), "{shape:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_lags_takes_the_newest_generation_after_its_own_was_taken_away() {
    let servers = Servers::start(Shape::Single).await.unwrap();
    let mut fabric = Fabric::start_keeping(&servers, Retention(std::num::NonZeroU32::MIN)).await;
    fabric.apply(1).await;
    let key = keys::target(&"host1".parse().unwrap());
    let mut raw = servers.client().await;
    let old = raw.get(key.as_str(), None).await.unwrap().kvs()[0].value().to_vec();
    for generation in 2..5 {
        fabric.apply(generation).await;
    }
    let left = etcd_client::GetOptions::new().with_prefix().with_count_only();
    eventually("generations are taken away", || {
        let (mut raw, left) = (raw.clone(), left.clone());
        async move { raw.get(keys::GENERATIONS, Some(left)).await.unwrap().count() == 1 }
    })
    .await;
    // What an agent finds that read its target before all that; the newest comes while it looks for the manifest.
    let newest = raw.get(key.as_str(), None).await.unwrap().kvs()[0].value().to_vec();
    raw.put(key.as_str(), old, None).await.unwrap();
    let mut agent = Agent::start(&servers, "host1");
    agent.cannot_fetch(1).await;
    raw.put(key.as_str(), newest, None).await.unwrap();
    agent.takes(4).await;
    fabric.stop().await;
}
