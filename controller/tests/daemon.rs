//! The daemon's command line: what it refuses to begin with, and in which words.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::process::Command;

use common::own_address;
use tempfile::TempDir;

fn path(directory: &TempDir) -> &str {
    directory.path().to_str().unwrap()
}

#[test]
fn it_refuses_to_be_exposed_by_accident() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge-controller"));
    let directory = tempfile::tempdir().unwrap();
    let run = command.args(["--data-dir", path(&directory)]).output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    let text = String::from_utf8(run.stderr).unwrap();
    assert!(text.contains(&format!("selvedge-controller init --data-dir {}", path(&directory))), "{text}");
    assert!(text.contains("--insecure"), "{text}");
}

#[test]
fn it_does_not_run_unsigned_where_the_file_of_what_nodes_trust_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge-controller"));
        command.args(arguments).args(["--data-dir", path(&directory)]).output().unwrap()
    };
    assert_eq!(daemon(&["init"]).status.code(), Some(0));
    std::fs::remove_file(directory.path().join("trust/fabric.json")).unwrap();
    let run = daemon(&["run", "--listen", "127.0.0.1:0"]);
    assert_eq!(run.status.code(), Some(1));
    let text = String::from_utf8(run.stderr).unwrap();
    assert!(
        text.contains("trust/fabric.json is missing") && text.contains("Put it back from a backup"),
        "{text}"
    );
}

#[test]
fn it_says_so_where_there_is_no_etcd_to_run() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge-controller"));
    command.env("PATH", directory.path()).args(["--listen", "127.0.0.1:0", "--data-dir", path(&directory)]);
    command.arg("--insecure");
    command.args(["--embedded-etcd-listen", &own_address().to_string()]);
    let run = command.output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    let text = String::from_utf8(run.stderr).unwrap();
    assert!(text.contains("the program `etcd` is not installed"), "{text}");
}
