//! The ring of events.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aya::maps::{MapData, RingBuf};
use selvedge_abi::Event;
use selvedge_proto::Flow;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use zerocopy::FromBytes;

use super::decode::{Clock, flow};
use super::{Directory, Lost};
use crate::datapath::monotonic;

/// How long events gather before the ring is read again: wake-ups and messages to the controller cost the node the same whether
/// one packet is denied or a flood. The ring has room for more than comes in this time.
const GATHER: Duration = Duration::from_millis(20);

/// Reads the ring and queues flows, until the queue is closed. What the queue has no room for is lost, and counted.
pub async fn read_ring(
    ring: RingBuf<MapData>,
    directory: watch::Receiver<Arc<Directory>>,
    queue: mpsc::Sender<Flow>,
    lost: Lost,
) -> io::Result<()> {
    let mut ring = register(ring)?;
    while !queue.is_closed() {
        let mut ready = ring.readable_mut().await?;
        let clock = Clock::new(SystemTime::now(), monotonic());
        let names = directory.borrow().clone();
        while let Some(item) = ready.get_inner_mut().next() {
            let event = Event::read_from_prefix(&item).ok();
            let flow = event.and_then(|(event, _)| flow(&event, &names, clock));
            if flow.is_none_or(|flow| queue.try_send(flow).is_err()) {
                lost.add(1);
            }
        }
        ready.clear_ready();
        drop(ready);
        sleep(GATHER).await;
    }
    Ok(())
}

#[expect(unsafe_code, reason = "tokio has to trust that the descriptor stays the same")]
fn register(ring: RingBuf<MapData>) -> io::Result<AsyncFd<RingBuf<MapData>>> {
    // SAFETY: the ring owns its descriptor, never changes it, and closes it only when dropped, inside the AsyncFd.
    Ok(unsafe { AsyncFd::register(ring) }?)
}
