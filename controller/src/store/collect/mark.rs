//! Marking: everything that is to stay, found from its roots, in one revision.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use selvedge_proto::plan::Manifest;
use selvedge_proto::{Chunks, Digest, Report, Target, TargetList, keys, names_in};
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::Generation;
use tracing::warn;

use super::{Garbage, Kept};
use crate::store::{LARGE_PAGE, PAGE, Scan, Store, StoreError, Values};

/// How many of the newest generations stay. Whatever a node runs or is to run stays besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention(pub NonZeroU32);

impl Retention {
    /// What stays where nobody says otherwise.
    pub const DEFAULT: Self = Self(NonZeroU32::new(32).expect("32 is not zero"));
}

/// Lists that are held in memory at once: 16 MiB where all are as large as they may be.
const LISTS: usize = 2048;

/// Which generations stay, asked from the newest to the oldest.
struct Keeping {
    /// How many more of the newest.
    newest: u32,
    /// What nodes run that lag behind their targets, as long as no generation that stays says what that is.
    run: BTreeMap<NodeName, Generation>,
}

impl Keeping {
    /// Whether a generation with these targets stays: it is one of the newest, or the newest that says what a node runs.
    fn keeps(&mut self, targets: &TargetList) -> bool {
        let lagging = self.run.len();
        self.run.retain(|node, generation| {
            targets.get(node).is_none_or(|target| target.generation != *generation)
        });
        let is_newest = self.newest > 0;
        self.newest = self.newest.saturating_sub(1);
        is_newest || self.run.len() < lagging
    }
}

/// What is named from above, and so has to stay.
#[derive(Default)]
struct Named {
    manifests: BTreeSet<Digest>,
    chunks: BTreeSet<Digest>,
    /// A manifest that stays, or a list that it names, can't be read, so nobody knows which chunks that names.
    blind: bool,
}

impl Store {
    /// What `retention` does not keep, nor any node needs, as of now.
    ///
    /// Where a manifest that stays can't be read (another version wrote it), or one of its lists, no chunk is garbage: any may be
    /// one of its own.
    pub async fn find_garbage(&self, retention: Retention) -> Result<Garbage, StoreError> {
        let mut targets = TargetList::new();
        let scan = Scan { prefix: keys::TARGETS, revision: 0, values: Values::Read { page: PAGE } };
        let revision = self
            .scan(scan, |key, value| {
                let target = Target::decode(&value).map_err(|source| unreadable(&key, source))?;
                targets.insert(keys::parse_target(&key)?, target);
                Ok(())
            })
            .await?;
        let run = self.run_by_nodes(revision, &targets).await?;
        let mut all = Vec::new();
        let scan = Scan { prefix: keys::GENERATIONS, revision, values: Values::Left };
        self.scan(scan, |key, _| {
            all.push(keys::parse_generation(&key)?);
            Ok(())
        })
        .await?;
        let mut named = Named::default();
        named.manifests.extend(targets.values().map(|target| target.manifest));
        let mut keeping = Keeping { newest: retention.0.get(), run };
        let (mut lists, mut generations) = (Chunks::new(), Vec::new());
        for generation in all.iter().rev() {
            if !self.mark_generation(*generation, &mut keeping, &mut lists, &mut named).await? {
                generations.push(*generation);
            }
        }
        // The oldest go first: an interrupted sweep leaves no gap.
        generations.reverse();
        let manifests = self.mark_manifests(revision, &mut named).await?;
        let (chunks, kept_chunks) = self.unnamed_chunks(revision, &named).await?;
        let kept = Kept {
            generations: all.len() - generations.len(),
            manifests: named.manifests.len(),
            chunks: kept_chunks,
        };
        Ok(Garbage { generations, manifests, chunks, kept })
    }

    /// The generations that nodes run which lag behind their targets. One whose node is no more counts for nothing.
    async fn run_by_nodes(
        &self,
        revision: i64,
        targets: &TargetList,
    ) -> Result<BTreeMap<NodeName, Generation>, StoreError> {
        let mut run = BTreeMap::new();
        let values = Values::Read { page: LARGE_PAGE };
        self.scan(Scan { prefix: keys::REPORTS, revision, values }, |key, value| {
            // What can't be read names nothing; following reports says so (`reports.rs`).
            let (Ok(node), Ok(report)) = (keys::parse_report(&key), Report::decode(&value)) else {
                return Ok(());
            };
            if let (Some(in_force), Some(target)) = (report.in_force, targets.get(&node))
                && in_force != target.generation
            {
                run.insert(node, in_force);
            }
            Ok(())
        })
        .await?;
        Ok(run)
    }

    /// Marks what a generation names, if it stays, and says whether it does. `lists` are the chunks of lists and of targets that
    /// were read so far: neighbours share them.
    async fn mark_generation(
        &self,
        generation: Generation,
        keeping: &mut Keeping,
        lists: &mut Chunks,
        named: &mut Named,
    ) -> Result<bool, StoreError> {
        // Taken away since by the next leader: then the sweep will be refused.
        let Some(record) = self.generation(generation).await? else { return Ok(false) };
        let unread = |digests: Vec<Digest>, read: &Chunks| -> Vec<Digest> {
            digests.into_iter().filter(|digest| !read.contains(*digest)).collect()
        };
        lists.append(self.lists(unread(record.lists().collect(), lists)).await?);
        lists.append(self.chunks(unread(record.target_chunks(lists)?, lists)).await?);
        let targets = record.targets(lists)?;
        let stays = keeping.keeps(&targets);
        if stays {
            named.manifests.extend(targets.into_values().map(|target| target.manifest));
            named.chunks.extend(record.lists());
            named.chunks.extend(record.chunks(lists)?);
        }
        Ok(stays)
    }

    /// Marks what the manifests lead to that are named, and returns the other manifests.
    async fn mark_manifests(&self, revision: i64, named: &mut Named) -> Result<Vec<Digest>, StoreError> {
        let (mut garbage, mut lists) = (Vec::new(), BTreeSet::new());
        let values = Values::Read { page: LARGE_PAGE };
        self.scan(Scan { prefix: keys::MANIFESTS, revision, values }, |key, value| {
            let digest = keys::parse_manifest(&key)?;
            if !named.manifests.contains(&digest) {
                garbage.push(digest);
                return Ok(());
            }
            match Manifest::decode(digest, &value) {
                Ok(manifest) => {
                    named.chunks.extend(manifest.own());
                    lists.extend(manifest.lists());
                }
                Err(error) => {
                    warn!(manifest = %digest, %error, "can't see which chunks a manifest needs: none is taken away");
                    named.blind = true;
                }
            }
            Ok(())
        })
        .await?;
        self.mark_lists(lists, named).await?;
        Ok(garbage)
    }

    /// Marks lists, and the chunks that are on them.
    async fn mark_lists(&self, lists: BTreeSet<Digest>, named: &mut Named) -> Result<(), StoreError> {
        let all: Vec<Digest> = lists.into_iter().collect();
        for batch in all.chunks(LISTS) {
            let marked = self.lists(batch.to_vec()).await.and_then(|chunks| {
                let names =
                    batch.iter().map(|list| names_in(*list, &chunks)).collect::<Result<Vec<_>, _>>()?;
                named.chunks.extend(names.into_iter().flatten().chain(chunks.digests()));
                Ok(())
            });
            match marked {
                Err(error @ (StoreError::Missing { .. } | StoreError::Chunk(_))) => {
                    warn!(%error, "can't see which chunks a list names: none is taken away");
                    named.blind = true;
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// The chunks that nothing names, and how many others there are.
    async fn unnamed_chunks(&self, revision: i64, named: &Named) -> Result<(Vec<Digest>, usize), StoreError> {
        let (mut garbage, mut kept) = (Vec::new(), 0);
        self.scan(Scan { prefix: keys::CHUNKS, revision, values: Values::Left }, |key, _| {
            let digest = keys::parse_chunk(&key)?;
            if named.blind || named.chunks.contains(&digest) {
                kept += 1;
            } else {
                garbage.push(digest);
            }
            Ok(())
        })
        .await?;
        Ok((garbage, kept))
    }
}

fn unreadable(key: &[u8], source: selvedge_proto::DecodeError) -> StoreError {
    StoreError::Value { key: String::from_utf8_lossy(key).into_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_and_the_newest_that_say_what_a_node_runs() {
        let node = |name: &str| name.parse::<NodeName>().unwrap();
        let target = |generation| {
            let (generation, manifest) = (Generation(generation), Digest::of(b""));
            Target { generation, manifest, signature: None }
        };
        // Newest first: in 5, a and b have the plans of 5 and 2; and so on.
        let lists = [(5, 2), (4, 2), (3, 2), (1, 2), (1, 1)];
        let kept = |newest, run: &[(&str, u64)]| {
            let run = run.iter().map(|(name, run)| (node(name), Generation(*run))).collect();
            let mut keeping = Keeping { newest, run };
            lists.map(|(a, b)| {
                keeping.keeps(&TargetList::from([(node("a"), target(a)), (node("b"), target(b))]))
            })
        };
        assert_eq!(kept(2, &[]), [true, true, false, false, false]);
        assert_eq!(kept(1, &[("a", 1)]), [true, false, false, true, false]);
        assert_eq!(kept(1, &[("a", 3), ("b", 1)]), [true, false, true, false, true]);
        assert_eq!(kept(2, &[("a", 4), ("b", 9), ("gone", 1)]), [true, true, false, false, false]);
        assert_eq!(kept(u32::MAX, &[]), [true; 5]);
    }
}
