//! The last accepted plan on disk, so that a node comes up enforcing while etcd is away.
//!
//! `<state-dir>/<node>/accepted` names a generation and a manifest, with a checksum; `content/<sha256>` holds the manifest and the
//! chunks that it leads to under their digests. All is written beside and renamed, the name last.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use nix::unistd::syncfs;
use selvedge_agent_core::Placement;
use selvedge_agent_core::device::DeviceCounts;
use selvedge_codegen::Hits;
use selvedge_proto::plan::{Manifest, PlanDecodeError};
use selvedge_proto::{ChunkError, Chunks, Digest, Target};
use selvedge_topology::names::{NodeName, PortName};
use selvedge_topology::plan::{Generation, Plan};
use selvedge_trust::{Anchor, Mistrust};
use serde::{Deserialize, Serialize};

use super::Fetched;

/// Up to so many files are synced one by one.
const FEW: usize = 32;

/// Something wrong with the files.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file operation failed.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is damaged.
    #[error("{} is damaged ({problem}); it is replaced when the next plan is accepted", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The file is not of the fabric that the node belongs to.
    #[error("{} is not believed: {source}; it is replaced when the next plan is accepted", path.display())]
    Mistrusted {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Mistrust,
    },
    /// The plan can't be read back.
    #[error("{}: {source}; it is replaced when the next plan is accepted", path.display())]
    Plan {
        /// The file that names the plan.
        path: PathBuf,
        /// What is wrong with it.
        source: PlanDecodeError,
    },
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::File { what, path, source }
}

/// What NICs have dropped, and since which start of the machine, by the kernel's `boot_id`.
#[derive(Serialize, Deserialize)]
struct KeptCounts {
    boot: String,
    counts: DeviceCounts,
}

/// What is known of the content on disk.
#[derive(Debug, Default)]
struct Kept {
    /// The chunks of the last plan that was read or written here. What was seen to be whole once is not looked at again.
    chunks: Chunks,
    listing: Listing,
}

/// What else is known to be there.
#[derive(Debug, Default)]
enum Listing {
    /// Nothing: it is to be listed.
    #[default]
    Unknown,
    /// This manifest alone, as long as the folder is not changed after that time.
    With(Digest, SystemTime),
}

/// One node's files.
#[derive(Clone, Debug)]
pub struct StateDir {
    root: PathBuf,
    node: NodeName,
    anchor: Option<Anchor>,
    kept: Arc<Mutex<Kept>>,
}

impl StateDir {
    /// The files of `node` under `directory`. With an anchor, only what is signed is read from them.
    pub fn open(directory: &Path, node: &NodeName, anchor: Option<Anchor>) -> Result<Self, StateError> {
        let root = directory.join(node.as_str());
        let state = Self { root, node: node.clone(), anchor, kept: Arc::default() };
        fs::create_dir_all(state.content()).map_err(failed("create", &state.content()))?;
        Ok(state)
    }

    /// What the node trusts.
    pub fn anchor(&self) -> Option<Anchor> {
        self.anchor
    }

    fn content(&self) -> PathBuf {
        self.root.join("content")
    }

    fn accepted(&self) -> PathBuf {
        self.root.join("accepted")
    }

    fn placements(&self) -> PathBuf {
        self.root.join("placements.json")
    }

    /// What lies under a digest, whatever it is.
    fn read(&self, digest: Digest) -> Option<Vec<u8>> {
        fs::read(self.file(digest)).ok()
    }

    /// A manifest by its digest, if it is there and whole.
    pub fn manifest(&self, digest: Digest) -> Option<Vec<u8>> {
        self.read(digest).filter(|bytes| Digest::of(bytes) == digest)
    }

    /// Adds those of `digests` to `chunks` that are there and whole, and returns the others.
    pub fn fill(&self, chunks: &mut Chunks, digests: Vec<Digest>) -> Vec<Digest> {
        let mut rest = chunks.take_over(digests, &self.kept().chunks);
        rest.retain(|digest| self.read(*digest).is_none_or(|bytes| chunks.insert(*digest, bytes).is_err()));
        rest
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last accepted plan.
    pub fn load(&self) -> Result<Option<Fetched>, StateError> {
        let path = self.accepted();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(StateError::Damaged { path, problem: "not text" });
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let target = parse(&text).map_err(|problem| StateError::Damaged { path: path.clone(), problem })?;
        if let Some(anchor) = &self.anchor {
            let mistrusted = |source| StateError::Mistrusted { path: path.clone(), source };
            anchor.verify_target(&self.node, &target).map_err(mistrusted)?;
        }
        let missing =
            || StateError::Damaged { path: path.clone(), problem: "its manifest is missing or damaged" };
        let manifest = self.manifest(target.manifest).ok_or_else(missing)?;
        let unreadable = |source| StateError::Plan { path: path.clone(), source };
        let (chunks, plan) = self.plan(target.manifest, &manifest).map_err(unreadable)?;
        Ok(Some(Fetched { target, manifest, chunks, plan }))
    }

    fn plan(&self, digest: Digest, manifest: &[u8]) -> Result<(Chunks, Plan), PlanDecodeError> {
        let manifest = Manifest::decode(digest, manifest)?;
        let mut chunks = Chunks::new();
        let get = |digest| self.read(digest).ok_or(PlanDecodeError::Chunk(ChunkError::Missing { digest }));
        manifest.gather(&mut chunks, get)?;
        let plan = manifest.plan(&chunks)?;
        self.kept().chunks.clone_from(&chunks);
        Ok((chunks, plan))
    }

    /// Makes `fetched` the last accepted plan, and forgets content that it does not name.
    pub fn save(&self, fetched: &Fetched) -> Result<(), StateError> {
        let Fetched { target, manifest, chunks, plan: _ } = fetched;
        let Difference { fresh, stale } = self.difference(fetched)?;
        let content =
            |digest| if digest == target.manifest { Some(&manifest[..]) } else { chunks.get(digest) };
        let fresh = fresh.into_iter().filter_map(|digest| Some((digest, content(digest)?)));
        let fresh: Vec<_> = fresh.map(|(digest, bytes)| (self.file(digest), bytes)).collect();
        // Few are synced each, whatever else the machine writes; thousands, of a first plan, all at once.
        let sync = if fresh.len() <= FEW { File::sync_all } else { |_: &File| Ok(()) };
        for (path, bytes) in &fresh {
            put(path, bytes, sync)?;
        }
        if fresh.len() > FEW {
            let synced = File::open(self.content()).and_then(|folder| Ok(syncfs(&folder)?));
            synced.map_err(failed("sync", &self.content()))?;
        }
        write(&self.accepted(), print(target).as_bytes())?;
        for name in stale {
            let path = self.content().join(name);
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
        let listing = self.changed().map_or(Listing::Unknown, |time| Listing::With(target.manifest, time));
        *self.kept() = Kept { chunks: chunks.clone(), listing };
        Ok(())
    }

    /// What is to be written and removed, by what is known to be there, or else by what is found there.
    fn difference(&self, fetched: &Fetched) -> Result<Difference, StateError> {
        let Fetched { target, chunks, .. } = fetched;
        let wanted = || chunks.digests().chain([target.manifest]);
        let Kept { chunks: kept, listing } = &mut *self.kept();
        // Until all is written, it is not known what is there.
        if let Listing::With(manifest, time) = std::mem::take(listing)
            && self.changed() == Some(time)
        {
            let is_wanted = |digest: &Digest| chunks.contains(*digest) || *digest == target.manifest;
            let fresh = wanted().filter(|digest| !kept.contains(*digest) && *digest != manifest);
            let stale = kept.digests().chain([manifest]).filter(|digest| !is_wanted(digest));
            return Ok(Difference {
                fresh: fresh.collect(),
                stale: stale.map(|digest| digest.to_string()).collect(),
            });
        }
        let mut stale = self.names()?;
        let is_whole = |digest| kept.contains(digest) || self.manifest(digest).is_some();
        let fresh =
            wanted().filter(|digest| !stale.remove(&digest.to_string()) || !is_whole(*digest)).collect();
        Ok(Difference { fresh, stale })
    }

    /// When something was put into the folder, or taken out of it.
    fn changed(&self) -> Option<SystemTime> {
        fs::metadata(self.content()).and_then(|folder| folder.modified()).ok()
    }

    fn file(&self, digest: Digest) -> PathBuf {
        self.content().join(digest.to_string())
    }

    /// The names of what is there.
    fn names(&self) -> Result<BTreeSet<String>, StateError> {
        let directory = self.content();
        let entries = fs::read_dir(&directory).map_err(failed("list", &directory))?;
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        entries.map(name).collect::<io::Result<_>>().map_err(failed("list", &directory))
    }

    /// What each port was granted and why; what can't be read is as good as none.
    pub fn load_placements(&self) -> BTreeMap<PortName, Placement> {
        let text = fs::read(self.placements()).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// What NICs had dropped by rule, if this machine has not started anew since: what they count goes with it.
    pub fn load_device_counts(&self, boot: &str) -> DeviceCounts {
        let text = fs::read(self.device_counts()).unwrap_or_default();
        let kept: Option<KeptCounts> = serde_json::from_slice(&text).ok();
        kept.filter(|kept| kept.boot == boot).map(|kept| kept.counts).unwrap_or_default()
    }

    /// Keeps what NICs have dropped by rule.
    pub fn save_device_counts(&self, boot: &str, counts: &DeviceCounts) -> Result<(), StateError> {
        let path = self.device_counts();
        let kept = KeptCounts { boot: boot.to_owned(), counts: counts.clone() };
        let text = serde_json::to_vec_pretty(&kept).map_err(|error| failed("write", &path)(error.into()))?;
        write(&path, &text)
    }

    /// By which counts programs for NICs were made; what can't be read is as good as none.
    pub fn load_hits(&self) -> Option<Hits> {
        serde_json::from_slice(&fs::read(self.hits()).unwrap_or_default()).ok()
    }

    /// Keeps by which counts programs for NICs are made, so that an agent after this one makes the same.
    pub fn save_hits(&self, hits: Option<&Hits>) -> Result<(), StateError> {
        let path = self.hits();
        let text = serde_json::to_vec_pretty(&hits).map_err(|error| failed("write", &path)(error.into()))?;
        write(&path, &text)
    }

    fn hits(&self) -> PathBuf {
        self.root.join("hits.json")
    }

    fn device_counts(&self) -> PathBuf {
        self.root.join("device-counts.json")
    }

    /// Keeps what each port was granted and why.
    pub fn save_placements(&self, placements: &BTreeMap<PortName, Placement>) -> Result<(), StateError> {
        let path = self.placements();
        let text =
            serde_json::to_vec_pretty(placements).map_err(|error| failed("write", &path)(error.into()))?;
        write(&path, &text)
    }
}

/// What of the content on disk is not as it should be.
struct Difference {
    /// Content to be written.
    fresh: Vec<Digest>,
    /// Names of files to be removed.
    stale: BTreeSet<String>,
}

/// Writes beside, syncs, and renames.
fn write(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    put(path, bytes, File::sync_all)
}

/// Writes beside, and renames.
fn put(path: &Path, bytes: &[u8], sync: fn(&File) -> io::Result<()>) -> Result<(), StateError> {
    let beside = path.with_extension("new");
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        sync(&file)
    });
    written.map_err(failed("write", &beside))?;
    fs::rename(&beside, path).map_err(failed("rename to", path))
}

fn print(target: &Target) -> String {
    let Target { generation, manifest, signature } = target;
    let signature = signature.map_or_else(|| "none".to_owned(), |signature| signature.to_string());
    let text = format!("generation {generation}\nmanifest {manifest}\nsignature {signature}\n");
    format!("{text}checksum {}\n", Digest::of(text.as_bytes()))
}

fn parse(text: &str) -> Result<Target, &'static str> {
    let (body, checksum) = text.split_once("checksum ").ok_or("it has no checksum")?;
    if checksum.trim_end().parse() != Ok(Digest::of(body.as_bytes())) {
        return Err("its checksum is wrong");
    }
    let mut lines = body.lines();
    let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ').map(ToOwned::to_owned);
    let generation =
        field("generation").and_then(|text| text.parse().ok()).ok_or("it names no generation")?;
    let manifest = field("manifest").and_then(|text| text.parse().ok()).ok_or("it names no manifest")?;
    let signature = match field("signature").ok_or("it does not say who signed it")?.as_str() {
        "none" => None,
        text => Some(text.parse().map_err(|_| "its signature is none")?),
    };
    Ok(Target { generation: Generation(generation), manifest, signature })
}

#[cfg(test)]
mod tests;
