//! Simulated cards: made and removed through `/sys/bus/netdevsim`, joined by wires (drivers/net/netdevsim/bus.c).

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;

use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns, unshare};

const BUS: &str = "/sys/bus/netdevsim";

/// A network namespace without a name.
pub(crate) struct Space(File);

impl Space {
    /// The one that we are in.
    pub(crate) fn own() -> io::Result<Self> {
        File::open("/proc/thread-self/ns/net").map(Self)
    }

    /// A new one.
    pub(crate) fn new() -> io::Result<Self> {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map(Self)
    }

    /// Runs `work` in it.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let inside = || {
            setns(&self.0, CloneFlags::CLONE_NEWNET)?;
            work()
        };
        let done = thread::scope(|scope| scope.spawn(inside).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs `ip` in it.
    pub(crate) fn ip(&self, arguments: &str) -> io::Result<()> {
        self.command("ip", arguments)
    }

    fn command(&self, program: &str, arguments: &str) -> io::Result<()> {
        let done = self.run(|| Command::new(program).args(arguments.split(' ')).output())?;
        let said = String::from_utf8_lossy(&done.stderr);
        let failed = || Err(io::Error::other(format!("{program} {arguments}: {said}")));
        if done.status.success() { Ok(()) } else { failed() }
    }

    /// Makes card `number` with one port in it; the kernel calls ports `eth0` and on, and `names` renames them.
    pub(crate) fn card(&self, number: u32, names: &[&str]) -> io::Result<()> {
        self.run(|| fs::write(format!("{BUS}/new_device"), format!("{number} {}", names.len())))?;
        for (index, name) in names.iter().enumerate() {
            self.ip(&format!("link set eth{index} name {name}"))?;
            self.ip(&format!("link set {name} up"))?;
        }
        Ok(())
    }

    /// Gives card `number` virtual functions, and its switch into the kernel's hands, so that they get representors.
    pub(crate) fn switchdev(&self, number: u32, functions: u32) -> io::Result<()> {
        fs::write(format!("{BUS}/devices/netdevsim{number}/sriov_numvfs"), functions.to_string())?;
        self.command("devlink", &format!("dev eswitch set netdevsim/netdevsim{number} mode switchdev"))
    }

    fn index(&self, port: &str) -> io::Result<u32> {
        self.run(|| Ok(if_nametoindex(port)?))
    }
}

/// Removes a card, and the ports it has.
pub(crate) fn remove(number: u32) -> io::Result<()> {
    fs::write(format!("{BUS}/del_device"), number.to_string())
}

/// Joins two ports by a wire. It goes when one of them does.
pub(crate) fn join(a: (&Space, &str), b: (&Space, &str)) -> io::Result<()> {
    let end = |(space, port): (&Space, &str)| Ok(format!("{}:{}", space.0.as_raw_fd(), space.index(port)?));
    let ends: io::Result<Vec<String>> = [a, b].into_iter().map(end).collect();
    fs::write(format!("{BUS}/link_device"), ends?.join(" "))
}
