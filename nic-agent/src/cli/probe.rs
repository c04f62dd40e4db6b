//! `probe`: what each port can really do.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use selvedge_hw_profiles::fit::BypassState;
use selvedge_hw_profiles::port::Devlink;
use selvedge_hw_profiles::recording::{RecordedPort, Recording, Trial};
use selvedge_hw_profiles::{Fit, Port, Profiles, Requirement, fit};
use serde::Serialize;

use super::Outcome;
use crate::{machine, probe};

/// Options of `probe`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// The interfaces to look at; all but the loopback where none is named
    ports: Vec<String>,
    /// Write what was seen to a file, for `selvedge hw match --recording` and for tests
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// A folder of hardware profiles; they go before those that come with the agent
    #[arg(long, value_name = "DIR", env = "SELVEDGE_PROFILES")]
    profiles: Option<PathBuf>,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    Table,
    Json,
    Yaml,
}

/// What can be said of a port.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    port: String,
    profile: Option<String>,
    role: Option<&'static str>,
    seen: Port,
    tried: Vec<Trial>,
    fit: Fit,
}

pub(super) fn run(options: &Options) -> Outcome {
    let profiles = Profiles::with_folder(options.profiles.as_deref())?;
    let names: BTreeSet<String> = options.ports.iter().cloned().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let recording = runtime.block_on(async {
        let (netlink, _events) = machine::watch()?;
        probe::probe(&netlink, &profiles, &names).await
    })?;
    if let Some(file) = &options.record {
        let text = recording.to_yaml()?;
        std::fs::write(file, text).map_err(|error| format!("can't write {}: {error}", file.display()))?;
    }
    let rows = rows(&profiles, recording);
    match options.output {
        Form::Json => anstream::println!("{}", serde_json::to_string_pretty(&rows)?),
        Form::Yaml => anstream::print!("{}", serde_norway::to_string(&rows)?),
        Form::Table => rows.iter().for_each(print),
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(profiles: &Profiles, recording: Recording) -> Vec<Row> {
    let row = |(port, RecordedPort { seen, tried }): (String, RecordedPort)| {
        let profile = profiles.of(&seen).map(|found| &found.entry.profile);
        let role = profile.and_then(|profile| Some(profile.netdev(&seen)?.role.name()));
        let fit = fit(&Requirement::best(), profile, &port, &seen);
        Row { profile: profile.map(|profile| profile.name.clone()), role, seen, tried, fit, port }
    };
    recording.ports.into_iter().map(row).collect()
}

fn print(row: &Row) {
    let Row { port, profile, role, seen, tried, fit } = row;
    let pci = seen.pci.map_or(String::new(), |id| format!(", PCI {id}"));
    let firmware = seen.firmware.as_ref().map_or(String::new(), |text| format!(", firmware {text}"));
    anstream::println!("{port}: {} ({fit})", fit.mode);
    let profile = profile.as_deref().unwrap_or("none");
    let role = role.map_or(String::new(), |role| format!(", {role}"));
    anstream::println!("  driver {}{pci}{firmware}; profile {profile}{role}; MTU {}", seen.driver, seen.mtu);
    if let Some(devlink) = &seen.devlink {
        anstream::println!("  {}", on_device(devlink));
    }
    if let Some(features) = &seen.xdp_features {
        let names: Vec<&str> = features.iter().map(|feature| feature.name()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        anstream::println!("  XDP features by the kernel's word: {names}");
    }
    for Trial { mode, load, refused } in tried {
        let result = refused.as_deref().unwrap_or("taken");
        anstream::println!("  tried, {mode}, {load}: {result}");
    }
    for cost in &fit.costs {
        anstream::println!("  {cost}");
    }
    for bypass in fit.bypasses.iter().filter(|bypass| bypass.state >= BypassState::Open) {
        let mend = bypass.mend.as_ref().map_or(String::new(), |mend| format!(" (`{mend}` shuts it)"));
        anstream::println!("  past it: {}{mend}", bypass.risk);
    }
}

/// The device, what the port is on it, the versions that run, and the mode of its switch.
fn on_device(Devlink { device, flavour, driver: _, versions, eswitch }: &Devlink) -> String {
    let running = versions.running.iter().map(|(name, text)| format!(", {name} {text}"));
    let flavour = flavour.map(|flavour| format!(", {}", flavour.name()));
    let eswitch = eswitch.map(|eswitch| format!(", eSwitch {}", eswitch.mode));
    let facts: String = flavour.into_iter().chain(running).chain(eswitch).collect();
    format!("device {device}{facts}")
}
