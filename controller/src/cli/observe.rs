//! `selvedge observe`: flows, a line each, as hubble shows them.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::SystemTime;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use selvedge_proto::wire::{self, observe_response::Item};
use selvedge_proto::{Flow, FlowEnd, Mode, Observed, Transport, Verdict};
use selvedge_topology::identity::{IdentityKey, IdentityTable};
use selvedge_topology::l4::Protocol;
use selvedge_topology::names::{NodeName, WorkloadName};
use serde::Serialize;

use super::client::{connect, refused};
use super::snapshot::identities;
use super::{Answer, CliError, output};

/// How many flows are shown where nobody says how many.
const DEFAULT_LAST: u32 = 20;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  selvedge observe --last 50\n  selvedge observe -f --verdict DENIED\n  \
                        selvedge observe -f --workload db1 --protocol TCP --port 5432\n  \
                        selvedge observe --last 1000 -o json | jq .rule.name")]
pub(super) struct Args {
    /// Go on with flows as they come, until interrupted.
    #[arg(short, long)]
    follow: bool,
    /// How many recent flows to begin with; 20, and with --follow none, unless said otherwise.
    #[arg(long, value_name = "N")]
    last: Option<u32>,
    /// Only flows with this verdict; can be given several times, as all that follow.
    #[arg(long, value_name = "VERDICT", ignore_case = true)]
    verdict: Vec<VerdictArg>,
    /// Only flows from or to this workload.
    #[arg(long, value_name = "NAME")]
    workload: Vec<WorkloadName>,
    /// Only flows that this node saw.
    #[arg(long, value_name = "NAME")]
    node: Vec<NodeName>,
    /// Only flows of this protocol: TCP, UDP, SCTP, ICMP, ICMPv6 or a number.
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol)]
    protocol: Vec<Protocol>,
    /// Only flows with this port at either end.
    #[arg(long, value_name = "PORT")]
    port: Vec<u16>,
    /// How flows are shown.
    #[arg(short, long, value_name = "FORMAT", default_value = "compact")]
    output: Format,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "UPPER")]
enum VerdictArg {
    Allowed,
    Denied,
    Audited,
    Dropped,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A line each.
    Compact,
    /// A JSON object each.
    Json,
}

fn protocol(text: &str) -> Result<Protocol, String> {
    let named = [Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::ICMP, Protocol::ICMPV6];
    let found = named.into_iter().find(|protocol| protocol.to_string().eq_ignore_ascii_case(text));
    found
        .or_else(|| u8::from_str(text).ok().map(Protocol))
        .ok_or_else(|| "a protocol is TCP, UDP, SCTP, ICMP, ICMPv6 or a number up to 255".to_owned())
}

pub(super) async fn run(server: &str, args: Args) -> Result<Answer, CliError> {
    let format = args.output;
    let mut client = connect(server).await?;
    let identities = identities(&mut client).await?;
    let mut flows = client.observe(request(args)).await.map_err(refused)?.into_inner();
    while let Some(wire::ObserveResponse { item }) = flows.message().await.map_err(refused)? {
        match item {
            Some(Item::Flow(flow)) => show(&Flow::try_from(flow)?, &identities, format)?,
            Some(Item::Lost(count)) => {
                let yellow = AnsiColor::Yellow.on_default();
                anstream::eprintln!(
                    "{yellow}{count} flows were lost: they came faster than they could be taken{yellow:#}"
                );
            }
            None => {}
        }
    }
    Ok(Answer::Yes)
}

fn request(args: Args) -> wire::ObserveRequest {
    let verdict = |verdict: VerdictArg| {
        i32::from(match verdict {
            VerdictArg::Allowed => wire::Verdict::Allowed,
            VerdictArg::Denied => wire::Verdict::Denied,
            VerdictArg::Audited => wire::Verdict::Audited,
            VerdictArg::Dropped => wire::Verdict::Dropped,
        })
    };
    wire::ObserveRequest {
        last: args.last.unwrap_or(if args.follow { 0 } else { DEFAULT_LAST }),
        follow: args.follow,
        verdicts: args.verdict.into_iter().map(verdict).collect(),
        workloads: args.workload.iter().map(ToString::to_string).collect(),
        nodes: args.node.iter().map(ToString::to_string).collect(),
        protocols: args.protocol.iter().map(|protocol| protocol.0.into()).collect(),
        ports: args.port.iter().map(|port| (*port).into()).collect(),
    }
}

fn show(flow: &Flow, identities: &IdentityTable, format: Format) -> Result<(), CliError> {
    match format {
        Format::Compact => output::print(&(compact(flow, identities) + "\n")),
        Format::Json => {
            let line = serde_json::to_string(&FlowLine::from(flow));
            let line =
                line.map_err(|error| CliError::Format { format: "JSON", reason: error.to_string() })?;
            output::print(&(line + "\n"))
        }
    }
}

/// `TIME source:port (name, ID:n) -> destination:port (name, ID:n) TCP SYN DENIED policy-deny rule=… mode=… gen=… node=…`
fn compact(flow: &Flow, identities: &IdentityTable) -> String {
    let packet = match &flow.packet {
        Observed::Frame { ether_type } => format!("frame of Ethernet type 0x{ether_type:04x}"),
        Observed::Ip { source, destination, transport } => {
            let ports = transport.ports();
            let source = end(source, ports.map(|(source, _)| source), identities);
            let destination = end(destination, ports.map(|(_, destination)| destination), identities);
            format!("{source} -> {destination} {}", layer4(transport))
        }
    };
    let style = match flow.verdict {
        Verdict::Allowed => AnsiColor::Green.on_default(),
        Verdict::Denied | Verdict::Dropped => AnsiColor::Red.on_default(),
        Verdict::Audited => AnsiColor::Yellow.on_default(),
    };
    let rule = match &flow.rule {
        None => String::new(),
        Some(rule) if rule.display.is_empty() => format!(" rule={}", rule.id),
        Some(rule) => format!(" rule={}", rule.display),
    };
    let generation = flow.generation.map_or_else(|| "none".to_owned(), |generation| generation.to_string());
    let Flow { verdict, reason, mode, node, port, .. } = flow;
    let time = time(flow.time);
    format!(
        "{time} {packet} {style}{verdict}{style:#} {reason}{rule} mode={mode} gen={generation} node={node} port={port}"
    )
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// `address:port (name, ID:n)`, where the name is a workload's, or what a number without one stands for.
fn end(end: &FlowEnd, port: Option<u16>, identities: &IdentityTable) -> String {
    let FlowEnd { address, identity, workload } = end;
    let place = match (address, port) {
        (address, None) => address.to_string(),
        (IpAddr::V4(address), Some(port)) => format!("{address}:{port}"),
        (IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
    };
    let dim = Style::new().dimmed();
    let cidr = || match identities.key(*identity) {
        Some(IdentityKey::Cidr(cidr)) => Some(cidr.to_string()),
        Some(IdentityKey::Labels(_)) | None => None,
    };
    let name = workload.as_ref().map(ToString::to_string);
    let name = name.or_else(|| identity.reserved_name().map(str::to_owned)).or_else(cidr);
    let name = name.unwrap_or_else(|| "-".to_owned());
    format!("{place} {dim}({name}, ID:{identity}){dim:#}")
}

fn layer4(transport: &Transport) -> String {
    match transport {
        Transport::Ports { protocol: Protocol::TCP, tcp_flags, .. } => {
            format!("TCP {}", flags(*tcp_flags).join(","))
        }
        Transport::Ports { protocol, .. } | Transport::Other(protocol) => protocol.to_string(),
        Transport::Icmp { protocol, kind, code } => format!("{protocol} {kind}/{code}"),
    }
}

/// The names of TCP flags (RFC 9293 §3.1), in the order people say them.
fn flags(flags: u8) -> Vec<&'static str> {
    const NAMES: [(u8, &str); 8] = [
        (0x02, "SYN"),
        (0x10, "ACK"),
        (0x01, "FIN"),
        (0x04, "RST"),
        (0x08, "PSH"),
        (0x20, "URG"),
        (0x40, "ECE"),
        (0x80, "CWR"),
    ];
    let names: Vec<_> = NAMES.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    if names.is_empty() { vec!["no flags"] } else { names }
}

/// A flow for programs; the field names are stable.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FlowLine {
    time: String,
    node: String,
    port: String,
    mode: String,
    verdict: String,
    reason: String,
    generation: Option<u64>,
    length: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<RuleLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<EndLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<EndLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_flags: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp: Option<[u8; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ether_type: Option<u16>,
}

#[derive(Serialize)]
struct RuleLine {
    id: String,
    name: String,
}

#[derive(Serialize)]
struct EndLine {
    address: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    identity: u32,
    workload: Option<String>,
}

impl From<&Flow> for FlowLine {
    fn from(flow: &Flow) -> Self {
        let Flow { time: seen, node, port, mode, packet, length, verdict, reason, rule, generation } = flow;
        let rule = rule.as_ref().map(|rule| RuleLine { id: rule.id.to_string(), name: rule.display.clone() });
        let mut line = Self {
            time: time(*seen),
            node: node.to_string(),
            port: port.to_string(),
            mode: Mode::to_string(mode),
            verdict: verdict.to_string(),
            reason: reason.to_string(),
            generation: generation.map(|generation| generation.0),
            length: *length,
            rule,
            source: None,
            destination: None,
            protocol: None,
            tcp_flags: None,
            icmp: None,
            ether_type: None,
        };
        match packet {
            Observed::Frame { ether_type } => line.ether_type = Some(*ether_type),
            Observed::Ip { source, destination, transport } => line.packet(source, destination, transport),
        }
        line
    }
}

impl FlowLine {
    fn packet(&mut self, source: &FlowEnd, destination: &FlowEnd, transport: &Transport) {
        let ports = transport.ports();
        let end = |end: &FlowEnd, port| EndLine {
            address: end.address,
            port,
            identity: end.identity.0,
            workload: end.workload.as_ref().map(ToString::to_string),
        };
        self.source = Some(end(source, ports.map(|(source, _)| source)));
        self.destination = Some(end(destination, ports.map(|(_, destination)| destination)));
        self.protocol = Some(transport.protocol().to_string());
        match *transport {
            Transport::Ports { protocol: Protocol::TCP, tcp_flags, .. } => {
                self.tcp_flags = Some(flags(tcp_flags));
            }
            Transport::Icmp { kind, code, .. } => self.icmp = Some([kind, code]),
            Transport::Ports { .. } | Transport::Other(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_proto::FlowRule;
    use selvedge_topology::identity::Identity;
    use selvedge_topology::model::RuleId;
    use selvedge_topology::plan::Generation;
    use std::time::Duration;

    fn flow(packet: Observed) -> Flow {
        Flow {
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123),
            node: "host1".parse().unwrap(),
            port: "w1".parse().unwrap(),
            mode: Mode::Native,
            packet,
            length: 74,
            verdict: Verdict::Denied,
            reason: "policy-deny".parse().unwrap(),
            rule: Some(FlowRule { id: RuleId(1), display: "db/ingress/sql".into() }),
            generation: Some(Generation(3)),
        }
    }

    fn tcp() -> Flow {
        let end = |address: &str, identity, name: Option<&str>| FlowEnd {
            address: address.parse().unwrap(),
            identity: Identity(identity),
            workload: name.map(|name| name.parse().unwrap()),
        };
        flow(Observed::Ip {
            source: end("10.1.0.11", 256, Some("web1")),
            destination: end("fd00::1", 2, None),
            transport: Transport::Ports {
                protocol: Protocol::TCP,
                source: 40_000,
                destination: 5432,
                tcp_flags: 0x12,
            },
        })
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_flow_is_one_line_with_everything_that_decided() {
        insta::assert_snapshot!(plain(&compact(&tcp(), &IdentityTable::default())), @"2026-09-21T14:13:20.123Z 10.1.0.11:40000 (web1, ID:256) -> [fd00::1]:5432 (world, ID:2) TCP SYN,ACK DENIED policy-deny rule=db/ingress/sql mode=native gen=3 node=host1 port=w1");
        insta::assert_snapshot!(
            plain(&compact(&flow(Observed::Frame { ether_type: 0x88cc }), &IdentityTable::default())),
            @"2026-09-21T14:13:20.123Z frame of Ethernet type 0x88cc DENIED policy-deny rule=db/ingress/sql mode=native gen=3 node=host1 port=w1"
        );
    }

    #[test]
    fn a_flow_as_json_has_stable_names() {
        insta::assert_snapshot!(serde_json::to_string(&FlowLine::from(&tcp())).unwrap(), @r##"{"time":"2026-09-21T14:13:20.123Z","node":"host1","port":"w1","mode":"native","verdict":"DENIED","reason":"policy-deny","generation":3,"length":74,"rule":{"id":"00000001","name":"db/ingress/sql"},"source":{"address":"10.1.0.11","port":40000,"identity":256,"workload":"web1"},"destination":{"address":"fd00::1","port":5432,"identity":2,"workload":null},"protocol":"TCP","tcpFlags":["SYN","ACK"]}"##);
    }

    #[test]
    fn protocols_are_names_in_any_case_or_numbers() {
        assert_eq!(protocol("tcp"), Ok(Protocol::TCP));
        assert_eq!(protocol("ICMPv6"), Ok(Protocol::ICMPV6));
        assert_eq!(protocol("47"), Ok(Protocol(47)));
        assert!(protocol("256").is_err());
    }
}
