//! Random histories of a store, and what should be in it after them.

use super::*;

/// What etcd should hold, from what was done to it and nothing that was read.
#[derive(Default)]
pub(crate) struct Model {
    /// All keys that a generation takes.
    pub(crate) published: BTreeMap<u64, BTreeSet<String>>,
    /// What every generation told nodes, and what they are told now.
    pub(crate) told: BTreeMap<u64, TargetList>,
    pub(crate) targets: TargetList,
    pub(crate) in_force: BTreeMap<NodeName, u64>,
}

impl Model {
    pub(crate) fn newest(&self) -> u64 {
        self.published.keys().last().copied().unwrap_or_default()
    }

    /// The generations that have to stay.
    pub(crate) fn generations(&self, keep: u32) -> BTreeSet<u64> {
        let newest = self.published.keys().rev().take(keep as usize).copied();
        let lagging = self.in_force.iter().filter(|(node, run)| self.targets[*node].generation.0 != **run);
        let says = |node, run: u64| move |(_, told): &(&u64, &TargetList)| told[node].generation.0 == run;
        let saying = lagging.map(|(node, run)| *self.told.iter().rev().find(says(node, *run)).unwrap().0);
        newest.chain(saying).collect()
    }

    /// The keys of all content that has to stay.
    pub(crate) fn needed(&self, keep: u32) -> BTreeSet<String> {
        self.generations(keep).into_iter().flat_map(|number| self.published[&number].clone()).collect()
    }
}

/// What the audit record says of a publication; its form is of no matter here.
pub(crate) fn entry(publication: &Publication) -> NewEntry {
    NewEntry { number: publication.record.generation.0, bytes: b"published".to_vec() }
}

/// One of a few states of the small fabric, so that content goes and is wanted again; and the keys it takes.
pub(crate) fn publication(
    number: u64,
    before: &TargetList,
    variant: usize,
) -> (Publication, BTreeSet<String>) {
    let mut files = documents();
    let port = 5432 + variant % 5;
    files[2].text = files[2].text.replace("port: 5432", &format!("port: {port}"));
    if variant >= 5 {
        files[1].text = files[1].text.replace("action: allow", "action: deny");
    }
    let files: Vec<SourceFile> =
        files.into_iter().map(|file| SourceFile { name: file.name, text: file.text }).collect();
    let (registry, _) = Registry::read(&files).unwrap();
    let model = registry.model();
    let mut identities = IdentityTable::default();
    identities.allocate(model).unwrap();
    let Proposal { plans, manifests, mut chunks, .. } =
        Proposal::new(model, &identities, &BTreeMap::new()).unwrap();
    let targets = targets(before, &plans, Generation(number), |_, _| None);
    let (sources, mut own) = Sources::cut(registry.excerpts_from(None)).unwrap();
    let (generation, now) = (Generation(number), SystemTime::now());
    let (record, names) =
        GenerationRecord::new(generation, now, Summary::default(), sources.digests(), &targets).unwrap();
    own.append(names);
    let plans = plans.values().flat_map(|digest| {
        let manifest = Manifest::decode(*digest, &manifests[digest]).unwrap();
        let parts = manifest.outline(&chunks).unwrap().chunks();
        parts
            .into_iter()
            .chain(manifest.lists())
            .map(keys::chunk)
            .chain([keys::manifest(*digest)])
            .collect::<Vec<_>>()
    });
    let of_record = record.lists().chain(record.chunks(&own).unwrap());
    let own_keys = of_record.map(keys::chunk).chain([keys::generation(Generation(number))]);
    let published = own_keys.chain(plans).collect();
    chunks.append(own);
    // It comes to the same whether anybody looks.
    let novelty = if number.is_multiple_of(2) { Novelty::New } else { Novelty::Unknown };
    (Publication { record, targets, gone: Vec::new(), manifests, chunks, novelty }, published)
}

/// A store, its leader, and what should be in it.
pub(crate) struct History<'e> {
    pub(crate) etcd: &'e TestEtcd,
    pub(crate) store: Store,
    pub(crate) leader: Leadership,
    pub(crate) model: Model,
    pub(crate) keep: u32,
    pub(crate) fresh: Fresh,
    pub(crate) rng: Rng,
}

/// What happened in a run, to be held against floors.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) swept: usize,
    pub(crate) kept_for_nodes: usize,
    pub(crate) interrupted: usize,
    pub(crate) spared: usize,
}

impl<'e> History<'e> {
    pub(crate) async fn begin(etcd: &'e TestEtcd, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let options = etcd_client::DeleteOptions::new().with_prefix();
        etcd.raw().await.delete(keys::PREFIX, Some(options)).await.unwrap();
        let store = Store::connect(etcd.etcd.access()).await.unwrap();
        let leader = Leadership::acquire(&store, "history").await.unwrap();
        let keep = rng.u32(1..4);
        Self { etcd, store, leader, model: Model::default(), keep, fresh: Fresh::default(), rng }
    }

    pub(crate) async fn publish(&mut self) {
        let number = self.model.newest() + 1;
        let (publication, published) = publication(number, &self.model.targets, self.rng.usize(..10));
        self.model.targets.clone_from(&publication.targets);
        self.model.told.insert(number, publication.targets.clone());
        self.fresh.published(&publication);
        let entry = entry(&publication);
        self.store.publish(self.leader.fence(), &publication, entry).await.unwrap();
        self.model.published.insert(number, published);
    }

    /// A node gets as far as its target.
    pub(crate) async fn follow(&mut self) {
        let Some((node, target)) = self.rng.choice(&self.model.targets) else { return };
        let generation = target.generation.0;
        self.etcd.report(&report(node.as_str(), Some(generation))).await;
        self.model.in_force.insert(node.clone(), generation);
    }

    pub(crate) async fn content(&self) -> BTreeSet<String> {
        let all = self.etcd.dump().await.into_keys();
        let content = [keys::GENERATIONS, keys::MANIFESTS, keys::CHUNKS];
        all.filter(|key| content.iter().any(|prefix| key.starts_with(prefix))).collect()
    }

    pub(crate) async fn check(&self) {
        let (content, needed) = (self.content().await, self.model.needed(self.keep));
        assert_eq!(
            needed.difference(&content).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "needed, and gone"
        );
    }

    /// A collection in small steps, with publications between them, and perhaps given up.
    pub(crate) async fn collect(&mut self, disturbed: bool, counts: &mut Counts) {
        self.fresh.begin();
        let retention = Retention(NonZeroU32::new(self.keep).unwrap());
        let garbage = self.store.find_garbage(retention).await.unwrap();
        counts.kept_for_nodes += garbage.kept.generations.saturating_sub(self.keep as usize);
        let all = garbage.batches().concat();
        for batch in all.chunks(3) {
            if disturbed && self.rng.u8(..4) == 0 {
                self.publish().await;
            }
            if disturbed && self.rng.u8(..8) == 0 {
                counts.interrupted += 1;
                break;
            }
            let newest = Generation(self.model.newest());
            let swept = self.store.sweep(self.leader.fence(), newest, batch, &self.fresh).await.unwrap();
            counts.swept += swept;
            counts.spared += batch.len() - swept;
            self.check().await;
        }
        self.fresh.end();
    }
}
