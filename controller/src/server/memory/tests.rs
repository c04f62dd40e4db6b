//! What is kept is what was published, whatever was kept before and however often packs are made one.

use std::time::SystemTime;

use fastrand::Rng;
use selvedge_proto::plan::{EncodedPlan, encode_plan};
use selvedge_proto::{Summary, Target};
use selvedge_topology::model::{NodeRole, PortRole};
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::{Plan, PlanPort, Runs};

use super::*;

const NODES: [&str; 3] = ["host1", "host2", "dpu1"];

/// A plan of some ports.
fn plan(node: &NodeName, rng: &mut Rng) -> EncodedPlan {
    let port = |number| PlanPort { name: format!("p{number}").parse().unwrap(), role: PortRole::Fabric };
    let plan = Plan {
        node: node.clone(),
        role: NodeRole::Host,
        timeouts: Default::default(),
        ports: (0..10).filter(|_| rng.bool()).map(port).collect(),
        demands: Default::default(),
        workloads: Vec::new(),
        addresses: Runs::default(),
        rows: Runs::default(),
        sets: Runs::default(),
        rules: Runs::default(),
        identities: Runs::default(),
    };
    encode_plan(&plan.into()).unwrap()
}

/// The generation after `before`, whole: it gives one node another plan.
fn next(before: Option<&Publication>, rng: &mut Rng) -> Publication {
    let generation = Generation(before.map_or(1, |before| before.record.generation.0 + 1));
    let mut targets = before.map(|before| before.targets.clone()).unwrap_or_default();
    let mut manifests: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
    let mut chunks = Chunks::new();
    let changed = NODES[rng.usize(..NODES.len())];
    for node in NODES.map(|node| node.parse::<NodeName>().unwrap()) {
        match before.filter(|_| node.to_string() != changed) {
            Some(before) => {
                let digest = before.targets[&node].manifest;
                let manifest = Manifest::decode(digest, &before.manifests[&digest]).unwrap();
                for digest in manifest.outline(&before.chunks).unwrap().chunks() {
                    chunks.insert(digest, before.chunks.get(digest).unwrap().to_vec()).unwrap();
                }
                manifests.insert(digest, before.manifests[&digest].clone());
            }
            None => {
                let encoded = plan(&node, rng);
                chunks.append(encoded.chunks);
                manifests.insert(encoded.digest, encoded.manifest);
                targets.insert(node, Target { generation, manifest: encoded.digest, signature: None });
            }
        }
    }
    let now = SystemTime::UNIX_EPOCH;
    let (record, lists) = GenerationRecord::new(generation, now, Summary::default(), [], &targets).unwrap();
    chunks.append(lists);
    Publication { record, targets, gone: Vec::new(), manifests, chunks, novelty: Novelty::Unknown }
}

/// What of `after` is not in `before`: what a controller has at hand when it publishes.
fn fresh(before: Option<&Publication>, after: &Publication) -> Publication {
    let is_new = |digest: &Digest| before.is_none_or(|before| !before.chunks.contains(*digest));
    let mut chunks = after.chunks.clone();
    chunks.retain(|digest| is_new(&digest));
    let manifests = after.manifests.iter().map(|(digest, bytes)| (*digest, bytes.clone()));
    let manifests = manifests
        .filter(|(digest, _)| before.is_none_or(|before| !before.manifests.contains_key(digest)))
        .collect();
    let (record, targets) = (after.record.clone(), after.targets.clone());
    Publication { record, targets, gone: Vec::new(), manifests, chunks, novelty: Novelty::Unknown }
}

/// What a publication is made of, but for what it takes away.
fn content(of: &Publication) -> (&GenerationRecord, &BTreeMap<Digest, Vec<u8>>, &Chunks) {
    (&of.record, &of.manifests, &of.chunks)
}

#[test]
fn the_newest_generation_is_recalled_whole_and_those_before_it_are_known() {
    let mut rng = Rng::with_seed(17);
    let (mut recalled, mut packed) = (0, 0);
    for _ in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::in_folder(folder.path().to_owned());
        assert_eq!(memory.record().unwrap(), None);
        let mut all: Vec<Publication> = Vec::new();
        for _ in 0..20 {
            let new = next(all.last(), &mut rng);
            memory.keep(&fresh(all.last(), &new)).unwrap();
            if rng.u8(..5) == 0 {
                memory.pack_anew(&new.record).unwrap();
                assert_eq!(packs::all(&memory.packs()).unwrap(), [memory.pack(new.record.generation)]);
                packed += 1;
            }
            assert_eq!(memory.record().unwrap().as_ref(), Some(&new.record));
            let kept = memory.recall(new.record.clone()).unwrap();
            assert_eq!((content(&kept), &kept.targets), (content(&new), &new.targets));
            recalled += 1;
            all.push(new);
        }
        assert!(all.iter().all(|kept| memory.knows(&kept.record)));
        let mut forged = all[4].record.clone();
        forged.generation = Generation(3);
        assert!(!memory.knows(&forged) && !memory.knows(&next(all.last(), &mut rng).record));
    }
    assert!(recalled == 160 && packed > 20, "{recalled} recalled, {packed} times made one");
}

#[test]
fn what_is_damaged_or_gone_is_never_taken_for_what_was_published() {
    let mut rng = Rng::with_seed(18);
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::in_folder(folder.path().to_owned());
    let first = next(None, &mut rng);
    let second = next(Some(&first), &mut rng);
    memory.keep(&first).unwrap();
    memory.keep(&fresh(Some(&first), &second)).unwrap();
    let path = memory.pack(Generation(1));
    let whole = fs::read(&path).unwrap();
    let (mut refused, mut right) = (0, 0);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        if at % 7 == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << (at % 8);
        }
        fs::write(&path, &bytes).unwrap();
        match memory.recall(second.record.clone()) {
            Ok(kept) => {
                assert_eq!(content(&kept), content(&second));
                right += 1;
            }
            Err(MemoryError::Damaged { .. } | MemoryError::Missing { .. } | MemoryError::Io { .. }) => {
                refused += 1;
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    // What the first alone led to may be damaged.
    assert!(refused > 300 && right > 50, "{refused} refused, {right} right, of {}", whole.len());
}

#[test]
fn what_follows_nothing_that_is_kept_takes_its_place_and_has_to_be_whole() {
    let mut rng = Rng::with_seed(20);
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::in_folder(folder.path().to_owned());
    let first = next(None, &mut rng);
    let second = next(Some(&first), &mut rng);
    let other = next(None, &mut rng);
    memory.keep(&first).unwrap();
    memory.keep(&fresh(Some(&first), &second)).unwrap();
    memory.keep(&other).unwrap();
    assert_eq!(memory.record().unwrap().as_ref(), Some(&other.record));
    assert_eq!(content(&memory.recall(other.record.clone()).unwrap()), content(&other));
    // The same number again, and not all of it: the next one has to bring everything.
    let part = fresh(Some(&other), &Publication { manifests: first.manifests, ..fresh(None, &other) });
    assert!(matches!(memory.keep(&part), Err(MemoryError::Missing { .. })));
}

#[test]
fn packs_are_made_one_where_much_of_them_may_be_old() {
    let mut rng = Rng::with_seed(19);
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::in_folder(folder.path().to_owned());
    let first = next(None, &mut rng);
    memory.keep(&first).unwrap();
    assert!(!memory.is_unwieldy().unwrap());
    // A sparse file stands for the content of many changes.
    File::create(memory.pack(Generation(0))).unwrap();
    File::options().write(true).open(memory.pack(Generation(1))).unwrap().set_len(SPARE + 1).unwrap();
    assert!(memory.is_unwieldy().unwrap());
}
