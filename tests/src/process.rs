//! Programs that run beside a test, and what they cost.

use std::iter::Sum;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, io};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// A program that is killed with the value, and with the thread that started it.
pub struct Process {
    child: Child,
}

/// What a process has taken so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time of processors, the kernel's for it included.
    pub cpu: Duration,
    /// Bytes of memory that are resident now.
    pub resident: u64,
    /// The most that ever were.
    pub peak: u64,
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, Self { cpu, resident, peak }| Self {
            cpu: sum.cpu + cpu,
            resident: sum.resident + resident,
            peak: sum.peak + peak,
        })
    }
}

/// How long a process may take to end when asked.
const ENDING: Duration = Duration::from_secs(10);

impl Process {
    /// Runs `program`; what it says is appended to `log`.
    pub fn start<S: AsRef<std::ffi::OsStr>>(program: &Path, arguments: &[S], log: &Path) -> io::Result<Self> {
        let output = fs::File::options().create(true).append(true).open(log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program).args(arguments);
        let child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
        Ok(Self { child })
    }

    /// What it takes, by `/proc`.
    pub fn usage(&self) -> io::Result<Usage> {
        usage(self.child.id())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        Ok(kill(Pid::from_raw(pid), signal)?)
    }

    /// Asks it to end, and waits until it has.
    pub fn end(mut self) -> io::Result<()> {
        self.signal(Signal::SIGTERM)?;
        let begun = std::time::Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > ENDING {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not end when it is asked to"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the process `pid` takes, by `/proc/<pid>/stat` and `status`: fields 14 and 15 are ticks, 24 pages, `VmHWM` KiB (proc(5)).
pub fn usage(pid: u32) -> io::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let other = || io::Error::other(format!("/proc/{pid}/stat is not as proc(5) has it: {stat}"));
    // The second field is the program's name in parentheses, which may hold anything.
    let rest = stat.rsplit_once(')').ok_or_else(other)?.1;
    let fields: Vec<u64> = rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    let field = |number: usize| fields.get(number - 3).copied().ok_or_else(other);
    let unit = |variable| {
        let value = sysconf(variable)?.ok_or_else(other)?;
        u64::try_from(value).map_err(io::Error::other)
    };
    let (hertz, page) = (unit(SysconfVar::CLK_TCK)?, unit(SysconfVar::PAGE_SIZE)?);
    let cpu = Duration::from_millis((field(14)? + field(15)?) * 1000 / hertz);
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
    let peak = line.and_then(|kibibytes| kibibytes.trim().parse::<u64>().ok()).ok_or_else(other)? << 10;
    Ok(Usage { cpu, resident: field(24)? * page, peak })
}
