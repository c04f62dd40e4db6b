//! The controller, from the binary that was built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use selvedge_tests::etcd::own_address;
use selvedge_tests::process::{Process, Usage};

/// A controller whose generations are signed. Nothing is encrypted.
pub(crate) struct Controller {
    folder: PathBuf,
    etcd: Vec<String>,
    listen: String,
    process: Option<Process>,
}

impl Controller {
    /// Starts one that has never been before, its files in `folder`.
    pub(crate) fn start(folder: &Path, etcd: &[String]) -> Result<Self> {
        let made = Command::new(built("selvedge-controller")?)
            .args(["init", "--san", "127.0.0.1", "--data-dir"])
            .arg(folder)
            .output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let (folder, etcd) = (folder.to_owned(), etcd.to_vec());
        let listen = own_address(7471).to_string();
        let mut controller = Self { folder, etcd, listen, process: None };
        controller.launch()?;
        Ok(controller)
    }

    fn launch(&mut self) -> Result<()> {
        let data = self.folder.display().to_string();
        let etcd = self.etcd.join(",");
        let arguments =
            ["--insecure", "--data-dir", &data, "--etcd", &etcd, "--listen", &self.listen, "--name", "scale"];
        let log = self.folder.join("controller.log");
        self.process = Some(Process::start(&built("selvedge-controller")?, &arguments, &log)?);
        Ok(())
    }

    /// Stops it in order, and starts it again.
    pub(crate) fn restart(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.end()?;
        }
        self.launch()
    }

    /// Where its API is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// What nodes trust.
    pub(crate) fn anchor(&self) -> PathBuf {
        self.folder.join("trust/fabric.json")
    }

    /// What it takes.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Ok(self.process.as_ref().context("it does not run")?.usage()?)
    }
}

/// A program beside this one: `target/<profile>/deps/<test>` is run, `target/<profile>/<program>` is wanted.
pub(crate) fn built(program: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("a program is in a folder")?;
    let path = folder.join(program);
    ensure!(
        path.exists(),
        "{} is not built; `make` does that first, or: cargo build --bins{}",
        path.display(),
        if cfg!(debug_assertions) { "" } else { " --release" }
    );
    Ok(path)
}
