//! Where contenders are measured: a network namespace each, with a port that frames are fed into.
//!
//! The namespaces have no name: they, their interfaces and whatever a contender loads into them end with the
//! process, however it ends.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv6Addr, TcpListener};
use std::process::Command;

use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns, unshare};
use socket2::{SockFilter, SockRef};

use crate::tool;

/// The port frames are received on: an uplink.
pub(crate) const PORT: &str = "port";
/// The port behind which the workloads are.
pub(crate) const WORKLOAD: &str = "workload";
/// The other end of [`PORT`], which the feeder redirects into.
const FEED: &str = "feed";
/// The port of the service that allowed flows go to.
pub(crate) const SERVICE: u16 = 443;

/// A namespace with ports.
pub(crate) struct Stage {
    namespace: File,
    pub(crate) port: u32,
    pub(crate) workload: u32,
    pub(crate) feed: u32,
    /// Takes what contenders let pass to the local stack, and forgets it: no answers.
    _service: TcpListener,
}

impl Stage {
    /// A new namespace, entered. The stack takes `local` addresses for its own.
    pub(crate) fn new(local: &[IpAddr]) -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).context("a network namespace can't be made (root is needed)")?;
        let namespace = File::open("/proc/thread-self/ns/net")?;
        for (key, value) in [("ipv4/conf/all/rp_filter", "0"), ("ipv6/conf/default/accept_dad", "0")] {
            // A kernel without IPv6 says so below, with a better message.
            let _absent = fs::write(format!("/proc/sys/net/{key}"), value);
        }
        tool::feed(Command::new("ip").args(["-batch", "-"]), &links(local))?;
        let index = |name| if_nametoindex(name).context("an interface that was just made");
        let (port, workload, feed) = (index(PORT)?, index(WORKLOAD)?, index(FEED)?);
        Ok(Self { namespace, port, workload, feed, _service: service()? })
    }

    /// Makes it the namespace of this thread, and of the commands it starts.
    pub(crate) fn enter(&self) -> Result<()> {
        Ok(setns(&self.namespace, CloneFlags::CLONE_NEWNET)?)
    }
}

fn links(local: &[IpAddr]) -> String {
    let mut batch = format!(
        "link set lo up\n\
         link add {FEED} address 02:00:00:00:00:0a type veth peer name {PORT} address 02:00:00:00:00:0b\n\
         link add inner type veth peer name {WORKLOAD}\n"
    );
    for name in [FEED, PORT, "inner", WORKLOAD] {
        // No link-local address, so no discovery and no multicast reports among the frames that are counted.
        batch += &format!("link set {name} addrgenmode none\nlink set {name} up\n");
    }
    for address in local {
        batch += &match address {
            IpAddr::V4(_) => format!("addr add {address}/32 dev {PORT}\n"),
            IpAddr::V6(_) => format!("addr add {address}/128 dev {PORT} nodad\n"),
        };
    }
    batch + &format!("route add 0.0.0.0/0 dev {PORT}\nroute add ::/0 dev {PORT}\n")
}

/// A listener that sees no packet: the socket's own filter drops them, which is the cheapest end that an accepted
/// packet can have after its connection was entered.
fn service() -> Result<TcpListener> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, SERVICE)).context("the service's port")?;
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K: how many bytes to keep
    SockRef::from(&listener).attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])?;
    Ok(listener)
}

/// Keeps mounts that contenders need (a bpffs) to this process.
pub(crate) fn private_mounts() -> Result<()> {
    use nix::mount::{MsFlags, mount};
    unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace can't be made (root is needed)")?;
    let nothing: Option<&str> = None;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
    mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), nothing)
        .context("no bpffs can be mounted at /sys/fs/bpf")
}
