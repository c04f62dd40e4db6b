//! nftables: the same policy as sets and verdict maps, behind connection tracking.
//!
//! Everything is decided, and dropped, at the earliest hook that can: prerouting, raw where nothing is tracked. Only
//! what must be entered goes on to the local stack, where the kernel confirms a connection.

use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Ready, pass};
use crate::cases::{Case, Verdict};
use crate::feeder::Feeder;
use crate::frames::{Family, Flow, Segment, frame};
use crate::stage::{SERVICE, Stage};
use crate::tool;
use crate::world::{IDENTITIES, Policy, World};

pub(super) struct Nft {
    counter: &'static str,
    /// Counted before the counters were last reset.
    packets: u64,
    _link: OwnedFd,
}

pub(super) fn prepare(case: &Case, stage: &Stage) -> Result<Nft> {
    tool::feed(Command::new("nft").args(["-f", "-"]), &ruleset(&case.world))?;
    let link = pass(stage)?;
    if case.verdict() == Verdict::Established {
        handshakes(case.world.family, &case.flows, stage)?;
    }
    Ok(Nft { counter: counter(case.verdict()), packets: 0, _link: link })
}

/// The name of the counter of a verdict.
fn counter(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Established => "established",
        Verdict::Denied => "denied",
        Verdict::Opened => "allowed",
    }
}

/// Opens connections in the kernel's tracker by their own frames. The answers come in by the same port: the tracker sees
/// them before routing throws them away.
pub(super) fn handshakes(family: Family, flows: &[Flow], stage: &Stage) -> Result<()> {
    for segment in [Segment::Syn, Segment::SynAck, Segment::Ack] {
        let frames: Vec<Vec<u8>> = flows
            .iter()
            .map(|flow| if segment == Segment::SynAck { flow.reversed() } else { *flow })
            .map(|flow| frame(&flow, segment))
            .collect();
        let feeder = Feeder::new(family, &frames, stage.feed)?;
        feeder.send(0, feeder.count())?;
    }
    Ok(())
}

impl Ready for Nft {
    fn counted(&mut self) -> Result<u64> {
        // Listing would fetch every element of every set first, for half a minute; resetting does not.
        let arguments = ["-j", "reset", "counters", "table", "inet", "bench"];
        let text = tool::run(Command::new("nft").args(arguments))?;
        let json: serde_json::Value = serde_json::from_str(&text)?;
        let objects = json["nftables"].as_array().context("nft's JSON has a list")?;
        let mut counters = objects.iter().map(|object| &object["counter"]);
        let counter = counters.find(|counter| counter["name"] == self.counter);
        let packets = counter.and_then(|counter| counter["packets"].as_u64());
        self.packets += packets.with_context(|| format!("nft's JSON has no counter {}", self.counter))?;
        Ok(self.packets)
    }

    fn program(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// What differs between the families in nft's language.
struct Words {
    address: &'static str,
    source: &'static str,
    destination: &'static str,
}

fn words(family: Family) -> Words {
    match family {
        Family::V4 => Words { address: "ipv4_addr", source: "ip saddr", destination: "ip daddr" },
        Family::V6 => Words { address: "ipv6_addr", source: "ip6 saddr", destination: "ip6 daddr" },
    }
}

fn ruleset(world: &World) -> String {
    let (tables, hook) = match &world.policy {
        Policy::Pairs => pairs(world),
        Policy::Identities => identities(world),
        Policy::Blocked(_) => blocked(world),
    };
    format!(
        "table inet bench {{\n counter established {{ }}\n counter allowed {{ }}\n counter denied {{ }}\n\
         {tables}\n\
         chain service {{\n  tcp dport {SERVICE} counter name allowed accept\n  counter name denied drop\n }}\n\
         chain arriving {{\n{hook}\n }}\n\
         chain leaving {{\n  type filter hook output priority raw; policy drop;\n }}\n}}\n"
    )
}

fn list<T: std::fmt::Display>(elements: impl IntoIterator<Item = T>) -> String {
    elements.into_iter().map(|element| element.to_string()).collect::<Vec<_>>().join(", ")
}

fn tracked(rules: &str) -> String {
    format!(
        "  type filter hook prerouting priority filter; policy accept;\n\
         ct state established counter name established drop\n{rules}\ncounter name denied drop"
    )
}

fn pairs(world: &World) -> (String, String) {
    let Words { address, source, destination } = words(world.family);
    let pair = |(subject, peer): (&IpAddr, &IpAddr)| format!("{subject} . {peer} : goto service");
    let pairs = world.subjects.iter().flat_map(|subject| world.peers.iter().map(move |peer| (subject, peer)));
    let elements = list(pairs.map(pair));
    (
        format!("map pairs {{ type {address} . {address} : verdict; elements = {{ {elements} }} }}"),
        tracked(&format!("{destination} . {source} vmap @pairs")),
    )
}

fn identities(world: &World) -> (String, String) {
    let Words { address, source, destination } = words(world.family);
    let elements = world.peers.iter().enumerate();
    let elements = list(elements.map(|(index, peer)| format!("{peer} : {}", 1 + world.peer_identity(index))));
    let subject = list(&world.subjects);
    let classes = list((1..=IDENTITIES).map(|identity| format!("{identity} : goto service")));
    (
        format!(
            "map identity {{ type {address} : mark; elements = {{ {elements} }} }}\n\
             map classes {{ type mark : verdict; elements = {{ {classes} }} }}"
        ),
        tracked(&format!(
            "{destination} {subject} meta mark set {source} map @identity meta mark vmap @classes"
        )),
    )
}

fn blocked(world: &World) -> (String, String) {
    let Policy::Blocked(networks) = &world.policy else { unreachable!("called for this policy") };
    let Words { address, source, .. } = words(world.family);
    (
        format!("set blocked {{ type {address}; flags interval; elements = {{ {} }} }}", list(networks)),
        format!(
            "  type filter hook prerouting priority raw; policy accept;\n{source} @blocked counter name denied drop"
        ),
    )
}
