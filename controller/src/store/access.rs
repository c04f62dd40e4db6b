//! How etcd is reached.

use std::fmt;

use etcd_client::ConnectOptions;
use tonic::transport::ClientTlsConfig;

/// Where etcd is, and what is shown to it.
#[derive(Clone)]
pub struct Access {
    endpoints: Vec<String>,
    tls: Option<ClientTlsConfig>,
}

impl Access {
    /// Unencrypted: `http://` URLs.
    pub fn plain(endpoints: Vec<String>) -> Self {
        Self { endpoints, tls: None }
    }

    /// Over TLS: `https://` URLs, each believed for its own host.
    pub fn tls(endpoints: Vec<String>, tls: ClientTlsConfig) -> Self {
        Self { endpoints, tls: Some(tls) }
    }

    /// Client URLs.
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    pub(super) fn options(&self) -> ConnectOptions {
        let options = ConnectOptions::new();
        match &self.tls {
            Some(tls) => options.with_tls(tls.clone()),
            None => options,
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.endpoints.join(","))
    }
}

impl fmt::Debug for Access {
    /// Without the key, which the TLS configuration would show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}
