//! Who one is, on disk: a key with its certificate, and the authority that one trusts.

use std::fmt;
use std::path::Path;

use super::{Certificate, NewKey, PkiError};
use crate::files::{make_private_folder, read, read_private, replace_private};

/// The file of the authority's certificate.
const AUTHORITY: &str = "ca.pem";
/// The file of the key and its certificate: one file, so that they are always each other's.
const IDENTITY: &str = "identity.pem";

/// A key with its certificate, and the authority that both sides of a connection are held against.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    key: String,
    chain: String,
    authority: String,
    certificate: Certificate,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Identity {
    /// Puts together what belongs together: a key, its certificate chain in PEM, the authority's certificate in PEM.
    pub fn new(key: &NewKey, chain: String, authority: String) -> Result<Self, PkiError> {
        let certificate = Certificate::from_pem(&chain)?;
        Ok(Self { key: key.secret_pem(), chain, authority, certificate })
    }

    /// Reads the identity in `folder`; a key that others than its owner can read is refused.
    pub fn load(folder: &Path) -> Result<Self, PkiError> {
        let both = read_private(&folder.join(IDENTITY))?;
        let authority = read(&folder.join(AUTHORITY))?;
        // The key is written first.
        let chain = both.find("-----BEGIN CERTIFICATE").ok_or(PkiError::NoCertificate { form: "PEM" })?;
        let (key, chain) = both.split_at(chain);
        let certificate = Certificate::from_pem(chain)?;
        Ok(Self { key: key.to_owned(), chain: chain.to_owned(), authority, certificate })
    }

    /// Whether there is one in `folder`.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(IDENTITY).exists()
    }

    /// Writes it to `folder`, in place of what is there; whoever reads meanwhile sees the one or the other.
    pub fn save(&self, folder: &Path) -> Result<(), PkiError> {
        make_private_folder(folder)?;
        replace_private(&folder.join(AUTHORITY), &self.authority)?;
        replace_private(&folder.join(IDENTITY), &format!("{}{}", self.key, self.chain))?;
        Ok(())
    }

    /// What its certificate says.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The key, in PEM. It is a secret.
    pub fn key_pem(&self) -> &str {
        &self.key
    }

    /// The certificate chain, in PEM, its own first.
    pub fn chain_pem(&self) -> &str {
        &self.chain
    }

    /// The authority's certificate, in PEM.
    pub fn authority_pem(&self) -> &str {
        &self.authority
    }
}
