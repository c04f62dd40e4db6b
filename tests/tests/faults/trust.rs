//! The fabric's trust, as `selvedge-controller init` makes it and nodes enrol in it. Nothing goes unencrypted, unsigned or unasked but what
//! etcd's members say to each other.

use std::fs;
use std::path::{Path, PathBuf};

use selvedge_controller::trust::{self, Folder, client};
use selvedge_proto::Target;
use selvedge_topology::names::NodeName;
use selvedge_trust::pki::Identity;
use selvedge_trust::{Anchor, SigningKey};
use tonic::transport::ClientTlsConfig;

use crate::live::lab::{Lab, built};

/// Where controllers and etcd are.
pub(crate) const CENTRE: &str = "172.31.0.1";

/// Everything secret of a fabric.
pub(crate) struct Trust {
    data_dir: PathBuf,
}

impl Trust {
    /// Makes the fabric's authority and keys, in a controller's data directory.
    pub(crate) fn init(lab: &Lab, data_dir: &Path) -> Self {
        let folder = data_dir.display().to_string();
        lab.ask("controller", "selvedge-controller", &["init", "--san", CENTRE, "--data-dir", &folder], "");
        Self { data_dir: data_dir.to_owned() }
    }

    fn folder(&self) -> PathBuf {
        Folder::of(&self.data_dir).path().to_owned()
    }

    /// Gives another controller the same, as whoever runs two does.
    pub(crate) fn share(&self, data_dir: &Path) {
        copy(&self.folder(), Folder::of(data_dir).path());
    }

    /// The administrator's side of TLS.
    pub(crate) fn admin(&self) -> ClientTlsConfig {
        client(&Identity::load(&Folder::of(&self.data_dir).admin()).unwrap())
    }

    /// The controller's, whom etcd lets do anything.
    pub(crate) fn controller(&self) -> ClientTlsConfig {
        client(trust::Trust::load(&self.data_dir).unwrap().controller())
    }

    /// What etcd shows and believes, as its options.
    pub(crate) fn etcd(&self) -> Vec<String> {
        let folder = trust::Trust::load(&self.data_dir).unwrap().etcd_folder();
        let [identity, authority] =
            ["identity.pem", "ca.pem"].map(|file| folder.join(file).display().to_string());
        let files = ["--cert-file", &identity, "--key-file", &identity, "--trusted-ca-file", &authority];
        files.into_iter().chain(["--client-cert-auth"]).map(str::to_owned).collect()
    }

    /// Makes a node one of the fabric: a token, good once; with it, the node gets a certificate for the key that it makes.
    pub(crate) fn enrol(&self, lab: &Lab, node: &str) {
        let data_dir = format!("SELVEDGE_DATA_DIR={}", self.data_dir.display());
        let selvedge = built("selvedge").display().to_string();
        let token =
            lab.ask("controller", "/usr/bin/env", &[&data_dir, &selvedge, "node", "enroll", node], "");
        lab.ask(node, "selvedge-agent", &["enroll", "--token-file", "-"], &token);
    }

    /// A target that the fabric signed.
    pub(crate) fn sign(&self, target: Target, node: &NodeName) -> Target {
        let key = SigningKey::load(&self.folder().join("signing.key")).unwrap();
        let fabric = Anchor::load(&self.folder().join("fabric.json")).unwrap().fabric;
        Target { signature: Some(key.sign(&target.statement(fabric, node))), ..target }
    }
}

/// Copies a folder with all in it, and who may read that.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}
