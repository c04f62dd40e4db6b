//! `selvedge-controller init`: makes what is missing, says what is there, and overwrites nothing.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use selvedge_topology::names::OperatorName;
use selvedge_trust::pki::{Ca, Enrolment, Identity, NewKey, PkiError, Request, Role, Subject, Term};
use selvedge_trust::{Anchor, AnchorError, FileError, KeyError, SigningKey, VerifyingKey};
use selvedge_trust::{make_private_folder, write_private, write_public};

use super::Folder;

/// By which a server is always reached: from its own machine.
const LOCAL: [&str; 3] = ["127.0.0.1", "::1", "localhost"];
/// How long the first administrator's certificate holds.
const ADMIN_FOR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The first administrator's name.
pub static ADMIN: LazyLock<OperatorName> = LazyLock::new(|| {
    OperatorName::try_from("admin".to_owned()).unwrap_or_else(|_| unreachable!("it is a name"))
});

/// What `init` is asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct Init {
    /// Where the controller keeps its data
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/lib/selvedge/controller",
        env = "SELVEDGE_DATA_DIR"
    )]
    pub data_dir: PathBuf,
    /// A certificate authority of your own, in PEM; it has to be allowed to sign certificates
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    pub ca_cert: Option<PathBuf>,
    /// Its key, in PEM (PKCS #8, unencrypted); it is copied, readable by its owner alone
    #[arg(long, value_name = "FILE", requires = "ca_cert")]
    pub ca_key: Option<PathBuf>,
    /// The public half of a signing key of your own (Ed25519, in PEM): then this controller distributes policy, and only who has
    /// the other half can make it
    #[arg(long, value_name = "FILE")]
    pub signing_public: Option<PathBuf>,
    /// Addresses and names by which agents and operators reach the controller and its etcd, beside this machine's name
    /// and loopback. Later ones are added to those before
    #[arg(long = "san", value_name = "ADDRESS|NAME", value_delimiter = ',')]
    pub names: Vec<String>,
}

/// Why nothing, or not everything, was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A key or certificate.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The signing key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What nodes trust.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// There is another signing key.
    #[error("{} names key {key} already; another one takes a new fabric", there.display())]
    OtherSigningKey {
        /// The file that names it.
        there: PathBuf,
        /// The key.
        key: VerifyingKey,
    },
    /// There is another authority.
    #[error(
        "{} is the authority of this fabric already, and another one than {}; a new fabric needs another --data-dir",
        there.display(), given.display()
    )]
    OtherAuthority {
        /// The one that is there.
        there: PathBuf,
        /// The one that was given.
        given: PathBuf,
    },
}

/// What became of each thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was not there.
    New(&'static str, PathBuf),
    /// It was there, and lacked names that it has now.
    Renewed(&'static str, PathBuf),
    /// It was there, and was left alone.
    Kept(&'static str, PathBuf),
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, what, path) = match self {
            Self::New(what, path) => ("made", what, path),
            Self::Renewed(what, path) => ("renewed", what, path),
            Self::Kept(what, path) => ("kept", what, path),
        };
        write!(f, "{word:<8} {}: {what}", path.display())
    }
}

/// Makes the authority, the signing key, the controller's and etcd's identities, and the first administrator's.
pub fn init(options: &Init, now: SystemTime) -> Result<Vec<Made>, InitError> {
    let folder = Folder::of(&options.data_dir);
    make_private_folder(&options.data_dir)?;
    make_private_folder(&folder.0)?;
    let (ca, authority) = authority(options, &folder, now)?;
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let names: Vec<String> =
        LOCAL.map(str::to_owned).into_iter().chain(host).chain(options.names.clone()).collect();
    let servers = [
        (Subject::Controller, "the controller's identity", folder.controller()),
        (Subject::Etcd, "the embedded etcd's identity", folder.etcd()),
    ];
    let mut made = vec![authority, signing(options, &folder)?];
    for (subject, what, path) in servers {
        made.push(server(&ca, &subject, (what, path), &names, now)?);
    }
    made.push(admin(&ca, folder.admin(), now)?);
    Ok(made)
}

fn authority(options: &Init, folder: &Folder, now: SystemTime) -> Result<(Ca, Made), InitError> {
    const WHAT: &str = "the fabric's certificate authority";
    let (certificate, key) = folder.authority();
    let given = options.ca_cert.as_ref().zip(options.ca_key.as_ref());
    let given = given.map(|(cert, key)| Ok::<_, PkiError>((cert, Ca::load(cert, key)?, key))).transpose()?;
    if certificate.exists() {
        let ca = Ca::load(&certificate, &key)?;
        if let Some((path, other, _)) = given
            && other.pem() != ca.pem()
        {
            return Err(InitError::OtherAuthority { there: certificate, given: path.clone() });
        }
        return Ok((ca, Made::Kept(WHAT, certificate)));
    }
    // The key first: a certificate that is there says that the key is, too.
    let ca = match given {
        Some((_, ca, path)) => {
            let secret = std::fs::read_to_string(path);
            let failed = |source| FileError::Io { what: "read", path: path.clone(), source };
            write_private(&key, &secret.map_err(failed)?)?;
            ca
        }
        None => {
            let (ca, secret) = Ca::create(now)?;
            write_private(&key, &secret.secret_pem())?;
            ca
        }
    };
    write_public(&certificate, ca.pem())?;
    Ok((ca, Made::New(WHAT, certificate)))
}

/// The fabric's number and the key that signs for it: what nodes are told to trust.
fn signing(options: &Init, folder: &Folder) -> Result<Made, InitError> {
    const WHAT: &str = "the fabric's number, and the public key that signs its generations";
    let (path, secret) = (folder.anchor(), folder.signing_key());
    let given = options.signing_public.as_ref().map(|file| VerifyingKey::load(file)).transpose()?;
    if path.exists() {
        let there = Anchor::load(&path)?.signing_key;
        if given.is_some_and(|key| key != there) {
            return Err(InitError::OtherSigningKey { there: path, key: there });
        }
        return Ok(Made::Kept(WHAT, path));
    }
    let key = match given {
        Some(key) => key,
        // What an interrupted attempt left is as good as a new one.
        None if secret.exists() => SigningKey::load(&secret)?.public(),
        None => SigningKey::create(&secret)?.public(),
    };
    Anchor::of_new_fabric(key)?.save(&path)?;
    Ok(Made::New(WHAT, path))
}

fn server(
    ca: &Ca,
    subject: &Subject,
    (what, path): (&'static str, PathBuf),
    names: &[String],
    now: SystemTime,
) -> Result<Made, InitError> {
    let mut all: Vec<String> = Vec::new();
    let there = Identity::is_in(&path).then(|| Identity::load(&path)).transpose()?;
    let before = there.as_ref().map(|identity| identity.certificate().names.clone()).unwrap_or_default();
    for name in before.iter().chain(names) {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    if there.is_some() && all == before {
        return Ok(Made::Kept(what, path));
    }
    let key = NewKey::generate()?;
    let chain = ca.sign_server(&key, (subject, &all), now)?;
    Identity::new(&key, chain, ca.pem().to_owned())?.save(&path)?;
    Ok(if there.is_some() { Made::Renewed(what, path) } else { Made::New(what, path) })
}

fn admin(ca: &Ca, path: PathBuf, now: SystemTime) -> Result<Made, InitError> {
    const WHAT: &str = "the first administrator's identity, for a year";
    if Identity::is_in(&path) {
        let end = Identity::load(&path)?.certificate().end;
        if end > now {
            return Ok(Made::Kept(WHAT, path));
        }
    }
    let subject =
        Subject::Operator { operator: ADMIN.clone(), role: Role::Admin, enrolment: Enrolment::FIRST };
    issue(ca, &subject, &path, now)?;
    Ok(Made::New(WHAT, path))
}

fn issue(ca: &Ca, subject: &Subject, path: &Path, now: SystemTime) -> Result<(), PkiError> {
    let key = NewKey::generate()?;
    let request = Request::from_der(&key.request()?)?;
    let chain = ca.sign(&request, subject, Term::For(ADMIN_FOR), now)?;
    Identity::new(&key, chain, ca.pem().to_owned())?.save(path)
}
