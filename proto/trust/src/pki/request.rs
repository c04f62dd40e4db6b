//! Asking for a certificate: the key stays where it was made, a request (PKCS #10) goes out.

use std::fmt;

use rcgen::{CertificateParams, CertificateSigningRequestParams, KeyPair, PKCS_ECDSA_P256_SHA256};

use super::{PkiError, failed};

/// A key that was just made, and has no certificate yet.
pub struct NewKey(KeyPair);

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKey(secret)")
    }
}

impl NewKey {
    /// Makes a key.
    pub fn generate() -> Result<Self, PkiError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Self).map_err(failed("a key can't be made"))
    }

    /// A request for a certificate of this key, in DER. It says nothing but the key: the authority knows the rest.
    pub fn request(&self) -> Result<Vec<u8>, PkiError> {
        let made = CertificateParams::default().serialize_request(&self.0);
        Ok(made.map_err(failed("a certificate request can't be made"))?.der().to_vec())
    }

    /// The key in PEM (PKCS #8). It is a secret.
    pub fn secret_pem(&self) -> String {
        self.0.serialize_pem()
    }

    pub(super) fn pair(&self) -> &KeyPair {
        &self.0
    }
}

/// A request that came in, by somebody who has the key: their signature was checked.
pub struct Request(CertificateSigningRequestParams);

impl Request {
    /// Reads a request in DER.
    pub fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        let request = CertificateSigningRequestParams::from_der(&der.into());
        let request = request.map_err(failed("no certificate request"))?;
        if request.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            let source = rcgen::Error::UnsupportedSignatureAlgorithm;
            return Err(PkiError::Rcgen { what: "a request has to be of an ECDSA P-256 key", source });
        }
        Ok(Self(request))
    }

    pub(super) fn key(&self) -> &rcgen::PublicKey {
        &self.0.public_key
    }
}
