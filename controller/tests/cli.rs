//! The command line as a user meets it: what it prints and how it exits.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{FABRIC, POLICY, TestEtcd, WORKLOADS, report};
use selvedge_controller::server::Controller;
use selvedge_proto::{Count, EgressReport, PortReport, Refusal, Report};
use selvedge_topology::identity::Identity;
use selvedge_topology::model::{PortRole, RuleId};
use selvedge_topology::placement::{
    Counting, DeviceCost, DeviceKind, Mode, Nic, PortState, Room, Share, ShedDrops,
};
use selvedge_topology::plan::Generation;
use tempfile::TempDir;

/// A run of `selvedge`: its exit code, and what it wrote.
struct Run {
    code: i32,
    out: String,
    err: String,
}

fn selvedge(server: &str, args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command.env("SELVEDGE_SERVER", server).env("NO_COLOR", "1").args(args).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

fn local(args: &[&str]) -> Run {
    selvedge("http://127.0.0.1:1", args)
}

/// A directory of the small fabric's documents.
fn directory(policy: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("fabric.yaml", FABRIC), ("policy.yml", policy), ("workloads.yaml", WORKLOADS)] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn path(directory: &TempDir) -> &str {
    directory.path().to_str().unwrap()
}

fn server(controller: &Controller) -> String {
    format!("http://{}", controller.address())
}

fn in_force() -> Report {
    let port = |name: &str, role, mode, reason: &str| PortReport {
        name: name.parse().unwrap(),
        role,
        profile: Some("veth".parse().unwrap()),
        requested: Mode::Native,
        state: PortState::Enforced(mode),
        reason: reason.to_owned(),
        egress: match mode {
            Mode::Generic => EgressReport::Unenforced { reason: "the kernel has no tcx".to_owned() },
            _ => EgressReport::Enforced,
        },
        past: Vec::new(),
        nic: Nic::Unable,
    };
    Report {
        ports: vec![
            port("eth0", PortRole::Uplink, Mode::Native, "driver veth supports native XDP"),
            port("w1", PortRole::Workload, Mode::Generic, "driver dummy has no native XDP"),
        ],
        reasons: vec![("policy-deny".into(), Count { packets: 3, bytes: 180 })],
        rules: vec![(RuleId(8), Count { packets: 2, bytes: 120 })],
        device_rules: vec![(RuleId(7), 5), (RuleId(8), 9)],
        ..report("host1", Some(1))
    }
}

/// A program that not all drops fit into.
fn device_cost() -> DeviceCost {
    let share = |used, room| Share { used, room };
    let shed = |rule, name: &str, packets| ShedDrops {
        rule,
        name: name.to_owned(),
        from: None,
        to: Some(Identity(256)),
        packets,
        flows: 65536,
    };
    DeviceCost {
        kind: DeviceKind::Prefilter,
        incomplete:
            "rule 7 (web-in/ingress/00000007) is not `stateless: true`, so connections have to be tracked"
                .to_owned(),
        instructions: share(1180, Room::Assumed(4096)),
        maps: share(3, Room::Unlimited),
        entries: share(5, Room::Unlimited),
        entries_each: share(2, Room::AtMost(2)),
        entry_bytes: share(16, Room::AtMost(64)),
        counting: Counting::ByRule,
        shed: vec![shed(Some(RuleId(7)), "web-in/ingress/00000007", Some(12)), shed(None, "", None)],
        shed_more: 0,
        shed_why: "map sources_24 would have 9 entries, and the device takes 2 entries in one map".to_owned(),
    }
}

/// Ages differ from run to run.
fn ageless(text: &str) -> String {
    (0..10).fold(text.to_owned(), |text, age| text.replace(&format!(" {age}s ago"), " Ns ago"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_descriptions_read_like_kubectl() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let server = server(&controller);
    let documents = directory(POLICY);
    assert_eq!(selvedge(&server, &["apply", "-f", path(&documents)]).code, 0);
    etcd.report(&in_force()).await;
    etcd.report(&Report {
        refusal: Some(Refusal { generation: Generation(1), reason: "port w1 does not exist".into() }),
        ..report("host2", None)
    })
    .await;
    let waited = selvedge(&server, &["status", "--wait", "--timeout", "10s"]);
    assert_eq!(waited.code, 1, "a node refuses");

    let commands: &[&[&str]] = &[
        &["get", "nodes", "-o", "wide"],
        &["get", "ports"],
        &["get", "wl", "-o", "wide"],
        &["get", "identities"],
        &["get", "policy"],
        &["get", "workload", "web1", "-o", "yaml"],
        &["get", "node", "host1", "-o", "json"],
        &["describe", "fabric"],
        &["describe", "workload", "db1"],
        &["describe", "policy", "db"],
        &["describe", "node", "host1"],
        &["describe", "identity", "257"],
        &["status"],
    ];
    let placements: &[&[&str]] = &[
        &["placement"],
        &["placement", "--workload", "web1", "-o", "wide"],
        &["placement", "--node", "host2"],
    ];
    let mut seen = String::new();
    for command in commands {
        let run = selvedge(&server, command);
        assert_eq!(run.err, "");
        seen += &format!("$ selvedge {}\n{}\n", command.join(" "), run.out);
    }
    insta::assert_snapshot!("lists_and_descriptions", ageless(&seen));

    let mut seen = String::new();
    for command in placements {
        let run = selvedge(&server, command);
        assert_eq!((run.code, run.err.as_str()), (1, ""), "not everything is enforced");
        seen += &format!("$ selvedge {}\n{}\n", command.join(" "), run.out);
    }
    insta::assert_snapshot!("placement", seen);
    let run = selvedge(&server, &["placement", "--workload", "web1", "-o", "json"]);
    let entries: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(entries[0]["points"][0]["device"], serde_json::Value::Null);
    assert_eq!((&entries[0]["workload"], &entries[0]["direction"]), (&"web1".into(), &"ingress".into()));
    assert_eq!(entries[0]["standing"]["state"], "gaps");
    assert_eq!(entries[0]["points"][0]["hook"], "xdp-native");
    let absent = selvedge(&server, &["placement", "--node", "host9"]);
    assert_eq!(absent.err, "error: there is no node `host9`; `selvedge get nodes` lists what there is\n");

    let absent = selvedge(&server, &["get", "workloads", "web9"]);
    assert_eq!(absent.code, 1);
    assert_eq!(
        absent.err,
        "error: there is no workload `web9`; `selvedge get workloads` lists what there is\n"
    );
    controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apply_and_diff_say_what_changes_and_exit_as_scripts_expect() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let server = server(&controller);
    let before = directory(POLICY);
    let after = directory(&POLICY.replace("name: sql", "name: database"));
    let wrong = directory(&POLICY.replace("tier:", "teir:"));

    let mut seen = String::new();
    let mut run = |args: &[&str], shown: &str, code: i32| {
        let run = selvedge(&server, args);
        assert_eq!(run.code, code, "{shown}: {}{}", run.out, run.err);
        let err: String = run.err.lines().last().map(|line| format!("{line}\n")).unwrap_or_default();
        seen += &format!("$ selvedge {shown}\n{}{err}[exit code {code}]\n\n", run.out);
    };
    run(&["get", "nodes"], "get nodes", 1);
    run(&["apply", "-f", path(&before), "--dry-run"], "apply -f before --dry-run", 0);
    run(&["diff", "-f", path(&before)], "diff -f before", 1);
    run(&["apply", "-f", path(&before)], "apply -f before", 0);
    run(&["apply", "-f", path(&before)], "apply -f before", 0);
    run(&["diff", "-f", path(&before)], "diff -f before", 0);
    run(&["diff", "-f", path(&after)], "diff -f after", 1);
    run(&["diff", "-f", path(&after), "--text", "-o", "wide"], "diff -f after --text -o wide", 1);
    run(
        &["diff", "-f", path(&after), "--fail-on", "opens,closes"],
        "diff -f after --fail-on opens,closes",
        0,
    );
    run(
        &["diff", "-f", path(&after), "--against", "1", "--fail-on", "reattributes"],
        "diff -f after --against 1 …",
        1,
    );
    run(&["diff", "-f", path(&after), "--against", "7"], "diff -f after --against 7", 2);
    run(&["diff", "-f", path(&wrong)], "diff -f wrong", 2);
    run(&["apply", "-f", path(&wrong)], "apply -f wrong", 1);
    run(
        &["apply", "-f", path(&after), "--wait", "--timeout", "100ms"],
        "apply -f after --wait --timeout 100ms",
        1,
    );
    run(&["version"], "version", 0);
    let etcd_version = seen.lines().find(|line| line.starts_with("etcd: ")).unwrap().to_owned();
    let seen = seen.replace(&etcd_version, "etcd: VERSION");
    let named = [(&before, "before"), (&after, "after"), (&wrong, "wrong")];
    let seen = named.iter().fold(seen, |seen, (directory, name)| seen.replace(path(directory), name));
    insta::assert_snapshot!("apply_and_diff", seen);
    controller.shutdown().await;
}

#[test]
fn documents_are_compared_with_documents_without_a_controller() {
    let before = directory(POLICY);
    let opened =
        directory(&POLICY.replace("port: sql}", "port: sql}, {protocol: TCP, port: 5433, endPort: 5440}"));
    let mut seen = String::new();
    let mut run = |args: &[&str], shown: &str, code: i32| {
        let run = local(args);
        assert_eq!(run.code, code, "{shown}: {}{}", run.out, run.err);
        seen += &format!("$ selvedge diff {shown}\n{}{}[exit code {code}]\n\n", run.out, run.err);
    };
    let (old, new) = (path(&before), path(&opened));
    run(&["diff", "-f", new, "--against", old], "-f opened --against before", 1);
    run(&["diff", "-f", new, "--against", old, "--fail-on", "closes"], "… --fail-on closes", 0);
    run(
        &["diff", "-f", old, "--against", new, "--fail-on", "closes"],
        "-f before --against opened --fail-on closes",
        1,
    );
    run(&["diff", "-f", old, "--against", old], "-f before --against before", 0);
    run(&["diff", "-f", new, "--against", old, "-o", "json"], "-f opened --against before -o json", 1);
    let more = directory(POLICY);
    let added = "---\napiVersion: selvedge/v1\nkind: Workload\nmetadata: {name: web9}\nspec:\n  labels: {app: shop, role: web}\n  \
                 addresses: [10.1.0.19]\n  attachment: {node: host1, port: w1}\n";
    let file = more.path().join("web9.yaml");
    std::fs::write(&file, added).unwrap();
    let new_workload = path(&more);
    run(&["diff", "-f", new_workload, "--against", old], "-f more --against before", 1);
    run(&["diff", "-f", old, "--against", new_workload, "-o", "wide"], "-f before --against more -o wide", 1);
    run(&["diff", "-f", new, "--against", "nowhere"], "-f opened --against nowhere", 2);
    let seen = seen.replace(old, "before").replace(new, "opened").replace(new_workload, "more");
    insta::assert_snapshot!("diff_of_documents", seen);
}

#[test]
fn an_unreachable_controller_is_one_line_with_the_address_and_the_next_step() {
    for command in [&["status"][..], &["get", "nodes"], &["observe"], &["describe", "node", "a"]] {
        let run = local(command);
        assert_eq!((run.code, run.out.as_str()), (1, ""));
        assert_eq!(
            run.err,
            "error: no controller answers at http://127.0.0.1:1 (Connection refused (os error 111)); start \
             selvedge-controller, or name another with --server\n"
        );
    }
    let wrong = selvedge("not an address", &["status"]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.contains("`not an address` is no address of a controller"), "{}", wrong.err);
}

#[test]
fn a_command_line_that_makes_no_sense_exits_with_2() {
    let senseless: [&[&str]; 6] = [
        &[],
        &["get", "houses"],
        &["apply"],
        &["apply", "-f", ".", "--dry-run", "--wait"],
        &["observe", "--verdict", "PERHAPS"],
        &["describe", "workload", "Not A Name"],
    ];
    for command in senseless {
        assert_eq!(local(command).code, 2, "{command:?}");
    }
}

#[test]
fn validate_needs_no_controller_and_names_line_and_column() {
    let good = directory(POLICY);
    let run = local(&["validate", path(&good)]);
    assert_eq!((run.code, run.out.as_str()), (0, "4 documents: valid\n"));

    let wrong = directory(&POLICY.replace("tier:", "teir:"));
    let run = local(&["validate", path(&wrong)]);
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    assert!(run.err.contains("policy.yml:5:3"), "{}", run.err);

    let run = local(&["validate", path(&wrong), "-o", "json"]);
    let judged: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!((run.code, &judged["valid"]), (1, &false.into()));
    assert_eq!((&judged["findings"][0]["line"], &judged["findings"][0]["column"]), (&5.into(), &3.into()));
}

#[test]
fn hardware_is_explained_without_a_controller() {
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hw-profiles/recordings");
    let recorded = |name: &str| recordings.join(name).to_str().unwrap().to_owned();
    let (bluefield, spectrum) = (recorded("bluefield-3.yaml"), recorded("spectrum.yaml"));
    let commands: &[(&[&str], &str, i32)] = &[
        (&["hw", "list"], "hw list", 0),
        (&["hw", "show", "netdevsim"], "hw show netdevsim", 0),
        (&["hw", "show", "i226"], "hw show i226", 1),
        (&["hw", "match", "--pci", "15b3:a2dc"], "hw match --pci 15b3:a2dc", 0),
        (
            &["hw", "match", "--driver", "igc", "--mtu", "9000", "-o", "wide"],
            "hw match --driver igc --mtu 9000 -o wide",
            0,
        ),
        (
            &["hw", "match", "--recording", &bluefield, "-o", "wide"],
            "hw match --recording bluefield-3.yaml -o wide",
            0,
        ),
        (&["hw", "match", "--recording", &spectrum], "hw match --recording spectrum.yaml", 0),
        (&["hw", "match", "--driver", "fancynic"], "hw match --driver fancynic", 1),
    ];
    let mut seen = String::new();
    for (command, shown, code) in commands {
        let run = local(command);
        assert_eq!(run.code, *code, "{shown}: {}", run.err);
        seen += &format!("$ selvedge {shown}\n{}{}\n", run.out, run.err);
    }
    insta::assert_snapshot!("hardware", seen);

    let run = local(&["hw", "match", "--driver", "mlx5e_rep", "--phys-port-name", "c1pf0", "-o", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(
        (&rows[0]["role"], &rows[0]["fit"]["mode"]),
        (&"host-representor".into(), &"xdp-generic".into())
    );
    assert_eq!(local(&["hw", "match", "--mtu", "1500"]).code, 2);
    assert_eq!(local(&["hw", "match", "--pci", "15b3"]).code, 2);
    assert_eq!(local(&["hw", "match", "--pci", "15b3:a2dc", "--phys-port-name", "p0"]).code, 2);
}

#[test]
fn a_shown_profile_can_be_changed_and_used_as_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let shown = local(&["hw", "show", "i225", "-o", "yaml"]).out;
    let changed = shown.replace("value: 1500 B", "value: 1400 B");
    assert_ne!(changed, shown);
    std::fs::write(folder.path().join("i225.yaml"), &changed).unwrap();
    let run = local(&["hw", "match", "--driver", "igc", "--profiles", path(&folder)]);
    assert!(run.out.contains("it needs an MTU of at most 1400 B, and there is 1500 B"), "{}", run.out);
    std::fs::write(folder.path().join("i225.yaml"), changed.replace("kind: nic", "kind: nic\nspeed: 1"))
        .unwrap();
    let run = local(&["hw", "list", "--profiles", path(&folder)]);
    assert_eq!(run.code, 1);
    assert!(
        run.err.contains("i225.yaml: unknown field `speed`") && run.err.contains("line 4"),
        "{}",
        run.err
    );
}

#[test]
fn paths_that_hold_no_documents_are_named() {
    let empty = tempfile::tempdir().unwrap();
    let run = local(&["validate", path(&empty)]);
    assert_eq!(run.code, 1);
    assert_eq!(run.err, format!("error: {} has no *.yaml or *.yml file\n", path(&empty)));
    let absent = Path::new(path(&empty)).join("absent");
    let run = local(&["validate", absent.to_str().unwrap()]);
    assert_eq!(run.err, format!("error: {}: No such file or directory (os error 2)\n", absent.display()));
}

#[test]
fn completions_and_the_schema_are_complete() {
    for shell in ["bash", "zsh", "fish"] {
        let run = local(&["completion", shell]);
        assert_eq!(run.code, 0);
        for word in ["observe", "dry-run", "recording"] {
            assert!(run.out.contains(word), "{shell} knows {word}");
        }
    }
    let schema: serde_json::Value = serde_json::from_str(&local(&["schema"]).out).unwrap();
    assert!(schema["$schema"].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_program_in_a_nic_takes_is_a_row_of_the_ledger() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let server = server(&controller);
    let documents = directory(POLICY);
    assert_eq!(selvedge(&server, &["apply", "-f", path(&documents)]).code, 0);
    let mut report = in_force();
    report.ports[0].nic = Nic::Runs { program: device_cost() };
    etcd.report(&report).await;
    let ask = |format| selvedge(&server, &["placement", "--workload", "web1", "-o", format]).out;
    insta::assert_snapshot!("placement_in_a_nic", ask("wide"));
    let entries: serde_json::Value = serde_json::from_str(&ask("json")).unwrap();
    let device = &entries[0]["points"][0]["device"];
    assert_eq!(device["instructions"], serde_json::json!({"used": 1180, "room": {"assumed": 4096}}));
    assert_eq!((&device["shed"][0]["rule"], &device["shed"][0]["packets"]), (&7.into(), &12.into()));
    assert!(ask("yaml").contains("entriesEach:"), "{}", ask("yaml"));
    controller.shutdown().await;
}
