//! What the process keeps of memory that it does not use.
//!
//! A plan of a hundred thousand addresses is read, checked and lowered with some tens of MiB that nothing needs afterwards. By itself
//! glibc keeps them: a heap for each thread, and blocks of up to 32 MiB in it once one of that size was freed.

/// From this size on, in bytes, a block is mapped by itself and unmapped when it is freed; and so much may stay free at the heap's end.
/// It is what glibc begins with, and raises if nobody sets it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const THRESHOLD: libc::c_int = 128 << 10;

/// Gives memory back that is no longer used. To be called before there are threads. Other libraries than glibc do so anyway.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (what, value) in
        [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, THRESHOLD), (libc::M_TRIM_THRESHOLD, THRESHOLD)]
    {
        set(what, value);
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "mallopt(3) has no safe wrapper")]
fn set(what: libc::c_int, value: libc::c_int) {
    // SAFETY: two numbers, and no thread but this one.
    if unsafe { libc::mallopt(what, value) } == 0 {
        tracing::debug!(what, value, "the heap stays as it is");
    }
}
