//! What lists show of each thing.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use selvedge_proto::wire;
use selvedge_topology::identity::{Identity, IdentityKey};
use selvedge_topology::l4::Protocol;
use selvedge_topology::model::{
    AgentPresence, Attachment, Direction, Endpoint, Model, Node, Policy, Workload,
};
use selvedge_topology::names::PortName;
use serde_json::{Value, json};

use super::super::snapshot::Snapshot;
use super::super::status::Status;
use super::super::table::{list, or_dash};
use super::{Entry, Item, Listing};

pub(super) fn nodes(model: &Model) -> Listing {
    let entry = |node: &Node| {
        let workloads =
            model.workloads.values().filter(|workload| at(workload).is_some_and(|at| at.node == node.name));
        let workloads = workloads.count();
        let agent = match node.agent {
            AgentPresence::Enabled => "enabled",
            AgentPresence::None => "none",
        };
        let rack = node.rack.as_ref().map(ToString::to_string);
        Entry {
            name: node.name.to_string(),
            columns: vec![
                node.name.to_string(),
                node.role.to_string(),
                or_dash(rack.clone().unwrap_or_default()),
                agent.to_owned(),
                node.ports.len().to_string(),
                workloads.to_string(),
                list(&node.addresses),
            ],
            item: Item::Facts(json!({
                "kind": "Node", "name": node.name, "role": node.role, "rack": rack, "agent": agent,
                "addresses": node.addresses, "workloads": workloads,
                "ports": node.ports.iter().map(|(name, role)| json!({"name": name, "role": role})).collect::<Vec<_>>(),
            })),
        }
    };
    Listing {
        head: vec!["NAME", "ROLE", "RACK", "AGENT", "PORTS", "WORKLOADS", "ADDRESSES"],
        narrow: 6,
        entries: model.fabric.nodes.values().map(entry).collect(),
    }
}

pub(super) fn ports(model: &Model, status: &Status) -> Listing {
    let mut entries = Vec::new();
    for node in model.fabric.nodes.values() {
        for (port, role) in &node.ports {
            let endpoint = Endpoint { node: node.name.clone(), port: port.clone() };
            let link = peer(model, &endpoint).map(ToString::to_string);
            let behind: Vec<_> =
                model.workloads.values().filter(|workload| at(workload) == Some(&endpoint)).collect();
            let behind: Vec<_> = behind.iter().map(|workload| workload.name.to_string()).collect();
            let (mode, reason) = mode(status, node, port);
            entries.push(Entry {
                name: endpoint.to_string(),
                columns: vec![
                    node.name.to_string(),
                    port.to_string(),
                    role.to_string(),
                    or_dash(mode.clone()),
                    or_dash(link.clone().unwrap_or_default()),
                    list(&behind),
                    or_dash(reason.clone()),
                ],
                item: Item::Facts(json!({
                    "kind": "Port", "node": node.name, "name": port, "role": role, "link": link,
                    "workloads": behind, "mode": mode, "reason": reason,
                })),
            });
        }
    }
    Listing { head: vec!["NODE", "PORT", "ROLE", "MODE", "LINK", "WORKLOADS", "REASON"], narrow: 6, entries }
}

/// How a port is enforced and why, as its agent last said; empty where it did not.
fn mode(status: &Status, node: &Node, port: &PortName) -> (String, String) {
    let node = status.nodes.iter().find(|candidate| candidate.name == node.name.as_str());
    let port = node.and_then(|node| node.ports.iter().find(|candidate| candidate.name == port.as_str()));
    port.map(|port| (port.mode(), port.why())).unwrap_or_default()
}

/// The other end of the wire at `endpoint`.
fn peer<'m>(model: &'m Model, endpoint: &Endpoint) -> Option<&'m Endpoint> {
    model.fabric.links.iter().find_map(|link| match (&link.a, &link.b) {
        (a, b) if a == endpoint => Some(b),
        (a, b) if b == endpoint => Some(a),
        _ => None,
    })
}

/// Where a workload is, if that is known.
pub(in super::super) fn at(workload: &Workload) -> Option<&Endpoint> {
    match &workload.attachment {
        Attachment::Managed(endpoint) => Some(endpoint),
        Attachment::Unmanaged(endpoint) => endpoint.as_ref(),
    }
}

/// A workload's services: `http:8080/TCP`.
pub(in super::super) fn services(workload: &Workload) -> Vec<String> {
    let service = |(name, service): (&_, &selvedge_topology::model::Service)| {
        format!("{name}:{}/{}", service.port, Protocol::from(service.protocol))
    };
    workload.services.iter().map(service).collect()
}

pub(super) fn workloads(snapshot: &Snapshot) -> Listing {
    let entry = |workload: &Workload| {
        let identity = snapshot.identities.of_workload(workload);
        let managed = match workload.attachment {
            Attachment::Managed(_) => "yes",
            Attachment::Unmanaged(_) => "no",
        };
        Entry {
            name: workload.name.to_string(),
            columns: vec![
                workload.name.to_string(),
                or_dash(identity.map(|identity| identity.to_string()).unwrap_or_default()),
                or_dash(at(workload).map(ToString::to_string).unwrap_or_default()),
                managed.to_owned(),
                list(&workload.addresses),
                or_dash(workload.labels.to_string()),
                list(services(workload)),
            ],
            item: document(snapshot, "Workload", workload.name.as_str()),
        }
    };
    Listing {
        head: vec!["NAME", "IDENTITY", "PORT", "MANAGED", "ADDRESSES", "LABELS", "SERVICES"],
        narrow: 5,
        entries: snapshot.model.workloads.values().map(entry).collect(),
    }
}

pub(super) fn identities(snapshot: &Snapshot) -> Listing {
    let mut named: BTreeMap<Identity, Vec<String>> = BTreeMap::new();
    for workload in snapshot.model.workloads.values() {
        if let Some(identity) = snapshot.identities.of_workload(workload) {
            named.entry(identity).or_default().push(workload.name.to_string());
        }
    }
    let entry = |identity: Identity, kind: &str, meaning: String| {
        let workloads = named.get(&identity).cloned().unwrap_or_default();
        Entry {
            name: identity.to_string(),
            columns: vec![identity.to_string(), kind.to_owned(), list(&workloads), or_dash(meaning.clone())],
            item: Item::Facts(json!({
                "kind": "Identity", "id": identity, "of": kind, "meaning": meaning, "workloads": workloads,
            })),
        }
    };
    let reserved = (0..Identity::FIRST_LABELS.0)
        .map(Identity)
        .filter_map(|identity| Some((identity, identity.reserved_name()?)));
    let reserved = reserved.map(|(identity, name)| entry(identity, "reserved", name.to_owned()));
    let allocated = snapshot.identities.iter().map(|(identity, key)| match key {
        IdentityKey::Labels(labels) => entry(identity, "labels", labels.labels().to_string()),
        IdentityKey::Cidr(cidr) => entry(identity, "cidr", cidr.to_string()),
    });
    Listing {
        head: vec!["ID", "KIND", "WORKLOADS", "MEANING"],
        narrow: 4,
        entries: reserved.chain(allocated).collect(),
    }
}

pub(super) fn policies(snapshot: &Snapshot) -> Listing {
    let model = &snapshot.model;
    let entry = |policy: &Policy| {
        let selected =
            model.workloads.values().filter(|workload| policy.selector.matches(&workload.labels)).count();
        let rules = |direction| {
            or_dash(policy.rules(direction).map(|rules| rules.len().to_string()).unwrap_or_default())
        };
        Entry {
            name: policy.name.to_string(),
            columns: vec![
                policy.name.to_string(),
                tier(model, policy),
                policy.selector.to_string(),
                selected.to_string(),
                rules(Direction::Ingress),
                rules(Direction::Egress),
                or_dash(policy.description.clone()),
            ],
            item: document(snapshot, "SegmentationPolicy", policy.name.as_str()),
        }
    };
    // As they are walked: by tier, then by name.
    let mut policies: Vec<&Policy> = model.policies.values().collect();
    policies.sort_by_key(|policy| policy.tier);
    Listing {
        head: vec!["NAME", "TIER", "SELECTOR", "WORKLOADS", "INGRESS", "EGRESS", "DESCRIPTION"],
        narrow: 6,
        entries: policies.into_iter().map(entry).collect(),
    }
}

/// The name of a policy's tier.
pub(in super::super) fn tier(model: &Model, policy: &Policy) -> String {
    or_dash(model.fabric.tiers.get(policy.tier).map(|tier| tier.name.to_string()).unwrap_or_default())
}

pub(super) fn cidr_groups(snapshot: &Snapshot) -> Listing {
    let entries = snapshot.model.cidr_groups.iter().map(|(name, blocks)| Entry {
        name: name.to_string(),
        columns: vec![name.to_string(), list(blocks)],
        item: document(snapshot, "CidrGroup", name.as_str()),
    });
    Listing { head: vec!["NAME", "CIDRS"], narrow: 2, entries: entries.collect() }
}

pub(super) fn generations(generations: &[wire::GenerationSummary], now: SystemTime) -> Listing {
    let entry = |generation: &wire::GenerationSummary| {
        let wire::GenerationSummary { generation, created_ms, summary } = generation;
        let created = SystemTime::UNIX_EPOCH + Duration::from_millis(*created_ms);
        let age = Duration::from_secs(now.duration_since(created).unwrap_or_default().as_secs());
        let wire::ChangeSummary { added, changed, removed } = summary.unwrap_or_default();
        let created = humantime::format_rfc3339_seconds(created).to_string();
        Entry {
            name: generation.to_string(),
            columns: vec![
                generation.to_string(),
                format!("+{added} ~{changed} -{removed}"),
                humantime::format_duration(age).to_string(),
                created.clone(),
            ],
            item: Item::Facts(json!({
                "kind": "Generation", "generation": generation, "created": created,
                "added": added, "changed": changed, "removed": removed,
            })),
        }
    };
    Listing {
        head: vec!["GENERATION", "DOCUMENTS", "AGE", "CREATED"],
        narrow: 3,
        entries: generations.iter().map(entry).collect(),
    }
}

/// A document as its author wrote it, in canonical form.
fn document(snapshot: &Snapshot, kind: &str, name: &str) -> Item {
    let found = snapshot.documents.iter().find(|document| document.kind == kind && document.name == name);
    found.map_or(Item::Facts(Value::Null), |document| Item::Document(document.clone()))
}
