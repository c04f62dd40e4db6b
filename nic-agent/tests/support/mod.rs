//! A node in a network namespace of its own, with real interfaces, a real etcd and the real agent.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

pub(crate) mod etcd;
pub(crate) mod listener;
pub(crate) mod plans;

use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_selvedge-agent");
/// Longest wait for anything that should happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A network namespace, deleted with everything in it.
pub(crate) struct Namespace {
    pub(crate) name: String,
}

impl Namespace {
    pub(crate) fn new(what: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sagt-{}-{number}-{what}", std::process::id());
        run("ip", &["netns", "add", &name]);
        let namespace = Self { name };
        namespace.ip("link set lo up");
        namespace
    }

    pub(crate) fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// `ip -n <this> …`.
    pub(crate) fn ip(&self, arguments: &str) {
        let mut all = vec!["-n", &self.name];
        all.extend(arguments.split_whitespace());
        run("ip", &all);
    }

    /// A command inside; `ip netns exec` would hide the bpffs.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg(program);
        command
    }

    /// Runs `inside` on a thread that is in the namespace.
    pub(crate) fn enter<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        let file = fs::File::open(self.path()).unwrap();
        let entered = || {
            setns(&file, CloneFlags::CLONE_NEWNET).unwrap();
            inside()
        };
        std::thread::scope(|scope| scope.spawn(entered).join()).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        Command::new("ip").args(["netns", "del", &self.name]).status().ok();
    }
}

pub(crate) fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The node under test: its namespace, directories, and a neighbour on each side.
pub(crate) struct Node {
    pub(crate) namespace: Namespace,
    pub(crate) outside: Namespace,
    pub(crate) inside: Namespace,
    directory: tempfile::TempDir,
}

impl Node {
    /// A node without ports.
    pub(crate) fn bare() -> Self {
        let (namespace, outside, inside) = (Namespace::new("n"), Namespace::new("o"), Namespace::new("i"));
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("bpf")).unwrap();
        Self { namespace, outside, inside, directory }
    }

    /// A node with an uplink `eth0` (the world behind it at 192.0.2.1) and a workload port `w1` (10.1.0.12 behind it).
    pub(crate) fn wired() -> Self {
        let node = Self::bare();
        node.wire_uplink();
        node.wire_workload();
        // What /proc/sys/net shows depends on who looks.
        node.namespace.enter(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap();
        node
    }

    pub(crate) fn wire_uplink(&self) {
        self.wire("eth0", &self.outside, "192.0.2.254/24", "192.0.2.1/24", "192.0.2.254");
    }

    pub(crate) fn wire_workload(&self) {
        self.wire("w1", &self.inside, "10.1.0.254/24", "10.1.0.12/24", "10.1.0.254");
    }

    fn wire(&self, port: &str, peer: &Namespace, own: &str, address: &str, gateway: &str) {
        self.namespace.ip(&format!("link add {port} type veth peer name peer0 netns {}", peer.name));
        self.namespace.ip(&format!("addr add {own} dev {port}"));
        self.namespace.ip(&format!("link set {port} up"));
        peer.ip(&format!("addr add {address} dev peer0"));
        peer.ip("link set peer0 up");
        peer.ip(&format!("route add default via {gateway}"));
    }

    pub(crate) fn bpffs(&self) -> PathBuf {
        self.directory.path().join("bpf")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn pin(&self, name: &str) -> PathBuf {
        self.bpffs().join("selvedge/host1").join(name)
    }

    /// Starts the agent with an etcd on the node's loopback.
    pub(crate) fn agent(&self, more: &[&str]) -> Agent<'_> {
        self.agent_of("http://127.0.0.1:2379", more)
    }

    /// Starts the agent.
    pub(crate) fn agent_of(&self, etcd: &str, more: &[&str]) -> Agent<'_> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let log = self.directory.path().join(format!("log{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let stderr = fs::File::create(&log).unwrap();
        let mut command = self.namespace.command(AGENT);
        command.args(["run", "--insecure", "--node", "host1", "--etcd", etcd]);
        command.arg("--state-dir").arg(self.state()).arg("--bpffs").arg(self.bpffs()).args(more);
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        Agent { child, log, _node: self }
    }

    /// Runs another command of the agent to its end.
    pub(crate) fn command(&self, command: &str, more: &[&str]) -> Output {
        let mut all = self.namespace.command(AGENT);
        all.args([command, "--node", "host1", "--bpffs"]).arg(self.bpffs()).args(more);
        all.output().unwrap()
    }

    pub(crate) fn status(&self) -> Option<Value> {
        let output = self.command("status", &["-o", "json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Waits until what is pinned is as it should be.
    pub(crate) fn wait_status(&self, what: &str, good: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        wait(|| {
            last = self.status();
            last.clone().filter(&good)
        })
        .unwrap_or_else(|| panic!("no status where {what}: {last:?}"))
    }

    pub(crate) fn wait_generation(&self, generation: u64) -> Value {
        self.wait_status(&format!("generation {generation} is in force"), |status| {
            status["generation"] == generation
        })
    }

    /// Whether a TCP connection from the world to the workload is answered.
    pub(crate) fn reaches(&self, port: u16) -> bool {
        let target: SocketAddr = format!("10.1.0.12:{port}").parse().unwrap();
        let listener = self.inside.enter(|| TcpListener::bind(target)).unwrap();
        let connected =
            self.outside.enter(|| TcpStream::connect_timeout(&target, Duration::from_millis(700)));
        drop(listener);
        connected.is_ok()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Pins die with the mount, and so do links.
        Command::new("umount").arg(self.bpffs()).stderr(Stdio::null()).status().ok();
    }
}

/// A running agent; killed when dropped.
pub(crate) struct Agent<'a> {
    child: Child,
    log: PathBuf,
    _node: &'a Node,
}

impl Agent<'_> {
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn wait_log(&self, text: &str) {
        let found = wait(|| self.log().contains(text).then_some(()));
        assert!(found.is_some(), "no `{text}` in:\n{}", self.log());
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
        let ended = wait(|| self.child.try_wait().unwrap()).expect("the agent ends");
        (ended.code(), self.log())
    }

    pub(crate) fn wait_end(mut self) -> (Option<i32>, String) {
        let ended = wait(|| self.child.try_wait().unwrap()).expect("the agent ends");
        (ended.code(), self.log())
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            io::stderr().write_all(self.log().as_bytes()).ok();
        }
    }
}

/// Looks until there is something to see, or patience ends.
pub(crate) fn wait<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a status says of a port.
pub(crate) fn port<'a>(status: &'a Value, name: &str) -> &'a Value {
    let ports = status["ports"].as_array().unwrap();
    ports.iter().find(|port| port["name"] == name).unwrap_or_else(|| panic!("{name} in {status}"))
}

/// The kernel's numbers of the pinned maps.
pub(crate) fn map_ids(node: &Node) -> Vec<u32> {
    let ids = selvedge_abi::map::ALL.iter().map(|name| {
        aya::maps::MapInfo::from_pin(node.pin(&format!("v{}/{name}", selvedge_abi::ABI_VERSION)))
            .unwrap()
            .id()
    });
    ids.collect()
}

/// Attaches a program as `ip link set … xdpgeneric` does: without a link.
pub(crate) fn attach_over_netlink(namespace: &Namespace, interface: &str, program: i32) {
    const GENERIC: u32 = 1 << 1;
    namespace.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().unwrap();
            tokio::spawn(connection);
            let mut link = LinkMessage::default();
            link.header.index = nix::net::if_::if_nametoindex(interface).unwrap();
            link.attributes.push(LinkAttribute::Xdp(vec![LinkXdp::Fd(program), LinkXdp::Flags(GENERIC)]));
            handle.link().set(link).execute().await.unwrap();
        });
    });
}
