//! `selvedge version`.

use serde::Serialize;

use super::client::{connect, refused};
use super::{Answer, CliError, output};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Only this command's version; ask no controller.
    #[arg(long)]
    client: bool,
    /// As JSON.
    #[arg(short, long, value_name = "FORMAT", value_parser = ["json"])]
    output: Option<String>,
}

#[derive(Serialize)]
struct Versions {
    client: &'static str,
    server: Option<String>,
    etcd: Option<String>,
}

pub(super) async fn run(server: &str, args: &Args) -> Result<Answer, CliError> {
    let mut versions = Versions { client: env!("CARGO_PKG_VERSION"), server: None, etcd: None };
    let asked = if args.client { Ok(()) } else { ask(server, &mut versions).await };
    if args.output.is_some() {
        output::print(&output::json(&versions)?)?;
        return asked.map(|()| Answer::Yes);
    }
    let lines = [
        ("client", Some(versions.client)),
        ("server", versions.server.as_deref()),
        ("etcd", versions.etcd.as_deref()),
    ];
    let lines = lines.iter().filter_map(|(what, version)| Some(format!("{what}: {}\n", (*version)?)));
    output::print(&lines.collect::<String>())?;
    asked.map(|()| Answer::Yes)
}

async fn ask(server: &str, versions: &mut Versions) -> Result<(), CliError> {
    let response = connect(server).await?.version(selvedge_proto::wire::VersionRequest {}).await;
    let response = response.map_err(refused)?.into_inner();
    versions.server = Some(response.version);
    versions.etcd = Some(response.etcd_version);
    Ok(())
}
