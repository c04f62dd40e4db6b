//! Labs come up, stand beside each other, and go without a trace, whatever interrupts them.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use support::{Lab, demo, eventually, fabric_file, lab, program};

#[test]
fn two_labs_of_one_fabric_stand_side_by_side_and_one_outlives_the_other() {
    let (first, second) = (Lab::up("first", "plain.yaml"), Lab::up("second", "plain.yaml"));
    let listed = lab(&["list", "-o", "json"]).out;
    for lab in [&first, &second] {
        assert!(listed.contains(&format!("\"lab\": \"{}\"", lab.name)), "{listed}");
        assert!(lab.reaches("one", "two", "10.2.0.2"));
    }
    assert_eq!(first.down().code, Some(0));
    assert_eq!(first.namespaces(), Vec::<String>::new());
    assert!(second.reaches("one", "three", "fd00:2::3"));
}

#[test]
fn list_and_inspect_name_every_namespace_there_is() {
    let own = Lab::up("list", "plain.yaml");
    let listed: Value = serde_json::from_str(&lab(&["list", "-o", "json"]).out).unwrap();
    let record =
        listed["labs"].as_array().unwrap().iter().find(|record| record["lab"] == own.name.as_str()).unwrap();
    assert_eq!(record["phase"], "up");
    assert_eq!(record["documents"], fabric_file("plain.yaml").to_str().unwrap());
    let names = |places: &Value| {
        let names =
            places.as_array().unwrap().iter().map(|place| place["namespace"].as_str().unwrap().to_owned());
        names.collect::<BTreeSet<_>>()
    };
    assert_eq!(names(&record["places"]), own.namespaces().into_iter().collect());
    let inspected: Value = serde_json::from_str(&lab(&["inspect", &own.name, "-o", "json"]).out).unwrap();
    assert_eq!(names(&inspected["places"]), names(&record["places"]));
    let two =
        inspected["places"].as_array().unwrap().iter().find(|place| place["target"]["of"] == "two").unwrap();
    assert_eq!(two["addresses"], serde_json::json!(["10.2.0.2", "fd00:2::2"]));
}

#[test]
fn output_that_nobody_reads_is_no_error() {
    let lab = Lab::up("unread", "plain.yaml");
    let mut inspect =
        program().args(["inspect", &lab.name, "-o", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(inspect.stdout.take());
    assert_eq!(inspect.wait().unwrap().code(), Some(0));
}

#[test]
fn down_removes_everything_says_so_and_can_be_repeated() {
    let lab = Lab::up("down", "plain.yaml");
    assert_eq!(lab.namespaces().len(), 10, "{:?}", lab.namespaces());
    let done = lab.down();
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    assert_eq!(done.out, format!("lab {}: removed 10 namespaces, 1 bpffs mount\n", lab.name));
    assert!(!lab.directory().exists());
    assert_eq!(lab.namespaces(), Vec::<String>::new());
    let again = lab.down();
    assert_eq!((again.code, again.out), (Some(0), format!("lab {}: nothing to remove\n", lab.name)));
}

/// Starts an `up` and kills it while it works.
fn kill_in_the_middle(lab: &Lab) -> bool {
    let mut up = program()
        .args(["up", demo().to_str().unwrap(), "--name", &lab.name])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the first namespaces", || lab.namespaces().len() > 3);
    up.kill().unwrap();
    assert_eq!(up.wait().unwrap().signal().unwrap_or(9), 9);
    fs::read_to_string(lab.directory().join("record.json")).unwrap().contains("\"phase\": \"unfinished\"")
}

#[test]
fn what_a_killed_up_leaves_is_listed_and_cleared_by_the_next_up() {
    let lab = Lab::new("killed");
    // A machine may be so fast that one kill comes too late; it is not twenty times over.
    let caught = (0..20).any(|_| kill_in_the_middle(&lab) || lab.down().code != Some(0));
    assert!(caught, "no kill came in time");
    let listed = support::lab(&["list"]).out;
    let line = listed.lines().find(|line| line.starts_with(&lab.name)).unwrap();
    assert!(line.contains("unfinished"), "{line}");
    let refused = lab.exec("web1", &["true"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("is unfinished"), "{}", refused.err);

    let next = lab.try_up(&demo());
    assert_eq!(next.code, Some(0), "{}", next.err);
    assert!(next.out.contains("cleared what an interrupted `up` had left: removed"), "{}", next.out);
    assert!(lab.reaches("web1", "db1", "10.2.0.31"));
}

#[test]
fn what_a_killed_up_leaves_is_removed_by_down() {
    let lab = Lab::new("killed-down");
    kill_in_the_middle(&lab);
    assert_eq!(lab.down().code, Some(0));
    assert_eq!(lab.namespaces(), Vec::<String>::new());
    assert!(!lab.directory().exists());
}

fn sleeper(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).spawn().unwrap()
}

fn inside(lab: &Lab, child: &Child) -> bool {
    let of =
        |path: &str| fs::metadata(path).map(|metadata| std::os::unix::fs::MetadataExt::ino(&metadata)).ok();
    let there = of(lab.namespace_file("one").to_str().unwrap());
    there.is_some() && of(&format!("/proc/{}/ns/net", child.id())) == there
}

#[test]
fn down_ends_what_the_lab_started_and_names_what_it_did_not() {
    let lab = Lab::up("processes", "plain.yaml");
    let mut own = sleeper(program().args(["exec", "--lab", &lab.name, "one", "--", "sleep", "300"]));
    let path = lab.namespace_file("one");
    let mut foreign =
        sleeper(Command::new("nsenter").arg(format!("--net={}", path.display())).args(["sleep", "300"]));
    eventually("both inside", || inside(&lab, &own) && inside(&lab, &foreign));
    eventually("own is sleep", || {
        fs::read_to_string(format!("/proc/{}/comm", own.id())).unwrap() == "sleep\n"
    });
    let done = lab.down();
    assert_eq!(own.wait().unwrap().signal(), Some(15), "asked to end, not killed");
    assert_eq!(foreign.try_wait().unwrap(), None, "still there");
    foreign.kill().unwrap();
    foreign.wait().unwrap();
    assert!(done.out.contains("1 process started through the lab"), "{}", done.out);
    let warning = format!("warning: process {} (", foreign.id());
    assert!(
        done.err.starts_with(&warning) && done.err.contains("was not started through the lab"),
        "{}",
        done.err
    );
}

#[test]
fn a_lab_that_is_up_is_not_touched_by_another_up() {
    let lab = Lab::up("twice", "plain.yaml");
    let before = fs::read(lab.directory().join("record.json")).unwrap();
    let again = lab.try_up(&fabric_file("plain.yaml"));
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains(&format!("lab `{}` is up already", lab.name)), "{}", again.err);
    assert_eq!(fs::read(lab.directory().join("record.json")).unwrap(), before);
    assert!(lab.reaches("one", "two", "10.2.0.2"));
}

#[test]
fn a_namespace_of_someone_else_is_refused_and_left_alone() {
    let lab = Lab::new("foreign");
    let foreign = lab.namespace_file("one");
    fs::create_dir_all("/run/netns").unwrap();
    fs::write(&foreign, "").unwrap();
    let refused = lab.try_up(&fabric_file("plain.yaml"));
    let left = (foreign.exists(), lab.namespaces().len(), lab.directory().exists());
    fs::remove_file(&foreign).unwrap();
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("exists and belongs to no lab"), "{}", refused.err);
    assert_eq!(left, (true, 1, false), "nothing was made");
}

#[test]
fn an_unknown_lab_and_an_unknown_place_are_named_with_what_there_is() {
    let there = Lab::up("known", "plain.yaml");
    let unknown = lab(&["exec", "--lab", "no-such-lab", "one", "--", "true"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("there is no lab `no-such-lab` (there is"), "{}", unknown.err);
    assert!(unknown.err.contains(&there.name), "{}", unknown.err);
    let nowhere = there.exec("four", &["true"]);
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.err.contains("has no `four`; it has leaf, left, right, controller"), "{}", nowhere.err);
    let not_found = there.exec("one", &["no-such-program"]);
    assert_eq!(not_found.code, Some(1));
    assert!(not_found.err.contains("no-such-program: No such file"), "{}", not_found.err);
}

#[test]
fn bad_documents_are_shown_with_their_place_and_change_nothing() {
    let lab = Lab::new("bad");
    let directory = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(fabric_file("plain.yaml")).unwrap();
    let text = text.replace("attachment: {node: left, port: w1}", "attachment: {node: left, port: w7}");
    let line = text.lines().position(|line| line.contains("port: w7")).unwrap() + 1;
    fs::write(directory.path().join("bad.yaml"), text).unwrap();
    let refused = lab.try_up(directory.path());
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains(&format!("bad.yaml:{line}:")), "{}", refused.err);
    assert!(
        refused.err.ends_with("error: the documents have errors, nothing was changed\n"),
        "{}",
        refused.err
    );
    assert_eq!((lab.namespaces().len(), lab.directory().exists()), (0, false));

    let empty = tempfile::tempdir().unwrap();
    let refused = lab.try_up(empty.path());
    assert!(refused.err.contains("no *.yaml or *.yml file in this directory"), "{}", refused.err);
    let missing = lab.try_up(&empty.path().join("nothing.yaml"));
    assert!(missing.err.contains("nothing.yaml: No such file"), "{}", missing.err);
}

#[test]
fn nothing_of_a_lab_is_in_the_namespace_of_the_machine() {
    let interfaces = || {
        fs::read_to_string("/proc/self/net/dev")
            .unwrap()
            .lines()
            .map(|l| l.split(':').next().unwrap().trim().to_owned())
            .collect::<Vec<_>>()
    };
    let lab = Lab::up("root", "plain.yaml");
    for name in ["swp1", "swp2", "swp9", "w1", "br0", "port0", "uplink"] {
        assert!(!interfaces().contains(&name.to_owned()), "{:?}", interfaces());
    }
    assert_eq!(lab.exec("right", &["cat", "/proc/self/net/dev"]).out.matches(" w1:").count(), 1);
}
