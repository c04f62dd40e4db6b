//! Who may say what a fabric enforces: the controller's key, or an operator's that the controller never sees.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::{TestEtcd, apply, client, documents, start_with};
use selvedge_controller::server::{Authority, Backing, Controller, StartError, Strangers};
use selvedge_controller::store::StoreError;
use selvedge_proto::wire::{self, ApplyOutcome};
use selvedge_proto::{FabricId, GenerationRecord, Signature, Target, keys};
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::Generation;
use selvedge_trust::{Anchor, SigningKey};

/// The files of one fabric: a key, and what is told of it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(number: u8) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let key = SigningKey::create(&folder.path("signing.key")).unwrap();
        let anchor = Anchor { fabric: FabricId([number; 16]), signing_key: key.public() };
        anchor.save(&folder.path("fabric.json")).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn authority(&self) -> Authority {
        Authority::load(self.0.path()).unwrap()
    }

    fn anchor(&self) -> Anchor {
        Anchor::load(&self.path("fabric.json")).unwrap()
    }

    /// Takes the key elsewhere: the controller keeps what nodes trust.
    fn without_key(&self) -> tempfile::TempDir {
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::rename(self.path("signing.key"), elsewhere.path().join("signing.key")).unwrap();
        elsewhere
    }
}

async fn controller(
    etcd: &TestEtcd,
    authority: Authority,
    strangers: Strangers,
) -> Result<Controller, StartError> {
    let backing = Backing::Cluster { access: etcd.etcd.access().clone() };
    start_with(backing, "test", authority, strangers).await
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

/// The documents, with another policy for the database.
fn edited() -> Vec<wire::SourceFile> {
    let mut edited = documents();
    edited[1].text = edited[1].text.replace("action: allow", "action: deny");
    edited
}

async fn assert_all_signed(etcd: &TestEtcd, anchor: Anchor) {
    let targets = etcd.targets().await;
    assert_eq!(targets.len(), 2);
    for (name, target) in &targets {
        assert_eq!(anchor.verify_target(&node(name), target), Ok(()), "{name}");
    }
    let records = etcd.dump().await;
    let records = records.iter().filter(|(key, _)| key.starts_with(keys::GENERATIONS));
    assert!(
        records
            .map(|(_, value)| GenerationRecord::decode(value).unwrap())
            .all(|record| anchor.verify_record(&record).is_ok())
    );
}

#[tokio::test]
async fn every_generation_and_every_target_is_signed_and_a_change_is_written_to_whom_it_concerns() {
    let (etcd, fabric) = (TestEtcd::start().await, Folder::new(1));
    let first = controller(&etcd, fabric.authority(), Strangers::Refuse).await.unwrap();
    let mut api = client(&first).await;
    apply(&mut api, documents(), ApplyOutcome::Applied).await;
    assert_all_signed(&etcd, fabric.anchor()).await;
    let before = etcd.targets().await;

    // The database is on host2; no plan of host1 says anything of its ingress.
    let response = apply(&mut api, edited(), ApplyOutcome::Applied).await;
    assert_eq!(response.nodes_changed, ["host2"]);
    assert_all_signed(&etcd, fabric.anchor()).await;
    let after = etcd.targets().await;
    assert_eq!(after["host1"], before["host1"]);
    assert_eq!((after["host1"].generation, after["host2"].generation), (Generation(1), Generation(2)));
    first.shutdown().await;

    let second = controller(&etcd, fabric.authority(), Strangers::Refuse).await.unwrap();
    assert_eq!(etcd.targets().await, after);
    second.shutdown().await;
}

#[tokio::test]
async fn a_generation_that_the_fabric_did_not_sign_is_no_desired_state() {
    let (etcd, fabric, stranger) = (TestEtcd::start().await, Folder::new(1), Folder::new(2));
    let theirs = controller(&etcd, stranger.authority(), Strangers::Refuse).await.unwrap();
    apply(&mut client(&theirs).await, documents(), ApplyOutcome::Applied).await;
    theirs.shutdown().await;
    let before = etcd.dump().await;
    let refused = controller(&etcd, fabric.authority(), Strangers::Refuse).await.err().unwrap();
    assert!(matches!(&refused, StartError::Store(StoreError::Mistrusted { .. })), "{refused}");
    assert!(refused.to_string().contains("--resign"), "{refused}");
    assert_eq!(etcd.dump().await, before, "nothing was written");

    let ours = controller(&etcd, fabric.authority(), Strangers::Resign).await.unwrap();
    let response = apply(&mut client(&ours).await, documents(), ApplyOutcome::Unchanged).await;
    assert_eq!(response.generation, 2);
    let targets = etcd.targets().await;
    for (name, target) in &targets {
        assert_eq!(fabric.anchor().verify_target(&node(name), target), Ok(()));
        assert_eq!(target.generation, Generation(2));
    }
    ours.shutdown().await;
}

#[tokio::test]
async fn targets_that_somebody_else_wrote_or_took_away_are_mended() {
    let (etcd, fabric) = (TestEtcd::start().await, Folder::new(1));
    let ours = controller(&etcd, fabric.authority(), Strangers::Refuse).await.unwrap();
    apply(&mut client(&ours).await, documents(), ApplyOutcome::Applied).await;
    let right = etcd.targets().await;
    let forged = Target { generation: Generation(9), signature: Some(Signature([1; 64])), ..right["host1"] };
    let mut raw = etcd.raw().await;
    raw.put(keys::target(&node("host1")), forged.encode(), None).await.unwrap();
    raw.delete(keys::target(&node("host2")), None).await.unwrap();
    raw.put(format!("{}NO-NODE", keys::TARGETS), "rubbish", None).await.unwrap();
    let begun = Instant::now();
    let is_right = |now: &std::collections::BTreeMap<String, Vec<u8>>| {
        let targets: Vec<_> = now.iter().filter(|(key, _)| key.starts_with(keys::TARGETS)).collect();
        targets.len() == right.len()
            && right
                .iter()
                .all(|(node, target)| now.get(&format!("{}{node}", keys::TARGETS)) == Some(&target.encode()))
    };
    while !is_right(&etcd.dump().await) {
        assert!(begun.elapsed() < Duration::from_secs(30), "targets stay as somebody wrote them");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ours.shutdown().await;
}

fn selvedge(server: &str, fabric: &Path, key: Option<&Path>, documents: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command.args(["--server", server, "apply", "--fabric"]).arg(fabric).arg("-f").arg(documents);
    command.env_remove("SELVEDGE_SIGNING_KEY");
    if let Some(key) = key {
        command.arg("--signing-key").arg(key);
    }
    command.output().unwrap()
}

async fn applied_by_hand(output: impl FnOnce() -> Output + Send + 'static) -> (bool, String, String) {
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(output).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.success(), text(stdout), text(stderr))
}

#[tokio::test]
async fn where_an_operator_signs_the_controller_publishes_that_and_can_invent_nothing() {
    let (etcd, fabric, stranger) = (TestEtcd::start().await, Folder::new(1), Folder::new(2));
    let vault = fabric.without_key();
    let ours = controller(&etcd, fabric.authority(), Strangers::Refuse).await.unwrap();
    let mut api = client(&ours).await;
    let request = wire::ApplyRequest { files: documents(), ..wire::ApplyRequest::default() };
    let refused = api.apply(request).await.unwrap_err();
    assert!(refused.message().contains("--signing-key"), "{refused}");

    let folder = tempfile::tempdir().unwrap();
    let write = |files: Vec<wire::SourceFile>| {
        for file in files {
            std::fs::write(folder.path().join(file.name), file.text).unwrap();
        }
    };
    let server = format!("http://{}", ours.address());
    let sign = |anchor: PathBuf, key: Option<PathBuf>| {
        let (server, documents) = (server.clone(), folder.path().to_owned());
        applied_by_hand(move || selvedge(&server, &anchor, key.as_deref(), &documents))
    };
    let key = vault.path().join("signing.key");
    write(documents());
    let (good, out, err) = sign(fabric.path("fabric.json"), Some(key.clone())).await;
    assert!(good && out.contains("generation 1:"), "{out}{err}");
    write(edited());
    let (good, out, err) = sign(fabric.path("fabric.json"), Some(key.clone())).await;
    assert!(good && out.contains("generation 2:") && out.contains("new plans for host2"), "{out}{err}");
    assert_all_signed(&etcd, fabric.anchor()).await;
    let before = etcd.dump().await;
    let (good, out, err) = sign(fabric.path("fabric.json"), Some(key)).await;
    assert!(good && out.contains("generation 2: unchanged"), "{out}{err}");

    // Another key, for the same fabric or its own: refused here, and by the controller.
    write(documents());
    let (good, _, err) = sign(fabric.path("fabric.json"), Some(stranger.path("signing.key"))).await;
    assert!(!good && err.contains("nodes would believe nothing"), "{err}");
    let (good, _, err) = sign(stranger.path("fabric.json"), Some(stranger.path("signing.key"))).await;
    assert!(!good && err.contains("is not of key"), "{err}");
    let (good, _, err) = sign(fabric.path("fabric.json"), None).await;
    assert!(!good && err.contains("--signing-key"), "{err}");
    assert_eq!(etcd.dump().await, before, "nothing of that was published");
    ours.shutdown().await;
}

#[tokio::test]
async fn what_an_operator_signed_for_other_documents_or_another_number_is_refused() {
    let (etcd, fabric) = (TestEtcd::start().await, Folder::new(1));
    let vault = fabric.without_key();
    let key = SigningKey::load(&vault.path().join("signing.key")).unwrap();
    let ours = controller(&etcd, fabric.authority(), Strangers::Refuse).await.unwrap();
    let mut api = client(&ours).await;
    let request = wire::DraftRequest { files: documents(), ..Default::default() };
    let draft = api.draft(request).await.unwrap().into_inner();
    assert_eq!((draft.would.unwrap().generation, draft.targets), (1, vec![]));
    let sign = |generation: u64, manifest: &[u8]| {
        let target = |name: &str| {
            let manifest = selvedge_proto::Digest::of(manifest);
            let unsigned = Target { generation: Generation(generation), manifest, signature: None };
            let signature = Some(key.sign(&unsigned.statement(fabric.anchor().fabric, &node(name))));
            (node(name), Target { signature, ..unsigned })
        };
        let targets = selvedge_proto::targets_to_wire(&["host1", "host2"].map(target).into());
        wire::SignedGeneration { generation, created_ms: 1, targets, signature: vec![7; 64] }
    };
    for (signed, words) in [
        (sign(5, b"x"), "it is of generation 5, the next one is 1"),
        (sign(1, b"x"), "the plan of node host1"),
    ] {
        let request =
            wire::ApplyRequest { files: documents(), signed: Some(signed), ..wire::ApplyRequest::default() };
        let refused = api.apply(request).await.unwrap_err();
        assert!(refused.message().contains(words), "{refused}");
    }
    assert_eq!(etcd.targets().await.len(), 0);
    ours.shutdown().await;
}
