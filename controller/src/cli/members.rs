//! `selvedge node` and `selvedge operator`: who is of the fabric.

use std::time::{Duration, SystemTime};

use clap::Subcommand;
use selvedge_proto::wire::members_client::MembersClient;
use selvedge_proto::{DecodeError, wire};
use selvedge_topology::names::{NodeName, OperatorName};
use selvedge_trust::member::{Invitation, Invitee, Member, MemberName, Standing};
use selvedge_trust::pki::Role;
use selvedge_trust::token::{Secret, Token, Whereabouts};
use selvedge_trust::{Anchor, VerifyingKey};
use serde::Serialize;
use tonic::transport::Channel;

use super::client::{channel, refused};
use super::output::Format;
use super::table::table;
use super::{Answer, CliError, output};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  selvedge node enroll host1 > host1.token   # then, on host1: selvedge-agent enroll --token-file host1.token\n  \
                        selvedge node list\n  selvedge node revoke host1"
)]
pub(super) struct Nodes {
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Subcommand)]
enum NodeCommand {
    /// Print a token with which a node's agent gets its certificate, once.
    #[command(visible_alias = "enrol")]
    Enroll {
        /// The node's name in the Fabric document.
        node: NodeName,
        #[command(flatten)]
        terms: Terms,
        /// etcd's client URLs, as the node reaches them; else as the controller does.
        #[arg(long, value_name = "URL,…", value_delimiter = ',')]
        etcd: Vec<String>,
    },
    /// Take a node out: its certificate is worth nothing from now on. What it enforces stays in force.
    Revoke {
        /// The node.
        node: NodeName,
    },
    /// List nodes that are, were, or are invited to be of the fabric.
    List(Listing),
}

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  selvedge operator invite alice --role operator > alice.token   # then, as alice: selvedge login --token-file alice.token\n  \
                        selvedge operator list\n  selvedge operator revoke alice"
)]
pub(super) struct Operators {
    #[command(subcommand)]
    command: OperatorCommand,
}

#[derive(Subcommand)]
enum OperatorCommand {
    /// Print a token with which somebody gets a certificate, once.
    Invite {
        /// Their name.
        operator: OperatorName,
        /// What they may do: viewers see, operators change policy too, admins say who may what.
        #[arg(long, value_name = "viewer|operator|admin")]
        role: Role,
        #[command(flatten)]
        terms: Terms,
    },
    /// Take somebody out: their certificate is worth nothing from now on.
    Revoke {
        /// Their name.
        operator: OperatorName,
    },
    /// List operators that are, were, or are invited to be of the fabric.
    List(Listing),
}

/// What an invitation says beside whom it is for.
#[derive(clap::Args)]
struct Terms {
    /// How long the token can be used.
    #[arg(long = "for", value_name = "TIME", default_value = "1h")]
    valid: humantime::Duration,
    /// The controller's URL, as whoever is invited reaches it; else the one of this command.
    #[arg(long, value_name = "URL")]
    controller: Option<String>,
}

#[derive(clap::Args)]
struct Listing {
    /// How it is shown.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

type Client = MembersClient<Channel>;

async fn connect(server: &str) -> Result<Client, CliError> {
    Ok(MembersClient::new(channel(server).await?))
}

pub(super) async fn nodes(server: &str, args: Nodes) -> Result<Answer, CliError> {
    match args.command {
        NodeCommand::Enroll { node, terms, etcd } => invite(server, Invitee::Node(node), terms, etcd).await,
        NodeCommand::Revoke { node } => revoke(server, &MemberName::Node(node)).await,
        NodeCommand::List(listing) => {
            list(server, listing.output, |name| matches!(name, MemberName::Node(_))).await
        }
    }
}

pub(super) async fn operators(server: &str, args: Operators) -> Result<Answer, CliError> {
    match args.command {
        OperatorCommand::Invite { operator: name, role, terms } => {
            invite(server, Invitee::Operator { name, role }, terms, Vec::new()).await
        }
        OperatorCommand::Revoke { operator } => revoke(server, &MemberName::Operator(operator)).await,
        OperatorCommand::List(listing) => {
            list(server, listing.output, |name| matches!(name, MemberName::Operator(_))).await
        }
    }
}

async fn invite(server: &str, invitee: Invitee, terms: Terms, etcd: Vec<String>) -> Result<Answer, CliError> {
    let valid_ms = u64::try_from(terms.valid.as_millis()).unwrap_or(u64::MAX);
    let request = wire::InviteRequest { invitee: Some((&invitee).into()), valid_ms };
    let answer = connect(server).await?.invite(request).await.map_err(refused)?.into_inner();
    let wire::InviteResponse { secret, expires_ms, authority, etcd: known, fabric, signing_key } = answer;
    let secret = Secret::from_bytes(&secret).ok_or(CliError::Secret { length: secret.len() })?;
    let etcd = match (&invitee, etcd.is_empty()) {
        (Invitee::Operator { .. }, _) => Vec::new(),
        (Invitee::Node(_), true) => known,
        (Invitee::Node(_), false) => etcd,
    };
    let controller = terms.controller.unwrap_or_else(|| server.to_owned());
    for url in [&controller].into_iter().chain(&etcd) {
        if ["//127.", "//[::1]", "//localhost"].iter().any(|local| url.contains(local)) {
            anstream::eprintln!(
                "note: {url} in the token is this machine only; --controller and --etcd say others"
            );
        }
    }
    let expires = SystemTime::UNIX_EPOCH + Duration::from_millis(expires_ms);
    let form = |text: &str| DecodeError::Form { field: "signing_key", text: text.chars().take(80).collect() };
    let signing_key = VerifyingKey::try_from(signing_key.clone()).map_err(|_| form(&signing_key))?;
    let anchor = Anchor { fabric: fabric.parse()?, signing_key };
    let whereabouts = Whereabouts { controller, etcd };
    let token = Token::new(whereabouts, (anchor, authority), invitee.clone(), (secret, expires));
    output::print(&format!("{}\n", token.to_line()))?;
    let how = match invitee {
        Invitee::Node(node) => format!("on {node}: selvedge-agent enroll --token-file FILE"),
        Invitee::Operator { name, .. } => format!("as {name}: selvedge login --token-file FILE"),
    };
    let until = humantime::format_rfc3339_seconds(expires);
    anstream::eprintln!("That line is a secret, and good once, until {until}; {how}");
    Ok(Answer::Yes)
}

async fn revoke(server: &str, name: &MemberName) -> Result<Answer, CliError> {
    let request = wire::RevokeRequest { name: Some(name.into()) };
    let answer = connect(server).await?.revoke(request).await.map_err(refused)?.into_inner();
    let invitations = match answer.invitations {
        0 => String::new(),
        1 => ", and the open invitation is void".to_owned(),
        more => format!(", and {more} open invitations are void"),
    };
    output::print(&format!("{name}: revoked{invitations}\n"))?;
    Ok(Answer::Yes)
}

/// One line of a list. Names of fields are stable.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    /// Of operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    state: &'static str,
    /// Of members: how often they were enrolled.
    #[serde(skip_serializing_if = "Option::is_none")]
    enrolment: Option<u64>,
    /// Since when that is so; of invitations, until when it is.
    time: String,
}

async fn list(
    server: &str,
    format: Format,
    whether: impl Fn(&MemberName) -> bool,
) -> Result<Answer, CliError> {
    let answer =
        connect(server).await?.list(wire::ListMembersRequest {}).await.map_err(refused)?.into_inner();
    let mut rows = Vec::new();
    for member in answer.members {
        let Member { who, enrolment, standing, since } = member.try_into()?;
        let state = match standing {
            Standing::Enrolled => "enrolled",
            Standing::Revoked => "revoked",
        };
        if whether(&who.name()) {
            rows.push(row(&who, state, Some(enrolment.0), since));
        }
    }
    for invitation in answer.invitations {
        let Invitation { invitee, expires } = invitation.try_into()?;
        let state = if expires > SystemTime::now() { "invited" } else { "expired" };
        if whether(&invitee.name()) {
            rows.push(row(&invitee, state, None, expires));
        }
    }
    output::print(&match format {
        Format::Json => output::json(&rows)?,
        Format::Yaml => output::yaml(&rows)?,
        Format::Table | Format::Wide => render(&rows),
    })?;
    Ok(Answer::Yes)
}

fn row(who: &Invitee, state: &'static str, enrolment: Option<u64>, time: SystemTime) -> Row {
    let (name, role) = match who {
        Invitee::Node(node) => (node.to_string(), None),
        Invitee::Operator { name, role } => (name.to_string(), Some(*role)),
    };
    Row { name, role, state, enrolment, time: humantime::format_rfc3339_seconds(time).to_string() }
}

fn render(rows: &[Row]) -> String {
    let operators = rows.iter().any(|row| row.role.is_some());
    let cells = |row: &Row| {
        let role = row.role.map(|role| role.to_string());
        let enrolment = row.enrolment.map_or("-".to_owned(), |number| number.to_string());
        let when = if row.enrolment.is_some() { "since" } else { "until" };
        let rest = [row.state.to_owned(), enrolment, format!("{when} {}", row.time)];
        [row.name.clone()].into_iter().chain(role).chain(rest).collect::<Vec<_>>()
    };
    let head: &[&str] = if operators {
        &["OPERATOR", "ROLE", "STATE", "ENROLMENT", "WHEN"]
    } else {
        &["NODE", "STATE", "ENROLMENT", "WHEN"]
    };
    table(head, rows.iter().map(cells))
}
