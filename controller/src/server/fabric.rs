//! The API for the command line.

use std::pin::Pin;

use futures::{Stream, StreamExt, stream};
use selvedge_proto::wire::fabric_server::Fabric;
use selvedge_proto::{keys, targets_to_wire, wire};
use selvedge_topology::operators::Asker;
use selvedge_topology::plan::Generation;
use selvedge_trust::audit::Author;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tonic::{Request, Response, Status};

use super::apply::{self, Gaps, Intent, Lockouts, Path, Wish};
use super::audit;
use super::authorize::Caller;
use super::convert::invalid;
use super::{Shared, convert};
use crate::store::{Identities, StoreError};

/// How many generations a listing shows.
const MAX_GENERATIONS: usize = 100;

#[tonic::async_trait]
impl Fabric for Shared {
    type DocumentsStream = Pin<Box<dyn Stream<Item = Result<wire::DocumentsResponse, Status>> + Send>>;
    type ObserveStream = Pin<Box<dyn Stream<Item = Result<wire::ObserveResponse, Status>> + Send>>;

    async fn apply(
        &self,
        request: Request<wire::ApplyRequest>,
    ) -> Result<Response<wire::ApplyResponse>, Status> {
        let sender = Sender::of(&request)?;
        let wire::ApplyRequest { files, dry_run, allow_unenforced, signed, allow_lockout, partial, remove } =
            request.into_inner();
        let intent = if dry_run { Intent::DryRun } else { Intent::Apply };
        let signed = signed.map(convert::signed).transpose().map_err(invalid)?;
        let wish = convert::wish(files, partial, remove)?;
        let request = self.applying(sender, wish, (allow_unenforced, allow_lockout));
        let applied = self
            .desired
            .apply(&self.store, &self.audit, apply::Request { intent, signed, ..request })
            .await?;
        self.moved.send_replace(());
        Ok(Response::new(convert::applied(applied, intent)))
    }

    async fn draft(
        &self,
        request: Request<wire::DraftRequest>,
    ) -> Result<Response<wire::DraftResponse>, Status> {
        let sender = Sender::of(&request)?;
        let wire::DraftRequest { files, allow_unenforced, allow_lockout } = request.into_inner();
        let wish = Wish::Whole(convert::files(files));
        let request = self.applying(sender, wish, (allow_unenforced, allow_lockout));
        let applied = self.desired.apply(&self.store, &self.audit, request).await?;
        let would = Some(convert::applied(applied, Intent::Draft));
        let current = self.desired.current();
        let targets = current.map(|current| targets_to_wire(&current.targets)).unwrap_or_default();
        Ok(Response::new(wire::DraftResponse { would, targets }))
    }

    async fn documents(
        &self,
        request: Request<wire::DocumentsRequest>,
    ) -> Result<Response<Self::DocumentsStream>, Status> {
        let wire::DocumentsRequest { generation } = request.into_inner();
        let newest = self.desired.current().map_or(0, |current| current.generation.0);
        let generation = if generation == 0 { newest } else { generation };
        if generation == 0 {
            let nothing = stream::iter([Ok(wire::DocumentsResponse::default())]);
            return Ok(Response::new(Box::pin(nothing)));
        }
        let record = self.store.generation(Generation(generation)).await?;
        let record = record.ok_or_else(|| {
            Status::not_found(if generation < newest {
                format!("generation {generation} is not kept any more; `selvedge get generations` lists those that are")
            } else {
                format!("there is no generation {generation}; the newest is {newest}")
            })
        })?;
        let mistrusted = |source| StoreError::Mistrusted { key: keys::generation(record.generation), source };
        self.desired.authority().verify(&record).map_err(mistrusted)?;
        let chunks = self.store.chunks_of(&record).await?;
        let excerpts = record.excerpts(&chunks).map_err(StoreError::from)?;
        let answers = convert::documents(generation, &excerpts).into_iter().map(Ok);
        Ok(Response::new(Box::pin(stream::iter(answers))))
    }

    async fn identities(
        &self,
        _: Request<wire::IdentitiesRequest>,
    ) -> Result<Response<wire::IdentitiesResponse>, Status> {
        let identities = Identities::read(&self.store).await?;
        let identities = identities.table().iter().map(Into::into).collect();
        Ok(Response::new(wire::IdentitiesResponse { identities }))
    }

    async fn generations(
        &self,
        _: Request<wire::GenerationsRequest>,
    ) -> Result<Response<wire::GenerationsResponse>, Status> {
        let records = self.store.generations(MAX_GENERATIONS).await?;
        let generations = records.iter().map(convert::generation).collect();
        Ok(Response::new(wire::GenerationsResponse { generations }))
    }

    async fn status(
        &self,
        request: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        Ok(Response::new(self.status_when(request.into_inner()).await))
    }

    async fn observe(
        &self,
        request: Request<wire::ObserveRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let request = request.into_inner();
        let filter = convert::filter(&request)?;
        let (recent, rest) = self.flows.follow(request.last as usize, &filter);
        let recent = stream::iter(recent).map(|flow| Ok(convert::flow(&flow)));
        if !request.follow {
            return Ok(Response::new(Box::pin(recent)));
        }
        let rest = BroadcastStream::new(rest).filter_map(move |item| {
            std::future::ready(match item {
                Ok(item) => convert::item(&item, &filter).map(Ok),
                Err(BroadcastStreamRecvError::Lagged(count)) => Some(Ok(convert::lost(count))),
            })
        });
        let mut stopping = self.stopping.clone();
        let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
        Ok(Response::new(Box::pin(recent.chain(rest).take_until(Box::pin(stopped)))))
    }

    async fn version(
        &self,
        _: Request<wire::VersionRequest>,
    ) -> Result<Response<wire::VersionResponse>, Status> {
        let etcd_version = self.store.clone().version().await?;
        Ok(Response::new(wire::VersionResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            etcd_version,
        }))
    }
}

/// Who sends documents, and the way they come.
struct Sender {
    author: Author,
    asker: Asker,
    path: Option<Path>,
}

impl Sender {
    fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let author = audit::author(request)?;
        Ok(Self { author, asker: Caller::of(request)?.asker(), path: audit::path(request) })
    }
}

impl Shared {
    fn applying(
        &self,
        Sender { author, asker, path }: Sender,
        wish: Wish,
        (allow_unenforced, allow_lockout): (bool, bool),
    ) -> apply::Request {
        let gaps = if allow_unenforced { Gaps::Allowed } else { Gaps::Refused };
        let lockouts = if allow_lockout { Lockouts::Allowed } else { Lockouts::Refused };
        let (intent, seen, signed) = (Intent::Draft, self.seen(), None);
        apply::Request { author, asker, wish, intent, gaps, lockouts, path, seen, signed }
    }
}
