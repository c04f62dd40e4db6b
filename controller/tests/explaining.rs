//! `selvedge explain` and `selvedge test` as a user meets them: over the demo fabric's documents, and over what is applied.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{TestEtcd, report};
use selvedge_proto::{EgressReport, PortReport, Report};
use selvedge_topology::model::PortRole;
use selvedge_topology::placement::{Mode, Nic, PortState};
use tempfile::TempDir;

/// Runs `selvedge` where documents are named from; its exit code, and what it wrote.
fn selvedge(server: &str, args: &[&str]) -> (i32, String, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command.current_dir(root).env("SELVEDGE_SERVER", server).env("NO_COLOR", "1").args(args);
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

const NOWHERE: &str = "http://127.0.0.1:1";
const DEMO: &str = "lab/fabrics/demo";

/// The commands with their output and exit codes.
fn transcript(server: &str, commands: &[(&[&str], i32)]) -> String {
    let mut seen = String::new();
    for (command, code) in commands {
        let run = selvedge(server, command);
        assert_eq!(run.0, *code, "{command:?}: {}{}", run.1, run.2);
        seen += &format!("$ selvedge {}\n{}{}[exit code {code}]\n\n", command.join(" "), run.1, run.2);
    }
    seen
}

#[test]
fn documents_are_explained_without_a_controller() {
    let seen = transcript(
        NOWHERE,
        &[
            (&["explain", "web1", "app1", "-f", DEMO], 1),
            (&["explain", "web1", "app1", "--port", "http", "-f", DEMO], 0),
            (&["explain", "web2", "app1", "--port", "8080/tcp", "-f", DEMO], 1),
            (&["explain", "guest", "metrics", "--port", "3000/tcp", "-f", DEMO], 1),
            (&["explain", "legacy", "203.0.113.10", "-f", DEMO], 1),
            (&["explain", "--all", "-f", DEMO], 0),
            (&["explain", "--all", "web1", "app1", "-f", DEMO], 2),
            (&["explain", "web1", "app1", "-f", DEMO, "-o", "svg"], 2),
        ],
    );
    insta::assert_snapshot!("documents_explained", seen);
}

#[test]
fn what_means_nobody_or_no_port_is_an_error_with_what_would_be_right() {
    let seen = transcript(
        NOWHERE,
        &[
            (&["explain", "wbe1", "app1", "-f", DEMO], 2),
            (&["explain", "web1", "app1", "--port", "htp", "-f", DEMO], 2),
            (&["explain", "web1", "app1", "--port", "22", "-f", DEMO], 2),
            (&["explain", "10.1.0.11", "fd00:1::21", "-f", DEMO], 2),
            (&["explain", "web1", "web1", "-f", DEMO], 2),
            (&["explain", "web1", "app1"], 2),
        ],
    );
    insta::assert_snapshot!("not_explained", seen);
}

#[test]
fn who_reaches_whom_is_a_picture_too() {
    let (code, svg, _) = selvedge(NOWHERE, &["explain", "--all", "-f", DEMO, "-o", "svg"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!("reachability_svg", svg);
    let (_, json, _) = selvedge(NOWHERE, &["explain", "--all", "-f", DEMO, "-o", "json"]);
    let told: serde_json::Value = serde_json::from_str(&json).unwrap();
    let flows = told["flows"].as_array().unwrap();
    assert!(
        flows.iter().any(|flow| flow["ports"] == serde_json::json!(["9100/TCP"]) && flow["enforced"] == true)
    );
}

#[test]
fn programs_get_verdict_rule_place_and_next() {
    let args = ["explain", "web2", "app1", "--port", "http", "-f", DEMO, "-o", "json"];
    let told: serde_json::Value = serde_json::from_str(&selvedge(NOWHERE, &args).1).unwrap();
    assert_eq!((&told["of"], &told["allowed"]), (&"documents".into(), &false.into()));
    let interval = &told["ways"][0]["answers"][0]["intervals"][0];
    assert_eq!((&interval["ports"], &interval["verdict"]), (&"8080/TCP".into(), &"denied".into()));
    let decision = &interval["ingress"]["decision"];
    assert_eq!(decision["rule"], "keep-staging-out-of-prod/ingress/from-staging");
    assert_eq!(decision["place"]["file"], "lab/fabrics/demo/platform.yaml");
    assert_eq!(interval["ingress"]["next"]["rule"], "app/ingress/http");
    assert_eq!(interval["ingress"]["tiers"][1]["cameTo"], "rule");
    assert_eq!(told["ways"][0]["enforcement"][1]["points"][0]["carries"], "from-the-fabric");
}

const ASSERTIONS: &str = "lab/assertions/demo.yaml";

/// The demo's documents with the edit of the demo, and a directory for more.
fn edited() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for from in [DEMO, "lab/fabrics/demo-edit"] {
        for file in fs::read_dir(root.join(from)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), directory.path().join(file.file_name())).unwrap();
        }
    }
    directory
}

#[test]
fn documents_are_tested_without_a_controller_and_a_ci_gets_its_report() {
    let edited = edited();
    let path = edited.path().to_str().unwrap();
    let junit = edited.path().join("report.xml");
    let wrong = edited.path().join("wrong.tests");
    fs::write(&wrong, WRONG).unwrap();
    let seen = transcript(
        NOWHERE,
        &[
            (&["test", "-f", DEMO, ASSERTIONS], 0),
            (&["test", "-f", path, ASSERTIONS, "--junit", junit.to_str().unwrap()], 1),
            (&["test", "-f", DEMO, wrong.to_str().unwrap()], 2),
            (&["test", "-f", DEMO, "lab/assertions/nowhere.yaml"], 2),
            (&["test", "-f", DEMO, "lab/fabrics/demo/db.yaml"], 2),
            (&["validate", ASSERTIONS], 1),
            (&["test", ASSERTIONS], 2),
        ],
    );
    let report = fs::read_to_string(junit).unwrap();
    insta::assert_snapshot!(
        "documents_tested",
        format!("{seen}$ cat report.xml\n{report}").replace(path, "edited")
    );
}

const WRONG: &str = "\
apiVersion: selvedge/v1
kind: PolicyTest
metadata: {name: wrong}
spec:
  assertions:
    - name: of a workload that is not there
      from: [{workload: wbe1}]
      to: [{entity: any}]
      ports: [{protocol: TCP}]
      expect: allow
";

#[test]
fn an_assertion_about_nobody_fails_unless_that_may_be() {
    let directory = tempfile::tempdir().unwrap();
    let run = |allowing: &str| {
        let text =
            WRONG.replace("wbe1", "web1").replace("entity: any", "selector: {matchLabels: {role: none}}");
        let text = text
            .replace("protocol: TCP", "protocol: any")
            .replace("allow\n", &format!("allowed\n{allowing}"));
        let file = directory.path().join("nobody.yaml");
        fs::write(&file, text).unwrap();
        selvedge(NOWHERE, &["test", "-f", DEMO, file.to_str().unwrap(), "-o", "json"])
    };
    let (code, out, err) = run("");
    let told: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    assert_eq!((code, &told["failed"], &told["assertions"][0]["pairs"]), (1, &1.into(), &0.into()));
    assert_eq!(run("      allowEmpty: true\n").0, 0);
}

/// A report of a node whose ports are as said, with the first generation in force.
fn enforcing(node: &str, ports: &[(&str, PortRole, Mode)]) -> Report {
    let port = |(name, role, mode): &(&str, PortRole, Mode)| PortReport {
        name: name.parse().unwrap(),
        role: *role,
        profile: Some("veth".parse().unwrap()),
        requested: Mode::Native,
        state: PortState::Enforced(*mode),
        reason: "as its driver can".to_owned(),
        egress: EgressReport::Enforced,
        past: Vec::new(),
        nic: Nic::Unable,
    };
    Report { ports: ports.iter().map(port).collect(), ..report(node, Some(1)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_applied_is_explained_with_the_modes_that_were_granted() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let server = format!("http://{}", controller.address());
    assert_eq!(selvedge(&server, &["explain", "web1", "app1"]).0, 2, "nothing is applied yet");
    assert_eq!(selvedge(&server, &["apply", "-f", DEMO]).0, 0);
    let (uplink, behind) = (PortRole::Uplink, PortRole::Workload);
    let ports = [("eth0", uplink, Mode::Native), ("w1", behind, Mode::Native), ("w2", behind, Mode::Generic)];
    etcd.report(&enforcing("host1", &ports)).await;
    for other in ["dpu1", "host2", "leaf2"] {
        etcd.report(&report(other, Some(1))).await;
    }
    assert_eq!(selvedge(&server, &["status", "--wait", "--timeout", "10s"]).0, 0);
    let seen = transcript(
        &server,
        &[
            (&["explain", "web1", "app1", "--port", "http"], 0),
            (&["explain", "web2", "app1", "--port", "http", "-o", "table"], 1),
        ],
    );
    insta::assert_snapshot!("applied_explained", seen);
    let (code, told, _) = selvedge(&server, &["test", ASSERTIONS]);
    assert_eq!((code, told.lines().last()), (0, Some("test: 8 passed, 0 failed")));
    assert_eq!(selvedge(&server, &["test", "--generation", "1", ASSERTIONS]).0, 0);
    let (code, _, why) = selvedge(&server, &["test", "--generation", "2", ASSERTIONS]);
    assert_eq!((code, why.as_str()), (2, "error: there is no generation 2; the newest is 1\n"));
    controller.shutdown().await;
}
