//! Fragments: a datagram is judged by its first one, and the others follow it or are dropped.
//!
//! The first fragment has the whole transport header (RFC 7112) and is judged like a whole packet. The table then remembers
//! the datagram with the offset at which the next fragment has to begin. Fragments pass in order and without a gap, each byte
//! once; so nothing can overlap (RFC 5722), come twice, or be added to another's datagram. Fragments that overtake others
//! on the way are dropped.
//!
//! While a datagram is unfinished, its identification can't begin another one: that is what a receiver would put
//! together wrongly (RFC 4963). Hence the lifetime of an entry is that of a receiver's buffer. Whether there is a place in the
//! table is settled before anybody is asked about the packet: one that can't have it touches no connection.

use selvedge_abi::{FRAGMENT_CLAIMED, FragmentEntry, FragmentKey, Reason, Verdict};

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

/// Takes the place of a datagram whose first fragment is yet to be judged; the reason why it can't have it. No other
/// fragment follows a claim.
#[inline(never)]
pub(crate) fn claim<T: Tables>(node: &Node<'_, T>, seen: &Seen) -> Option<Reason> {
    let id = seen.place.id;
    let (key, claimed) = (key(seen, id), progress(id, FRAGMENT_CLAIMED));
    if let Some(earlier) = node.tables.fragment(&key) {
        let entry = earlier.load();
        // Of two CPUs that find its time over, one has it.
        if is_alive(node, &entry) || !earlier.advance(entry.progress, claimed) {
            return Some(Reason::Fragment);
        }
        node.tables.remove_fragment(&key);
    }
    let entry = FragmentEntry { first_seen: node.tables.now(), progress: claimed };
    match node.tables.insert_fragment(&key, &entry) {
        Ok(()) => None,
        Err(NotAdded::Exists) => Some(Reason::Fragment), // another CPU's
        Err(NotAdded::Full) => Some(Reason::FragmentsFull),
    }
}

/// Lets others follow a first fragment if it is allowed; else gives its place back.
#[inline(never)]
pub(crate) fn settle<T: Tables>(node: &Node<'_, T>, seen: &Seen, reason: Reason) {
    let Place { id, end, .. } = seen.place;
    let key = key(seen, id);
    if reason.verdict() != Verdict::Allowed {
        node.tables.remove_fragment(&key);
    } else if let Some(claim) = node.tables.fragment(&key) {
        claim.advance(progress(id, FRAGMENT_CLAIMED), progress(id, end));
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
