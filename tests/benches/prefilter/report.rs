//! What was measured, for people and for programs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use crate::frames::Family;

/// Which programs a packet goes through.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Full,
    Both,
}

impl Way {
    pub(crate) const BOTH: [Self; 2] = [Self::Full, Self::Both];
}

/// Nanoseconds a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// The programs alone, for one that is denied.
    pub(crate) denied: f64,
    /// The programs alone, for one of an established connection.
    pub(crate) established: f64,
    /// The whole receive path, for the flood.
    pub(crate) path: f64,
}

/// One case.
pub(crate) struct Outcome {
    pub(crate) family: Family,
    pub(crate) peers: u32,
    pub(crate) full: Figures,
    pub(crate) both: Figures,
    /// Instructions of the prefilter.
    pub(crate) prefilter: usize,
    /// Its maps of addresses; 0 where it is a tree.
    pub(crate) tables: usize,
}

pub(crate) const NOTES: &str = "ns a packet, medians; denied and established: BPF_PROG_TEST_RUN of one packet; flood: live frames into a veth, \
99 in 100 denied.\nThe prefilter runs natively on the port and goes on in the full program by a tail call.";

/// The median of each figure.
pub(crate) fn median(samples: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> f64| {
        let mut sorted: Vec<f64> = samples.iter().map(figure).collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Figures {
        denied: of(|figures| figures.denied),
        established: of(|figures| figures.established),
        path: of(|figures| figures.path),
    }
}

pub(crate) fn head() -> String {
    format!(
        "{:<6} {:>6} {:>12} {:>6}   {:>15} {:>15} {:>15}",
        "FAMILY", "PEERS", "INSTRUCTIONS", "TABLES", "DENIED", "ESTABLISHED", "FLOOD"
    )
}

pub(crate) fn line(outcome: &Outcome) -> String {
    let Outcome { family, peers, full, both, prefilter, tables } = outcome;
    let pair = |full: f64, both: f64| format!("{full:.0} -> {both:.0}");
    format!(
        "{:<6} {peers:>6} {prefilter:>12} {tables:>6}   {:>15} {:>15} {:>15}\n",
        family.name(),
        pair(full.denied, both.denied),
        pair(full.established, both.established),
        pair(full.path, both.path)
    )
}

/// Writes target/bench/prefilter.json.
pub(crate) fn write(outcomes: &[Outcome]) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs::create_dir_all(&folder)?;
    let path = fs::canonicalize(folder)?.join("prefilter.json");
    let figures = |figures: &Figures| json!({"denied_ns": figures.denied, "established_ns": figures.established, "flood_ns": figures.path});
    let cases: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            json!({
                "family": outcome.family.name(),
                "peers": outcome.peers,
                "prefilter_instructions": outcome.prefilter,
                "prefilter_tables": outcome.tables,
                "full": figures(&outcome.full),
                "prefilter_and_full": figures(&outcome.both),
            })
        })
        .collect();
    let text = serde_json::to_string_pretty(
        &json!({"way": "native, the prefilter tail-calls the full program", "cases": cases}),
    )?;
    fs::write(&path, text + "\n")?;
    Ok(path)
}
