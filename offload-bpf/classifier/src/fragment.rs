//! Fragments: a datagram is judged by its first one, and the others follow it or are dropped.
//!
//! The first fragment has the whole transport header (RFC 7112) and is judged like a whole packet. Where it is allowed, the
//! table remembers the datagram with the offset at which the next fragment has to begin. Fragments pass in order and
//! without a gap, each byte once; so nothing can overlap (RFC 5722), come twice, or be added to another's datagram.
//! Fragments that overtake others on the way are dropped.
//!
//! While a datagram is unfinished, its identification can't begin another one: that is what a receiver would put
//! together wrongly (RFC 4963). Hence the lifetime of an entry is that of a receiver's buffer.

use selvedge_abi::{FragmentEntry, FragmentKey, Reason, Verdict};

use crate::{
    Node,
    fragment_table::{NotAdded, Unfinished},
    network::{Part, Place},
    report::Seen,
    tables::Tables,
};

/// IPv6 fragments don't repeat the transport's protocol (RFC 8200 §4.5); their header's number stands for it.
const FRAGMENT_HEADER: u8 = 44;
const SECOND: u64 = 1_000_000_000;

/// The reason for a packet that was judged by all but its fragmentation. Remembers a datagram whose first fragment is
/// allowed.
#[inline(never)]
pub(crate) fn remember<T: Tables>(node: &Node<'_, T>, seen: &Seen, reason: Reason) -> Reason {
    let Place { id, end, .. } = seen.place;
    if reason.verdict() != Verdict::Allowed {
        return reason;
    }
    let key = key(seen, id);
    if let Some(earlier) = node.tables.fragment(&key) {
        if is_alive(node, &earlier.load()) {
            return Reason::Fragment;
        }
        node.tables.remove_fragment(&key);
    }
    let entry = FragmentEntry { first_seen: node.tables.now(), progress: progress(id, end) };
    match node.tables.insert_fragment(&key, &entry) {
        Ok(()) => reason,
        Err(NotAdded::Exists) => Reason::Fragment, // another CPU's
        Err(NotAdded::Full) => Reason::FragmentsFull,
    }
}

/// The reason for a later fragment from where it may come: it passes if it is the next one of its datagram.
#[inline(never)]
pub(crate) fn follow<T: Tables>(node: &Node<'_, T>, seen: &Seen) -> Reason {
    let Place { id, start, end } = seen.place;
    let key = key(seen, id);
    let Some(datagram) = node.tables.fragment(&key) else { return Reason::Fragment };
    let is_next =
        is_alive(node, &datagram.load()) && datagram.advance(progress(id, start), progress(id, end));
    if !is_next {
        return Reason::Fragment;
    }
    if seen.part == Part::Last {
        node.tables.remove_fragment(&key);
    }
    Reason::LaterFragment
}

#[inline(always)]
fn key(seen: &Seen, id: u32) -> FragmentKey {
    let (source, destination) = (seen.source.address(), seen.destination.address());
    let protocol = if seen.source.is_v4() { seen.protocol } else { FRAGMENT_HEADER };
    FragmentKey { source, destination, id, protocol: protocol as u32 }
}

/// The identification is part of it, so that an entry which another CPU gives to another datagram does not match.
#[inline(always)]
fn progress(id: u32, next: u16) -> u64 {
    (id as u64) << 32 | next as u64
}

#[inline(always)]
fn is_alive<T: Tables>(node: &Node<'_, T>, entry: &FragmentEntry) -> bool {
    let lifetime = node.tables.config().timeouts.fragment as u64 * SECOND;
    node.tables.now().saturating_sub(entry.first_seen) < lifetime
}
