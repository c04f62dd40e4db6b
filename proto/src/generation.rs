//! One complete desired state, as it lies in etcd.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prost::Message;
use selvedge_topology::documents::Excerpt;
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::Generation;

use crate::chunks::{ChunkError, Chunks, Named, join};
use crate::convert::{DecodeError, name, present};
use crate::digest::Digest;
use crate::signature::{FabricId, Signature, statement};
use crate::target::Target;
use crate::wire;

/// How many documents a generation changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// New ones.
    pub added: u32,
    /// Ones with another content.
    pub changed: u32,
    /// Ones that are no more.
    pub removed: u32,
}

/// What each node has to enforce.
pub type TargetList = BTreeMap<NodeName, Target>;

/// The value of [`crate::keys::generation`]. Documents and targets are chunks of their own, named by lists that
/// are chunks as well; all of it is shared with the generations before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationRecord {
    /// Its number.
    pub generation: Generation,
    /// When it was made, in whole milliseconds.
    pub created: SystemTime,
    /// What it changed.
    pub summary: Summary,
    /// The fabric's, over [`GenerationRecord::statement`]; none where nobody asks for one.
    pub signature: Option<Signature>,
    sources: Named,
    targets: Named,
}

impl GenerationRecord {
    /// Makes a record, and the chunks it needs beside `sources`: those of its documents ([`crate::Sources`]).
    pub fn new(
        generation: Generation,
        created: SystemTime,
        summary: Summary,
        sources: impl IntoIterator<Item = Digest>,
        targets: &TargetList,
    ) -> Result<(Self, Chunks), ChunkError> {
        let mut chunks = Chunks::new();
        let sources = Named::list(sources, &mut chunks)?;
        let targets = Named::cut(targets.iter().map(node_target), &mut chunks)?;
        Ok((Self { generation, created, summary, signature: None, sources, targets }, chunks))
    }

    /// The chunks that say which others there are.
    pub fn lists(&self) -> impl Iterator<Item = Digest> {
        self.sources.lists().iter().chain(self.targets.lists()).copied()
    }

    /// Those of them that [`GenerationRecord::target_chunks`] reads.
    pub fn target_lists(&self) -> impl Iterator<Item = Digest> {
        self.targets.lists().iter().copied()
    }

    /// The chunks of documents and targets. `chunks` has the lists, and may have more.
    pub fn chunks(&self, chunks: &Chunks) -> Result<Vec<Digest>, ChunkError> {
        Ok([self.sources.read(chunks)?, self.targets.read(chunks)?].concat())
    }

    /// Those of them that [`GenerationRecord::targets`] is read from, besides its lists.
    pub fn target_chunks(&self, chunks: &Chunks) -> Result<Vec<Digest>, ChunkError> {
        self.targets.read(chunks)
    }

    /// What is signed: everything the record says, and by the digests of its chunks all that it names.
    pub fn statement(&self, fabric: FabricId) -> Vec<u8> {
        let unsigned = Self { signature: None, ..self.clone() }.encode();
        let mut bytes = statement("generation 1", fabric);
        bytes.extend_from_slice(Digest::of(&unsigned).as_bytes());
        bytes
    }

    /// As it lies in etcd.
    pub fn encode(&self) -> Vec<u8> {
        let Self { generation, created, summary, signature, sources, targets } = self;
        let (sources, source_lists) = sources.to_wire();
        let (targets, target_lists) = targets.to_wire();
        let record = wire::GenerationRecord {
            generation: generation.0,
            created_ms: millis(*created),
            sources,
            targets,
            summary: Some((*summary).into()),
            signature: Signature::encode(*signature),
            source_lists,
            target_lists,
        };
        record.encode_to_vec()
    }

    /// Reads what lies in etcd.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let record = wire::GenerationRecord::decode(bytes)?;
        let wire::GenerationRecord {
            generation,
            created_ms,
            sources,
            targets,
            summary,
            signature,
            source_lists,
            target_lists,
        } = record;
        Ok(Self {
            generation: Generation(generation),
            created: time(created_ms)?,
            summary: present("summary", summary)?.into(),
            signature: Signature::decode(&signature)?,
            sources: Named::from_wire("chunks of documents", &sources, &source_lists)?,
            targets: Named::from_wire("chunks of targets", &targets, &target_lists)?,
        })
    }

    /// The documents as they were applied, in the order of the record; up to format 2 of the layout, file by file.
    pub fn excerpts(&self, chunks: &Chunks) -> Result<Vec<Excerpt>, ChunkError> {
        let mut excerpts: Vec<(Arc<str>, u32, String)> = Vec::new();
        for wire::SourcePart { file, text, line } in join(self.sources.read(chunks)?, chunks)? {
            match excerpts.last_mut().filter(|(name, ..)| **name == *file) {
                Some((.., whole)) if line == 0 => whole.push_str(&text),
                // The names of files repeat themselves thousands of times.
                Some((name, ..)) => {
                    let name = Arc::clone(name);
                    excerpts.push((name, line, text));
                }
                None => excerpts.push((file.into(), line.max(1), text)),
            }
        }
        let excerpt = |(file, line, text): (_, _, String)| Excerpt { file, line, text: text.into() };
        Ok(excerpts.into_iter().map(excerpt).collect())
    }

    /// What each node has to enforce.
    pub fn targets(&self, chunks: &Chunks) -> Result<TargetList, RecordError> {
        Ok(targets_from_wire(join(self.targets.read(chunks)?, chunks)?)?)
    }
}

/// Targets as messages carry them.
pub fn targets_to_wire(targets: &TargetList) -> Vec<wire::NodeTarget> {
    targets.iter().map(node_target).collect()
}

/// Reads targets that a message carries.
pub fn targets_from_wire(targets: Vec<wire::NodeTarget>) -> Result<TargetList, DecodeError> {
    let entry = |wire::NodeTarget { node, target }| {
        Ok((name("node", &node)?, present("target", target)?.try_into()?))
    };
    targets.into_iter().map(entry).collect()
}

fn node_target((node, target): (&NodeName, &Target)) -> wire::NodeTarget {
    wire::NodeTarget { node: node.to_string(), target: Some((*target).into()) }
}

/// A list of targets that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A chunk is not there or not what it should be.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// An entry is none.
    #[error(transparent)]
    Entry(#[from] DecodeError),
}

impl From<Summary> for wire::ChangeSummary {
    fn from(summary: Summary) -> Self {
        let Summary { added, changed, removed } = summary;
        Self { added, changed, removed }
    }
}

impl From<wire::ChangeSummary> for Summary {
    fn from(summary: wire::ChangeSummary) -> Self {
        let wire::ChangeSummary { added, changed, removed } = summary;
        Self { added, changed, removed }
    }
}

/// Milliseconds since 1970; times before count as 1970.
pub fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The time of that many milliseconds since 1970, up to the year 2500.
pub fn time(millis: u64) -> Result<SystemTime, DecodeError> {
    // Year 2500: beyond it, some conversions of times overflow.
    const LIMIT: u64 = 16_725_225_600_000;
    if millis > LIMIT {
        return Err(DecodeError::TooLarge { field: "time", value: millis, limit: LIMIT });
    }
    Ok(SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
}
