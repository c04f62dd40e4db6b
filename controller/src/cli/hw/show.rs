//! `selvedge hw show`.

use std::fmt::{self, Display, Write as _};

use selvedge_hw_profiles::profile::{Constraint, Netdev, OffloadLimits, Otherwise, Support};
use selvedge_hw_profiles::{Entry, Mode, Profile, Profiles};

use crate::cli::output::{self, Format};
use crate::cli::table::list;
use crate::cli::{Answer, CliError};

pub(super) const EXAMPLES: &str = "Examples:\n  selvedge hw show bluefield-3\n  \
                                   selvedge hw show i225 -o yaml > profiles/i225.yaml   # to change and use with --profiles";

#[derive(clap::Args)]
pub(super) struct Args {
    /// The profile; `selvedge hw list` lists them.
    #[arg(value_name = "PROFILE")]
    name: String,
    /// How it is shown; as YAML it can be used as a profile of your own.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

pub(super) fn run(profiles: &Profiles, args: &Args) -> Result<Answer, CliError> {
    let entry = profiles.get(&args.name).ok_or_else(|| CliError::NoProfile { name: args.name.clone() })?;
    output::print(&match args.output {
        Format::Json => output::json(&entry.profile)?,
        Format::Yaml => output::yaml(&entry.profile)?,
        Format::Table | Format::Wide => text(entry)?,
    })?;
    Ok(Answer::Yes)
}

fn text(entry: &Entry) -> Result<String, CliError> {
    let mut out = String::new();
    write_text(&mut out, entry)
        .map_err(|error| CliError::Format { format: "text", reason: error.to_string() })?;
    Ok(out)
}

fn write_text(out: &mut String, Entry { profile, origin }: &Entry) -> fmt::Result {
    let Profile {
        name,
        title,
        kind,
        kernel,
        matching,
        netdevs,
        on_set,
        constraints,
        offload,
        bypasses,
        unknown,
        ..
    } = profile;
    writeln!(out, "{title}")?;
    writeln!(out, "Profile:    {name} ({}, {}), read in Linux {kernel}", kind.name(), origin.name())?;
    writeln!(out, "Drivers:    {}", list(&matching.drivers))?;
    if !matching.pci.is_empty() {
        writeln!(out, "PCI ids:    {} (no others)", list(&matching.pci))?;
    }
    if !matching.ids.is_empty() {
        writeln!(out, "PCI ids:    {}", list(&matching.ids))?;
    }
    if let Some(firmware) = &matching.firmware {
        writeln!(out, "Firmware:   {firmware}")?;
    }
    for netdev in netdevs {
        write_netdev(out, netdev)?;
    }
    if let Some(on_set) = on_set {
        let (first, exchange) = (on_set.first.name(), on_set.exchange.name());
        writeln!(out, "On set:     first or last program: {first}; exchange: {exchange}")?;
        write_source(out, &on_set.source)?;
    }
    heading(out, "Needs", constraints.is_empty())?;
    for Constraint { needs, modes, otherwise, mend, source } in constraints {
        let otherwise = match otherwise {
            Otherwise::Refused => "else refused",
            Otherwise::Slower => "else slower",
            Otherwise::Blind => "else the program does not see all of the packet",
        };
        writeln!(out, "  {}: {needs}; {otherwise}", list(modes))?;
        if let Some(mend) = mend {
            writeln!(out, "    mended by: {}", String::from(mend.clone()))?;
        }
        write_source(out, source)?;
    }
    if let Some(limits) = offload {
        write_limits(out, limits)?;
    }
    heading(out, "Ways past it", bypasses.is_empty())?;
    for bypass in bypasses {
        let roles =
            if bypass.roles.is_empty() { String::new() } else { format!(" ({})", list(&bypass.roles)) };
        writeln!(out, "  {}{roles}", bypass.risk)?;
        write_source(out, &bypass.source)?;
    }
    heading(out, "Not known", unknown.is_empty())?;
    unknown.iter().try_for_each(|what| writeln!(out, "  {what}"))
}

fn heading(out: &mut String, heading: &str, none: bool) -> fmt::Result {
    let label = format!("{heading}:");
    if none { writeln!(out, "{label:<14}-") } else { writeln!(out, "{label}") }
}

fn write_source(out: &mut String, source: &impl Display) -> fmt::Result {
    writeln!(out, "    {source}")
}

fn write_netdev(out: &mut String, netdev: &Netdev) -> fmt::Result {
    writeln!(out, "{} (best: {}):", netdev.role, netdev.best())?;
    for (mode, support) in [(Mode::Offload, &netdev.offload), (Mode::Native, &netdev.native)] {
        match support {
            Support::Runs(_) => writeln!(out, "  {mode}: programs run")?,
            Support::Absent(because, _) => writeln!(out, "  {mode}: no, {because}")?,
            Support::Ignored(because, _) => writeln!(out, "  {mode}: accepted and not run, {because}")?,
        }
        write_source(out, support.source())?;
    }
    Ok(())
}

fn write_limits(out: &mut String, limits: &OffloadLimits) -> fmt::Result {
    let OffloadLimits {
        map_types,
        maps,
        entries_each,
        entries,
        key,
        value,
        entry,
        instructions,
        stack,
        helpers,
        verdicts,
        exchange,
    } = limits;
    let kinds = map_types.value.iter().map(|kind| kind.name());
    let verdicts = verdicts.value.iter().map(|verdict| verdict.name());
    let rows: [(&str, String); 12] = [
        ("kinds of maps", list(kinds)),
        ("maps", maps.to_string()),
        ("entries of a map", entries_each.to_string()),
        ("entries of all maps", entries.to_string()),
        ("key", key.to_string()),
        ("value", value.to_string()),
        ("key and value", entry.to_string()),
        ("program", instructions.to_string()),
        ("stack", stack.to_string()),
        ("helpers", list(&helpers.value)),
        ("verdicts", list(verdicts)),
        ("exchange", exchange.value.to_string()),
    ];
    writeln!(out, "The device takes:")?;
    rows.iter().try_for_each(|(what, limit)| writeln!(out, "  {what:<22}{limit}"))
}
