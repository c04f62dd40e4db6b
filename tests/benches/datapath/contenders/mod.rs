//! Who is measured, and what each must be able to do.

mod filter;
mod floor;
mod iptables;
mod nft;
mod ours;
mod plan;
mod search;
mod unpassing;

use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::Result;

pub(crate) use ours::{Memory, memory};

use crate::bpf::MapKind;
use crate::cases::Case;
use crate::stage::Stage;

/// A contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// Drops every frame unseen: the floor.
    Drop,
    /// Parses Ethernet, IP and TCP, then drops: the floor of whoever looks.
    Parse,
    /// Selvedge's own program, filled as the agent fills it.
    Ours,
    /// Selvedge's own program, which looks addresses up in a kernel HASH.
    Hash,
    /// Selvedge's own program, which looks addresses up in a kernel LPM trie.
    Trie,
    /// xdp-filter of xdp-tools.
    Filter,
    /// nftables: connection tracking, sets and verdict maps.
    Nft,
    /// iptables: connection tracking and one rule after the other.
    Iptables,
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Drop => "XDP_DROP",
            Self::Parse => "parse only",
            Self::Ours => "selvedge",
            Self::Hash => "over HASH",
            Self::Trie => "over LPM",
            Self::Filter => "xdp-filter",
            Self::Nft => "nft",
            Self::Iptables => "iptables",
        }
    }

    /// Sets the contender up for a case, on a stage of its own that was entered. An error is why it is not run.
    pub(crate) fn prepare(self, case: &Case, stage: &Stage) -> Result<Box<dyn Ready>> {
        Ok(match self {
            Self::Drop => Box::new(floor::drop(stage)?),
            Self::Parse => Box::new(floor::parse(case.world.family, stage)?),
            Self::Hash => Box::new(ours::prepare_over(MapKind::Hash, case, stage)?),
            Self::Trie => Box::new(ours::prepare_over(MapKind::LpmTrie, case, stage)?),
            Self::Ours => Box::new(ours::prepare(case, stage)?),
            Self::Filter => Box::new(filter::prepare(&case.world, stage)?),
            Self::Nft => Box::new(nft::prepare(case, stage)?),
            Self::Iptables => Box::new(iptables::prepare(case, stage)?),
        })
    }
}

/// A contender that is set up.
pub(crate) trait Ready {
    /// Packets that met the case's verdict so far, by the contender's own counters.
    fn counted(&mut self) -> Result<u64>;

    /// Its XDP program, where it is one.
    fn program(&self) -> Option<BorrowedFd<'_>>;
}

/// What contenders behind the XDP hook need: a program that passes, so that the port polls (NAPI) as it would with any.
fn pass(stage: &Stage) -> Result<OwnedFd> {
    use std::os::fd::AsFd;
    let program = floor::passing()?;
    // The link holds the program.
    Ok(crate::bpf::attach_xdp(program.as_fd(), stage.port)?)
}
