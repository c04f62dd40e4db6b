//! `selvedge login`: a token becomes an identity.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use selvedge_proto::wire::EnrolRequest;
use selvedge_proto::wire::enrol_client::EnrolClient;
use selvedge_trust::member::Invitee;
use selvedge_trust::pki::{Identity, NewKey};
use selvedge_trust::token::Token;
use tonic::transport::{Certificate, ClientTlsConfig};

use super::client::{channel_with, refused};
use super::{Answer, CliError, config, output};

#[derive(clap::Args)]
#[command(
    after_help = "The key is made here and stays here. The identity goes to $SELVEDGE_CONFIG, or ~/.config/selvedge.\n\n\
                  Example:\n  selvedge login --token-file alice.token"
)]
pub(super) struct Args {
    /// The token that `selvedge operator invite` printed; `-` reads it from standard input.
    #[arg(long, value_name = "FILE|-")]
    token_file: PathBuf,
}

pub(super) async fn run(args: &Args) -> Result<Answer, CliError> {
    let token: Token = read(&args.token_file)?.parse().map_err(CliError::Token)?;
    let Invitee::Operator { name, role } = &token.invitee else { return Err(CliError::NodesToken) };
    if token.is_over(SystemTime::now()) {
        return Err(CliError::TokenOver);
    }
    let folder = config::own_folder()?;
    let key = NewKey::generate().map_err(CliError::Pki)?;
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&token.authority));
    let server = &token.whereabouts.controller;
    let request =
        EnrolRequest { secret: token.secret.to_bytes(), request: key.request().map_err(CliError::Pki)? };
    let mut client = EnrolClient::new(channel_with(server, Some(tls)).await?);
    let chain = client.enrol(request).await.map_err(refused)?.into_inner().chain;
    let identity = Identity::new(&key, chain, token.authority.clone()).map_err(CliError::Pki)?;
    config::save(&folder, &identity, server)?;
    let end = humantime::format_rfc3339_seconds(identity.certificate().end);
    output::print(&format!("{name} is {role} at {server} until {end}; {}\n", folder.display()))?;
    Ok(Answer::Yes)
}

fn read(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(1 << 16).read_to_string(&mut text).map(drop)
    } else {
        fs::read_to_string(path).map(|read| text = read)
    };
    read.map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    Ok(text)
}
