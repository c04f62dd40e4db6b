//! Endpoints of services.

use std::str::FromStr;

use selvedge_topology::failsafe::{Origin, Service, ServiceKind};
use tonic::transport::Uri;

/// An `http://` or `https://` URL with a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EndpointUrl(Uri);

/// Not such a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no URL with a scheme and a host, like http://192.0.2.1:2379")]
pub(super) struct EndpointError {
    text: String,
}

impl FromStr for EndpointUrl {
    type Err = EndpointError;
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let wrong = || EndpointError { text: text.to_owned() };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        if known && uri.host().is_some_and(|host| !host.is_empty()) { Ok(Self(uri)) } else { Err(wrong()) }
    }
}

impl EndpointUrl {
    /// Whether it is spoken to over TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }

    /// The service there.
    pub(super) fn service(&self, kind: ServiceKind, origin: Origin) -> Service {
        let host = self.0.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let standard = if self.is_encrypted() { 443 } else { 80 };
        Service { kind, host, port: self.0.port_u16().unwrap_or(standard), origin }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_service_at_its_host_and_port_or_the_port_of_its_scheme() {
        let service = |url: &str| {
            let url: EndpointUrl = url.parse().unwrap();
            let Service { host, port, .. } = url.service(ServiceKind::Etcd, Origin::Token);
            (host, port)
        };
        let at = |host: &str, port| (host.to_owned(), port);
        assert_eq!(service("http://172.31.0.1:2379"), at("172.31.0.1", 2379));
        assert_eq!(service("https://172.31.0.1"), at("172.31.0.1", 443));
        assert_eq!(service("http://[fd00::1]:7471"), at("fd00::1", 7471));
        assert_eq!(service("http://etcd.example"), at("etcd.example", 80));
    }

    #[test]
    fn what_is_no_url_is_refused_with_an_example() {
        for text in ["172.31.0.1:2379", "localhost", "ftp://x", "http://", ""] {
            let error = text.parse::<EndpointUrl>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}` is no URL")), "{error}");
        }
    }
}
