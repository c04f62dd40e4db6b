//! Notes of what passed and what was denied, which only programs write.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, helpers::generated::bpf_jiffies64, macros::map, maps::Array};
use selvedge_abi::{
    DENIAL_BUCKETS, Denial, DenialBucket, Flow, Note, PASSAGE_BUCKETS, Passage, PassageBucket,
};

use crate::addresses::LAYOUT;

/// Can be mapped only to begin at a page, and so its buckets at cache lines.
#[map]
static PASSAGES: Array<PassageBucket> = Array::with_max_entries(PASSAGE_BUCKETS, BPF_F_MMAPABLE);

/// Likewise.
#[map]
static DENIALS: Array<DenialBucket> = Array::with_max_entries(DENIAL_BUCKETS, BPF_F_MMAPABLE);

/// Wherever it is asked, without a call: most packets need nothing else.
#[inline(always)]
pub(crate) fn passed(passage: &Passage) -> bool {
    find(passage).is_some_and(|(note, words)| note.is_in(|at| load(words, at)))
}

#[inline(always)]
pub(crate) fn passed_unhurried(passage: &Passage) -> bool {
    selvedge_passed(passage) != 0
}

/// Without a call likewise: what else a packet needs that is denied is its counters.
#[inline(always)]
pub(crate) fn denied(opening: &Passage) -> Option<u32> {
    let (denial, words) = find_denial(opening)?;
    denial.rule(|at| load(words, at))
}

#[inline(always)]
pub(crate) fn note_denial(opening: &Passage, rule: u32) {
    selvedge_note_denial(opening, rule);
}

#[inline(always)]
pub(crate) fn note(passage: &Passage) {
    selvedge_note_passage(passage);
}

#[inline(always)]
pub(crate) fn forget(flow: &Flow) {
    selvedge_forget_passages(flow);
}

/// A global function, which the verifier follows once and not once for each way that leads to it; so the pointer has to
/// be looked at, though it is never null.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn selvedge_passed(passage: *const Passage) -> u32 {
    // SAFETY: the caller's reference.
    let Some(passage) = (unsafe { passage.as_ref() }) else { return 0 };
    passed(passage).into()
}

/// A global function likewise.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn selvedge_note_denial(opening: *const Passage, rule: u32) -> u32 {
    // SAFETY: the caller's reference.
    let Some(opening) = (unsafe { opening.as_ref() }) else { return 0 };
    let Some((denial, words)) = find_denial(opening) else { return 0 };
    denial.write(rule, |at| load(words, at), |at, word| store(words, at, word));
    0
}

/// A global function likewise.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn selvedge_note_passage(passage: *const Passage) -> u32 {
    // SAFETY: the caller's reference.
    let Some(passage) = (unsafe { passage.as_ref() }) else { return 0 };
    let Some((note, words)) = find(passage) else { return 0 };
    // Without room the long way does.
    note.write(|at| load(words, at), |at, word| store(words, at, word)).into()
}

/// A global function likewise.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn selvedge_forget_passages(flow: *const Flow) -> u32 {
    // SAFETY: the caller's reference.
    let Some(flow) = (unsafe { flow.as_ref() }) else { return 0 };
    let Some(layout) = LAYOUT.get(0) else { return 0 };
    let tag = flow.tag(&layout.notes.flow);
    let Some(words) = words(tag.place(layout.passages)) else { return 0 };
    tag.erase(|at| load(words, at), |at, word| store(words, at, word));
    0
}

#[inline(always)]
fn find(passage: &Passage) -> Option<(Note, *mut u64)> {
    let layout = LAYOUT.get(0)?;
    let note = Note::new(passage, now(), &layout.notes);
    let words = words(note.place(layout.passages))?;
    Some((note, words))
}

#[inline(always)]
fn find_denial(opening: &Passage) -> Option<(Denial, *mut u64)> {
    let layout = LAYOUT.get(0)?;
    let denial = Denial::new(opening, now(), &layout.notes);
    let bucket = DENIALS.get_ptr_mut(denial.place(layout.denials))?;
    Some((denial, bucket.cast()))
}

#[inline(always)]
fn words(index: u32) -> Option<*mut u64> {
    PASSAGES.get_ptr_mut(index).map(|bucket| bucket.cast())
}

#[inline(always)]
fn load(words: *mut u64, at: usize) -> u64 {
    // SAFETY: a word of a bucket in the map. Other CPUs may write it; a note proves that its words belong together.
    unsafe { words.add(at).read_volatile() }
}

#[inline(always)]
fn store(words: *mut u64, at: usize, word: u64) {
    // SAFETY: as in `load`.
    unsafe { words.add(at).write_volatile(word) }
}

/// Jiffies: the verifier makes a load of it.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_jiffies64() }
}
