//! iptables (ip6tables): connection tracking, then one rule after the other. The legacy one, which is the faster: the other
//! translates to nftables, rule by rule.

use std::fmt::Write;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Ready, nft::handshakes, pass};
use crate::cases::{Case, Verdict};
use crate::frames::Family;
use crate::stage::{SERVICE, Stage};
use crate::tool;
use crate::world::{Policy, World};

pub(super) struct Iptables {
    command: &'static str,
    table: &'static str,
    /// The chain whose first rule counts the verdict.
    chain: &'static str,
    _link: OwnedFd,
}

pub(super) fn prepare(case: &Case, stage: &Stage) -> Result<Iptables> {
    let (command, restore) = match case.world.family {
        Family::V4 => ("iptables-legacy", "iptables-legacy-restore"),
        Family::V6 => ("ip6tables-legacy", "ip6tables-legacy-restore"),
    };
    tool::feed(&mut Command::new(restore), &rules(&case.world))?;
    let link = pass(stage)?;
    if case.verdict() == Verdict::Established {
        handshakes(case.world.family, &case.flows, stage)?;
    }
    let table = match case.world.policy {
        Policy::Blocked(_) => "raw",
        Policy::Pairs | Policy::Identities => "mangle",
    };
    let chain = match case.verdict() {
        Verdict::Established => "established",
        Verdict::Denied => "denied",
        Verdict::Opened => "allowed",
    };
    Ok(Iptables { command, table, chain, _link: link })
}

impl Ready for Iptables {
    fn counted(&mut self) -> Result<u64> {
        let arguments = ["-t", self.table, "-nvxL", self.chain, "1"];
        let text = tool::run(Command::new(self.command).args(arguments))?;
        let packets = text.split_whitespace().next().and_then(|word| word.parse().ok());
        packets.with_context(|| format!("{} lists no packets: {text}", self.command))
    }

    fn program(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Input for the restore commands. A chain for each verdict, so that one rule counts it.
fn rules(world: &World) -> String {
    let mut out = String::from("*raw\n-A OUTPUT -j DROP\n");
    let verdicts = "-A established -j DROP\n-A allowed -j ACCEPT\n-A denied -j DROP\n";
    let chains = ":established - [0:0]\n:allowed - [0:0]\n:denied - [0:0]\n";
    match &world.policy {
        Policy::Blocked(networks) => {
            out += chains;
            for network in networks {
                let _infallible = writeln!(out, "-A PREROUTING -s {network} -g denied");
            }
        }
        Policy::Pairs | Policy::Identities => {
            out += "COMMIT\n*mangle\n";
            out += chains;
            out += "-A PREROUTING -m conntrack --ctstate ESTABLISHED -g established\n";
            for (subject, peer) in
                world.subjects.iter().flat_map(|subject| world.peers.iter().map(move |peer| (subject, peer)))
            {
                let _infallible =
                    writeln!(out, "-A PREROUTING -s {peer} -d {subject} -p tcp --dport {SERVICE} -g allowed");
            }
            out += "-A PREROUTING -g denied\n";
        }
    }
    out + verdicts + "COMMIT\n"
}
