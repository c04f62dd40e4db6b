//! Certificates (X.509, ECDSA P-256): who somebody is, on every connection of a fabric.
//!
//! A fabric has one certificate authority. What it signs says two things of its holder: the organisation, which is
//! the role, and the common name, which is also the holder's user name in etcd. Nothing of what a request for a
//! certificate asks for is taken over but its public key.

mod authority;
mod certificate;
mod identity;
mod request;
mod subject;

pub use authority::{Ca, Names, Term};
pub use certificate::{Certificate, common_name};
pub use identity::Identity;
pub use request::{NewKey, Request};
pub use selvedge_topology::operators::Role;
pub use subject::{Enrolment, Subject, SubjectError};

use std::path::PathBuf;

use crate::files::FileError;

/// Why a key or certificate can't be made or used.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// Its file can't be had.
    #[error(transparent)]
    File(#[from] FileError),
    /// It can't be made, or not be read at all.
    #[error("{what}: {source}")]
    Rcgen {
        /// What it was to be.
        what: &'static str,
        /// What is wrong.
        source: rcgen::Error,
    },
    /// It is no certificate.
    #[error("it is no certificate in {form}")]
    NoCertificate {
        /// The form it should have.
        form: &'static str,
    },
    /// Its subject is nobody in a fabric.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// A certificate that can't sign others.
    #[error("{} is no certificate authority: its basic constraints don't say CA, or its key usage not certificate signing", path.display())]
    NotAuthority {
        /// Its file.
        path: PathBuf,
    },
    /// A key that is not the certificate's.
    #[error("the key in {} is not that of the certificate in {}", key.display(), certificate.display())]
    OtherKey {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's.
        key: PathBuf,
    },
    /// What should begin before it ends.
    #[error(
        "the certificate authority's own certificate ended at {end}; make a new fabric, or give `init` the authority's renewed certificate"
    )]
    AuthorityEnded {
        /// When, in seconds since 1970.
        end: u64,
    },
}

/// For `map_err`: an error of rcgen while making or reading `what`.
fn failed(what: &'static str) -> impl FnOnce(rcgen::Error) -> PkiError {
    move |source| PkiError::Rcgen { what, source }
}
