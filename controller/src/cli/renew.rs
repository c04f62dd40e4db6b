//! The certificate of whoever works with the command line is renewed by their working with it.

use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::fcntl::FlockArg;
use selvedge_proto::wire::RenewRequest;
use selvedge_proto::wire::enrol_client::EnrolClient;
use selvedge_trust::pki::{Identity, NewKey};
use tokio::time::timeout;

use super::client::{channel_with, refused};
use super::{CliError, config};
use crate::trust::client;

/// How long a command waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// `identity`, which lies in `folder`; or, where less than a third of its certificate's life is left, what the controller at
/// `server` gives for it, which lies there then. No command fails for it: what keeps it from being renewed is said, and may be gone
/// the next time.
pub(super) async fn if_due(server: &str, folder: &Path, identity: Identity) -> Identity {
    if !is_due(&identity) {
        return identity;
    }
    let reason = match timeout(PATIENCE, renew(server, folder)).await {
        Ok(Ok(renewed)) => return renewed.unwrap_or(identity),
        // The command itself will say so.
        Ok(Err(CliError::Unreachable { .. })) => return identity,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    let style = anstyle::AnsiColor::Yellow.on_default().bold();
    let end = humantime::format_rfc3339_seconds(identity.certificate().end);
    anstream::eprintln!(
        "{style}warning:{style:#} your certificate, which ends at {end}, was not renewed: {reason}"
    );
    identity
}

fn is_due(identity: &Identity) -> bool {
    identity.certificate().renew_at() <= SystemTime::now()
}

/// Has a new key certified in place of the one before; nothing where another command is at it.
async fn renew(server: &str, folder: &Path) -> Result<Option<Identity>, CliError> {
    let Some(_lock) = config::lock(folder, FlockArg::LockExclusiveNonblock)? else { return Ok(None) };
    // Another command may have done it before the lock was ours.
    let current = Identity::load(folder).map_err(CliError::Pki)?;
    if !is_due(&current) {
        return Ok(Some(current));
    }
    let key = NewKey::generate().map_err(CliError::Pki)?;
    let request = RenewRequest { request: key.request().map_err(CliError::Pki)? };
    let channel = channel_with(server, Some(client(&current))).await?;
    let chain = EnrolClient::new(channel).renew(request).await.map_err(refused)?.into_inner().chain;
    let renewed = Identity::new(&key, chain, current.authority_pem().to_owned()).map_err(CliError::Pki)?;
    renewed.save(folder).map_err(CliError::Pki)?;
    Ok(Some(renewed))
}
