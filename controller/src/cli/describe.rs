//! `selvedge describe`: everything about one thing.

mod failsafe;

use std::fmt::Write as _;

use clap::Subcommand;
use selvedge_proto::Count;
use selvedge_topology::claims::{LabelRule, LabelRules, LabelScope, Unlisted};
use selvedge_topology::identity::{Identity, IdentityKey};
use selvedge_topology::model::{
    Action, Attachment, DefaultAction, Direction, Established, Model, Policy, Rule, RuleId, Tier, Workload,
};
use selvedge_topology::names::{NodeName, PolicyName, WorkloadName};
use selvedge_topology::timeouts::Bounds;

use super::client::connect;
use super::get::rows::{at, services, tier};
use super::snapshot::Snapshot;
use super::status::{self, Status};
use super::table::{list, or_dash, printable, table};
use super::{Answer, CliError, output};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  selvedge describe fabric\n  selvedge describe workload web1\n  selvedge describe node host1"
)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The fabric: the frame that policy lives in.
    #[command(visible_alias = "fa")]
    Fabric,
    /// A machine: its ports, workloads and counters.
    #[command(visible_alias = "no")]
    Node {
        /// Its name.
        name: NodeName,
    },
    /// A workload: its identity, and every rule that is about it.
    #[command(visible_alias = "wl")]
    Workload {
        /// Its name.
        name: WorkloadName,
    },
    /// A policy: whom it selects, and its rules.
    #[command(visible_alias = "pol")]
    Policy {
        /// Its name.
        name: PolicyName,
    },
    /// An identity: what it stands for, and who has it.
    #[command(visible_alias = "id")]
    Identity {
        /// Its number.
        id: u32,
    },
}

pub(super) async fn run(server: &str, args: Args) -> Result<Answer, CliError> {
    let mut client = connect(server).await?;
    let snapshot = super::snapshot::snapshot(&mut client).await?;
    let text = match args.what {
        What::Fabric => fabric(&snapshot),
        What::Workload { name } => workload(&snapshot, &name)?,
        What::Policy { name } => policy(&snapshot, &name)?,
        What::Identity { id } => identity(&snapshot, Identity(id))?,
        What::Node { name } => node(&snapshot, &status::fetch(&mut client, 0, None).await?, &name)?,
    };
    output::print(&text)?;
    Ok(Answer::Yes)
}

/// `Name:   value` lines.
fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len() + 1).max().unwrap_or_default();
    let line = |(name, value): &(&str, String)| {
        let name = format!("{name}:");
        format!("{name:width$}  {}\n", printable(value))
    };
    fields.iter().map(line).collect()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn not_found(kind: &'static str, name: &impl ToString, list: &'static str) -> CliError {
    CliError::NotFound { kind, name: name.to_string(), list }
}

pub(super) fn fabric(snapshot: &Snapshot) -> String {
    let fabric = &snapshot.model.fabric;
    let tier = |tier: &Tier| format!("{} ({})", tier.name, tier.isolation);
    let mut out = fields(&[
        ("Name", fabric.name.to_string()),
        ("Default action", fabric.default_action.to_string()),
        ("Established", fabric.established.to_string()),
        ("Tiers", list(fabric.tiers.iter().map(tier))),
        ("Nodes", list(fabric.nodes.keys())),
        ("Externals", list(fabric.externals.keys())),
    ]);
    let timeouts = fabric.timeouts.each().map(|(Bounds { key, default, .. }, time)| {
        [key.to_owned(), time.to_string(), default.to_string()].to_vec()
    });
    out.push_str("Timeouts:\n");
    out.push_str(&indented(&table(&["SILENT", "FOR", "DEFAULT"], timeouts)));
    out.push_str(&label_rules(&fabric.label_rules));
    out
}

/// Which labels may be claimed, and who may set them; nothing where anybody may set any.
fn label_rules(rules: &LabelRules) -> String {
    let row = |(scope, rule): (&LabelScope, &LabelRule)| {
        vec![scope.to_string(), rule.values.to_string(), rule.set_by.to_string()]
    };
    let mut rows: Vec<Vec<String>> = rules.iter().map(row).collect();
    rows.extend(match rules.unlisted() {
        Unlisted::Refuse => Some(["(others)", "none", "nobody"].map(str::to_owned).to_vec()),
        Unlisted::Allow => None,
    });
    if rows.is_empty() {
        return String::new();
    }
    format!("Labels:\n{}", indented(&table(&["KEY", "VALUES", "SET BY"], rows)))
}

pub(super) fn workload(snapshot: &Snapshot, name: &WorkloadName) -> Result<String, CliError> {
    let model = &snapshot.model;
    let workload = model.workloads.get(name).ok_or_else(|| not_found("workload", name, "workloads"))?;
    let identity = snapshot.identities.of_workload(workload).map(|identity| identity.to_string());
    let enforced = match &workload.attachment {
        Attachment::Managed(endpoint) => format!("by node {}", endpoint.node),
        Attachment::Unmanaged(_) => "by nobody: it is unmanaged".to_owned(),
    };
    let mut out = fields(&[
        ("Name", workload.name.to_string()),
        ("Identity", or_dash(identity.unwrap_or_default())),
        ("Labels", or_dash(workload.labels.to_string())),
        ("Addresses", list(&workload.addresses)),
        ("Port", or_dash(at(workload).map(ToString::to_string).unwrap_or_default())),
        ("Enforced", enforced),
        ("Services", list(services(workload))),
    ]);
    for direction in Direction::BOTH {
        out.push_str(&policy_of(model, workload, direction));
    }
    Ok(out)
}

/// Every rule for a workload in one direction, in the order tiers are walked, and what comes after them.
fn policy_of(model: &Model, workload: &Workload, direction: Direction) -> String {
    let mut rows = Vec::new();
    for (index, tier) in model.fabric.tiers.iter().enumerate() {
        let selecting = |policy: &&Policy| {
            policy.tier == index
                && policy.rules(direction).is_some()
                && policy.selector.matches(&workload.labels)
        };
        let policies: Vec<&Policy> = model.policies.values().filter(selecting).collect();
        for policy in &policies {
            let rules = policy.rules(direction).unwrap_or_default().iter();
            rows.extend(rules.map(|rule| {
                [vec![tier.name.to_string(), policy.name.to_string()], rule_columns(policy, rule)].concat()
            }));
        }
        if !policies.is_empty() && tier.isolation == selvedge_topology::model::Isolation::Isolates {
            let strictest = policies.iter().map(|policy| policy.established).min().unwrap_or_default();
            rows.push(default_row(&tier.name.to_string(), denied(strictest)));
        }
    }
    let last = match model.fabric.default_action {
        DefaultAction::Allow => "allow",
        DefaultAction::Deny => denied(model.fabric.established),
    };
    rows.push(default_row("(after all)", last));
    let (title, peers) = match direction {
        Direction::Ingress => ("Ingress", "FROM"),
        Direction::Egress => ("Egress", "TO"),
    };
    let head = ["TIER", "POLICY", "RULE", "ACTION", peers, "PORTS"];
    format!("{title}:\n{}", indented(&table(&head, rows)))
}

fn default_row(tier: &str, action: &str) -> Vec<String> {
    [tier, "-", "default", action, "any", "any"].map(str::to_owned).to_vec()
}

/// A denial, with what it says of established connections where that is not the rule.
fn denied(established: Established) -> &'static str {
    match established {
        Established::Cut => "deny",
        Established::Drain => "deny, drain",
    }
}

fn rule_columns(policy: &Policy, rule: &Rule) -> Vec<String> {
    let name = rule.name.as_ref().map_or_else(|| rule.id.to_string(), ToString::to_string);
    let peers: Vec<String> = rule.peers.iter().map(ToString::to_string).collect();
    let action = match rule.action {
        Action::Deny => denied(policy.established).to_owned(),
        Action::Allow | Action::Pass => rule.action.to_string(),
    };
    vec![name, action, peers.join(" or "), list(&rule.ports)]
}

pub(super) fn policy(snapshot: &Snapshot, name: &PolicyName) -> Result<String, CliError> {
    let model = &snapshot.model;
    let policy = model.policies.get(name).ok_or_else(|| not_found("policy", name, "policies"))?;
    let selected = model.workloads.values().filter(|workload| policy.selector.matches(&workload.labels));
    let mut out = fields(&[
        ("Name", policy.name.to_string()),
        ("Description", or_dash(policy.description.clone())),
        ("Tier", tier(model, policy)),
        ("Selector", policy.selector.to_string()),
        ("Established", policy.established.to_string()),
        ("Workloads", list(selected.map(|workload| &workload.name))),
    ]);
    for direction in Direction::BOTH {
        let (title, peers) = match direction {
            Direction::Ingress => ("Ingress", "FROM"),
            Direction::Egress => ("Egress", "TO"),
        };
        // Writing to a string can't fail.
        let _ = match policy.rules(direction) {
            None => writeln!(out, "{title}: says nothing"),
            Some([]) => writeln!(out, "{title}: no rules"),
            Some(rules) => {
                let row = |rule: &Rule| {
                    let mut columns = rule_columns(policy, rule);
                    columns.insert(0, rule.id.to_string());
                    columns.push(or_dash(rule.description.clone()));
                    columns
                };
                let head = ["ID", "RULE", "ACTION", peers, "PORTS", "DESCRIPTION"];
                write!(out, "{title}:\n{}", indented(&table(&head, rules.iter().map(row))))
            }
        };
    }
    Ok(out)
}

pub(super) fn identity(snapshot: &Snapshot, identity: Identity) -> Result<String, CliError> {
    let meaning = match (identity.reserved_name(), snapshot.identities.key(identity)) {
        (Some(name), _) => ("Reserved", name.to_owned()),
        (None, Some(IdentityKey::Labels(labels))) => ("Labels", labels.labels().to_string()),
        (None, Some(IdentityKey::Cidr(cidr))) => ("CIDR", cidr.to_string()),
        (None, None) => return Err(not_found("identity", &identity, "identities")),
    };
    let has = |workload: &&Workload| snapshot.identities.of_workload(workload) == Some(identity);
    let workloads: Vec<&Workload> = snapshot.model.workloads.values().filter(has).collect();
    Ok(fields(&[
        ("ID", identity.to_string()),
        meaning,
        ("Workloads", list(workloads.iter().map(|workload| &workload.name))),
        ("Addresses", list(workloads.iter().flat_map(|workload| &workload.addresses))),
    ]))
}

pub(super) fn node(snapshot: &Snapshot, status: &Status, name: &NodeName) -> Result<String, CliError> {
    let model = &snapshot.model;
    let node = model.fabric.nodes.get(name).ok_or_else(|| not_found("node", name, "nodes"))?;
    let here = model.workloads.values().filter(|workload| at(workload).is_some_and(|at| at.node == *name));
    let mut out = fields(&[
        ("Name", node.name.to_string()),
        ("Role", node.role.to_string()),
        ("Rack", or_dash(node.rack.as_ref().map(ToString::to_string).unwrap_or_default())),
        ("Addresses", list(&node.addresses)),
        ("Workloads", list(here.map(|workload| &workload.name))),
    ]);
    // Writing to a string, below, can't fail.
    let told = status.nodes.iter().find(|candidate| candidate.name == name.as_str());
    let Some(told) = told else {
        out.push_str("Agent: none; this node enforces nothing\n");
        return Ok(out);
    };
    let _ = write!(out, "Agent:\n{}", indented(&status::render_node(told)));
    let Some(report) = &told.report else { return Ok(out) };
    out.push_str(&failsafe::flows(model, node, &report.services));
    let count = |name: String, count: &Count| vec![name, count.packets.to_string(), count.bytes.to_string()];
    let reasons = report.reasons.iter().map(|(reason, packets)| count(reason.clone(), packets));
    let _ = write!(out, "Packets by reason:\n{}", indented(&table(&["REASON", "PACKETS", "BYTES"], reasons)));
    let rules = report.rules.iter().filter(|(_, count)| count.packets > 0);
    let rules = rules.map(|(rule, packets)| count(rule_name(model, *rule), packets));
    let _ = write!(out, "Packets by rule:\n{}", indented(&table(&["RULE", "PACKETS", "BYTES"], rules)));
    if !report.device_rules.is_empty() {
        let dropped = |(rule, packets): &(RuleId, u64)| vec![rule_name(model, *rule), packets.to_string()];
        let drops = table(&["RULE", "PACKETS"], report.device_rules.iter().map(dropped));
        let _ = write!(out, "Dropped before that, in NICs (xdp-offload), by rule:\n{}", indented(&drops));
    }
    Ok(out)
}

/// `policy/ingress/name`, as flows show it; the number where this generation has no such rule.
fn rule_name(model: &Model, id: RuleId) -> String {
    for policy in model.policies.values() {
        for direction in Direction::BOTH {
            let rule = policy.rules(direction).unwrap_or_default().iter().find(|rule| rule.id == id);
            if let Some(rule) = rule {
                let name = rule.name.as_ref().map_or_else(|| rule.id.to_string(), ToString::to_string);
                return format!("{}/{direction}/{name}", policy.name);
            }
        }
    }
    let defaults = model.fabric.tiers.iter().map(|tier| (format!("tier/{}", tier.name), &tier.default_rules));
    for (name, rules) in defaults.chain([("fabric".to_owned(), &model.fabric.default_rules)]) {
        if let Some(direction) = Direction::BOTH.into_iter().find(|direction| rules.of(*direction) == id) {
            return format!("{name}/default/{direction}");
        }
    }
    id.to_string()
}
