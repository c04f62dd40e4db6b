//! Reaching the controller.

use std::time::Duration;

use selvedge_proto::MAX_MESSAGE_BYTES;
use selvedge_proto::wire::fabric_client::FabricClient;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::config::{self, Known};
use super::{CliError, renew};
use crate::trust::client;

/// A client of the controller.
pub(super) type Client = FabricClient<Channel>;

/// Connects to the controller at `server`.
pub(super) async fn connect(server: &str) -> Result<Client, CliError> {
    Ok(FabricClient::new(channel(server).await?)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES))
}

/// A connection to `server`, with our identity where it is encrypted.
pub(super) async fn channel(server: &str) -> Result<Channel, CliError> {
    if !server.starts_with("https:") {
        return channel_with(server, None).await;
    }
    let identity = match config::identity()? {
        Known::Own { folder, identity } => renew::if_due(server, &folder, identity).await,
        Known::Administrator(identity) => identity,
    };
    channel_with(server, Some(client(&identity))).await
}

/// A connection to `server`.
pub(super) async fn channel_with(server: &str, tls: Option<ClientTlsConfig>) -> Result<Channel, CliError> {
    let wrong = |_| CliError::Server { server: server.to_owned() };
    let endpoint = Endpoint::from_shared(server.to_owned()).map_err(wrong)?;
    let endpoint = match tls {
        Some(tls) => endpoint.tls_config(tls).map_err(wrong)?,
        None => endpoint,
    };
    endpoint.connect_timeout(Duration::from_secs(5)).connect().await.map_err(|error| {
        // The innermost cause is what people understand: "connection refused".
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        CliError::Unreachable { server: server.to_owned(), reason: cause.to_string() }
    })
}

/// What a refusal means.
pub(super) fn refused(status: tonic::Status) -> CliError {
    CliError::Refused(Box::new(status))
}
