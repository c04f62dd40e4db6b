//! The audit record: what was done, by whom, in the order it was done.

use std::pin::Pin;
use std::time::SystemTime;

use futures::{Stream, stream};
use selvedge_proto::wire;
use selvedge_proto::wire::audit_server::Audit as AuditApi;
use selvedge_trust::audit::{Author, Chain, Deed, Entry};
use selvedge_trust::member::millis;
use tokio::sync::{Mutex, MutexGuard};
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::{Request, Response, Status};

use super::Shared;
use super::apply::Path;
use super::authorize::Caller;
use crate::store::{NewEntry, Store, StoreError};

/// The record, and the one place where it grows.
pub(super) struct Audit(Mutex<State>);

/// Where the record stands.
enum State {
    Known(Chain),
    /// A write failed, and whether the entry is there is not known.
    InDoubt,
}

/// The turn to add one entry: nobody else does meanwhile.
pub(super) struct Turn<'a> {
    state: MutexGuard<'a, State>,
    next: Chain,
}

impl Audit {
    pub(super) async fn read(store: &Store) -> Result<Self, StoreError> {
        Ok(Self(Mutex::new(State::Known(store.audit_chain().await?))))
    }

    /// The entry that `deed` is to be written as, in the transaction of what it tells. It counts once [`Turn::done`] says so.
    pub(super) async fn next(&self, store: &Store, deed: Deed) -> Result<(NewEntry, Turn<'_>), StoreError> {
        let mut state = self.0.lock().await;
        let chain = match *state {
            State::Known(chain) => chain,
            State::InDoubt => store.audit_chain().await?,
        };
        let (next, bytes) = chain.follow(deed, SystemTime::now());
        *state = State::InDoubt;
        Ok((NewEntry { number: next.number(), bytes }, Turn { state, next }))
    }
}

impl Turn<'_> {
    /// The entry was written.
    pub(super) fn done(mut self) {
        *self.state = State::Known(self.next);
    }
}

/// Who sent a request, and from where.
pub(super) fn author<T>(request: &Request<T>) -> Result<Author, Status> {
    let (name, organisation) = match Caller::of(request)? {
        Caller::Known(subject) => (subject.common_name(), subject.organisation()),
        Caller::Anybody | Caller::Stranger => (String::new(), String::new()),
    };
    let from = connection(request).and_then(TcpConnectInfo::remote_addr).map(|address| address.to_string());
    Ok(Author { name, organisation, from: from.unwrap_or_default() })
}

/// The way a request came.
pub(super) fn path<T>(request: &Request<T>) -> Option<Path> {
    let connection = connection(request)?;
    Some(Path { from: connection.remote_addr()?.ip(), to: connection.local_addr()? })
}

/// The connection below TLS, if there is that.
fn connection<T>(request: &Request<T>) -> Option<&TcpConnectInfo> {
    let extensions = request.extensions();
    let tls = extensions.get::<TlsConnectInfo<TcpConnectInfo>>().map(TlsConnectInfo::get_ref);
    tls.or_else(|| extensions.get::<TcpConnectInfo>())
}

#[tonic::async_trait]
impl AuditApi for Shared {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<wire::AuditRecord, Status>> + Send>>;

    async fn read(&self, request: Request<wire::AuditRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let since = request.into_inner().since_ms;
        let entries = self.store.audit().await?;
        // What can't be read is shown, too: it is what somebody may be looking for.
        let late = move |entry: &[u8]| Entry::decode(entry).map_or(true, |entry| millis(entry.time) >= since);
        let entries = entries.into_iter().filter(move |(_, entry)| late(entry));
        let records = entries.map(|(number, entry)| Ok(wire::AuditRecord { number, entry }));
        Ok(Response::new(Box::pin(stream::iter(records))))
    }
}
