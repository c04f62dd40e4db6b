//! What a program in a NIC takes of its device, and what it leaves to the program in the kernel.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::identity::Identity;
use crate::model::RuleId;

/// A program in a NIC: what it takes, of how much, and what did not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceCost {
    /// How much it decides.
    pub kind: DeviceKind,
    /// Why it is no more than a prefilter; empty where it is complete.
    pub incomplete: String,
    /// Its instructions.
    pub instructions: Share,
    /// Its maps.
    pub maps: Share,
    /// Entries that all its maps have room for.
    pub entries: Share,
    /// Entries that the largest of them has room for.
    pub entries_each: Share,
    /// Bytes of the largest entry: key and value, each rounded up to eight.
    pub entry_bytes: Share,
    /// Whether it counts what it drops.
    pub counting: Counting,
    /// What it would drop, had it found room; those that are worth most first, and no more than a report has room for.
    pub shed: Vec<ShedDrops>,
    /// How many more were shed.
    pub shed_more: u32,
    /// What the program with all drops did not fit in; empty where nothing was shed.
    pub shed_why: String,
}

/// How much a program in a NIC decides; the one in the kernel judges all that it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// It drops some of what is denied.
    Prefilter,
    /// It decides on every plain packet as the one in the kernel would.
    Complete,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Prefilter => "prefilter",
            Self::Complete => "complete",
        })
    }
}

/// Whether a program in a NIC counts what it drops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counting {
    /// By rule.
    ByRule,
    /// The device has no room for counters.
    Nothing,
    /// It does, and nobody can tell how much.
    Unread {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByRule => f.pad("by rule"),
            Self::Nothing => f.pad("nothing"),
            Self::Unread { reason } => write!(f, "unread: {reason}"),
        }
    }
}

/// How much is taken, and how much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// What is taken.
    pub used: u32,
    /// What a program may take.
    pub room: Room,
}

/// How much of something a device has for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Room {
    /// Its profile says how much.
    AtMost(u32),
    /// Only the device knows: programs are made for what such devices are known to have.
    Assumed(u32),
    /// It sets no limit of its own.
    Unlimited,
}

impl fmt::Display for Share {
    /// `61/4096`, `61/~4096` where that is assumed, `61` where there is no limit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { used, room } = self;
        match room {
            Room::AtMost(most) => write!(f, "{used}/{most}"),
            Room::Assumed(most) => write!(f, "{used}/~{most}"),
            Room::Unlimited => write!(f, "{used}"),
        }
    }
}

/// What one rule would drop of the packets between two ends: the program in the kernel does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShedDrops {
    /// The rule; none where there is no policy.
    pub rule: Option<RuleId>,
    /// As users see it; empty where there is none.
    pub name: String,
    /// The sender's identity, where the node enforces for it.
    pub from: Option<Identity>,
    /// The receiver's identity, where the node enforces for it.
    pub to: Option<Identity>,
    /// Packets that the rule had counted, where the choice was made by counters.
    pub packets: Option<u64>,
    /// Pairs of addresses times layer-4 keys that it denies, as far as 64 bits hold.
    pub flows: u64,
}

impl fmt::Display for DeviceCost {
    /// `prefilter of 45 instructions, 1 map with 2 entries`, why it is not complete, and how much it leaves to the program in the
    /// kernel.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, incomplete, instructions, maps, entries, .. } = self;
        let of = |count: u32, one: &str, many: &str| match count {
            1 => format!("1 {one}"),
            _ => format!("{count} {many}"),
        };
        write!(
            f,
            "{kind} of {}, {} with {}",
            of(instructions.used, "instruction", "instructions"),
            of(maps.used, "map", "maps"),
            of(entries.used, "entry", "entries")
        )?;
        if !incomplete.is_empty() {
            write!(f, "; not complete: {incomplete}")?;
        }
        if let Some(left) = self.left() {
            write!(f, "; {left}")?;
        }
        match &self.counting {
            Counting::ByRule => Ok(()),
            Counting::Nothing => f.write_str("; its drops are not counted: there is no room for counters"),
            Counting::Unread { reason } => write!(f, "; its drops are counted and can't be read: {reason}"),
        }
    }
}

impl DeviceCost {
    /// What it leaves to the program in the kernel, and why: `3 drops by 2 rules do not fit: 120 instructions, at most 100`.
    pub fn left(&self) -> Option<String> {
        let count = self.shed.len() as u64 + u64::from(self.shed_more);
        let rules: BTreeSet<Option<RuleId>> = self.shed.iter().map(|shed| shed.rule).collect();
        // Those that are not named may be of other rules.
        let least = if self.shed_more == 0 { "" } else { "at least " };
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let told = |rules: u64| {
            let (drops, by, why) = (plural(count), plural(rules), &self.shed_why);
            format!("{count} drop{drops} by {least}{rules} rule{by} do not fit: {why}")
        };
        (count > 0).then(|| told(rules.len() as u64))
    }
}
