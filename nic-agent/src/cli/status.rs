//! `status`: what is pinned, read from the kernel.

use std::fmt::Display;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use super::{Outcome, Place};
use crate::datapath::{PinnedState, Pins, PlainLink};
use crate::{machine, surroundings};
use selvedge_agent_core::Hook;
use selvedge_hw_profiles::Mode;

/// Options of `status`.
#[derive(clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    place: Place,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    Text,
    Json,
}

#[derive(Serialize)]
struct Status {
    node: String,
    /// 0: none, and everything is shut.
    generation: u64,
    slot: u32,
    addresses: usize,
    prefixes: usize,
    policies: usize,
    intervals: usize,
    ports: Vec<Port>,
    /// What judges packets that the node itself sends.
    egress: Vec<Port>,
    /// What drops in the NIC before the program in the kernel is asked.
    nics: Vec<Port>,
    /// What judges packets that ports receive while their programs are exchanged for ones in other modes.
    stand_ins: Vec<Port>,
}

#[derive(Serialize)]
struct Port {
    name: String,
    ifindex: Option<u32>,
    mode: String,
    link: u32,
    program: u32,
}

pub(super) fn run(options: &Options) -> Outcome {
    surroundings::check()?;
    let Place { node, bpffs } = &options.place;
    let Some(pins) = Pins::find(bpffs, node) else {
        anstream::println!(
            "nothing is pinned for node {node} under {}: nothing is enforced",
            bpffs.display()
        );
        return Ok(ExitCode::FAILURE);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let interfaces = || -> Result<_, Box<dyn std::error::Error>> {
        let dump = async {
            let (netlink, _events) = machine::watch()?;
            machine::interfaces(&netlink).await
        };
        Ok(runtime.block_on(dump)?)
    };
    let status = status(node.to_string(), PinnedState::read(&pins, interfaces)?);
    match options.output {
        Form::Text => print(&status),
        Form::Json => anstream::println!("{}", serde_json::to_string_pretty(&status)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn status(node: String, state: PinnedState) -> Status {
    let PinnedState { tables, links, egress, nics, stand_ins } = state;
    let slot = selvedge_agent_core::Slot::in_use(&tables.config);
    let half = tables.slot(slot);
    let ports = links.into_iter().map(|link| Port {
        name: link.port.to_string(),
        ifindex: link.index.map(|index| index.0),
        mode: link.mode.map_or("gone".to_owned(), |mode| mode.to_string()),
        link: link.id,
        program: link.program,
    });
    let egress = egress.into_iter().map(|link| plain(&link, &Hook::Egress));
    let nics = nics.into_iter().map(|link| plain(&link, &Mode::Offload));
    let stand_ins = stand_ins.into_iter().map(|link| plain(&link, &"stand-in"));
    Status {
        node,
        generation: tables.config.generation,
        slot: slot.number(),
        addresses: half.addresses.len(),
        prefixes: half.prefixes.len(),
        policies: half.policies.len(),
        intervals: half.intervals.len(),
        ports: ports.collect(),
        egress: egress.collect(),
        nics: nics.collect(),
        stand_ins: stand_ins.collect(),
    }
}

fn plain(link: &PlainLink, mode: &dyn Display) -> Port {
    Port {
        name: link.port.to_string(),
        ifindex: link.index.map(|index| index.0),
        mode: link.index.map_or("gone".to_owned(), |_| mode.to_string()),
        link: link.id,
        program: link.program,
    }
}

fn print(status: &Status) {
    let Status { node, generation, slot, addresses, prefixes, policies, intervals, .. } = status;
    let Status { ports, egress, nics, stand_ins, .. } = status;
    match generation {
        0 => anstream::println!("node {node}: no generation in force, everything is shut"),
        _ => anstream::println!("node {node}: generation {generation} in force, in slot {slot}"),
    }
    anstream::println!(
        "tables: {addresses} addresses, {prefixes} prefixes, {policies} policies, {intervals} intervals"
    );
    for Port { name, ifindex, mode, link, program } in ports.iter().chain(egress).chain(nics).chain(stand_ins)
    {
        let index = ifindex.map_or("no interface".to_owned(), |index| format!("interface {index}"));
        anstream::println!("port {name}: {mode} ({index}, link {link}, program {program})");
    }
}
