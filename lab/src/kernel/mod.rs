//! What the lab asks of the kernel, one concern a module.

pub mod mounts;
pub mod namespace;
pub mod netlink;
pub mod processes;
pub mod sysctl;
