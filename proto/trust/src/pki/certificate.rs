//! Reading certificates: of a peer, of a file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::authority::BACKDATED;
use super::{PkiError, Subject};

/// What a fabric wants to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Who it is for.
    pub subject: Subject,
    /// From when on it holds.
    pub begin: SystemTime,
    /// Until when.
    pub end: SystemTime,
    /// The names and addresses it is good for as a server, as text.
    pub names: Vec<String>,
}

impl Certificate {
    /// Reads the certificate of a peer, in DER. Whether it was signed by the authority is for TLS to say.
    pub fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        let (_, parsed) =
            X509Certificate::from_der(der).map_err(|_| PkiError::NoCertificate { form: "DER" })?;
        Self::read(&parsed)
    }

    /// Reads the first certificate of a chain in PEM.
    pub fn from_pem(pem: &str) -> Result<Self, PkiError> {
        Self::from_der(&first(pem)?)
    }

    fn read(parsed: &X509Certificate<'_>) -> Result<Self, PkiError> {
        let subject = parsed.subject();
        // A second value would be somebody else to whoever reads the last one instead of the first.
        let only = |mut values: Vec<&str>| match (values.pop(), values.is_empty()) {
            (Some(value), true) => value.to_owned(),
            _ => String::new(),
        };
        let organisation =
            only(subject.iter_organization().filter_map(|value| value.as_str().ok()).collect());
        let name = only(subject.iter_common_name().filter_map(|value| value.as_str().ok()).collect());
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().filter_map(text).collect());
        Ok(Self {
            subject: Subject::parse(&organisation, &name)?,
            begin: time(parsed.validity().not_before),
            end: time(parsed.validity().not_after),
            names: names.unwrap_or_default(),
        })
    }

    /// When it is time for the next one: after two thirds of its life.
    pub fn renew_at(&self) -> SystemTime {
        let life = self.end.duration_since(self.begin).unwrap_or_default();
        self.end - life.saturating_sub(BACKDATED) / 3
    }
}

fn first(pem: &str) -> Result<Vec<u8>, PkiError> {
    let wrong = |_| PkiError::NoCertificate { form: "PEM" };
    Ok(parse_x509_pem(pem.as_bytes()).map_err(wrong)?.1.contents)
}

/// The common name of the first certificate of a chain in PEM, whoever's it is; none where there is not exactly one.
pub fn common_name(pem: &str) -> Result<Option<String>, PkiError> {
    let der = first(pem)?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| PkiError::NoCertificate { form: "DER" })?;
    let names: Vec<_> = parsed.subject().iter_common_name().collect();
    let [name] = names.as_slice() else { return Ok(None) };
    Ok(name.as_str().ok().map(str::to_owned))
}

fn text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
            four.or_else(|_| {
                <[u8; 16]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string())
            })
            .ok()
        }
        _ => None,
    }
}

/// Times before 1970 are 1970: they are over either way.
pub(super) fn time(time: ASN1Time) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or_default())
}
