//! The floor: bare etcd, which does nothing but what any design over it does. One small write for each node, or one for all; an event
//! of a watch, a read of 20 KB and a write that acknowledges, by each client, over a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use etcd_client::{Client, PutOptions, Txn, TxnOp, WatchOptions};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use selvedge_proto::keys::MAX_TXN_OPS;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::sync::{Barrier, mpsc};
use tokio::time::{Instant, timeout};

use crate::arguments;
use crate::quantiles::Quantiles;

/// What each client reads.
const CONTENT: (&str, usize) = ("floor/content", 20 << 10);
/// About what an agent's report takes.
const REPORT_BYTES: usize = 400;
/// Transactions that are under way at once, as those of the controller.
const AT_ONCE: usize = 8;
/// No round may take longer.
const ROUND: Duration = Duration::from_secs(60);

/// Milliseconds from the first write until the last client's acknowledgement is answered.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Floor {
    /// A key for each client.
    pub(crate) own_keys: Quantiles,
    /// One key for all.
    pub(crate) one_key: Quantiles,
    /// One key, one client.
    pub(crate) single: Quantiles,
}

/// Measures it in a process of its own.
pub(crate) async fn measure(etcd: &str, clients: usize, rounds: usize) -> Result<Floor> {
    let (clients, rounds) = (clients.to_string(), rounds.to_string());
    let output = Command::new(std::env::current_exe()?)
        .args(["floor", "--etcd", etcd, "--clients", &clients, "--rounds", &rounds])
        .stderr(std::process::Stdio::inherit())
        .output()
        .await?;
    serde_json::from_slice(&output.stdout).context("the floor was not measured")
}

/// What that process does.
pub(crate) fn child(arguments::Floor { etcd, clients, rounds }: &arguments::Floor) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let floor = runtime.block_on(async {
        let writer = Client::connect([etcd], None).await?;
        writer.kv_client().put(CONTENT.0, vec![7; CONTENT.1], None).await?;
        let own = |client: usize| format!("floor/own/{client}");
        let own_keys = run(etcd, &writer, *clients, *rounds, own).await?;
        let one_key = run(etcd, &writer, *clients, *rounds, |_| "floor/one".to_owned()).await?;
        let single = run(etcd, &writer, 1, *rounds * 10, |_| "floor/single".to_owned()).await?;
        anyhow::Ok(Floor { own_keys, one_key, single })
    })?;
    println!("{}", serde_json::to_string(&floor)?);
    runtime.shutdown_background();
    Ok(())
}

/// Rounds over `clients`, each of which watches the key that `key` says.
async fn run(
    etcd: &str,
    writer: &Client,
    clients: usize,
    rounds: usize,
    key: impl Fn(usize) -> String,
) -> Result<Quantiles> {
    let (done, mut told) = mpsc::unbounded_channel();
    let ready = Arc::new(Barrier::new(clients + 1));
    let all = (0..clients).map(|client| {
        let (etcd, key, done, ready) = (etcd.to_owned(), key(client), done.clone(), Arc::clone(&ready));
        tokio::spawn(follow(etcd, key, client, done, ready))
    });
    let all: Vec<_> = all.collect();
    ready.wait().await;
    let mut keys: Vec<String> = (0..clients).map(key).collect();
    keys.dedup();
    let mut times = Vec::new();
    for round in 0..rounds {
        let begun = Instant::now();
        let value = format!("{round:0100}");
        let writes = keys.chunks(MAX_TXN_OPS).map(|keys| {
            let put = |key: &String| TxnOp::put(key.as_str(), value.as_str(), None::<PutOptions>);
            let (mut writer, txn) =
                (writer.kv_client(), Txn::new().and_then(keys.iter().map(put).collect::<Vec<_>>()));
            async move { writer.txn(txn).await.map(drop) }
        });
        let written = stream::iter(writes).buffer_unordered(AT_ONCE).collect::<Vec<_>>();
        let acknowledged = async {
            for _ in 0..clients {
                told.recv().await;
            }
        };
        let (written, acknowledged) = tokio::join!(written, timeout(ROUND, acknowledged));
        written.into_iter().collect::<Result<(), _>>()?;
        acknowledged.context("the clients do not acknowledge")?;
        times.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(if clients == 1 { 5 } else { 200 })).await;
    }
    all.iter().for_each(tokio::task::JoinHandle::abort);
    join_all(all).await;
    Ok(Quantiles::of(&times))
}

/// One client: reads and acknowledges what it is told of.
async fn follow(
    etcd: String,
    key: String,
    client: usize,
    done: mpsc::UnboundedSender<()>,
    ready: Arc<Barrier>,
) -> Result<()> {
    let mut connection = Client::connect([etcd], None).await?;
    let mut watch = connection.watch(key, None::<WatchOptions>).await?;
    ready.wait().await;
    let acknowledgement = format!("floor/report/{client}");
    while let Some(message) = watch.message().await? {
        if message.events().is_empty() {
            continue;
        }
        while connection.get(CONTENT.0, None).await.is_err() {
            again().await;
        }
        while connection.put(acknowledgement.as_str(), vec![7; REPORT_BYTES], None).await.is_err() {
            again().await;
        }
        done.send(())?;
    }
    Ok(())
}

/// Past some thousand requests in flight, etcd refuses more.
async fn again() {
    tokio::time::sleep(Duration::from_millis(50).mul_f64(1.0 + fastrand::f64())).await;
}
