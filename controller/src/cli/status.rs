//! `selvedge status`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use selvedge_proto::wire::{self, NodeState};
use selvedge_proto::{DecodeError, EgressReport, Occupancy, ProofReport, Report, RevocationReport};
use selvedge_topology::names::NodeName;
use selvedge_topology::placement::{Mode, Nic, PortState};
use selvedge_topology::plan::Generation;
use serde::Serialize;

use super::client::{Client, connect, refused};
use super::output::Format;
use super::table::{or_dash, table};
use super::{Answer, CliError, output};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  selvedge status\n  selvedge status --wait --timeout 2m\n  \
                        selvedge status -o json | jq '.nodes[] | select(.state != \"in-force\")'")]
pub(super) struct Args {
    /// Wait until every node has the newest generation in force, or one refuses it.
    #[arg(long)]
    wait: bool,
    /// How long to wait.
    #[arg(long, requires = "wait", value_name = "TIME", default_value = "60s")]
    timeout: humantime::Duration,
    /// How it is shown.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// How far the fabric is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) generation: u64,
    pub(super) nodes: Vec<NodeStatus>,
    /// What lies in etcd of generations; none until garbage was collected for the first time.
    pub(super) store: Option<StoreStatus>,
}

/// What was kept when garbage was last collected.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoreStatus {
    generations: u64,
    manifests: u64,
    chunks: u64,
    /// Keys that were taken away then.
    removed: u64,
    age_seconds: u64,
}

impl From<wire::StoreStatus> for StoreStatus {
    fn from(store: wire::StoreStatus) -> Self {
        let wire::StoreStatus { generations, manifests, chunks, removed, age_ms } = store;
        Self { generations, manifests, chunks, removed, age_seconds: age_ms / 1000 }
    }
}

impl fmt::Display for StoreStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generations, manifests, chunks, removed, age_seconds } = self;
        write!(
            f,
            "etcd holds {generations} generations in {manifests} manifests and {chunks} chunks; {removed} keys were taken away \
             {age_seconds}s ago"
        )
    }
}

/// How far one node is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeStatus {
    pub(super) name: String,
    role: &'static str,
    state: &'static str,
    generation_wanted: u64,
    generation_in_force: Option<u64>,
    refusal: Option<String>,
    proof: Option<String>,
    report_age_seconds: Option<u64>,
    agent_version: Option<String>,
    connections: TableStatus,
    half_open: TableStatus,
    draining: u64,
    revocations: Vec<Revocations>,
    events_lost: u64,
    pub(super) ports: Vec<PortStatus>,
    #[serde(skip)]
    pub(super) report: Option<Report>,
}

/// How full a table is.
#[derive(Debug, Serialize)]
struct TableStatus {
    entries: u64,
    room: u64,
}

impl From<Occupancy> for TableStatus {
    fn from(occupancy: Occupancy) -> Self {
        let Occupancy { entries, room } = occupancy;
        Self { entries, room }
    }
}

/// Connections that a generation no longer allows.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Revocations {
    generation: u64,
    cut: u64,
    draining: u64,
}

/// How one port is enforced.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PortStatus {
    pub(super) name: String,
    role: String,
    /// The hardware profile of its device, where one is known.
    profile: Option<String>,
    requested_mode: &'static str,
    /// `enforced`, `shut` (without a generation), `open` (no program is there) or `gone` (the interface).
    state: &'static str,
    /// None where no program is there.
    granted_mode: Option<&'static str>,
    /// Of both, what a column has room for.
    #[serde(skip)]
    shown: PortState,
    reason: String,
    /// Why what the node itself sends out of it is not judged, where it isn't.
    egress_unenforced: Option<String>,
    /// Packets that the device forwards past the program.
    past: Vec<String>,
    /// What its NIC drops before the program in the kernel.
    nic: Nic,
}

impl PortStatus {
    /// Where packets are judged, or what else becomes of them: what a column has room for.
    pub(super) fn mode(&self) -> String {
        match self.nic {
            Nic::Runs { .. } => format!("offload+{}", self.shown),
            Nic::Idle { .. } | Nic::Unable => self.shown.to_string(),
        }
    }

    /// Why there and nowhere better, and what the NIC does.
    pub(super) fn why(&self) -> String {
        match &self.nic {
            Nic::Runs { program } => format!("in the NIC: {program}; behind it: {}", self.reason),
            Nic::Idle { reason } => format!("{}; not in the NIC: {reason}", self.reason),
            Nic::Unable => self.reason.clone(),
        }
    }
}

pub(super) async fn run(server: &str, args: &Args) -> Result<Answer, CliError> {
    let mut client = connect(server).await?;
    let status = fetch(&mut client, 0, args.wait.then_some(*args.timeout)).await?;
    let text = match args.output {
        Format::Table => render(&status, Width::Narrow),
        Format::Wide => render(&status, Width::Wide),
        Format::Json => output::json(&status)?,
        Format::Yaml => output::yaml(&status)?,
    };
    output::print(&text)?;
    Ok(answer(&status))
}

/// Asks how far nodes are; with `wait`, until they are as far as `generation` or it can't be.
pub(super) async fn fetch(
    client: &mut Client,
    generation: u64,
    wait: Option<Duration>,
) -> Result<Status, CliError> {
    let wait_ms = u64::try_from(wait.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    let request = wire::StatusRequest { generation, wait_ms };
    let response = client.status(request).await.map_err(refused)?.into_inner();
    let wire::StatusResponse { generation, nodes, store } = response;
    let nodes = nodes.into_iter().map(node).collect::<Result<_, _>>()?;
    Ok(Status { generation, nodes, store: store.map(Into::into) })
}

impl Status {
    /// The generation that each node is to have in force: the one in which its plan last changed.
    pub(super) fn wanted(&self) -> Result<BTreeMap<NodeName, Generation>, CliError> {
        let unnamed = |source| DecodeError::Name { field: "node", source };
        let wanted =
            |node: &NodeStatus| Ok((node.name.parse().map_err(unnamed)?, Generation(node.generation_wanted)));
        self.nodes.iter().map(wanted).collect()
    }
}

/// Whether the newest generation is in force on every node.
pub(super) fn answer(status: &Status) -> Answer {
    let all = status.nodes.iter().all(|node| node.state == IN_FORCE);
    if status.generation > 0 && all { Answer::Yes } else { Answer::No }
}

const IN_FORCE: &str = "in-force";
const HEAD: [&str; 9] = ["NODE", "ROLE", "STATE", "WANTED", "IN-FORCE", "REPORT", "PORT", "MODE", "REASON"];
/// Behind the report, where there is room: entries of the connection tables, those of them that drain, and how many the
/// generation in force has cut.
const WIDE: [&str; 4] = ["CONNECTIONS", "HALF-OPEN", "DRAINING", "CUT"];

/// How much a line has room for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Narrow,
    Wide,
}

fn node(node: wire::NodeStatus) -> Result<NodeStatus, CliError> {
    let role = match node.role() {
        wire::NodeRole::Host => "host",
        wire::NodeRole::Dpu => "dpu",
        wire::NodeRole::Switch => "switch",
        wire::NodeRole::Unspecified => "unknown",
    };
    let state = match node.state() {
        NodeState::InForce => IN_FORCE,
        NodeState::Pending => "pending",
        NodeState::Refused => "refused",
        NodeState::Silent => "silent",
        NodeState::NeverSeen => "never-seen",
        NodeState::Unspecified => "unknown",
    };
    let wire::NodeStatus { node: name, role: _, state: _, generation_wanted, report, age_ms } = node;
    let report = report.map(Report::try_from).transpose()?;
    Ok(NodeStatus {
        name,
        role,
        state,
        generation_wanted,
        generation_in_force: report
            .as_ref()
            .and_then(|report| report.in_force)
            .map(|generation| generation.0),
        refusal: report
            .as_ref()
            .and_then(|report| report.refusal.as_ref())
            .map(|refusal| refusal.reason.clone()),
        proof: report.as_ref().and_then(|report| report.proof.as_ref()).map(ToString::to_string),
        report_age_seconds: report.as_ref().map(|_| age_ms / 1000),
        agent_version: report.as_ref().map(|report| report.agent_version.clone()),
        connections: report.as_ref().map(|report| report.connections).unwrap_or_default().into(),
        half_open: report.as_ref().map(|report| report.half_open).unwrap_or_default().into(),
        draining: report.as_ref().map_or(0, |report| report.draining),
        revocations: report.iter().flat_map(|report| &report.revocations).map(revocations).collect(),
        events_lost: report.as_ref().map_or(0, |report| report.events_lost),
        ports: report.iter().flat_map(|report| &report.ports).map(port).collect(),
        report,
    })
}

fn revocations(told: &RevocationReport) -> Revocations {
    let RevocationReport { generation, cut, draining } = *told;
    Revocations { generation: generation.0, cut, draining }
}

fn port(port: &selvedge_proto::PortReport) -> PortStatus {
    let selvedge_proto::PortReport { name, role, profile, requested, state, reason, egress, past, nic } =
        port;
    PortStatus {
        name: name.to_string(),
        role: role.to_string(),
        profile: profile.as_ref().map(ToString::to_string),
        requested_mode: requested.word(),
        state: state.name(),
        granted_mode: state.mode().map(Mode::word),
        shown: *state,
        reason: reason.clone(),
        egress_unenforced: match egress {
            EgressReport::Enforced => None,
            EgressReport::Unenforced { reason } => Some(reason.clone()),
        },
        past: past.clone(),
        nic: nic.clone(),
    }
}

/// One line a port, and one that sums up.
pub(super) fn render(status: &Status, width: Width) -> String {
    if status.generation == 0 {
        return "nothing was applied yet; begin with `selvedge apply -f DIR`\n".to_owned();
    }
    let mut out = lines(status.nodes.iter(), width);
    let in_force = status.nodes.iter().filter(|node| node.state == IN_FORCE).count();
    let style = match answer(status) {
        Answer::Yes => AnsiColor::Green.on_default(),
        Answer::No => AnsiColor::Yellow.on_default(),
    };
    // Writing to a string can't fail.
    let (all, generation) = (status.nodes.len(), status.generation);
    let _ = writeln!(out, "{style}generation {generation} is in force on {in_force} of {all} nodes{style:#}");
    if let Some(revoked) = revoked(status) {
        let _ = writeln!(out, "{revoked}");
    }
    if let Some(store) = status.store.filter(|_| width == Width::Wide) {
        let _ = writeln!(out, "{store}");
    }
    let red: Style = AnsiColor::Red.on_default();
    for node in &status.nodes {
        if let Some(reason) = node.refusal.as_deref().filter(|_| node.state == "refused") {
            let _ = writeln!(out, "{red}{} refuses it: {reason}{red:#}", node.name);
        }
        let proof = node.report.as_ref().and_then(|report| report.proof.as_ref());
        if let Some(proof @ ProofReport::Unproven { .. }) = proof {
            let yellow = AnsiColor::Yellow.on_default();
            let _ = writeln!(out, "{yellow}{}'s tables are {proof}{yellow:#}", node.name);
        }
        let connections = node.report.as_ref().map(|report| report.connections);
        if let Some(connections) = connections.filter(Occupancy::is_pressing) {
            let yellow = AnsiColor::Yellow.on_default();
            let _ = writeln!(
                out,
                "{yellow}{} tracks {connections} connections: when that is full, new ones are refused; `selvedge-agent detach` there, which opens its ports, and start it with larger --connections{yellow:#}",
                node.name
            );
        }
        for port in &node.ports {
            for way in &port.past {
                let yellow = AnsiColor::Yellow.on_default();
                let (name, port) = (&node.name, &port.name);
                let _ = writeln!(out, "{yellow}past {name}'s {port}: {way}{yellow:#}");
            }
        }
        // A port that has no program at all has said so in its row.
        for port in node.ports.iter().filter(|port| port.shown.mode().is_some()) {
            let Some(reason) = &port.egress_unenforced else { continue };
            let yellow = AnsiColor::Yellow.on_default();
            let (name, port) = (&node.name, &port.name);
            let _ = writeln!(
                out,
                "{yellow}what {name} itself sends out of {port} is unenforced: {reason}{yellow:#}"
            );
        }
    }
    out
}

/// What is known of one node, and of each of its ports.
pub(super) fn render_node(node: &NodeStatus) -> String {
    lines([node].into_iter(), Width::Wide)
}

/// What the newest generation did to connections that were there before it, where it did anything.
fn revoked(status: &Status) -> Option<String> {
    let all = status.nodes.iter().flat_map(|node| &node.revocations);
    let (cut, draining) = all
        .filter(|revocations| revocations.generation == status.generation)
        .fold((0, 0), |(cut, draining), more| (cut + more.cut, draining + more.draining));
    let told =
        format!("generation {} revoked connections: {cut} cut, {draining} draining", status.generation);
    (cut + draining > 0).then_some(told)
}

fn lines<'n>(nodes: impl Iterator<Item = &'n NodeStatus>, width: Width) -> String {
    let mut head = HEAD.to_vec();
    if width == Width::Wide {
        head.splice(NODE_COLUMNS..NODE_COLUMNS, WIDE);
    }
    table(&head, nodes.flat_map(|node| rows(node, width)))
}

/// The leading columns, which are about the node and not about a port.
const NODE_COLUMNS: usize = 6;

fn rows(node: &NodeStatus, width: Width) -> Vec<Vec<String>> {
    let report = node.report_age_seconds.map_or_else(|| "-".to_owned(), |age| format!("{age}s ago"));
    let in_force =
        node.generation_in_force.map_or_else(|| "-".to_owned(), |generation| generation.to_string());
    let of_node =
        [&node.name, node.role, node.state, &node.generation_wanted.to_string(), &in_force, &report];
    let mut first = of_node.map(str::to_owned).to_vec();
    if width == Width::Wide {
        let in_force = |revocations: &&Revocations| Some(revocations.generation) == node.generation_in_force;
        let cut = node.revocations.iter().find(in_force).map_or(0, |revocations| revocations.cut);
        first.extend(
            [node.connections.entries, node.half_open.entries, node.draining, cut]
                .map(|count| count.to_string()),
        );
    }
    let ports = node.ports.iter().map(|port| [port.name.clone(), port.mode(), or_dash(port.why())].to_vec());
    let mut ports = ports.collect::<Vec<_>>();
    if ports.is_empty() {
        ports.push(vec!["-".to_owned(); HEAD.len() - NODE_COLUMNS]);
    }
    let blank = vec![String::new(); first.len()];
    let of_node = [first].into_iter().chain(std::iter::repeat(blank));
    of_node.zip(ports).map(|(node, port)| [node, port].concat()).collect()
}
