//! Certificates as they are made, signed, read back and kept.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use selvedge_trust::pki::{
    Ca, Certificate, Enrolment, Identity, NewKey, PkiError, Request, Role, Subject, Term,
};
use selvedge_trust::{FileError, write_private, write_public};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A moment of whole seconds, as certificates have them.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn node(name: &str) -> Subject {
    Subject::Node { node: name.parse().unwrap(), enrolment: Enrolment(3) }
}

#[test]
fn a_certificate_is_for_whom_the_authority_says_whatever_the_request_asks_for() {
    let (ca, _) = Ca::create(now()).unwrap();
    // What a node that would be the controller would send.
    let key = rcgen::KeyPair::generate().unwrap();
    let mut greedy = rcgen::CertificateParams::new(["controller.example".to_owned()]).unwrap();
    greedy.distinguished_name.push(rcgen::DnType::CommonName, "controller");
    greedy.distinguished_name.push(rcgen::DnType::OrganizationName, "selvedge:controller");
    greedy.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let request = greedy.serialize_request(&key).unwrap();
    let request = Request::from_der(request.der()).unwrap();

    let signed = ca.sign(&request, &node("host1"), Term::For(3 * HOUR), now()).unwrap();
    let certificate = Certificate::from_pem(&signed).unwrap();
    assert_eq!(certificate.subject, node("host1"));
    assert_eq!(certificate.names, Vec::<String>::new());
    assert_eq!((certificate.end, certificate.renew_at()), (now() + 3 * HOUR, now() + 2 * HOUR));
    let (_, block) = x509_parser::pem::parse_x509_pem(signed.as_bytes()).unwrap();
    let parsed = block.parse_x509().unwrap();
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth, "a node is nobody's server");
    assert!(!parsed.is_ca());
}

#[test]
fn requests_that_their_key_did_not_sign_and_other_kinds_of_keys_are_refused() {
    let mut request = NewKey::generate().unwrap().request().unwrap();
    let last = request.len() - 1;
    request[last] ^= 1;
    assert!(matches!(Request::from_der(&request), Err(PkiError::Rcgen { .. })));
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
    assert!(matches!(Request::from_der(request.der()), Err(PkiError::Rcgen { .. })));
}

#[test]
fn nothing_outlives_its_authority() {
    let (ca, _) = Ca::create(now()).unwrap();
    let key = NewKey::generate().unwrap();
    let request = Request::from_der(&key.request().unwrap()).unwrap();
    let late = ca.end() - HOUR;
    let signed = ca.sign(&request, &node("host1"), Term::For(24 * HOUR), late).unwrap();
    assert_eq!(Certificate::from_pem(&signed).unwrap().end, ca.end());
    let over = ca.sign(&request, &node("host1"), Term::For(HOUR), ca.end());
    assert!(matches!(over, Err(PkiError::AuthorityEnded { .. })));
}

#[test]
fn an_identity_is_read_back_as_it_was_saved_and_only_its_owner_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("identity");
    let (ca, _) = Ca::create(now()).unwrap();
    for enrolment in [Enrolment(1), Enrolment(2)] {
        let key = NewKey::generate().unwrap();
        let operator = "alice".parse().unwrap();
        let subject = Subject::Operator { operator, role: Role::Viewer, enrolment };
        let request = Request::from_der(&key.request().unwrap()).unwrap();
        let chain = ca.sign(&request, &subject, Term::For(HOUR), now()).unwrap();
        let identity = Identity::new(&key, chain, ca.pem().to_owned()).unwrap();
        identity.save(&place).unwrap();
        assert_eq!(Identity::load(&place).unwrap(), identity);
        assert_eq!(identity.certificate().subject, subject);
        let shown = format!("{key:?} {identity:?} {ca:?}");
        assert!(!shown.contains("PRIVATE") && !shown.contains(&key.secret_pem()[40..80]), "{shown}");
    }
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&place), mode(&place.join("identity.pem"))), (0o700, 0o600));
    fs::set_permissions(place.join("identity.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(Identity::load(&place), Err(PkiError::File(FileError::Exposed { mode: 0o644, .. }))));
}

#[test]
fn an_authority_of_ones_own_has_to_be_one_and_to_come_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (ca, secret) = Ca::create(now()).unwrap();
    let (_, other) = Ca::create(now()).unwrap();
    let key = NewKey::generate().unwrap();
    let request = Request::from_der(&key.request().unwrap()).unwrap();
    let leaf = ca.sign(&request, &node("host1"), Term::Authority, now()).unwrap();
    write_public(&at("ca.pem"), ca.pem()).unwrap();
    write_private(&at("ca.key"), &secret.secret_pem()).unwrap();
    write_private(&at("other.key"), &other.secret_pem()).unwrap();
    write_public(&at("leaf.pem"), &leaf).unwrap();
    write_private(&at("leaf.key"), &key.secret_pem()).unwrap();
    assert_eq!(Ca::load(&at("ca.pem"), &at("ca.key")).unwrap().pem(), ca.pem());
    assert!(matches!(Ca::load(&at("ca.pem"), &at("other.key")), Err(PkiError::OtherKey { .. })));
    assert!(matches!(Ca::load(&at("leaf.pem"), &at("leaf.key")), Err(PkiError::NotAuthority { .. })));
}
