//! Commands that contenders are set up with.

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

/// Why a tool could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// It is not there.
    #[error("`{tool}` is missing: install the package {package}, or run .ci/setup --bench")]
    Missing { tool: String, package: &'static str },
    /// It failed.
    #[error("`{tool}` failed: {message}")]
    Failed { tool: String, message: String },
}

/// The Debian package that has a tool.
fn package(tool: &str) -> &'static str {
    match tool {
        "ip" => "iproute2",
        "nft" => "nftables",
        "xdp-filter" => "xdp-tools",
        _ => "iptables",
    }
}

/// Runs a command to its end and returns what it prints.
pub(crate) fn run(command: &mut Command) -> Result<String, ToolError> {
    feed(command, "")
}

/// Runs a command with `input` and returns what it prints.
pub(crate) fn feed(command: &mut Command, input: &str) -> Result<String, ToolError> {
    let tool = command.get_program().to_string_lossy().into_owned();
    let failed = |message: String| ToolError::Failed { tool: tool.clone(), message };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => ToolError::Missing { tool: tool.clone(), package: package(&tool) },
        _ => failed(error.to_string()),
    })?;
    // The tools used here read all of their input before they print more than a pipe holds.
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(failed(words.lines().take(3).collect::<Vec<_>>().join(" / ")));
    }
    written.map_err(|error| failed(error.to_string()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
