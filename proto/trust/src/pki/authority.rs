//! The certificate authority of a fabric: its own certificate, and those it signs.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use time::OffsetDateTime;
use x509_parser::pem::parse_x509_pem;

use super::certificate::time as read_time;
use super::{NewKey, PkiError, Request, Subject, failed};
use crate::files::{read, read_private};

/// How long the authority of a new fabric lasts.
const LASTS: Duration = Duration::from_secs(20 * 365 * 24 * 60 * 60);
/// Certificates begin this much before they are made, for clocks that are behind.
pub(super) const BACKDATED: Duration = Duration::from_secs(60);

/// The names and addresses a server is reached by.
pub type Names = [String];

/// How long a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// For this long, or until the authority's own certificate ends, if that is sooner.
    For(Duration),
    /// As long as the authority's.
    Authority,
}

/// A certificate authority that can sign.
pub struct Ca {
    pem: String,
    end: SystemTime,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ca(until {:?})", self.end)
    }
}

impl Ca {
    /// Makes the authority of a new fabric; its key is to be kept by the caller.
    pub fn create(now: SystemTime) -> Result<(Self, NewKey), PkiError> {
        let key = NewKey::generate()?;
        let mut params = CertificateParams::default();
        let serial = key.request()?;
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, "selvedge:ca");
        // Two fabrics' authorities differ in name, so that tools that look by name find the right one.
        name.push(DnType::CommonName, format!("selvedge {}", fingerprint(&serial)));
        params.distinguished_name = name;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (moment(now - BACKDATED), moment(now + LASTS));
        let certificate = params.self_signed(key.pair()).map_err(failed("an authority can't be made"))?;
        Ok((Self::from_pem(certificate.pem(), &key.secret_pem())?, key))
    }

    /// Reads an authority: `certificate` in PEM, `key` in PEM (PKCS #8), which its owner alone may be able to read.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, PkiError> {
        let (pem, secret) = (read(certificate)?, read_private(key)?);
        let (_, block) =
            parse_x509_pem(pem.as_bytes()).map_err(|_| PkiError::NoCertificate { form: "PEM" })?;
        let parsed = block.parse_x509().map_err(|_| PkiError::NoCertificate { form: "PEM" })?;
        let signs = parsed.key_usage().ok().flatten().is_none_or(|usage| usage.value.key_cert_sign());
        if !parsed.is_ca() || !signs {
            return Err(PkiError::NotAuthority { path: certificate.to_owned() });
        }
        let pair = KeyPair::from_pem(&secret).map_err(failed("the authority's key can't be read"))?;
        if pair.subject_public_key_info() != parsed.public_key().raw {
            return Err(PkiError::OtherKey { certificate: certificate.to_owned(), key: key.to_owned() });
        }
        Self::from_pem(pem, &secret)
    }

    fn from_pem(pem: String, secret: &str) -> Result<Self, PkiError> {
        let wrong = |_| PkiError::NoCertificate { form: "PEM" };
        let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(wrong)?;
        let parsed = block.parse_x509().map_err(|_| PkiError::NoCertificate { form: "PEM" })?;
        let end = read_time(parsed.validity().not_after);
        let key = KeyPair::from_pem(secret).map_err(failed("the authority's key can't be read"))?;
        let issuer = Issuer::from_ca_cert_der(&block.contents.as_slice().into(), key);
        Ok(Self { issuer: issuer.map_err(failed("the authority's certificate can't be read"))?, end, pem })
    }

    /// Its certificate, in PEM: what everybody in the fabric trusts.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// When its own certificate ends, and with it all it signed.
    pub fn end(&self) -> SystemTime {
        self.end
    }

    /// A certificate, in PEM, that says that the key of `request` is `subject`'s, for `term` from `now` on.
    pub fn sign(
        &self,
        request: &Request,
        subject: &Subject,
        term: Term,
        now: SystemTime,
    ) -> Result<String, PkiError> {
        self.certify(request.key(), subject, &[], term, now)
    }

    /// The same for a server that is reached by `names`.
    pub fn sign_server(
        &self,
        key: &NewKey,
        (subject, names): (&Subject, &Names),
        now: SystemTime,
    ) -> Result<String, PkiError> {
        self.certify(key.pair(), subject, names, Term::Authority, now)
    }

    fn certify(
        &self,
        key: &impl PublicKeyData,
        subject: &Subject,
        names: &Names,
        term: Term,
        now: SystemTime,
    ) -> Result<String, PkiError> {
        let end = match term {
            Term::Authority => self.end,
            Term::For(duration) => self.end.min(now + duration),
        };
        if end <= now {
            let end = self.end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            return Err(PkiError::AuthorityEnded { end });
        }
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = (moment(now - BACKDATED), moment(end));
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, subject.organisation());
        name.push(DnType::CommonName, subject.common_name());
        params.distinguished_name = name;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if matches!(subject, Subject::Controller | Subject::Etcd) {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.subject_alt_names = names.iter().map(|name| alternative(name)).collect::<Result<_, _>>()?;
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(key, &self.issuer).map_err(failed("a certificate can't be signed"))?;
        Ok(signed.pem())
    }
}

/// An address or a DNS name.
fn alternative(name: &str) -> Result<SanType, PkiError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let name = name.try_into().map_err(failed("a server's name has to be an address or a DNS name"))?;
    Ok(SanType::DnsName(name))
}

/// A few digits that differ from key to key.
fn fingerprint(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Whole seconds, as certificates have them.
fn moment(time: SystemTime) -> OffsetDateTime {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
