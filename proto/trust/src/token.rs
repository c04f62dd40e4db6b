//! Enrolment tokens: one line that has everything somebody needs to become one of a fabric, once.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::{SecureRandom, SystemRandom};
use selvedge_proto::Digest;
use serde::{Deserialize, Serialize};

use crate::Anchor;
use crate::member::{Invitee, millis};

/// The form of tokens that this version makes and reads.
const VERSION: u32 = 1;
/// Longer text is no token.
const MAX_BYTES: usize = 64 << 10;

/// 32 random bytes that only the invited one has; the controller keeps their digest.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Secret([u8; 32]);

/// The system has no randomness to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomness;

impl Secret {
    /// Makes one.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Self(bytes))
    }

    /// What the controller keeps of it.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// As it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// Reads what was sent.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        BASE64.encode(secret.0)
    }
}

impl TryFrom<String> for Secret {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        let bytes = BASE64.decode(text).map_err(|_| "a secret is base64url")?;
        Self::from_bytes(&bytes).ok_or("a secret has 32 bytes")
    }
}

/// Where a fabric is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Whereabouts {
    /// The controller's URL.
    pub controller: String,
    /// etcd's client URLs; none for operators, who have no business there.
    pub etcd: Vec<String>,
}

/// What somebody needs to be enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Token {
    version: u32,
    /// Where the fabric is.
    pub whereabouts: Whereabouts,
    /// The fabric, and the key that signs for it: what generations are held against.
    pub anchor: Anchor,
    /// The certificate of its authority, in PEM: what the controller is held against.
    pub authority: String,
    /// Who is invited.
    pub invitee: Invitee,
    /// What shows that one is.
    pub secret: Secret,
    /// Until when, in milliseconds since 1970.
    expires_ms: u64,
}

/// Text that is no token, or one that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not one, or not whole. The text is not shown: part of it may be secret.
    #[error(
        "that is no enrolment token; it is the one line that `selvedge node enroll` or `selvedge operator invite` printed"
    )]
    Form,
    /// Of another version.
    #[error("the token has form {version}, and this version of selvedge reads form {VERSION}")]
    Version {
        /// Its form.
        version: u32,
    },
}

impl Token {
    /// Puts one together.
    pub fn new(
        whereabouts: Whereabouts,
        (anchor, authority): (Anchor, String),
        invitee: Invitee,
        (secret, expires): (Secret, SystemTime),
    ) -> Self {
        Self {
            version: VERSION,
            whereabouts,
            anchor,
            authority,
            invitee,
            secret,
            expires_ms: millis(expires),
        }
    }

    /// Whether it is too late.
    pub fn is_over(&self, now: SystemTime) -> bool {
        millis(now) >= self.expires_ms
    }

    /// The line. It is a secret.
    pub fn to_line(&self) -> String {
        // Maps with text keys and finite numbers always have a JSON form.
        BASE64.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

impl FromStr for Token {
    type Err = TokenError;
    fn from_str(line: &str) -> Result<Self, TokenError> {
        /// What all forms have.
        #[derive(Deserialize)]
        struct Any {
            version: u32,
        }
        let line = line.trim();
        if line.len() > MAX_BYTES {
            return Err(TokenError::Form);
        }
        let json = BASE64.decode(line).map_err(|_| TokenError::Form)?;
        let Any { version } = serde_json::from_slice(&json).map_err(|_| TokenError::Form)?;
        if version != VERSION {
            return Err(TokenError::Version { version });
        }
        serde_json::from_slice(&json).map_err(|_| TokenError::Form)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn token() -> Token {
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let whereabouts = Whereabouts {
            controller: "https://192.0.2.1:7471".into(),
            etcd: vec!["https://192.0.2.1:2379".into()],
        };
        let secret = (Secret::generate().unwrap(), expires);
        let anchor = serde_json::from_str(&format!(
            r#"{{"fabric": "{}", "signingKey": "{}"}}"#,
            "01".repeat(16),
            "02".repeat(32)
        ));
        Token::new(
            whereabouts,
            (anchor.unwrap(), "PEM".into()),
            Invitee::Node("host1".parse().unwrap()),
            secret,
        )
    }

    #[test]
    fn a_token_is_one_line_that_is_read_back_whole_or_not_at_all() {
        let token = token();
        let line = token.to_line();
        assert!(line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(format!("{line}\n").parse(), Ok(token));
        for damaged in ["", "x y", &line[..line.len() - 8], &line[8..]] {
            assert_eq!(damaged.parse::<Token>(), Err(TokenError::Form), "{damaged}");
        }
        let later = Token { version: 2, ..self::token() };
        assert_eq!(later.to_line().parse::<Token>(), Err(TokenError::Version { version: 2 }));
    }

    #[test]
    fn a_token_ends_and_never_shows_its_secret() {
        let token = token();
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        assert!(token.is_over(end) && !token.is_over(end - Duration::from_millis(1)));
        assert!(!format!("{token:?}").contains(&String::from(token.secret.clone())));
    }
}
