//! Compiles `offload-bpf/programs` for the BPF target and leaves the object in `OUT_DIR/selvedge.o`.
//!
//! The target needs a `core` of its own. Two toolchains bring one; the first that is there is taken:
//! Debian's `rustc-web` with `libstd-rust-web-dev-bpf`, or rustup's nightly with `rust-src`. Both need
//! `bpf-linker` to turn LLVM bitcode into an object.

use std::{
    env,
    error::Error,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "bpfel-unknown-none";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

const HELP: &str = "\
the XDP programs can't be built: no Rust toolchain here compiles for BPF.
Run `make setup`, which installs what is missing, or install one of these yourself:
  Debian:  apt-get install rustc-web libstd-rust-web-dev-bpf
  rustup:  rustup toolchain install nightly --component rust-src
and bpf-linker 0.13, built against the LLVM of that toolchain, on PATH:  cargo install bpf-linker --locked";

/// A compiler that can build for the BPF target.
enum Toolchain {
    /// A rustc whose sysroot holds `core` for the target.
    Precompiled { rustc: PathBuf },
    /// Rustup's nightly, which builds `core` from source.
    Nightly,
}

fn main() {
    if let Err(error) = build() {
        println!("cargo::error={}", error.to_string().replace('\n', " | "));
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let folder = here.parent().ok_or("the manifest is at the root of the file system")?;
    let workspace = folder.parent().ok_or("the workspace is at the root of the file system")?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    watch(folder, workspace);

    let linker = find_on_path("bpf-linker").ok_or(HELP)?;
    let toolchain = Toolchain::find().ok_or(HELP)?;
    let target_dir = out.join("bpf");
    let status = toolchain
        .cargo()
        .current_dir(folder.join("programs"))
        .env("CARGO_ENCODED_RUSTFLAGS", toolchain.flags(&linker, workspace)?.join(OsStr::new("\x1f")))
        .arg("--target-dir")
        .arg(&target_dir)
        .status()?;
    if !status.success() {
        return Err(format!(
            "the XDP programs did not compile ({status}); the compiler's messages are above"
        )
        .into());
    }
    fs::copy(target_dir.join(TARGET).join("release/selvedge"), out.join("selvedge.o"))?;
    Ok(())
}

/// Everything the object is made of.
fn watch(folder: &Path, workspace: &Path) {
    let parts = [
        "programs/src",
        "programs/Cargo.toml",
        "programs/Cargo.lock",
        "abi/src",
        "abi/Cargo.toml",
        "classifier/src",
        "classifier/Cargo.toml",
        "object/build.rs",
    ];
    for part in parts.map(|part| folder.join(part)).iter().chain([&workspace.join("Cargo.toml")]) {
        println!("cargo::rerun-if-changed={}", part.display());
    }
}

impl Toolchain {
    fn find() -> Option<Self> {
        let rustc = PathBuf::from(DEBIAN_RUSTC);
        if has_precompiled_core(&rustc) {
            return Some(Self::Precompiled { rustc });
        }
        let source = PathBuf::from(output(
            Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]),
        )?)
        .join("lib/rustlib/src/rust/library/core");
        source.is_dir().then_some(Self::Nightly)
    }

    /// `cargo build` with this compiler, free of what the outer cargo (or clippy) set for its own.
    fn cargo(&self) -> Command {
        let mut command = match self {
            Self::Precompiled { rustc } => {
                let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
                // Both crates use unstable features of the target: its assembly, its linkage.
                command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "aya_ebpf,selvedge");
                command
            }
            Self::Nightly => {
                let mut command = Command::new("rustup");
                command.args(["run", "nightly", "cargo"]).env_remove("RUSTC");
                command
            }
        };
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            let of_outer_build =
                text.starts_with("CARGO_") && text != "CARGO_HOME" && text != "CARGO_MAKEFLAGS";
            if of_outer_build
                || text.starts_with("RUSTC_W")
                || matches!(&*text, "RUSTFLAGS" | "RUSTDOC" | "RUSTUP_TOOLCHAIN")
            {
                command.env_remove(&name);
            }
        }
        command.args(["build", "--release", "--locked", "--target", TARGET]);
        if matches!(self, Self::Nightly) {
            command.args(["-Z", "build-std=core"]);
        }
        command
    }

    /// Flags of the compiler. No path of this machine gets into BTF or DWARF.
    fn flags(&self, linker: &Path, workspace: &Path) -> Result<Vec<OsString>, Box<dyn Error>> {
        let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
        let home = env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| env::home_dir().map(|home| home.join(".cargo")))
            .ok_or("neither CARGO_HOME nor a home directory is known")?;
        let sysroot = self.sysroot().ok_or(HELP)?;
        let mut flags: Vec<OsString> = vec![
            format!("--cfg=bpf_target_arch=\"{arch}\"").into(),
            "-Ctarget-cpu=v3".into(), // 32-bit operations and jumps; every kernel since 5.2
            "-Cdebuginfo=2".into(),
            "-Clink-arg=--btf".into(),
            // Else what is to be cleared is cleared by a call, byte by byte.
            "-Clink-arg=--disable-expand-memcpy-in-order".into(),
            concat_os("-Clinker=", linker),
        ];
        for (from, to) in [(workspace, "selvedge"), (&home, "cargo"), (&sysroot, "rust")] {
            let mut flag = concat_os("--remap-path-prefix=", from);
            flag.push("=/");
            flag.push(to);
            flags.push(flag);
        }
        Ok(flags)
    }

    fn sysroot(&self) -> Option<PathBuf> {
        let mut command = match self {
            Self::Precompiled { rustc } => Command::new(rustc),
            Self::Nightly => {
                let mut command = Command::new("rustup");
                command.args(["run", "nightly", "rustc"]);
                command
            }
        };
        output(command.args(["--print", "sysroot"])).map(PathBuf::from)
    }
}

fn has_precompiled_core(rustc: &Path) -> bool {
    let Some(folder) = output(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]))
    else {
        return false;
    };
    fs::read_dir(folder).is_ok_and(|mut files| {
        files.any(|file| file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libcore-")))
    })
}

fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// What a command prints, trimmed; `None` where it can't run or fails.
fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn concat_os(prefix: &str, path: &Path) -> OsString {
    let mut text = OsString::from(prefix);
    text.push(path);
    text
}
