//! Random fabrics and policies, as the YAML a user would write: so the loader is part of every property.
//!
//! Names, labels, prefixes and ports come from small pools, so that rules meet, shadow and nest.

use std::fmt::Write;
use std::net::IpAddr;

use arbitrary::{Result, Unstructured};
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::model::Model;

const ROLES: [&str; 3] = ["web", "app", "db"];
const ENVS: [&str; 2] = ["prod", "test"];
const SERVICES: [&str; 2] = ["http", "metrics"];
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
const PORTS: [u16; 8] = [1, 2, 53, 80, 443, 8080, 65534, 65535];
const TIERS: [&str; 4] = ["emergency", "platform", "application", "baseline"];

/// Blocks that nest, with addresses of workloads, nodes and the world inside and outside.
const BLOCKS_V4: [&str; 8] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.0.0/24",
    "10.1.0.0/30",
    "10.1.0.2/32",
    "10.2.0.0/16",
    "198.51.100.0/24",
];
const BLOCKS_V6: [&str; 6] =
    ["::/0", "fd00::/16", "fd00:1::/32", "fd00:1::/64", "fd00:1::2/128", "2001:db8::/32"];

/// Addresses that belong to nobody, inside and outside of the blocks.
pub const STRANGERS: [&str; 8] = [
    "10.1.0.3",
    "10.1.0.200",
    "10.1.9.9",
    "10.9.9.9",
    "198.51.100.7",
    "192.0.2.1",
    "fd00:1::99",
    "2001:db8::7",
];

/// The text of a random fabric with policies.
pub fn documents(u: &mut Unstructured<'_>) -> Result<String> {
    let ground = ground(u)?;
    Ok(ground.text.clone() + &policies(u, &ground)?)
}

/// A random fabric without policies.
pub struct Ground {
    /// Its text.
    pub text: String,
    /// How many groups there are to name.
    groups: u8,
}

/// A random fabric without policies.
pub fn ground(u: &mut Unstructured<'_>) -> Result<Ground> {
    let mut out = String::new();
    let nodes = u.int_in_range(1..=3)?;
    let mut machines = fabric(u, &mut out, nodes)?;
    for index in 0..u.int_in_range(1..=6)? {
        workload(u, &mut out, index, &mut machines)?;
    }
    let groups = u.int_in_range(0..=2)?;
    for index in 0..groups {
        let blocks = (0..u.int_in_range(1..=2)?).map(|_| block(u)).collect::<Result<Vec<_>>>()?;
        // A group is a set: the same block twice is an error.
        let mut blocks: Vec<String> = blocks.into_iter().map(|block| format!("{{{block}}}")).collect();
        blocks.sort();
        blocks.dedup();
        head(&mut out, "CidrGroup", &format!("g{index}"));
        let _ = writeln!(out, "spec: {{cidrs: [{}]}}", blocks.join(", "));
    }
    Ok(Ground { text: out, groups })
}

/// Random policies for it.
pub fn policies(u: &mut Unstructured<'_>, ground: &Ground) -> Result<String> {
    let mut out = String::new();
    for index in 0..u.int_in_range(0..=6)? {
        policy(u, &mut out, index, ground.groups)?;
    }
    Ok(out)
}

/// A random valid model, and the text it is from.
pub fn model(u: &mut Unstructured<'_>) -> Result<(String, Model)> {
    let text = documents(u)?;
    let loaded = load(&[SourceFile { name: "random.yaml".into(), text: text.clone() }]);
    let Some(model) = loaded.model else { panic!("{text}\n{:#?}", loaded.diagnostics) };
    Ok((text, model))
}

/// Every address worth judging as a peer: all that anyone has, and some that nobody has.
pub fn addresses(model: &Model) -> Vec<IpAddr> {
    let workloads = model.workloads.values().flat_map(|workload| &workload.addresses);
    let nodes = model.fabric.nodes.values().flat_map(|node| &node.addresses);
    let strangers = STRANGERS.iter().filter_map(|address| address.parse().ok());
    workloads.chain(nodes).copied().chain(strangers).collect()
}

fn head(out: &mut String, kind: &str, name: &str) {
    let _ = write!(out, "---\napiVersion: selvedge/v1\nkind: {kind}\nmetadata: {{name: {name}}}\n");
}

/// A node, and whether a workload may still be it.
#[derive(Clone, Copy)]
struct Machine {
    free: bool,
}

fn fabric(u: &mut Unstructured<'_>, out: &mut String, nodes: u8) -> Result<Vec<Machine>> {
    head(out, "Fabric", "random");
    let _ = writeln!(out, "spec:\n  defaultAction: {}", u.choose(&["allow", "deny"])?);
    if nodes > 1 {
        let _ = writeln!(out, "  established: {}", if nodes == 2 { "drain" } else { "cut" });
    }
    if u.arbitrary()? {
        let tiers = TIERS.map(|tier| (tier, u.choose(&["isolates", "open"]).copied()));
        let _ = writeln!(out, "  tiers:");
        for (tier, isolation) in tiers {
            let _ = writeln!(out, "    - {{name: {tier}, isolation: {}}}", isolation?);
        }
    }
    let _ = writeln!(out, "  nodes:");
    let mut machines = Vec::new();
    for node in 0..nodes {
        let role = *u.choose(&["host", "dpu", "switch"])?;
        machines.push(Machine { free: role != "switch" });
        let _ = write!(out, "    - name: n{node}\n      role: {role}\n");
        let own = node + 1;
        let _ = writeln!(out, "      addresses: [10.255.0.{own}, 10.1.0.{}, \"fd00:ff::{own}\"]", 100 + own);
        let _ = writeln!(
            out,
            "      ports:\n        - {{name: up0, role: uplink}}\n        - {{name: fab0, role: fabric}}"
        );
        let _ =
            writeln!(out, "        - {{name: w0, role: workload}}\n        - {{name: w1, role: workload}}");
    }
    Ok(machines)
}

fn workload(u: &mut Unstructured<'_>, out: &mut String, index: u8, machines: &mut [Machine]) -> Result<()> {
    head(out, "Workload", &format!("w{index}"));
    let mut labels = Vec::new();
    if u.ratio(4, 5)? {
        labels.push(format!("role: {}", u.choose(&ROLES)?));
    }
    if u.arbitrary()? {
        labels.push(format!("env: {}", u.choose(&ENVS)?));
    }
    let subnet = u.int_in_range(1..=2)?;
    let own = index + 1;
    let _ = writeln!(out, "spec:\n  labels: {{{}}}", labels.join(", "));
    let _ = writeln!(out, "  addresses: [10.{subnet}.0.{own}, \"fd00:{subnet}::{own}\"]");
    if u.ratio(1, 6)? {
        let _ = writeln!(out, "  unmanaged: true");
    } else {
        let node = u.choose_index(machines.len())?;
        let port = match u.int_in_range(0..=4)? {
            0 if machines[node].free => {
                machines[node].free = false;
                "up0"
            }
            0..=2 => "w0",
            _ => "w1",
        };
        let _ = writeln!(out, "  attachment: {{node: n{node}, port: {port}}}");
    }
    let mut services = Vec::new();
    for name in SERVICES {
        if u.arbitrary()? {
            let (protocol, port) = (u.choose(&PROTOCOLS)?, u.choose(&[80, 8080])?);
            services.push(format!("{{name: {name}, protocol: {protocol}, port: {port}}}"));
        }
    }
    if !services.is_empty() {
        let _ = writeln!(out, "  services: [{}]", services.join(", "));
    }
    Ok(())
}

fn policy(u: &mut Unstructured<'_>, out: &mut String, index: u8, groups: u8) -> Result<()> {
    head(out, "SegmentationPolicy", &format!("p{index}"));
    let _ = writeln!(out, "spec:\n  tier: {}\n  selector: {}", u.choose(&TIERS)?, selector(u)?);
    if index % 3 == 1 {
        let _ = writeln!(out, "  established: drain");
    }
    let sides: &[(&str, &str)] = match u.int_in_range(0..=2)? {
        0 => &[("ingress", "from")],
        1 => &[("egress", "to")],
        _ => &[("ingress", "from"), ("egress", "to")],
    };
    for (direction, peers) in sides {
        let rules = u.int_in_range(0..=4)?;
        if rules == 0 {
            let _ = writeln!(out, "  {direction}: []");
            continue;
        }
        let _ = writeln!(out, "  {direction}:");
        for _ in 0..rules {
            rule(u, out, peers, groups)?;
        }
    }
    Ok(())
}

fn rule(u: &mut Unstructured<'_>, out: &mut String, peers: &str, groups: u8) -> Result<()> {
    let action = u.choose(&["allow", "allow", "deny", "pass"])?;
    let list =
        |items: Vec<String>| items.iter().map(|item| format!("{{{item}}}")).collect::<Vec<_>>().join(", ");
    let from = (0..u.int_in_range(1..=2)?).map(|_| peer(u, groups)).collect::<Result<Vec<_>>>()?;
    let ports = (0..u.int_in_range(1..=2)?).map(|_| port(u)).collect::<Result<Vec<_>>>()?;
    let _ = writeln!(
        out,
        "    - action: {action}\n      {peers}: [{}]\n      ports: [{}]",
        list(from),
        list(ports)
    );
    if u.ratio(1, 4)? {
        let _ = writeln!(out, "      log: true");
    }
    if *action == "allow" && u.ratio(1, 5)? {
        let _ = writeln!(out, "      stateless: true");
    }
    Ok(())
}

fn selector(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(match u.int_in_range(0..=5)? {
        0 => "{}".into(),
        1 => format!("{{matchLabels: {{role: {}}}}}", u.choose(&ROLES)?),
        2 => format!("{{matchLabels: {{role: {}, env: {}}}}}", u.choose(&ROLES)?, u.choose(&ENVS)?),
        3 => "{matchExpressions: [{key: role, operator: In, values: [web, app]}]}".into(),
        4 => "{matchExpressions: [{key: env, operator: NotIn, values: [test]}]}".into(),
        _ => format!(
            "{{matchExpressions: [{{key: env, operator: {}}}]}}",
            u.choose(&["Exists", "DoesNotExist"])?
        ),
    })
}

fn peer(u: &mut Unstructured<'_>, groups: u8) -> Result<String> {
    Ok(match u.int_in_range(0..=7)? {
        0..=2 => format!("selector: {}", selector(u)?),
        3 | 4 => format!("entity: {}", u.choose(&["world", "host", "remote-node", "unmanaged", "any"])?),
        5 if groups > 0 => format!("cidrGroup: g{}", u.int_in_range(0..=groups - 1)?),
        _ => block(u)?,
    })
}

fn block(u: &mut Unstructured<'_>) -> Result<String> {
    let blocks: &[&str] = if u.arbitrary()? { &BLOCKS_V4 } else { &BLOCKS_V6 };
    let cidr = u.choose(blocks)?;
    // A hole is any narrower block inside; the pools nest in order, but for the last ones.
    let inside: Vec<&&str> = blocks
        .iter()
        .filter(|hole| {
            let (hole, cidr): (ipnet::IpNet, ipnet::IpNet) =
                (hole.parse().expect("a block"), cidr.parse().expect("a block"));
            hole != cidr && cidr.contains(&hole)
        })
        .collect();
    if !inside.is_empty() && u.ratio(1, 3)? {
        return Ok(format!("cidr: \"{cidr}\", except: [\"{}\"]", u.choose(&inside)?));
    }
    Ok(format!("cidr: \"{cidr}\""))
}

fn port(u: &mut Unstructured<'_>) -> Result<String> {
    let protocol = u.choose(&PROTOCOLS)?;
    Ok(match u.int_in_range(0..=8)? {
        0 => "protocol: any".into(),
        1 => format!("protocol: {protocol}, port: any"),
        2 => format!("protocol: {protocol}, port: {}", u.choose(&SERVICES)?),
        3 | 4 => {
            let (a, b) = (*u.choose(&PORTS)?, *u.choose(&PORTS)?);
            format!("protocol: {protocol}, port: {}, endPort: {}", a.min(b), a.max(b))
        }
        5 => format!("protocol: {}, type: any", u.choose(&["ICMP", "ICMPv6"])?),
        6 => format!("protocol: ICMP, type: {}, code: any", u.choose(&[3, 8])?),
        7 => format!("protocol: ICMPv6, type: {}, code: 0", u.choose(&[1, 128])?),
        _ => format!("protocol: {protocol}, port: {}", u.choose(&PORTS)?),
    })
}
