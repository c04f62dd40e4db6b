//! Hundreds of agents lose etcd at the same moment, and do not come back at one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use selvedge_agent::store::{Access, Following, StateDir, StoreEvent, follow};
use selvedge_tests::etcd::{Servers, Shape};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{eventually, within};

const AGENTS: usize = 300;

/// Hands connections on to etcd, and notes when each reached it.
#[derive(Clone, Default)]
struct Counter(Arc<Mutex<Vec<Instant>>>);

impl Counter {
    async fn start(&self, etcd: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counter = self.clone();
        tokio::spawn(async move {
            while let Ok((mut agent, _)) = listener.accept().await {
                let counter = counter.clone();
                tokio::spawn(async move {
                    let Ok(mut etcd) = TcpStream::connect(etcd).await else { return };
                    counter.0.lock().unwrap().push(Instant::now());
                    let _ = copy_bidirectional(&mut agent, &mut etcd).await;
                });
            }
        });
        address
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// The most connections within a tenth of a second, of those after `begun`.
    fn crowd(&self, begun: Instant) -> usize {
        let mut tenths = BTreeMap::<u128, usize>::new();
        for at in self.0.lock().unwrap().iter().filter(|at| **at >= begun) {
            *tenths.entry((*at - begun).as_millis() / 100).or_default() += 1;
        }
        tenths.into_values().max().unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_that_lost_etcd_together_come_back_one_after_another() {
    let mut servers = Servers::start(Shape::Single).await.unwrap();
    let etcd = servers.direct()[0].trim_start_matches("http://").parse().unwrap();
    let counter = Counter::default();
    let endpoints = vec![format!("http://{}", counter.start(etcd).await)];
    let directory = tempfile::tempdir().unwrap();
    let (events, mut told) = mpsc::channel(AGENTS * 4);
    let agents = (0..AGENTS).map(|index| {
        let node = format!("host{index}").parse().unwrap();
        let cache = StateDir::open(directory.path(), &node, None).unwrap();
        tokio::spawn(follow(
            Access::plain(endpoints.clone()),
            Following { node, anchor: None, cache, events: events.clone() },
        ))
    });
    let agents: Vec<_> = agents.collect();
    let mut all_told = async || {
        let mut told_by = 0;
        while told_by < AGENTS {
            let event = within(Duration::from_secs(60), "every agent reads its target", told.recv()).await;
            told_by += usize::from(matches!(event, Some(StoreEvent::NoTarget)));
        }
    };
    all_told().await;
    assert_eq!(counter.count(), AGENTS);

    servers.kill(0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    servers.restart(0).await.unwrap();
    all_told().await;
    let (crowd, took) = (counter.crowd(begun), begun.elapsed());
    eprintln!("{AGENTS} agents were back after {took:?}; at most {crowd} came within 100 ms");
    assert!(crowd <= AGENTS / 6, "{crowd} within 100 ms");
    assert!(took < Duration::from_secs(20), "{took:?}");
    // Nobody tries again who is there.
    let settled = counter.count();
    tokio::time::sleep(Duration::from_secs(2)).await;
    eventually("no more connections", || async { counter.count() == settled }).await;
    agents.iter().for_each(tokio::task::JoinHandle::abort);
}
