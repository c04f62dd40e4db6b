//! What can go wrong with the store.

use selvedge_proto::keys::KeyError;
use selvedge_proto::{ChunkError, DecodeError, RecordError};
use selvedge_topology::identity::IdentityError;
use selvedge_trust::Mistrust;

/// Why the store can't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nobody answers.
    #[error("etcd does not answer at {endpoints} ({source}); is it running, and is the address right?")]
    Unreachable {
        /// Where it was looked for.
        endpoints: String,
        /// What the connection said.
        source: Box<etcd_client::Error>,
    },
    /// A request failed.
    #[error("etcd: {0}")]
    Request(#[from] etcd_client::Error),
    /// A later version has written here.
    #[error(
        "etcd holds format {found} of the layout (`{key}`), and this controller knows none after {known}: a later version led \
         here; start that version, or a later one",
        key = selvedge_proto::keys::FORMAT_KEY
    )]
    NewerFormat {
        /// What is there.
        found: u32,
        /// What this version knows.
        known: u32,
    },
    /// Another controller is the leader now.
    #[error("this controller is no longer the leader; nothing was written")]
    Deposed,
    /// Somebody else wrote in between.
    #[error("another writer was faster; nothing was written, try again")]
    Conflict,
    /// etcd has forgotten what it had.
    #[error("etcd has gone back from revision {from} to {to}: restored from an older snapshot?")]
    WentBack {
        /// A revision that it had.
        from: i64,
        /// Its revision now.
        to: i64,
    },
    /// A key that must be there is not.
    #[error("`{key}` is missing in etcd")]
    Missing {
        /// The key.
        key: String,
    },
    /// A value can't be read.
    #[error("`{key}` in etcd: {source}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong.
        source: DecodeError,
    },
    /// A generation is not the fabric's.
    #[error(
        "`{key}` in etcd is not believed: {source}. Nothing was changed; nodes keep what is in force. If the signing key \
         was exchanged, `selvedge-controller run --resign` takes the documents that lie there and signs them"
    )]
    Mistrusted {
        /// The key.
        key: String,
        /// Why not.
        source: Mistrust,
    },
    /// A key can't be read.
    #[error("in etcd: {0}")]
    Key(#[from] KeyError),
    /// A number can't be read.
    #[error("`{key}` in etcd is `{text}`, not a number")]
    Number {
        /// The key.
        key: String,
        /// Its value, cut.
        text: String,
    },
    /// Chunks don't make what they should.
    #[error("in etcd: {0}")]
    Chunk(#[from] ChunkError),
    /// A list of targets can't be read.
    #[error("in etcd: {0}")]
    Record(#[from] RecordError),
    /// An identity can't be entered or allocated.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}
