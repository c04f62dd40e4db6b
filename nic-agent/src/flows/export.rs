//! Flows to the controller, in batches.

use std::time::Duration;

use selvedge_proto::wire::FlowBatch;
use selvedge_proto::wire::export_client::ExportClient;
use selvedge_proto::{Flow, wire};
use selvedge_topology::names::NodeName;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use super::Lost;
use crate::membership::Credentials;
use crate::retry::Backoff;

/// Most flows in one batch.
const BATCH: usize = 512;
/// Batches under way.
const WINDOW: usize = 4;
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Sends what is queued to `controller`, whenever it is reachable, until the queue ends. What was lost is told with the next batch.
pub async fn export(
    (controller, mut credentials): (Endpoint, Credentials),
    node: NodeName,
    mut queue: mpsc::Receiver<Flow>,
    lost: Lost,
) {
    let mut backoff = Backoff::new(LONGEST_WAIT);
    let mut told = 0;
    while !queue.is_closed() || !queue.is_empty() {
        let endpoint = controller.clone().connect_timeout(Duration::from_secs(3));
        let endpoint = match credentials.tls() {
            Some(tls) => endpoint.tls_config(tls),
            None => Ok(endpoint),
        };
        let connected = async { endpoint?.connect().await };
        match connected.await {
            Ok(channel) => {
                backoff.reset();
                stream((channel, &mut credentials), &node, &mut queue, &lost, &mut told).await;
            }
            Err(error) => {
                tracing::debug!(%error, "the controller is not reachable; flows wait, then are lost");
            }
        }
        sleep(backoff.wait()).await;
    }
}

/// One stream, until it or the queue ends.
async fn stream(
    (channel, credentials): (Channel, &mut Credentials),
    node: &NodeName,
    queue: &mut mpsc::Receiver<Flow>,
    lost: &Lost,
    told: &mut u64,
) {
    let (batches, stream) = mpsc::channel(WINDOW);
    let mut client = ExportClient::new(channel);
    let call = client.flows(ReceiverStream::new(stream));
    tokio::pin!(call);
    let mut flows: Vec<Flow> = Vec::with_capacity(BATCH);
    loop {
        // Room first, so that nothing leaves the queue that can't be sent.
        let room = tokio::select! {
            _ended = &mut call => return,
            room = batches.reserve() => room,
            () = credentials.renewed() => break,
        };
        let Ok(room) = room else { return };
        let read = tokio::select! {
            _ended = &mut call => return,
            () = credentials.renewed() => break,
            read = queue.recv_many(&mut flows, BATCH) => read,
        };
        if read == 0 {
            return;
        }
        let total = lost.total();
        let flows = flows.drain(..).map(|flow| wire::Flow::from(&flow)).collect();
        room.send(FlowBatch { node: node.to_string(), flows, lost: total - *told });
        *told = total;
    }
    // A new connection is wanted: what is under way on this one arrives first.
    drop(batches);
    timeout(LONGEST_WAIT, call).await.ok();
}

/// Takes what is queued and tells nobody.
pub async fn discard(mut queue: mpsc::Receiver<Flow>) {
    while queue.recv().await.is_some() {}
}
