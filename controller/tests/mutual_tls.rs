//! Who is let in, and to what: real TLS, a real etcd, certificates of the fabric and of strangers.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use common::documents;
use common::secure::Secure;
use prost::Message;
use selvedge_controller::trust::client;
use selvedge_proto::wire::fabric_client::FabricClient;
use selvedge_proto::{DESCRIPTORS, wire};
use selvedge_trust::member::Invitee;
use selvedge_trust::pki::{Ca, Role};
use tonic::transport::ClientTlsConfig;
use tonic::{Code, Status};

/// Every file below `folder` and its permission bits; folders end in a slash.
fn modes(folder: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            if path.is_dir() {
                found.insert(format!("{name}/"), mode);
                folders.push(path);
            } else {
                found.insert(name, mode);
            }
        }
    }
    found
}

fn controller(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_selvedge-controller")).args(arguments).output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn init_makes_a_fabric_once_and_says_what_is_there_the_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let (code, said) = controller(&["init", "--data-dir", &data, "--san", "192.0.2.1"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("\nmade").count() + usize::from(said.starts_with("made")), 5, "{said}");
    assert!(said.contains(&format!("Next:\n  selvedge-controller --data-dir {data}")), "{said}");
    let modes = modes(folder.path());
    assert_eq!(modes.len(), 15, "{modes:#?}");
    for (name, mode) in &modes {
        let wanted = if name.ends_with('/') {
            0o700
        } else if ["data/trust/ca.pem", "data/trust/fabric.json"].contains(&name.as_str()) {
            0o644
        } else {
            0o600
        };
        assert_eq!(*mode, wanted, "{name}");
    }
    let read = |name: &str| fs::read(PathBuf::from(&data).join("trust").join(name)).unwrap();
    let (authority, controllers) = (read("ca.key"), read("controller/identity.pem"));

    let (code, said) = controller(&["init", "--data-dir", &data, "--san", "192.0.2.1"]);
    assert_eq!((code, said.matches("kept ").count()), (Some(0), 5), "{said}");
    assert_eq!((read("ca.key"), read("controller/identity.pem")), (authority.clone(), controllers));

    let (code, said) = controller(&["init", "--data-dir", &data, "--san", "192.0.2.2"]);
    assert_eq!(
        (code, said.matches("renewed ").count(), said.matches("kept ").count()),
        (Some(0), 2, 3),
        "{said}"
    );
    assert_eq!(read("ca.key"), authority);
}

#[test]
fn init_takes_an_authority_of_ones_own_and_never_another_one_later() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for name in ["own", "other"] {
        let (ca, key) = Ca::create(SystemTime::now()).unwrap();
        selvedge_trust::write_public(at(&format!("{name}.pem")).as_ref(), ca.pem()).unwrap();
        selvedge_trust::write_private(at(&format!("{name}.key")).as_ref(), &key.secret_pem()).unwrap();
    }
    let data = at("data");
    let with = |name: &str| {
        let (cert, key) = (at(&format!("{name}.pem")), at(&format!("{name}.key")));
        controller(&["init", "--data-dir", &data, "--ca-cert", &cert, "--ca-key", &key])
    };
    assert_eq!(with("own").0, Some(0));
    assert_eq!(fs::read(at("data/trust/ca.pem")).unwrap(), fs::read(at("own.pem")).unwrap());
    assert_eq!(with("own").0, Some(0));
    let (code, said) = with("other");
    assert_eq!(code, Some(1));
    assert!(said.contains("is the authority of this fabric already"), "{said}");
    let (code, said) = controller(&[
        "--data-dir",
        &data,
        "--listen",
        "192.0.2.1:7471",
        "--embedded-etcd-listen",
        "127.0.0.1:1",
    ]);
    assert_eq!(code, Some(1));
    assert!(said.contains("--san 192.0.2.1"), "an address that its certificate is not good for: {said}");
}

#[tokio::test]
async fn the_administrator_is_let_in_and_strangers_are_not() {
    let fabric = Secure::start().await;
    let mut admin = fabric.fabric(&fabric.admin()).await.unwrap();
    let request = wire::ApplyRequest { files: documents(), ..Default::default() };
    assert_eq!(admin.apply(request).await.unwrap().into_inner().generation, 1);

    // Without TLS nobody understands a word.
    let plain = FabricClient::connect(format!("http://{}", fabric.controller.address())).await;
    if let Ok(mut plain) = plain {
        assert!(plain.version(wire::VersionRequest {}).await.is_err());
    }
    // Without a certificate there is TLS, and nothing to be done over it.
    let bare = ClientTlsConfig::new().ca_certificate(fabric.authority());
    let mut bare = FabricClient::new(fabric.channel(bare).await.unwrap());
    let refused = bare.version(wire::VersionRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    // With one of another fabric, not even that; and the other way round, nobody believes another fabric's controller.
    let other = Secure::init();
    let stranger = client(&other.admin()).ca_certificate(fabric.authority());
    let reached = match fabric.channel(stranger).await {
        Ok(channel) => FabricClient::new(channel).version(wire::VersionRequest {}).await.is_ok(),
        Err(_) => false,
    };
    assert!(!reached, "a certificate of another fabric was let in");
    assert!(fabric.channel(client(&other.admin())).await.is_err(), "the server's authority is checked");

    // etcd takes no one without a certificate either.
    let endpoint = fabric.controller.etcd_endpoints().to_vec();
    let options = etcd_client::ConnectOptions::new()
        .with_tls(ClientTlsConfig::new().ca_certificate(fabric.authority()))
        .with_timeout(Duration::from_secs(2));
    let answer = match etcd_client::Client::connect(endpoint, Some(options)).await {
        Ok(mut etcd) => etcd.get("x", None).await.is_ok(),
        Err(_) => false,
    };
    assert!(!answer, "etcd answered somebody without a certificate");
    fabric.controller.shutdown().await;
}

/// Every method of every service, as `/package.Service/Method`.
fn methods() -> Vec<String> {
    let set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut all = Vec::new();
    for file in set.file {
        for service in &file.service {
            for method in &service.method {
                all.push(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    all
}

#[tokio::test]
async fn every_method_is_open_to_whom_it_should_be_and_to_nobody_else() {
    let fabric = Secure::start().await;
    let callers = [
        ("node", fabric.member(&Invitee::Node("host1".parse().unwrap())).await),
        ("viewer", fabric.operator("v", Role::Viewer).await),
        ("operator", fabric.operator("o", Role::Operator).await),
        ("admin", fabric.operator("a", Role::Admin).await),
    ];
    let mut table = String::new();
    for method in methods() {
        let mut admitted = Vec::new();
        for (name, identity) in &callers {
            let channel = fabric.channel(client(identity)).await.unwrap();
            // Whatever the message means: whoever is not let in is told so before anybody reads it.
            let answer = common::secure::call(channel, &method).await;
            let refusal = answer.err().filter(|status| status.message().contains(&method));
            match refusal.as_ref().map(Status::code) {
                None => admitted.push(*name),
                Some(Code::PermissionDenied) => {}
                Some(_) => panic!("{method} is not in the table of who may call what: {refusal:?}"),
            }
        }
        table += &format!("{method}: {}\n", admitted.join(", "));
    }
    insta::assert_snapshot!("methods", table);
    fabric.controller.shutdown().await;
}
