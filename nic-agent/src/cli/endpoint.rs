//! Endpoints, and the failsafe entries that those on this fabric need.

use std::net::IpAddr;
use std::str::FromStr;

use selvedge_abi::{Address, FailsafeKey};
use selvedge_topology::l4::Protocol;
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

    /// What the service sends to this node, where the URL has an address: a name can't be known to an XDP program.
    pub(super) fn failsafe(&self) -> Option<FailsafeKey> {
        let host = self.0.host()?.trim_matches(['[', ']']);
        let address: IpAddr = host.parse().ok()?;
        let remote = match address {
            IpAddr::V4(v4) => Address::from_ipv4(v4.octets()),
            IpAddr::V6(v6) => Address(v6.octets()),
        };
        let standard = if self.0.scheme_str() == Some("https") { 443 } else { 80 };
        let remote_port = self.0.port_u16().unwrap_or(standard);
        Some(FailsafeKey { remote, remote_port, protocol: Protocol::TCP.0.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failsafe(url: &str) -> Option<FailsafeKey> {
        url.parse::<EndpointUrl>().unwrap().failsafe()
    }

    #[test]
    fn an_address_in_a_url_becomes_a_failsafe_entry_and_a_name_does_not() {
        let remote = Address::from_ipv4([172, 31, 0, 1]);
        let key = |remote, remote_port| Some(FailsafeKey { remote, remote_port, protocol: 6 });
        assert_eq!(failsafe("http://172.31.0.1:2379"), key(remote, 2379));
        assert_eq!(failsafe("https://172.31.0.1"), key(remote, 443));
        let v6 = Address("fd00::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
        assert_eq!(failsafe("http://[fd00::1]:7471"), key(v6, 7471));
        assert_eq!(failsafe("http://etcd.example:2379"), None);
    }

    #[test]
    fn what_is_no_url_is_refused_with_an_example() {
        for text in ["172.31.0.1:2379", "localhost", "ftp://x", "http://", ""] {
            let error = text.parse::<EndpointUrl>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}` is no URL")), "{error}");
        }
    }
}
