//! QEMU, running a [`Kit`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};
use tempfile::TempDir;
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::{Architecture, Initramfs, InitramfsError, Kit, Seat, Task};

/// How many of the console's last lines an error shows.
const LAST_WORDS: usize = 25;

/// The size of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Hardware {
    /// Processors.
    pub processors: u8,
    /// Memory in MiB. The initramfs is in it.
    pub memory: u32,
}

/// Who talks to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Talk {
    /// The task's output is ours; the console goes to this file.
    Task(PathBuf),
    /// The console is ours.
    Shell,
}

/// What is wrong with a machine.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// What it boots from.
    #[error(transparent)]
    Initramfs(#[from] InitramfsError),
    /// A file of it, or a signal.
    #[error("virtual machine: {0}")]
    Io(#[from] io::Error),
    /// There is no QEMU.
    #[error("{program}: {source}; Debian has it in {package}")]
    Qemu {
        /// The program.
        program: &'static str,
        /// Its package.
        package: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// It did not end.
    #[error("the virtual machine was not done after {} s; the end of its console:\n{console}", patience.as_secs())]
    Late {
        /// How long it had.
        patience: Duration,
        /// The console's last lines.
        console: String,
    },
    /// It ended, its task did not.
    #[error(
        "the virtual machine ended before its task did (QEMU: {status}); the end of its console:\n{console}"
    )]
    Broken {
        /// How QEMU ended.
        status: ExitStatus,
        /// The console's last lines.
        console: String,
    },
    /// We were told to end.
    #[error("the virtual machine was ended by {0}")]
    Interrupted(&'static str),
}

/// A machine that runs. It ends with this value, and with this process.
pub struct Machine {
    qemu: Child,
    /// Nothing is said there, but at its end the task's port would count as unplugged, and writing to it would block.
    _stdin: Option<ChildStdin>,
    /// Its initramfs, and the task's exit code when there is one.
    folder: TempDir,
    console: Option<PathBuf>,
}

impl Machine {
    /// Starts it; at a seat, with the ports of that, else with none. Has to be called within a Tokio runtime, on a thread
    /// that lives as long as the machine shall.
    pub fn boot(
        kit: &Kit,
        hardware: Hardware,
        task: &Task,
        talk: Talk,
        seat: Option<Seat>,
    ) -> Result<Self, MachineError> {
        let folder = tempfile::Builder::new().prefix("selvedge-vm-").tempdir()?;
        let initramfs = folder.path().join("initramfs");
        Initramfs::write(&initramfs, kit, task)?;
        let Emulator { program, package, machine, console, quirks } = Emulator::of(kit.architecture);
        let mut command = Command::new(program);
        command
            .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
            .args(machine)
            .args(["-accel", "tcg,thread=multi", "-smp", &hardware.processors.to_string()])
            .args(["-m", &hardware.memory.to_string()])
            .arg("-kernel")
            .arg(&kit.kernel)
            .arg("-initrd")
            .arg(&initramfs)
            // A kernel that panics ends the machine.
            .args(["-append", &format!("console={console} rdinit=/init quiet panic=-1 {quirks}")]);
        talk.wire(&mut command, folder.path());
        if let Some(seat) = seat {
            seat.wire(&mut command, folder.path())?;
        }
        die_with_parent(&mut command);
        let qemu = command.kill_on_drop(true).spawn();
        let mut qemu = qemu.map_err(|source| MachineError::Qemu { program, package, source })?;
        let console = match talk {
            Talk::Task(console) => Some(console),
            Talk::Shell => None,
        };
        // Else waiting for it would close it.
        Ok(Self { _stdin: qemu.stdin.take(), qemu, folder, console })
    }

    /// The exit code of its task, as soon as there is one. A shell has none, and may take its time.
    pub async fn ended(mut self, patience: Duration) -> Result<u8, MachineError> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let late = async {
            match self.console {
                Some(_) => tokio::time::sleep(patience).await,
                None => std::future::pending().await,
            }
        };
        let status = tokio::select! {
            status = self.qemu.wait() => status?,
            () = late => return Err(MachineError::Late { patience, console: self.last_words() }),
            _ = interrupt.recv() => return Err(MachineError::Interrupted("SIGINT")),
            _ = terminate.recv() => return Err(MachineError::Interrupted("SIGTERM")),
        };
        if self.console.is_none() {
            return Ok(0);
        }
        let code = fs::read_to_string(self.folder.path().join("code")).unwrap_or_default();
        code.trim().parse().map_err(|_| MachineError::Broken { status, console: self.last_words() })
    }

    /// The end of what its console said.
    fn last_words(&self) -> String {
        let text = self.console.as_ref().and_then(|console| fs::read(console).ok()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
    }
}

impl Talk {
    fn wire(&self, command: &mut Command, folder: &Path) {
        match self {
            Self::Shell => {
                command.args(["-serial", "mon:stdio"]);
            }
            Self::Task(console) => {
                command
                    .stdin(Stdio::piped())
                    .arg("-serial")
                    .arg(joined("file:", console))
                    .args(["-device", "virtio-serial-pci"])
                    .args(["-chardev", "stdio,id=said,signal=off"])
                    .args(["-device", "virtserialport,chardev=said,nr=1"])
                    .arg("-chardev")
                    .arg(joined("file,id=code,path=", &folder.join("code")))
                    .args(["-device", "virtserialport,chardev=code,nr=2"]);
            }
        }
    }
}

fn joined(prefix: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(prefix);
    text.push(path);
    text
}

/// Which QEMU, and what it is told for an architecture.
struct Emulator {
    program: &'static str,
    package: &'static str,
    machine: [&'static str; 4],
    /// What the guest calls its serial port.
    console: &'static str,
    /// What its kernel is told besides.
    quirks: &'static str,
}

impl Emulator {
    fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::Amd64 => Self {
                program: "qemu-system-x86_64",
                package: "qemu-system-x86",
                machine: ["-machine", "q35", "-cpu", "max"],
                console: "ttyS0",
                // Where the machine gets little time, the kernel would take its timer for broken.
                quirks: "no_timer_check",
            },
            Architecture::Arm64 => Self {
                program: "qemu-system-aarch64",
                package: "qemu-system-arm",
                machine: ["-machine", "virt", "-cpu", "cortex-a72"],
                console: "ttyAMA0",
                quirks: "",
            },
        }
    }
}

/// Has the kernel end QEMU with us, even where we are killed.
fn die_with_parent(command: &mut Command) {
    let parent = Pid::this();
    let prepare = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        // We may have died before that took effect.
        if getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    #[expect(
        unsafe_code,
        reason = "pre_exec runs between fork and exec; both calls in it are plain system calls"
    )]
    // SAFETY: the closure allocates nothing, takes no lock and calls only async-signal-safe functions.
    unsafe {
        command.pre_exec(prepare);
    }
}
