//! Who the command line is, and which controller it talks to.

use std::env;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use selvedge_trust::pki::{Certificate, Identity};
use selvedge_trust::{make_private_folder, replace_private};

use super::CliError;
use crate::trust::Folder;

/// Where the controller is, unless it is said.
const SERVER: &str = "https://127.0.0.1:7471";
/// Where the controller keeps its data, unless it is said.
const DATA_DIR: &str = "/var/lib/selvedge/controller";

/// The file with the controller's URL, beside the identity.
const SERVER_FILE: &str = "server";
/// The file that is locked by whoever changes the identity.
const LOCK_FILE: &str = "lock";

/// The controller to talk to: the one that was named, or that of the last login, or the one on this machine.
pub(super) fn server(named: Option<String>) -> String {
    let known = || Some(std::fs::read_to_string(own()?.join(SERVER_FILE)).ok()?.trim().to_owned());
    named.or_else(known).unwrap_or_else(|| SERVER.to_owned())
}

/// Keeps an identity, and where it is good for.
pub(super) fn save(folder: &Path, identity: &Identity, server: &str) -> Result<(), CliError> {
    let wrong = |source| CliError::Identity { folder: folder.to_owned(), source };
    make_private_folder(folder).map_err(|error| wrong(error.into()))?;
    let _turn = lock(folder, FlockArg::LockExclusive)?;
    identity.save(folder).map_err(wrong)?;
    replace_private(&folder.join(SERVER_FILE), server).map_err(|error| wrong(error.into()))
}

/// The user's own folder.
pub(super) fn own_folder() -> Result<PathBuf, CliError> {
    own().ok_or(CliError::Homeless)
}

/// An identity to show.
pub(super) enum Known {
    /// The user's own, of a login.
    Own {
        /// Where it lies.
        folder: PathBuf,
        /// The identity.
        identity: Identity,
    },
    /// The first administrator's, on the controller's machine.
    Administrator(Identity),
}

/// The identity to show: the user's own; on the controller's machine also the first administrator's, for whoever can
/// read it. One whose certificate ended is none.
pub(super) fn identity() -> Result<Known, CliError> {
    let data_dir = path("SELVEDGE_DATA_DIR").unwrap_or_else(|| DATA_DIR.into());
    let (own, administrator) = (own(), Folder::of(&data_dir).admin());
    if let Some(folder) = own.clone().filter(|folder| Identity::is_in(folder)) {
        return Ok(Known::Own { identity: load(&folder)?, folder });
    }
    if Identity::is_in(&administrator) {
        return Ok(Known::Administrator(load(&administrator)?));
    }
    Err(CliError::Nobody { looked_in: own.into_iter().chain([administrator]).collect() })
}

fn load(folder: &Path) -> Result<Identity, CliError> {
    let wrong = |source| CliError::Identity { folder: folder.to_owned(), source };
    let identity = Identity::load(folder).map_err(wrong)?;
    let Certificate { subject, end, .. } = identity.certificate();
    if *end <= SystemTime::now() {
        let (subject, end) = (subject.clone(), *end);
        return Err(CliError::CertificateEnded { folder: folder.to_owned(), subject, end });
    }
    Ok(identity)
}

/// Takes the turn to change the identity in `folder`, which is private; nothing where it is somebody else's and `how` says
/// not to wait.
pub(super) fn lock(folder: &Path, how: FlockArg) -> Result<Option<Flock<File>>, CliError> {
    let path = folder.join(LOCK_FILE);
    let wrong = |source| CliError::Read { path: path.clone(), source };
    let file =
        File::options().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(wrong)?;
    match Flock::lock(file, how) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(wrong(errno.into())),
    }
}

fn own() -> Option<PathBuf> {
    let usual = || path("XDG_CONFIG_HOME").or_else(|| Some(path("HOME")?.join(".config")));
    path("SELVEDGE_CONFIG").or_else(|| Some(usual()?.join("selvedge")))
}

fn path(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from)
}
