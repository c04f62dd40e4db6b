//! Histories as text: what a fixture file holds.

use std::fmt;
use std::str::FromStr;

use super::{History, Step};

const ODD: &str = "== documents of odd generations\n";
const EVEN: &str = "== documents of even generations\n";
const STEPS: &str = "== what happens\n";

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, odd, even, steps } = self;
        write!(f, "node {node}\n{ODD}{odd}{EVEN}{even}{STEPS}")?;
        steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl FromStr for History {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let section = |text: &'_ str, mark: &str| -> Result<(String, String), String> {
            let (before, after) =
                text.split_once(mark).ok_or_else(|| format!("there is no line `{}`", mark.trim()))?;
            Ok((before.to_owned(), after.to_owned()))
        };
        let (head, rest) = section(text, ODD)?;
        let (odd, rest) = section(&rest, EVEN)?;
        let (even, steps) = section(&rest, STEPS)?;
        let node =
            head.lines().find_map(|line| line.strip_prefix("node ")).ok_or("there is no line `node …`")?;
        let said = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
        Ok(Self {
            node: node.trim().parse().map_err(|error| format!("{node}: {error}"))?,
            odd,
            even,
            steps: steps.lines().filter(said).map(str::parse).collect::<Result<_, _>>()?,
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arrives { port, packet } => write!(f, "{port}: {packet}"),
            Self::Leaves { port, packet } => write!(f, "send {port}: {packet}"),
            Self::Waits(seconds) => write!(f, "wait {seconds}"),
            Self::Flips => f.write_str("flip"),
        }
    }
}

impl FromStr for Step {
    type Err = String;
    fn from_str(line: &str) -> Result<Self, String> {
        if line == "flip" {
            return Ok(Self::Flips);
        }
        if let Some(seconds) = line.strip_prefix("wait ") {
            return seconds.parse().map(Self::Waits).map_err(|error| format!("`{line}`: {error}"));
        }
        let (port, packet) = line.split_once(": ").ok_or_else(|| format!("`{line}` is no step"))?;
        let named = |port: &str| port.parse().map_err(|error| format!("`{line}`: {error}"));
        let packet = packet.parse()?;
        Ok(match port.strip_prefix("send ") {
            Some(port) => Self::Leaves { port: named(port)?, packet },
            None => Self::Arrives { port: named(port)?, packet },
        })
    }
}
