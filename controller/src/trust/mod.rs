//! What makes a fabric one that only its own are let into: its certificate authority and the controller's identities,
//! in files of the data directory.
//!
//! | file | what it is |
//! |---|---|
//! | `trust/ca.pem`, `trust/ca.key` | the fabric's certificate authority |
//! | `trust/fabric.json` | the fabric, and the public key that signs its generations: what nodes are told to trust |
//! | `trust/signing.key` | that key, unless an operator has it elsewhere |
//! | `trust/controller/` | the controller's identity: the API's server, etcd's client |
//! | `trust/etcd/` | the embedded etcd's |
//! | `trust/admin/` | the first administrator's, as the command line keeps it |
//!
//! The controller's and etcd's certificates end with the authority's: whoever has their keys has the authority's beside
//! them, so that a shorter life would win nothing.

mod init;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use selvedge_trust::pki::{Ca, Identity, PkiError, common_name};
use selvedge_trust::{FileError, read, read_private};
use tonic::transport::{Certificate, ClientTlsConfig, Identity as TlsIdentity, ServerTlsConfig};

pub use init::{ADMIN, Init, InitError, Made, init};

/// Where everything of a data directory lies.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// That of a controller's data directory.
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("trust"))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn authority(&self) -> (PathBuf, PathBuf) {
        (self.0.join("ca.pem"), self.0.join("ca.key"))
    }

    /// What nodes trust: the fabric, and the public half of the key that signs for it.
    fn anchor(&self) -> PathBuf {
        self.0.join("fabric.json")
    }

    fn signing_key(&self) -> PathBuf {
        self.0.join("signing.key")
    }

    fn controller(&self) -> PathBuf {
        self.0.join("controller")
    }

    fn etcd(&self) -> PathBuf {
        self.0.join("etcd")
    }

    /// The first administrator's identity.
    pub fn admin(&self) -> PathBuf {
        self.0.join("admin")
    }
}

/// Who may talk to the controller and to its etcd.
#[derive(Clone, Debug)]
pub enum Security {
    /// Anybody who reaches them, unencrypted. For trials.
    Insecure,
    /// Whoever the fabric's authority knows, over TLS.
    Mutual(Arc<Trust>),
}

/// The authority and the controller's identities.
#[derive(Debug)]
pub struct Trust {
    folder: Folder,
    ca: Ca,
    controller: Identity,
    etcd: Identity,
    user: String,
}

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The fabric is there, and the file that says what its nodes trust is not.
    #[error(
        "{} is missing, which says what nodes trust. Put it back from a backup: nodes believe nothing that is signed for another \
         fabric or by another key, so a new one would take enrolling them all again",
        file.display()
    )]
    NoAnchor {
        /// The file.
        file: PathBuf,
    },
    /// There is nothing in it.
    #[error(
        "{} has no certificate authority yet; make one with `selvedge-controller init --data-dir {}`, or try things out \
         unencrypted and open to anybody with --insecure",
        data_dir.display(), data_dir.display()
    )]
    Uninitialised {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// Something in it is missing, damaged or readable by others.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A certificate that makes nobody in etcd.
    #[error("{} has no common name, by which etcd would know the controller", certificate.display())]
    Nameless {
        /// Its file.
        certificate: PathBuf,
    },
    /// The server would not be believed at its own address.
    #[error(
        "the certificate in {} is good for {}, not for {address}; `selvedge-controller init --data-dir {} --san {address}` \
         makes it so", folder.display(), names.join(", "), data_dir.display()
    )]
    NotNamed {
        /// The certificate's folder.
        folder: PathBuf,
        /// The data directory.
        data_dir: PathBuf,
        /// What it is good for.
        names: Vec<String>,
        /// Where the server is to listen.
        address: IpAddr,
    },
}

impl Trust {
    /// Reads what `init` made.
    pub fn load(data_dir: &Path) -> Result<Self, TrustError> {
        let folder = Folder::of(data_dir);
        let (certificate, key) = folder.authority();
        if !certificate.exists() || !Identity::is_in(&folder.controller()) {
            return Err(TrustError::Uninitialised { data_dir: data_dir.to_owned() });
        }
        let file = folder.anchor();
        if !file.exists() {
            return Err(TrustError::NoAnchor { file });
        }
        let ca = Ca::load(&certificate, &key)?;
        let (controller, etcd) = (Identity::load(&folder.controller())?, Identity::load(&folder.etcd())?);
        let user = controller.certificate().subject.common_name();
        Ok(Self { folder, ca, controller, etcd, user })
    }

    /// The authority.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// The controller's own identity.
    pub fn controller(&self) -> &Identity {
        &self.controller
    }

    /// The user name that etcd knows the controller by: the common name of what is shown to it.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Has etcd know the controller by another certificate than its own.
    pub fn known_by(&mut self, certificate: &Path) -> Result<(), TrustError> {
        let name = common_name(&read(certificate).map_err(PkiError::from)?)?;
        self.user = name.ok_or_else(|| TrustError::Nameless { certificate: certificate.to_owned() })?;
        Ok(())
    }

    /// Where the embedded etcd's identity lies.
    pub fn etcd_folder(&self) -> PathBuf {
        self.folder.etcd()
    }

    /// That the API at `api`, and the embedded etcd at `etcd`, are believed there.
    pub fn covers(&self, data_dir: &Path, api: IpAddr, etcd: Option<IpAddr>) -> Result<(), TrustError> {
        let servers =
            [(&self.controller, self.folder.controller(), Some(api)), (&self.etcd, self.folder.etcd(), etcd)];
        for (identity, folder, address) in servers {
            // On all addresses at once, nobody can say by which one it will be reached.
            let Some(address) = address.filter(|address| !address.is_unspecified()) else { continue };
            let names = &identity.certificate().names;
            if !names.contains(&address.to_string()) {
                let (names, data_dir) = (names.clone(), data_dir.to_owned());
                return Err(TrustError::NotNamed { folder, data_dir, names, address });
            }
        }
        Ok(())
    }

    /// The API's side of TLS. Whoever has no certificate is let in, because enrolment has none to show; what they may
    /// do there is for `server::authorize` to say.
    pub fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .identity(TlsIdentity::from_pem(self.controller.chain_pem(), self.controller.key_pem()))
            .client_ca_root(Certificate::from_pem(self.ca.pem()))
            .client_auth_optional(true)
    }
}

/// A client's side of TLS: it shows `identity`, and believes servers that its authority signed.
pub fn client(identity: &Identity) -> ClientTlsConfig {
    ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(identity.authority_pem()))
        .identity(TlsIdentity::from_pem(identity.chain_pem(), identity.key_pem()))
}

/// The same from files of somebody else's making, in PEM.
pub fn client_from_files(
    authority: &Path,
    certificate: &Path,
    key: &Path,
) -> Result<ClientTlsConfig, FileError> {
    Ok(ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(authority)?))
        .identity(TlsIdentity::from_pem(read(certificate)?, read_private(key)?)))
}
