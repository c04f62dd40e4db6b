//! Notes of what passed, which only programs write.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE, helpers::generated::bpf_ktime_get_coarse_ns, macros::map, maps::Array,
};
use selvedge_abi::{Flow, Note, PASSAGE_BUCKETS, Passage, PassageBucket};

use crate::addresses::LAYOUT;

/// Can be mapped only to begin at a page, and so its buckets at cache lines.
#[map]
static PASSAGES: Array<PassageBucket> = Array::with_max_entries(PASSAGE_BUCKETS, BPF_F_MMAPABLE);

#[inline(always)]
pub(crate) fn passed(passage: &Passage) -> bool {
    selvedge_passed(passage) != 0
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
    let Some((note, words)) = find(passage) else { return 0 };
    note.is_in(|at| load(words, at)).into()
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

/// A clock that is read, not computed: to a few milliseconds, where ticks are a quarter of a second.
#[inline(always)]
fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_coarse_ns() }
}
