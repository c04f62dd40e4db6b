//! The table of policies, which the agent fills: an array of buckets, their lists, and the runs that are too long for those.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, macros::map, maps::Array};
use selvedge_abi::{
    Half, INTERVALS_PER_SLOT, Interval, MAX_POLICIES, PolicyBucket, PolicyEntry, PolicyKey, SLOTS, buckets,
    find,
};
use selvedge_classifier::{Decided, look_up};

use crate::{addresses::LAYOUT, maps::Maps};

/// One that can be mapped, so that its buckets begin at cache lines.
#[map]
static POLICIES: Array<PolicyBucket> =
    Array::with_max_entries(buckets::<PolicyBucket>(MAX_POLICIES), BPF_F_MMAPABLE);
#[map]
static LISTS: Array<PolicyEntry> = Array::with_max_entries(SLOTS * MAX_POLICIES, BPF_F_MMAPABLE);
#[map]
static INTERVALS: Array<Interval> = Array::with_max_entries(SLOTS * INTERVALS_PER_SLOT, 0);

#[inline(always)]
pub(crate) fn lookup(key: PolicyKey) -> Option<&'static PolicyEntry> {
    let layout = LAYOUT.get(0)?;
    let half = Half { slot: key.slot, buckets: layout.policies };
    let list = find(key.to_words(), &layout.seeds, half, |at| POLICIES.get(at))?;
    LISTS.get((key.slot * MAX_POLICIES).wrapping_add(list.index()))
}

#[inline(always)]
pub(crate) fn interval(index: u32) -> Option<Interval> {
    INTERVALS.get(index).copied()
}

#[inline(always)]
pub(crate) fn decide(policy: PolicyKey, key: u32) -> Option<Decided> {
    let PolicyKey { slot, subject, peer, direction } = policy;
    match selvedge_decide(slot, subject, peer, direction, key) {
        0 => None,
        found => Some(Decided { rule: (found >> 32) as u32, decision: found as u32 >> 1 }),
    }
}

/// The rule in the upper half, and the decision, shifted by a bit that is always set; 0 where the tables say nothing. A global
/// function, so that the verifier follows its lookups and loop once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn selvedge_decide(slot: u32, subject: u32, peer: u32, direction: u32, key: u32) -> u64 {
    let policy = PolicyKey { slot, subject, peer, direction };
    let decided = look_up(&Maps, policy, key);
    decided.map_or(0, |Decided { rule, decision }| (rule as u64) << 32 | (decision << 1 | 1) as u64)
}
