//! The memory of a real agent, with a real data path, whose policy tells a hundred thousand addresses from the rest of the world.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use selvedge_proto::{Report, keys};
use selvedge_tests::etcd::{Servers, Shape};
use selvedge_tests::process::{Process, Usage};
use selvedge_tests::scale::{Document, Edit, Name};

use crate::scale::operator::Operator;
use crate::scale::server::{Controller, built};

/// How many it knows.
const ADDRESSES: u32 = 100_000;
/// Sets of labels that they have.
const IDENTITIES: u32 = 2_000;
/// How long the agent may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts an agent between the ends of a veth pair, and says what it takes when the plan is in force.
pub(crate) async fn measure(parent: &Path) -> Result<Usage> {
    let folder = tempfile::tempdir_in(parent)?;
    let status =
        Command::new("ip").args(["link", "add", "eth0", "type", "veth", "peer", "name", "w0"]).status()?;
    ensure!(status.success(), "ip can't add a veth pair");
    let servers = Servers::start_in(Shape::Single, parent).await?;
    let controller = Controller::start(folder.path(), &servers.endpoints())?;
    let mut operator = Operator::connect(&controller.url()).await?;
    let applied = operator.apply(Edit::of(documents())).await?;
    let [bpffs, state] = ["bpffs", "agent"].map(|name| folder.path().join(name));
    std::fs::create_dir(&bpffs)?;
    let place = |path: &Path| path.display().to_string();
    let agent = Process::start(
        &built("selvedge-agent")?,
        &[
            "run",
            "--node=n0",
            "--insecure",
            &format!("--etcd={}", servers.endpoints()[0]),
            &format!("--fabric={}", place(&controller.anchor())),
            &format!("--bpffs={}", place(&bpffs)),
            &format!("--state-dir={}", place(&state)),
        ],
        &folder.path().join("agent.log"),
    )?;
    let mut client = servers.client().await;
    let (begun, key) = (Instant::now(), keys::report(&"n0".parse()?));
    let in_force = loop {
        let found = client.get(key.as_str(), None).await?;
        let report = found.kvs().first().map(|pair| Report::decode(pair.value())).transpose()?;
        if report.is_some_and(|report| report.in_force == Some(applied.generation)) {
            // What it needed on the way is given back.
            tokio::time::sleep(Duration::from_secs(2)).await;
            break agent.usage();
        }
        let log = || std::fs::read_to_string(folder.path().join("agent.log")).unwrap_or_default();
        ensure!(begun.elapsed() < PATIENCE, "the agent does not take the plan: {}", log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    agent.end()?;
    nix::mount::umount(&bpffs)?;
    Ok(in_force?)
}

/// A node with one workload, which lets in every other, and those, which nobody enforces for.
fn documents() -> Vec<Document> {
    let head = |kind: &str, name: &str| {
        format!("---\napiVersion: selvedge/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n")
    };
    let mut text = head("Fabric", "resident")
        + "  defaultAction: deny\n  nodes:\n    - {name: n0, role: host, ports: [{name: eth0, role: uplink}, {name: w0, role: workload}]}\n";
    text += &head("SegmentationPolicy", "everybody");
    text += "  tier: application\n  selector: {matchLabels: {app: server}}\n  ingress:\n    - action: allow\n      from: [{selector: {}}]\n      ports: [{protocol: TCP, port: 443}]\n";
    text += &head("Workload", "server");
    text += "  labels: {app: server}\n  addresses: [10.0.0.1]\n  attachment: {node: n0, port: w0}\n";
    for number in 0..ADDRESSES {
        let address = Ipv4Addr::from_bits(0x0a00_0100 + number);
        text += &head("Workload", &format!("w{number}"));
        let _ = writeln!(
            text,
            "  labels: {{app: a{}}}\n  addresses: [{address}]\n  unmanaged: true",
            number % IDENTITIES
        );
    }
    // One text is as good as many: nothing of it is ever changed.
    vec![Document { name: Name { kind: "Fabric", name: "resident".to_owned() }, text }]
}
