//! The API for agents: flows come in.

use selvedge_proto::wire::export_server::Export;
use selvedge_proto::{Flow, MAX_BATCH_FLOWS, wire};
use tonic::{Request, Response, Status, Streaming};

use super::Shared;
use super::authorize::Caller;
use super::convert::invalid;

#[tonic::async_trait]
impl Export for Shared {
    async fn flows(
        &self,
        request: Request<Streaming<wire::FlowBatch>>,
    ) -> Result<Response<wire::ExportResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        let mut batches = request.into_inner();
        let mut stopping = self.stopping.clone();
        let mut received = 0;
        loop {
            let batch = tokio::select! {
                batch = batches.message() => batch?,
                _ = stopping.wait_for(|stop| *stop) => None,
            };
            let Some(batch) = batch else { break };
            // Streams outlast certificates.
            if !self.still_counts(&caller) {
                return Err(Status::unauthenticated("your certificate no longer counts"));
            }
            let (mut flows, lost) = read(batch, &caller)?;
            if let Some(current) = self.desired.current() {
                flows.iter_mut().for_each(|flow| current.owners.name(flow));
            }
            received += flows.len() as u64;
            self.flows.push(flows, lost);
        }
        Ok(Response::new(wire::ExportResponse { received }))
    }
}

/// Reads a batch: of bounded size, and of one node, which is the caller.
fn read(batch: wire::FlowBatch, caller: &Caller) -> Result<(Vec<Flow>, u64), Status> {
    let wire::FlowBatch { node, flows, lost } = batch;
    if flows.len() > MAX_BATCH_FLOWS {
        return Err(invalid(format!(
            "a batch of {} flows; at most {MAX_BATCH_FLOWS} are taken",
            flows.len()
        )));
    }
    if !caller.is_node(&node) {
        return Err(Status::permission_denied(format!("only node `{node}` itself tells its flows")));
    }
    if let Some(flow) = flows.iter().find(|flow| flow.node != node) {
        return Err(invalid(format!("a flow of node `{}` in a batch of node `{node}`", flow.node)));
    }
    let flows = flows.into_iter().map(|flow| Flow::try_from(flow).map_err(invalid));
    Ok((flows.collect::<Result<_, _>>()?, lost))
}
