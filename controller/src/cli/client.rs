//! Reaching the controller.

use std::time::Duration;

use selvedge_proto::MAX_MESSAGE_BYTES;
use selvedge_proto::wire::fabric_client::FabricClient;
use tonic::transport::{Channel, Endpoint};

use super::CliError;

/// A client of the controller.
pub(super) type Client = FabricClient<Channel>;

/// Connects to the controller at `server`.
pub(super) async fn connect(server: &str) -> Result<Client, CliError> {
    let wrong = |_| CliError::Server { server: server.to_owned() };
    let endpoint = Endpoint::from_shared(server.to_owned()).map_err(wrong)?;
    let channel = endpoint.connect_timeout(Duration::from_secs(5)).connect().await.map_err(|error| {
        // The innermost cause is what people understand: "connection refused".
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        CliError::Unreachable { server: server.to_owned(), reason: cause.to_string() }
    })?;
    Ok(FabricClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES))
}

/// What a refusal means.
pub(super) fn refused(status: tonic::Status) -> CliError {
    CliError::Refused(Box::new(status))
}
