//! Operators' certificates: renewed by the command line that shows them, and of no use once they ended.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use common::secure::Secure;
use selvedge_proto::wire;
use selvedge_trust::pki::{Identity, Role};

/// How long certificates hold here: time for a few commands in the last third.
const LIFETIME: Duration = Duration::from_secs(12);

fn selvedge(fabric: &Secure, config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command.env("SELVEDGE_DATA_DIR", "/nowhere").env("SELVEDGE_CONFIG", config).stdin(Stdio::null());
    command.args(["--server", &format!("https://{}", fabric.controller.address())]);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Waits until a certificate has less than a third of its life left.
async fn due(identity: &Identity) {
    let left = identity.certificate().renew_at().duration_since(SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(left + Duration::from_millis(50)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_once_by_whichever_command_comes_when_it_is_due() {
    let fabric = Secure::start_with(LIFETIME).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path();
    let first = fabric.operator("alice", Role::Viewer).await;
    first.save(config).unwrap();
    let early = selvedge(&fabric, config).arg("version").output().unwrap();
    assert!(early.status.success(), "{}", said(&early));
    assert_eq!(Identity::load(config).unwrap().chain_pem(), first.chain_pem(), "not before it is due");

    due(&first).await;
    let commands: Vec<_> = (0..6)
        .map(|_| {
            let mut command = selvedge(&fabric, config);
            command.arg("version").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for command in commands {
        let output = command.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
    }
    let second = Identity::load(config).unwrap();
    assert_eq!(second.certificate().subject, first.certificate().subject);
    assert!(second.certificate().end > first.certificate().end);
    assert_ne!(second.key_pem(), first.key_pem(), "with a key of its own");
    let again = selvedge(&fabric, config).arg("version").output().unwrap();
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(Identity::load(config).unwrap().chain_pem(), second.chain_pem(), "once is enough");

    // What keeps it from being renewed keeps nobody from working.
    due(&second).await;
    fs::remove_file(config.join("lock")).unwrap();
    fs::create_dir(config.join("lock")).unwrap();
    let output = selvedge(&fabric, config).arg("version").output().unwrap();
    assert!(output.status.success() && said(&output).contains("was not renewed: "), "{}", said(&output));
    fabric.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ended_is_refused_and_whoever_has_it_is_told_what_to_do() {
    let fabric = Secure::start_with(Duration::from_secs(4)).await;
    let folder = tempfile::tempdir().unwrap();
    let admin = fabric.operator("root", Role::Admin).await;
    admin.save(folder.path()).unwrap();
    let mut open = fabric.fabric(&admin).await.unwrap();
    assert!(open.version(wire::VersionRequest {}).await.is_ok());
    let left = admin.certificate().end.duration_since(SystemTime::now()).unwrap();
    tokio::time::sleep(left + Duration::from_millis(100)).await;

    // On the connection that was made in time, and by the command line.
    let refused = open.version(wire::VersionRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    assert!(refused.message().starts_with("your certificate ended"), "{refused}");
    let output = selvedge(&fabric, folder.path()).args(["operator", "list"]).output().unwrap();
    assert!(!output.status.success());
    let told = said(&output);
    assert!(told.contains("the certificate of operator root (admin) in"), "{told}");
    assert!(told.contains("`selvedge operator invite root --role admin`"), "{told}");
    assert!(told.contains("`selvedge login`"), "{told}");
    fabric.controller.shutdown().await;
}
