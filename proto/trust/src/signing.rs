//! Ed25519 keys (RFC 8032), as the files that OpenSSL reads and writes: PKCS #8 (RFC 8410) and SubjectPublicKeyInfo.

use std::fmt;
use std::path::{Path, PathBuf};

use pem::Pem;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use selvedge_proto::Signature;
use serde::{Deserialize, Serialize};

use crate::files::{FileError, read, read_private, write_private, write_public};

/// What stands before the 32 bytes of a public key: the algorithm's identifier (RFC 8410, section 4), in DER.
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A key that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file can't be had.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its file holds something else.
    #[error("{} is no {what} in PEM; `openssl genpkey -algorithm ed25519` makes a key, `openssl pkey -pubout` its public half", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
    },
    /// The system has no randomness to give.
    #[error("the system gives no random numbers for a key")]
    NoRandomness,
}

/// The key that signs a fabric's generations. Whoever has it says what the fabric enforces.
pub struct SigningKey(Ed25519KeyPair);

impl fmt::Debug for SigningKey {
    /// Its public half only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(public: {})", self.public())
    }
}

impl SigningKey {
    /// Makes a key, in a file that its owner alone can read.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let pkcs8 =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::NoRandomness)?;
        write_private(path, &pem::encode(&Pem::new("PRIVATE KEY", pkcs8.as_ref())))?;
        Self::load(path)
    }

    /// Reads a key; one in a file that others can read is refused.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let wrong = || KeyError::Form { path: path.to_owned(), what: "Ed25519 private key" };
        let text = read_private(path)?;
        let block = pem::parse(text).ok().filter(|block| block.tag() == "PRIVATE KEY").ok_or_else(wrong)?;
        // "Maybe unchecked": OpenSSL leaves the public half out, and there is nothing to check it against then.
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(block.contents()).map(Self).map_err(|_| wrong())
    }

    /// Its public half.
    pub fn public(&self) -> VerifyingKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        VerifyingKey(bytes)
    }

    /// Signs.
    pub fn sign(&self, statement: &[u8]) -> Signature {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.0.sign(statement).as_ref());
        Signature(bytes)
    }
}

/// The public half: what signatures are held against. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct VerifyingKey([u8; 32]);

impl VerifyingKey {
    /// Reads a public key as OpenSSL writes it.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let wrong = || KeyError::Form { path: path.to_owned(), what: "Ed25519 public key" };
        let block = pem::parse(read(path)?).ok().filter(|block| block.tag() == "PUBLIC KEY");
        let block = block.ok_or_else(wrong)?;
        let key = block.contents().strip_prefix(&PUBLIC_PREFIX).ok_or_else(wrong)?;
        key.try_into().map(Self).map_err(|_| wrong())
    }

    /// Writes it as OpenSSL does.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        let contents = [PUBLIC_PREFIX.as_slice(), &self.0].concat();
        Ok(write_public(path, &pem::encode(&Pem::new("PUBLIC KEY", contents)))?)
    }

    /// Whether `signature` is this key's, for this very statement.
    pub fn verifies(&self, statement: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(statement, &signature.0).is_ok()
    }
}

/// Text that is no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a public key has 64 hexadecimal digits, not `{0}`")]
pub struct KeyTextError(String);

impl TryFrom<String> for VerifyingKey {
    type Error = KeyTextError;
    fn try_from(text: String) -> Result<Self, KeyTextError> {
        selvedge_proto::hexadecimal(&text).map(Self).ok_or(KeyTextError(text))
    }
}

impl From<VerifyingKey> for String {
    fn from(key: VerifyingKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// The examples of RFC 8410, section 10.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";

    #[test]
    fn keys_of_others_are_read_and_ours_are_as_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let (key, public) = (folder.path().join("key"), folder.path().join("public"));
        write_private(&key, PRIVATE).unwrap();
        write_public(&public, PUBLIC).unwrap();
        let verifying = VerifyingKey::load(&public).unwrap();
        assert_eq!(SigningKey::load(&key).unwrap().public(), verifying);
        let again = folder.path().join("again");
        verifying.save(&again).unwrap();
        assert_eq!(fs::read_to_string(&again).unwrap().replace("\r\n", "\n"), PUBLIC);
    }

    #[test]
    fn a_signature_holds_for_its_statement_and_its_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::create(&folder.path().join("one")).unwrap();
        let other = SigningKey::create(&folder.path().join("other")).unwrap();
        let signature = key.sign(b"statement");
        assert!(key.public().verifies(b"statement", &signature));
        assert!(!key.public().verifies(b"statemenT", &signature));
        assert!(!other.public().verifies(b"statement", &signature));
        assert!(!format!("{key:?}").contains("PRIVATE"), "a key is never printed");
    }

    #[test]
    fn a_key_is_made_for_its_owner_alone_and_never_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        SigningKey::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read(&path).unwrap();
        assert!(matches!(SigningKey::create(&path), Err(KeyError::File(FileError::Io { .. }))));
        assert_eq!(fs::read(&path).unwrap(), before);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = SigningKey::load(&path).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_file_that_holds_no_key_is_named_with_what_makes_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_private(&path, PUBLIC).unwrap();
        let error = SigningKey::load(&path).unwrap_err().to_string();
        assert!(error.contains("is no Ed25519 private key") && error.contains("openssl genpkey"), "{error}");
    }
}
