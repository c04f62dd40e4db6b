//! What this controller published last, on its own disk: an etcd that was restored from an older snapshot is given back what
//! it has forgotten. Nodes keep the newest generation that they were given, and would refuse all that is older.

mod packs;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use selvedge_proto::plan::{Manifest, PlanDecodeError};
use selvedge_proto::{Chunks, DecodeError, Digest, GenerationRecord, RecordError};
use selvedge_topology::plan::Generation;
use tempfile::NamedTempFile;

use crate::store::{Novelty, Publication};

use packs::Packs;

/// How many generations the history goes back.
const HISTORY: usize = 10_000;
/// Packs are made one where they have so many times as many bytes as the first of them, and [`SPARE`] more. Then all that is needed is
/// read, and written again.
const GROWTH: u64 = 4;
/// Bytes that are not worth that.
const SPARE: u64 = 64 << 20;
/// Packs that are made one however small they are.
const MANY: usize = 1_000;

/// Files under one folder: `packs/<generation>`, what a publication brought, so that all of them together have all chunks and manifests
/// that the newest leads to; `history`, the numbers and digests of records before those, by which an etcd is known to be the one they went to.
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
    /// One is not what it was.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// None has this content.
    #[error("no file in {} has the content {digest}", folder.display())]
    Missing {
        /// Their folder.
        folder: PathBuf,
        /// What it is.
        digest: Digest,
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

    fn packs(&self) -> PathBuf {
        self.folder.join("packs")
    }

    fn history(&self) -> PathBuf {
        self.folder.join("history")
    }

    /// Whether `record` is a generation that was kept here once: then whoever has it had what came after it, too.
    pub(super) fn knows(&self, record: &GenerationRecord) -> bool {
        let is_kept = || Ok::<_, MemoryError>(packs::record(&self.pack(record.generation))? == *record);
        let history = || fs::read_to_string(self.history()).unwrap_or_default();
        is_kept().unwrap_or(false) || history().lines().any(|known| known == line(record))
    }

    /// Takes note of generations, by order of their numbers, that came before the one that is kept.
    pub(super) fn learn(&self, records: &[GenerationRecord]) -> Result<(), MemoryError> {
        let before = fs::read_to_string(self.history()).unwrap_or_default();
        let mut history: Vec<String> = before.lines().map(str::to_owned).collect();
        for new in records.iter().map(line) {
            if !history.contains(&new) {
                history.push(new);
            }
        }
        let last = history.split_off(history.len().saturating_sub(HISTORY));
        write(&self.history(), |file| file.write_all((last.join("\n") + "\n").as_bytes()))
    }

    /// Keeps a generation after the one before, which had all that is not new in `publication`.
    pub(super) fn keep(&self, publication: &Publication) -> Result<(), MemoryError> {
        let folder = self.packs();
        let failed = |source| MemoryError::Io { path: folder.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        let record = &publication.record;
        let path = self.pack(record.generation);
        if packs::all(&folder)?.last().is_some_and(|newest| *newest >= path) {
            return self.begin_anew(publication);
        }
        packs::write(&path, publication)?;
        if self.is_unwieldy()? { self.pack_anew(record) } else { Ok(()) }
    }

    /// Keeps a generation that follows none of those that are kept: etcd was emptied, or is another one. What is kept must not be taken
    /// for what it has forgotten.
    fn begin_anew(&self, publication: &Publication) -> Result<(), MemoryError> {
        for path in packs::all(&self.packs())? {
            fs::remove_file(&path).map_err(|source| MemoryError::Io { path, source })?;
        }
        packs::write(&self.pack(publication.record.generation), publication)?;
        self.recall(publication.record.clone()).map(drop)
    }

    /// Whether much of the packs may be content that is not needed any more.
    fn is_unwieldy(&self) -> Result<bool, MemoryError> {
        let sizes = packs::all(&self.packs())?.into_iter().map(|path| {
            let size = fs::metadata(&path).map(|file| file.len());
            size.map_err(|source| MemoryError::Io { path, source })
        });
        let sizes = sizes.collect::<Result<Vec<u64>, _>>()?;
        let all: u64 = sizes.iter().sum();
        Ok(sizes.len() > MANY || sizes.first().is_some_and(|first| all > GROWTH * first + SPARE))
    }

    /// Leaves one pack, of all that `record` leads to. Whatever interrupts it leaves too much, and nothing out.
    fn pack_anew(&self, record: &GenerationRecord) -> Result<(), MemoryError> {
        let newest = self.pack(record.generation);
        let old: Vec<PathBuf> =
            packs::all(&self.packs())?.into_iter().filter(|path| *path != newest).collect();
        let records = old.iter().map(|path| packs::record(path)).collect::<Result<Vec<_>, _>>()?;
        self.learn(&records)?;
        packs::write(&newest, &self.recall(record.clone())?)?;
        for path in old {
            fs::remove_file(&path).map_err(|source| MemoryError::Io { path, source })?;
        }
        Ok(())
    }

    fn pack(&self, generation: Generation) -> PathBuf {
        // In the order of their names they are in the order of their numbers.
        self.packs().join(format!("{:020}", generation.0))
    }

    /// The record of the newest generation that is kept, if any is.
    pub(super) fn record(&self) -> Result<Option<GenerationRecord>, MemoryError> {
        packs::all(&self.packs())?.last().map(|path| packs::record(path)).transpose()
    }

    /// All of the generation that `record` is, as it was published.
    pub(super) fn recall(&self, record: GenerationRecord) -> Result<Publication, MemoryError> {
        let packs = Packs::open(&self.packs())?;
        let mut chunks = Chunks::new();
        for digest in record.lists() {
            chunks.insert(digest, packs.get(digest)?).map_err(RecordError::from)?;
        }
        for digest in record.chunks(&chunks).map_err(RecordError::from)? {
            chunks.insert(digest, packs.get(digest)?).map_err(RecordError::from)?;
        }
        let targets = record.targets(&chunks)?;
        let mut manifests = BTreeMap::new();
        for target in targets.values() {
            let manifest = packs.get(target.manifest)?;
            Manifest::decode(target.manifest, &manifest)?.gather(&mut chunks, |digest| packs.get(digest))?;
            manifests.insert(target.manifest, manifest);
        }
        Ok(Publication { record, targets, gone: Vec::new(), manifests, chunks, novelty: Novelty::Unknown })
    }
}

/// A record as the history has it.
fn line(record: &GenerationRecord) -> String {
    format!("{} {}", record.generation, Digest::of(&record.encode()))
}

/// Puts a file that its owner alone can read in the place of what is there: whole or not at all, whatever happens.
fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), MemoryError> {
    let failed = |source| MemoryError::Io { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(path);
    let mut beside = NamedTempFile::new_in(folder).map_err(failed)?;
    let mut buffered = io::BufWriter::new(&mut beside);
    fill(&mut buffered).and_then(|()| buffered.flush()).map_err(failed)?;
    drop(buffered);
    beside.as_file().sync_data().map_err(failed)?;
    beside.persist(path).map_err(|error| failed(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests;
