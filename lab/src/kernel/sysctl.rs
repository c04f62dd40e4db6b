//! Kernel settings of the calling thread's network namespace, through `/proc/sys/net`.

use std::fs;
use std::io;

use crate::blueprint::Forwarding;

/// A setting the kernel did not take.
#[derive(Debug, thiserror::Error)]
#[error("set {path} to {value}: {source}")]
pub struct SysctlError {
    /// Its file.
    pub path: String,
    /// The value.
    pub value: &'static str,
    /// What the kernel said.
    pub source: io::Error,
}

/// Sets what every namespace of a lab needs, before it has an interface: interfaces take the defaults.
pub fn prepare(forwarding: Forwarding) -> Result<(), SysctlError> {
    settings(forwarding).try_for_each(|(path, value)| write(path, value))
}

/// Sets the same for an interface that was there before, and so has taken other defaults.
pub fn adopt(interface: &str, forwarding: Forwarding) -> Result<(), SysctlError> {
    let of_interfaces = settings(forwarding).filter(|(path, _)| path.contains(DEFAULT));
    of_interfaces
        .map(|(path, value)| (path.replace(DEFAULT, &format!("/{interface}/")), value))
        .try_for_each(|(path, value)| write(&path, value))
}

fn settings(forwarding: Forwarding) -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_routers = match forwarding {
        Forwarding::Routes => ROUTERS,
        Forwarding::EndsHere => &[],
    };
    EVERYWHERE.iter().chain(of_routers).copied()
}

/// In the path of a default for interfaces to come.
const DEFAULT: &str = "/default/";

/// Keeps packets that arrive on the out-of-band port `interface` from being forwarded.
pub fn out_of_band(interface: &str) -> Result<(), SysctlError> {
    write(&format!("ipv4/conf/{interface}/forwarding"), "0")?;
    write(&format!("ipv6/conf/{interface}/forwarding"), "0")
}

const EVERYWHERE: &[(&str, &str)] = &[
    // Addresses are usable at once, and all of them are ours.
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/addr_gen_mode", "1"), // IN6_ADDR_GEN_MODE_NONE: no link-local address from the MAC
    // Paths may be asymmetric, and a workload's gateway is in no subnet of its.
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv6/conf/all/accept_redirects", "0"),
    ("ipv6/conf/default/accept_redirects", "0"),
    // Unprivileged echo sockets for everyone in the lab.
    ("ipv4/ping_group_range", "0 2147483647"),
];

const ROUTERS: &[(&str, &str)] = &[
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv6/conf/default/forwarding", "1"),
    // Two workloads behind one port reach each other through the node: it must not tell them of a shorter way.
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
];

fn write(path: &str, value: &'static str) -> Result<(), SysctlError> {
    let path = format!("/proc/sys/net/{path}");
    fs::write(&path, value).map_err(|source| SysctlError { path, value, source })
}
