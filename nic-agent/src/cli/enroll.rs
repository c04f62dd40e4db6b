//! `enroll`: a token becomes the node's identity.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use selvedge_topology::names::NodeName;
use selvedge_trust::member::Invitee;
use selvedge_trust::token::Token;

use super::Outcome;
use crate::membership::Membership;

/// Options of `enroll`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// The token that `selvedge node enroll` printed; `-` reads it from standard input
    #[arg(long, value_name = "FILE|-")]
    token_file: PathBuf,
    /// Which node this is; the token has to be for it
    #[arg(long, env = "SELVEDGE_NODE")]
    node: Option<NodeName>,
    /// Where the node's identity is kept, beside the last accepted plan
    #[arg(long, value_name = "DIR", default_value = "/var/lib/selvedge", env = "SELVEDGE_STATE_DIR")]
    state_dir: PathBuf,
}

pub(super) fn run(options: &Options) -> Outcome {
    let text = read(&options.token_file);
    let absent = |error| {
        let file = options.token_file.display();
        format!("{file}: {error}; `selvedge node enroll NODE` prints a token, which goes into that file")
    };
    let token: Token = text.map_err(absent)?.parse()?;
    let node = match &token.invitee {
        Invitee::Node(node) => node.clone(),
        Invitee::Operator { name, .. } => {
            return Err(format!("that token is for operator {name}; it goes to `selvedge login`").into());
        }
    };
    if let Some(here) = &options.node
        && *here != node
    {
        return Err(format!("that token is for node {node}, and this is {here}").into());
    }
    if token.is_over(SystemTime::now()) {
        return Err(format!("the token ended; make a new one with `selvedge node enroll {node}`").into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let membership = runtime.block_on(Membership::enrol(token, &options.state_dir, &node))?;
    let end = humantime::format_rfc3339_seconds(membership.identity().certificate().end);
    let fabric = membership.anchor.fabric;
    anstream::println!(
        "node {node} is of fabric {fabric} until {end}, and renews that by itself while the agent runs"
    );
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> std::io::Result<String> {
    if path.as_os_str() != "-" {
        return std::fs::read_to_string(path);
    }
    let mut text = String::new();
    std::io::stdin().lock().take(1 << 16).read_to_string(&mut text)?;
    Ok(text)
}
