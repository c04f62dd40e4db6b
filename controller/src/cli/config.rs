//! Who the command line is, and which controller it talks to.

use std::env;
use std::path::{Path, PathBuf};

use selvedge_trust::pki::Identity;
use selvedge_trust::replace_private;

use super::CliError;
use crate::trust::Folder;

/// Where the controller is, unless it is said.
const SERVER: &str = "https://127.0.0.1:7471";
/// Where the controller keeps its data, unless it is said.
const DATA_DIR: &str = "/var/lib/selvedge/controller";

/// The file with the controller's URL, beside the identity.
const SERVER_FILE: &str = "server";

/// The controller to talk to: the one that was named, or that of the last login, or the one on this machine.
pub(super) fn server(named: Option<String>) -> String {
    let known = || Some(std::fs::read_to_string(own()?.join(SERVER_FILE)).ok()?.trim().to_owned());
    named.or_else(known).unwrap_or_else(|| SERVER.to_owned())
}

/// Keeps an identity, and where it is good for.
pub(super) fn save(folder: &Path, identity: &Identity, server: &str) -> Result<(), CliError> {
    let wrong = |source| CliError::Identity { folder: folder.to_owned(), source };
    identity.save(folder).map_err(wrong)?;
    replace_private(&folder.join(SERVER_FILE), server).map_err(|error| wrong(error.into()))
}

/// The user's own folder.
pub(super) fn own_folder() -> Result<PathBuf, CliError> {
    own().ok_or(CliError::Homeless)
}

/// The identity to show: the user's own; on the controller's machine also the first administrator's, for whoever can
/// read it.
pub(super) fn identity() -> Result<Identity, CliError> {
    let folders = folders();
    let found = folders.iter().find(|folder| Identity::is_in(folder));
    let found = found.ok_or_else(|| CliError::Nobody { looked_in: folders.clone() })?;
    Identity::load(found).map_err(|source| CliError::Identity { folder: found.clone(), source })
}

/// Where identities are looked for, in this order.
fn folders() -> Vec<PathBuf> {
    let data_dir = path("SELVEDGE_DATA_DIR").unwrap_or_else(|| DATA_DIR.into());
    own().into_iter().chain([Folder::of(&data_dir).admin()]).collect()
}

fn own() -> Option<PathBuf> {
    let usual = || path("XDG_CONFIG_HOME").or_else(|| Some(path("HOME")?.join(".config")));
    path("SELVEDGE_CONFIG").or_else(|| Some(usual()?.join("selvedge")))
}

fn path(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from)
}
