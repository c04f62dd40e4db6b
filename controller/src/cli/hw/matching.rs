//! `selvedge hw match`: which profile, which mode, why, at what cost.

use std::fs;
use std::path::{Path, PathBuf};

use selvedge_hw_profiles::fit::{BypassCheck, BypassState, PassedOver};
use selvedge_hw_profiles::port::PciId;
use selvedge_hw_profiles::units::Bytes;
use selvedge_hw_profiles::{Fit, Match, Port, Profiles, Recording, Requirement, fit};
use serde::Serialize;

use crate::cli::output::{self, Format};
use crate::cli::table::{or_dash, table};
use crate::cli::{Answer, CliError};

pub(super) const EXAMPLES: &str = "Examples:
  selvedge hw match --driver mlx5_core --pci 15b3:a2dc       # every port of a BlueField-3
  selvedge hw match --pci 8086:159b --mtu 9000 -o wide        # a number of `lspci -nn` will do
  selvedge hw match --driver nfp --firmware '0.0.5.5 ebpf'    # as `ethtool -i` has it
  selvedge-agent probe --record host7.yaml                    # there, and here:
  selvedge hw match --recording host7.yaml";

#[derive(clap::Args)]
pub(super) struct Args {
    /// What the driver calls itself (`ethtool -i`).
    #[arg(long, value_name = "NAME", required_unless_present_any = ["pci", "recording"])]
    driver: Option<String>,
    /// Vendor and device on the PCI bus, as in 15b3:a2dc.
    #[arg(long, value_name = "ID")]
    pci: Option<PciId>,
    /// The firmware's version (`ethtool -i`).
    #[arg(long, value_name = "TEXT")]
    firmware: Option<String>,
    /// The name of the port on its device (`ip -d link`), which says what it is: p0, c1pf0, pf0vf1. Without one, every role is shown.
    #[arg(long, value_name = "NAME", requires = "driver")]
    phys_port_name: Option<String>,
    /// The MTU, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 1500)]
    mtu: u32,
    /// What `selvedge-agent probe --record` wrote: every port of it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["driver", "pci", "firmware", "phys_port_name", "mtu"])]
    recording: Option<PathBuf>,
    /// How it is shown.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// What a port would get.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    port: String,
    driver: String,
    profile: Option<String>,
    matched_by: Option<&'static str>,
    role: Option<&'static str>,
    fit: Fit,
}

pub(super) fn run(profiles: &Profiles, args: &Args) -> Result<Answer, CliError> {
    let rows = match &args.recording {
        Some(file) => of_recording(profiles, file)?,
        None => of_device(profiles, args),
    };
    output::print(&match args.output {
        Format::Json => output::json(&rows)?,
        Format::Yaml => output::yaml(&rows)?,
        Format::Table => table(&HEAD, rows.iter().map(cells)),
        Format::Wide => rows.iter().map(paragraph).collect::<Vec<_>>().join("\n"),
    })?;
    Ok(if rows.iter().all(|row| row.profile.is_some()) { Answer::Yes } else { Answer::No })
}

fn of_recording(profiles: &Profiles, path: &Path) -> Result<Vec<Row>, CliError> {
    let text = fs::read_to_string(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    let recording = Recording::parse(&path.display().to_string(), &text)?;
    Ok(recording.ports.into_iter().map(|(name, port)| row(profiles, &name, &port.seen)).collect())
}

/// Every role that a port of such a device can have; the one that a name says, where one is given.
fn of_device(profiles: &Profiles, args: &Args) -> Vec<Row> {
    let by_pci = args.pci.and_then(|id| profiles.by_pci(id)).map(|entry| &entry.profile);
    let driver = args.driver.as_ref().or_else(|| by_pci?.matching.drivers.first());
    let mut port = Port::new(driver.map_or("unknown", String::as_str), Bytes(args.mtu));
    (port.pci, port.firmware) = (args.pci, args.firmware.clone());
    port.phys_port_name.clone_from(&args.phys_port_name);
    match profiles.of(&port) {
        Some(Match { entry, .. }) if args.phys_port_name.is_none() => {
            let narrowed = entry.profile.netdevs.iter().map(|netdev| netdev.when.narrow(&port));
            // What a profile extends may name interfaces that only other devices have.
            let own = narrowed.filter(|port| entry.profile.matching.of(port).is_some());
            own.map(|port| row(profiles, "PORT", &port)).collect()
        }
        _ => vec![row(profiles, "PORT", &port)],
    }
}

fn row(profiles: &Profiles, name: &str, port: &Port) -> Row {
    let found = profiles.of(port);
    let profile = found.map(|found| &found.entry.profile);
    Row {
        port: name.to_owned(),
        driver: port.driver.clone(),
        profile: profile.map(|profile| profile.name.clone()),
        matched_by: found.map(|found| found.evidence.name()),
        role: profile.and_then(|profile| Some(profile.netdev(port)?.role.name())),
        fit: fit(&Requirement::best(), profile, name, port),
    }
}

const HEAD: [&str; 7] = ["PORT", "DRIVER", "PROFILE", "MATCHED-BY", "ROLE", "MODE", "WHY"];

fn cells(row: &Row) -> [String; 7] {
    let Row { port, driver, profile, matched_by, role, fit } = row;
    let (matched_by, role) = (or_dash(matched_by.unwrap_or_default()), or_dash(role.unwrap_or_default()));
    let profile = or_dash(profile.clone().unwrap_or_default());
    [port.clone(), driver.clone(), profile, matched_by, role, fit.mode.to_string(), fit.to_string()]
}

/// Everything there is to say of a port.
fn paragraph(row: &Row) -> String {
    let Row { port, driver, profile, matched_by, role, fit } = row;
    let profile = profile.as_deref().unwrap_or("none");
    let by = matched_by.map_or(String::new(), |by| format!(", matched by {by}"));
    let role = role.unwrap_or("of no role");
    let mut out = format!("{port}: {}\n  {role}, driver {driver}, profile {profile}{by}\n", fit.mode);
    for PassedOver { mode, reasons } in &fit.passed_over {
        for reason in reasons {
            out += &format!("  no {mode}: {reason}\n");
        }
    }
    fit.costs.iter().for_each(|cost| out += &format!("  cost: {cost}\n"));
    fit.unseen.iter().for_each(|need| out += &format!("  not looked at: {need}\n"));
    for BypassCheck { risk, state, mend, .. } in &fit.bypasses {
        let state = match state {
            BypassState::Shut => "shut",
            BypassState::Unseen => "maybe",
            BypassState::Open => "open",
            BypassState::Always => "always",
        };
        let mend = mend.as_ref().map_or(String::new(), |mend| format!(" (`{mend}` shuts it)"));
        out += &format!("  past it, {state}: {risk}{mend}\n");
    }
    out
}
