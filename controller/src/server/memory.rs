//! What this controller published last, on its own disk: an etcd that was restored from an older snapshot is given back what
//! it has forgotten. Nodes keep the newest generation that they were given, and would refuse all that is older.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::syncfs;
use selvedge_proto::plan::{Manifest, PlanDecodeError};
use selvedge_proto::{Chunks, DecodeError, Digest, GenerationRecord, RecordError};
use tempfile::NamedTempFile;

use crate::store::Publication;

/// How many generations the history goes back.
const HISTORY: usize = 10_000;
/// After how many generations content that is not needed any more is removed: what is needed is all to be read for that.
const TIDY_EVERY: u64 = 256;

/// Files under one folder: `newest`, a [`GenerationRecord`]; `content/<sha256>`, all chunks and manifests that it leads to;
/// `history`, the numbers and digests of the records before it, by which an etcd is known to be the one they went to.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    folder: PathBuf,
}

/// What is wrong with the files.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// One can't be read, written or removed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// One is not there, or not what it was.
    #[error("{} is missing or damaged", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// The record can't be read.
    #[error(transparent)]
    Record(#[from] DecodeError),
    /// Its targets can't be read.
    #[error(transparent)]
    Targets(#[from] RecordError),
    /// A manifest can't be read.
    #[error(transparent)]
    Manifest(#[from] PlanDecodeError),
}

impl Memory {
    pub(super) fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn newest(&self) -> PathBuf {
        self.folder.join("newest")
    }

    fn content(&self) -> PathBuf {
        self.folder.join("content")
    }

    fn history(&self) -> PathBuf {
        self.folder.join("history")
    }

    /// Whether `record` is a generation that was kept here once: then whoever has it had what came after it, too.
    pub(super) fn knows(&self, record: &GenerationRecord) -> bool {
        let history = fs::read_to_string(self.history()).unwrap_or_default();
        history.lines().any(|known| known == line(record))
    }

    /// Keeps a generation in the place of the one before, which had all that is not new in `publication`: content first, its
    /// name last.
    pub(super) fn keep(&self, publication: &Publication) -> Result<(), MemoryError> {
        let folder = self.content();
        let failed = |source| MemoryError::Io { path: folder.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        let manifests = publication.manifests.iter().map(|(digest, bytes)| (*digest, bytes.as_slice()));
        for (digest, bytes) in publication.chunks.iter().chain(manifests) {
            if self.get(digest).is_err() {
                self.put(digest, bytes)?;
            }
        }
        // Once for all of them: there may be thousands.
        File::open(&folder).and_then(|folder| Ok(syncfs(&folder)?)).map_err(failed)?;
        let before = fs::read_to_string(self.history()).unwrap_or_default();
        let mut history: Vec<&str> = before.lines().collect();
        let newest = line(&publication.record);
        history.push(&newest);
        let last = history.split_off(history.len().saturating_sub(HISTORY));
        write(&self.history(), (last.join("\n") + "\n").as_bytes())?;
        write(&self.newest(), &publication.record.encode())?;
        if publication.record.generation.0.is_multiple_of(TIDY_EVERY) {
            self.tidy(&publication.record)?;
        }
        Ok(())
    }

    /// Removes all content that `record` does not lead to.
    fn tidy(&self, record: &GenerationRecord) -> Result<(), MemoryError> {
        let Publication { manifests, chunks, .. } = self.recall(record.clone())?;
        let folder = self.content();
        let failed = |source| MemoryError::Io { path: folder.clone(), source };
        let needed: BTreeSet<String> =
            chunks.digests().chain(manifests.into_keys()).map(|digest| digest.to_string()).collect();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !needed.contains(&*entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn put(&self, digest: Digest, bytes: &[u8]) -> Result<(), MemoryError> {
        let path = self.content().join(digest.to_string());
        let failed = |source| MemoryError::Io { path: path.clone(), source };
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(bytes)).map_err(failed)
    }

    /// The record of the generation that is kept, if any is.
    pub(super) fn record(&self) -> Result<Option<GenerationRecord>, MemoryError> {
        let path = self.newest();
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(GenerationRecord::decode(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(MemoryError::Io { path, source }),
        }
    }

    /// All of the generation that `record` is, as it was published.
    pub(super) fn recall(&self, record: GenerationRecord) -> Result<Publication, MemoryError> {
        let mut chunks = Chunks::new();
        for digest in record.lists() {
            chunks.insert(digest, self.get(digest)?).map_err(RecordError::from)?;
        }
        for digest in record.chunks(&chunks).map_err(RecordError::from)? {
            chunks.insert(digest, self.get(digest)?).map_err(RecordError::from)?;
        }
        let targets = record.targets(&chunks)?;
        let mut manifests = BTreeMap::new();
        for target in targets.values() {
            let manifest = self.get(target.manifest)?;
            Manifest::decode(target.manifest, &manifest)?.gather(&mut chunks, |digest| self.get(digest))?;
            manifests.insert(target.manifest, manifest);
        }
        Ok(Publication { record, targets, gone: Vec::new(), manifests, chunks })
    }

    fn get(&self, digest: Digest) -> Result<Vec<u8>, MemoryError> {
        let path: &Path = &self.content().join(digest.to_string());
        let damaged = || MemoryError::Damaged { path: path.to_owned() };
        fs::read(path).ok().filter(|bytes| Digest::of(bytes) == digest).ok_or_else(damaged)
    }
}

/// A record as the history has it.
fn line(record: &GenerationRecord) -> String {
    format!("{} {}", record.generation, Digest::of(&record.encode()))
}

/// Puts a file that its owner alone can read in the place of what is there: whole or not at all, whatever happens.
fn write(path: &Path, bytes: &[u8]) -> Result<(), MemoryError> {
    let failed = |source| MemoryError::Io { path: path.to_owned(), source };
    let mut beside = NamedTempFile::new_in(path.parent().unwrap_or(path)).map_err(failed)?;
    beside.write_all(bytes).and_then(|()| beside.as_file().sync_all()).map_err(failed)?;
    beside.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
