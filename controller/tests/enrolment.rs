//! Becoming one of a fabric, staying one, and being one no more: real TLS, a real etcd with its own users.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::time::{Duration, SystemTime};

use common::secure::{Newcomer, Secure};
use selvedge_proto::wire;
use selvedge_proto::wire::enrol_client::EnrolClient;
use selvedge_proto::wire::export_client::ExportClient;
use selvedge_trust::member::{Invitee, MemberName};
use selvedge_trust::pki::{Enrolment, Identity, NewKey, Role, Subject};
use selvedge_trust::token::Secret;
use tonic::Code;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn node(name: &str) -> Invitee {
    Invitee::Node(name.parse().unwrap())
}

/// Whether etcd answers `identity` about its own target.
async fn reaches_etcd(fabric: &Secure, identity: &Identity) -> bool {
    let Ok(mut etcd) = fabric.etcd(identity).await else { return false };
    etcd.get("/selvedge/v1/target/host1", None).await.is_ok()
}

async fn renew(fabric: &Secure, identity: &Identity) -> Result<Identity, tonic::Status> {
    let key = NewKey::generate().unwrap();
    let channel = fabric.channel(selvedge_controller::trust::client(identity)).await.unwrap();
    let request = wire::RenewRequest { request: key.request().unwrap() };
    let chain = EnrolClient::new(channel).renew(request).await?.into_inner().chain;
    Ok(Identity::new(&key, chain, identity.authority_pem().to_owned()).unwrap())
}

#[tokio::test]
async fn an_invitation_makes_one_member_once() {
    let fabric = Secure::start().await;
    let secret = fabric.invite(&node("host1"), HOUR).await.unwrap();
    let newcomer = Newcomer::new();
    let identity = newcomer.enrol(&fabric, &secret).await.unwrap();
    let expected = Subject::Node { node: "host1".parse().unwrap(), enrolment: Enrolment::FIRST };
    assert_eq!(identity.certificate().subject, expected);
    assert!(reaches_etcd(&fabric, &identity).await);
    // Again, by the same one and by another.
    for other in [newcomer, Newcomer::new()] {
        assert_eq!(other.enrol(&fabric, &secret).await.unwrap_err().code(), Code::PermissionDenied);
    }
    let guess = Secret::generate().unwrap();
    assert_eq!(Newcomer::new().enrol(&fabric, &guess).await.unwrap_err().code(), Code::PermissionDenied);
    // What lies in etcd is the secret's digest, and nothing once it is used.
    let open = fabric.members().await.invitations;
    assert_eq!(open, [], "used invitations are gone");
    fabric.controller.shutdown().await;
}

#[tokio::test]
async fn an_invitation_ends_and_can_be_taken_back() {
    let fabric = Secure::start().await;
    let late = fabric.invite(&node("host1"), Duration::from_millis(1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let refused = Newcomer::new().enrol(&fabric, &late).await.unwrap_err();
    assert!(refused.message().contains("that token ended at"), "{refused}");
    let secret = fabric.invite(&node("host1"), HOUR).await.unwrap();
    assert_eq!(fabric.members().await.invitations.len(), 1, "those that ended are swept away");
    assert_eq!(fabric.revoke(&MemberName::Node("host1".parse().unwrap())).await, Ok(1));
    assert_eq!(Newcomer::new().enrol(&fabric, &secret).await.unwrap_err().code(), Code::PermissionDenied);
    let longest = fabric.invite(&node("host1"), 24 * 40 * HOUR).await.unwrap_err();
    assert_eq!(longest.code(), Code::InvalidArgument);
    fabric.controller.shutdown().await;
}

#[tokio::test]
async fn a_node_that_is_enrolled_again_is_another_one_and_a_revoked_one_is_none() {
    let fabric = Secure::start().await;
    let first = fabric.member(&node("host1")).await;
    // A name that begins with the other's: revoking the one leaves the other alone.
    let neighbour = fabric.member(&node("host10")).await;
    assert!(reaches_etcd(&fabric, &first).await);
    let second = fabric.member(&node("host1")).await;
    assert!(!reaches_etcd(&fabric, &first).await, "the old certificate is no user of etcd");
    assert_eq!(renew(&fabric, &first).await.unwrap_err().code(), Code::Unauthenticated);
    assert!(reaches_etcd(&fabric, &second).await);

    assert_eq!(fabric.revoke(&MemberName::Node("host1".parse().unwrap())).await, Ok(0));
    assert!(!reaches_etcd(&fabric, &second).await);
    let refused = renew(&fabric, &second).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("revoked or enrolled anew"), "{refused}");
    let mut etcd = fabric.etcd(&neighbour).await.unwrap();
    assert!(etcd.get("/selvedge/v1/target/host10", None).await.is_ok());
    assert_eq!(
        renew(&fabric, &neighbour).await.unwrap().certificate().subject,
        neighbour.certificate().subject
    );

    // It may come back, by a new invitation.
    let third = fabric.member(&node("host1")).await;
    assert!(reaches_etcd(&fabric, &third).await);
    fabric.controller.shutdown().await;
}

#[tokio::test]
async fn certificates_end_and_are_renewed_for_whom_they_were() {
    let fabric = Secure::start_with(Duration::from_secs(4)).await;
    let first = fabric.member(&node("host1")).await;
    let due = first.certificate().renew_at().duration_since(SystemTime::now()).unwrap();
    assert!(due < Duration::from_secs(3), "after two thirds of four seconds: {due:?}");
    let second = renew(&fabric, &first).await.unwrap();
    assert_eq!(second.certificate().subject, first.certificate().subject);
    assert!(reaches_etcd(&fabric, &second).await, "the user in etcd is the same");
    tokio::time::sleep(Duration::from_secs(5)).await;
    // Over: TLS itself refuses, here and at etcd.
    let over = selvedge_controller::trust::client(&first);
    let refused = match fabric.channel(over).await {
        Ok(channel) => {
            let request = wire::RenewRequest { request: NewKey::generate().unwrap().request().unwrap() };
            EnrolClient::new(channel).renew(request).await.is_err()
        }
        Err(_) => true,
    };
    assert!(refused);
    assert!(!reaches_etcd(&fabric, &first).await);
    fabric.controller.shutdown().await;
}

#[tokio::test]
async fn a_node_tells_its_own_flows_and_no_others() {
    let fabric = Secure::start().await;
    let host1 = fabric.member(&node("host1")).await;
    for (name, good) in [("host1", true), ("host2", false)] {
        let channel = fabric.channel(selvedge_controller::trust::client(&host1)).await.unwrap();
        let batch = wire::FlowBatch { node: name.into(), flows: Vec::new(), lost: 0 };
        let told = ExportClient::new(channel).flows(tokio_stream::iter([batch])).await;
        assert_eq!(
            told.map(drop).map_err(|status| status.code()),
            if good { Ok(()) } else { Err(Code::PermissionDenied) }
        );
    }
    fabric.controller.shutdown().await;
}

#[tokio::test]
async fn who_is_of_the_fabric_survives_a_restart_and_so_does_who_is_not() {
    let mut fabric = Secure::start().await;
    let alice = Invitee::Operator { name: "alice".parse().unwrap(), role: Role::Viewer };
    let (host1, host2) = (fabric.member(&node("host1")).await, fabric.member(&node("host2")).await);
    let viewer = fabric.member(&alice).await;
    fabric.revoke(&MemberName::Node("host2".parse().unwrap())).await.unwrap();
    fabric = fabric.restart().await;
    assert!(reaches_etcd(&fabric, &host1).await);
    let mut etcd = fabric.etcd(&host2).await.unwrap();
    assert!(etcd.get("/selvedge/v1/target/host2", None).await.is_err());
    let mut viewer = fabric.fabric(&viewer).await.unwrap();
    assert!(viewer.version(wire::VersionRequest {}).await.is_ok());
    fabric.revoke(&MemberName::Operator("alice".parse().unwrap())).await.unwrap();
    // On the very connection that was let in before.
    assert_eq!(viewer.version(wire::VersionRequest {}).await.unwrap_err().code(), Code::Unauthenticated);
    fabric.controller.shutdown().await;
}
