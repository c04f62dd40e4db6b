//! The controller's end of the flow stream.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};

use nix::sched::{CloneFlags, setns};
use selvedge_proto::wire::export_server::{Export, ExportServer};
use selvedge_proto::wire::{ExportResponse, FlowBatch};
use selvedge_proto::{Flow, wire};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status, Streaming};

use super::{Namespace, PATIENCE};

/// Listens in a namespace until dropped.
pub(crate) struct Listener {
    flows: Receiver<Flow>,
    _stop: oneshot::Sender<()>,
}

struct Service(Sender<Flow>);

#[tonic::async_trait]
impl Export for Service {
    async fn flows(
        &self,
        request: Request<Streaming<FlowBatch>>,
    ) -> Result<Response<ExportResponse>, Status> {
        let mut batches = request.into_inner();
        let mut received = 0;
        while let Some(wire::FlowBatch { node, flows, lost: _ }) = batches.message().await? {
            assert_eq!(node, "host1");
            for flow in flows {
                received += 1;
                self.0.send(flow.try_into().unwrap()).ok();
            }
        }
        Ok(Response::new(ExportResponse { received }))
    }
}

impl Listener {
    pub(crate) fn start(namespace: &Namespace, address: &str) -> Self {
        let (sender, flows) = channel();
        let (stop, stopped) = oneshot::channel();
        let file = std::fs::File::open(namespace.path()).unwrap();
        let address: SocketAddr = address.parse().unwrap();
        std::thread::spawn(move || {
            setns(&file, CloneFlags::CLONE_NEWNET).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let server = tonic::transport::Server::builder().add_service(ExportServer::new(Service(sender)));
            let stopped = async { drop(stopped.await) };
            runtime.block_on(server.serve_with_shutdown(address, stopped)).unwrap();
        });
        Self { flows, _stop: stop }
    }

    /// Waits for a flow as it should be.
    pub(crate) fn wait_flow(&self, what: &str, good: impl Fn(&Flow) -> bool) -> Flow {
        let mut seen = Vec::new();
        while let Ok(flow) = self.flows.recv_timeout(PATIENCE) {
            if good(&flow) {
                return flow;
            }
            seen.push(flow);
        }
        panic!("no flow where {what}: {seen:#?}")
    }
}
