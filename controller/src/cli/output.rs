//! Writing answers: text as it is, things as JSON and YAML.

use std::io::Write as _;

use clap::ValueEnum;
use serde::Serialize;

use super::CliError;

/// The forms of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns.
    Table,
    /// More columns.
    Wide,
    /// JSON, with stable field names.
    Json,
    /// YAML; documents as they can be applied again.
    Yaml,
}

/// Writes text to standard output.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)
}

/// A thing as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| CliError::Format { format: "JSON", reason: error.to_string() })?;
    Ok(text + "\n")
}

/// A thing as YAML.
pub(super) fn yaml(value: &impl Serialize) -> Result<String, CliError> {
    serde_norway::to_string(value)
        .map_err(|error| CliError::Format { format: "YAML", reason: error.to_string() })
}
