//! The system calls that no library of ours wraps: links by number, the kernel's words on a refused attach, drivers'
//! names, loads onto devices, and what becomes of free memory. The only unsafe code of the agent, but for the marker that says which
//! types are plain bytes.

pub(crate) mod batch;
pub(crate) mod bpf;
pub(crate) mod device;
pub(crate) mod ethtool;
pub(crate) mod extack;
pub(crate) mod heap;
pub(crate) mod shared;

/// This start of the machine, as the kernel calls it; empty where it does not say.
pub(crate) fn boot() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}
