//! Who is of the fabric: invited, enrolled, renewed, revoked.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use selvedge_proto::wire;
use selvedge_proto::wire::enrol_server::Enrol;
use selvedge_proto::wire::members_server::Members as MembersApi;
use selvedge_topology::names::NodeName;
use selvedge_trust::Anchor;
use selvedge_trust::audit::{Author, Deed};
use selvedge_trust::member::{Invitation, Invitee, Member, MemberName, Standing, millis};
use selvedge_trust::pki::{Enrolment, Request as CertificateRequest, Role, Subject, Term};
use selvedge_trust::token::Secret;
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};
use tracing::info;

use super::Shared;
use super::audit::{self, Turn};
use super::authorize::Caller;
use super::convert::invalid;
use crate::store::{Fence, NewEntry, Store, StoreError, Users};
use crate::trust::{ADMIN, Trust};

/// The longest an invitation may hold.
const LONGEST_INVITATION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Everybody who is or was of the fabric.
pub(super) struct Members {
    table: RwLock<HashMap<MemberName, Member>>,
    /// Held while somebody is invited, enrolled or revoked: one at a time.
    changing: Mutex<()>,
}

impl Members {
    /// Reads who there is, makes the first administrator one, and has etcd know the same people.
    pub(super) async fn establish(store: &Store, fence: Fence, trust: &Trust) -> Result<Self, StoreError> {
        let mut table: HashMap<MemberName, Member> =
            store.members().await?.into_iter().map(|member| (member.who.name(), member)).collect();
        let first = Member {
            who: Invitee::Operator { name: ADMIN.clone(), role: Role::Admin },
            enrolment: Enrolment::FIRST,
            standing: Standing::Enrolled,
            since: SystemTime::now(),
        };
        if let Entry::Vacant(nobody) = table.entry(first.who.name()) {
            store.write_member(fence, &first).await?;
            nobody.insert(first);
        }
        let enrolled: BTreeMap<NodeName, Enrolment> = table.values().filter_map(enrolled_node).collect();
        Users::of(store).establish(trust.user(), &enrolled).await?;
        Ok(Self { table: RwLock::new(table), changing: Mutex::new(()) })
    }

    /// Whether a certificate for `subject` still counts.
    pub(super) fn count(&self, subject: &Subject) -> bool {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        name_of(subject).and_then(|name| table.get(&name)).is_some_and(|member| member.is(subject))
    }

    fn find(&self, name: &MemberName) -> Option<Member> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn note(&self, member: Member) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.insert(member.who.name(), member);
    }

    fn all(&self) -> Vec<Member> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Member> = table.values().cloned().collect();
        all.sort_by_key(|member| member.who.name());
        all
    }
}

fn enrolled_node(member: &Member) -> Option<(NodeName, Enrolment)> {
    match (&member.who, member.standing) {
        (Invitee::Node(node), Standing::Enrolled) => Some((node.clone(), member.enrolment)),
        _ => None,
    }
}

fn name_of(subject: &Subject) -> Option<MemberName> {
    match subject {
        Subject::Node { node, .. } => Some(MemberName::Node(node.clone())),
        Subject::Operator { operator, .. } => Some(MemberName::Operator(operator.clone())),
        Subject::Controller | Subject::Etcd => None,
    }
}

impl Shared {
    /// Whether whoever was let in still would be.
    pub(super) fn still_counts(&self, caller: &Caller) -> bool {
        match (caller, &self.members) {
            (Caller::Known(subject), Some(members)) => members.count(subject),
            (Caller::Known(_), None) | (Caller::Anybody | Caller::Stranger, _) => true,
        }
    }

    /// The authority, and who is of its fabric.
    fn guarded(&self) -> Result<(&Trust, &Members), Status> {
        let nobody = || {
            Status::failed_precondition(
                "this controller was started with --insecure: it has no authority, and everybody is let in",
            )
        };
        Ok((self.trust.as_deref().ok_or_else(nobody)?, self.members.as_deref().ok_or_else(nobody)?))
    }

    /// What the audit record says of something that is about to be done.
    async fn tell(
        &self,
        author: Author,
        method: &'static str,
        summary: String,
    ) -> Result<(NewEntry, Turn<'_>), StoreError> {
        let deed = Deed { author, method, summary, generation: None, diff: String::new() };
        self.audit.next(&self.store, deed).await
    }

    fn certify(
        &self,
        trust: &Trust,
        request: &CertificateRequest,
        subject: &Subject,
    ) -> Result<wire::Certified, Status> {
        let term = Term::For(self.certificate_lifetime);
        let chain = trust.ca().sign(request, subject, term, SystemTime::now());
        let chain = chain.map_err(|error| Status::failed_precondition(error.to_string()))?;
        info!(%subject, user = subject.common_name(), "signed a certificate");
        Ok(wire::Certified { chain })
    }
}

#[tonic::async_trait]
impl Enrol for Shared {
    async fn enrol(&self, request: Request<wire::EnrolRequest>) -> Result<Response<wire::Certified>, Status> {
        let mut author = audit::author(&request)?;
        let wire::EnrolRequest { secret, request } = request.into_inner();
        let (trust, members) = self.guarded()?;
        let secret = Secret::from_bytes(&secret).ok_or_else(|| invalid("a secret has 32 bytes"))?.digest();
        let request = CertificateRequest::from_der(&request).map_err(invalid)?;
        let _one = members.changing.lock().await;
        let unknown = || {
            Status::permission_denied(
                "nobody is invited with that token: it was used, revoked, or made for another fabric; ask for a new one",
            )
        };
        let Invitation { invitee, expires } = self.store.invitation(secret).await?.ok_or_else(unknown)?;
        let now = SystemTime::now();
        if expires <= now {
            let end = humantime::format_rfc3339_seconds(expires);
            return Err(Status::permission_denied(format!("that token ended at {end}; ask for a new one")));
        }
        let before = members.find(&invitee.name()).map(|member| member.enrolment);
        let enrolment = before.map_or(Enrolment::FIRST, Enrolment::next);
        let member = Member { who: invitee, enrolment, standing: Standing::Enrolled, since: now };
        // etcd's user first: nobody has a certificate of that name before the invitation is used up.
        let mut users = Users::of(&self.store);
        if let Invitee::Node(node) = &member.who {
            users.add(node, enrolment).await?;
        }
        let subject = member.who.subject(enrolment);
        (author.name, author.organisation) = (subject.common_name(), subject.organisation());
        let (entry, turn) = self.tell(author, "Enrol/Enrol", format!("{subject} enrolled")).await?;
        self.store.enrol(self.desired.fence(), secret, &member, entry).await?;
        turn.done();
        members.note(member.clone());
        if let Invitee::Node(node) = &member.who {
            users.supersede(node, enrolment).await?;
        }
        Ok(Response::new(self.certify(trust, &request, &subject)?))
    }

    async fn renew(&self, request: Request<wire::RenewRequest>) -> Result<Response<wire::Certified>, Status> {
        let (trust, _) = self.guarded()?;
        let Caller::Known(subject) = Caller::of(&request)?.clone() else {
            return Err(Status::unauthenticated("a certificate is renewed for who shows the one before"));
        };
        let request = CertificateRequest::from_der(&request.into_inner().request).map_err(invalid)?;
        Ok(Response::new(self.certify(trust, &request, &subject)?))
    }
}

#[tonic::async_trait]
impl MembersApi for Shared {
    async fn invite(
        &self,
        request: Request<wire::InviteRequest>,
    ) -> Result<Response<wire::InviteResponse>, Status> {
        let author = audit::author(&request)?;
        let wire::InviteRequest { invitee, valid_ms } = request.into_inner();
        let (trust, members) = self.guarded()?;
        let invitee =
            Invitee::try_from(invitee.ok_or_else(|| invalid("nobody is named"))?).map_err(invalid)?;
        let valid = Duration::from_millis(valid_ms);
        if valid.is_zero() || valid > LONGEST_INVITATION {
            let most = humantime::format_duration(LONGEST_INVITATION);
            return Err(invalid(format!("an invitation holds for {most} at most, and not for no time")));
        }
        let unsigned = || {
            Status::failed_precondition(
                "nobody signs this fabric's generations; `selvedge-controller init` makes a key",
            )
        };
        let Anchor { fabric, signing_key } = self.desired.authority().anchor().ok_or_else(unsigned)?;
        let secret = Secret::generate().map_err(|error| Status::internal(error.to_string()))?;
        let now = SystemTime::now();
        let expires = now + valid;
        let _one = members.changing.lock().await;
        let over = self.store.invitations().await?.into_iter().filter(|open| open.invitation.expires <= now);
        let over: Vec<String> = over.map(|open| open.key).collect();
        let invitation = Invitation { invitee, expires };
        let what = match &invitation.invitee {
            Invitee::Node(node) => format!("invited node {node}"),
            Invitee::Operator { name, role } => format!("invited operator {name} ({role})"),
        };
        let (entry, turn) = self.tell(author, "Members/Invite", what).await?;
        self.store.invite(self.desired.fence(), (secret.digest(), &invitation), &over, entry).await?;
        turn.done();
        info!(who = %invitation.invitee.name(), "invited");
        Ok(Response::new(wire::InviteResponse {
            secret: secret.to_bytes(),
            expires_ms: millis(expires),
            authority: trust.ca().pem().to_owned(),
            etcd: self.etcd_endpoints.clone(),
            fabric: fabric.to_string(),
            signing_key: signing_key.to_string(),
        }))
    }

    async fn revoke(
        &self,
        request: Request<wire::RevokeRequest>,
    ) -> Result<Response<wire::RevokeResponse>, Status> {
        let (_, members) = self.guarded()?;
        let author = audit::author(&request)?;
        let name = request.into_inner().name.ok_or_else(|| invalid("nobody is named"))?;
        let name = MemberName::try_from(name).map_err(invalid)?;
        let _one = members.changing.lock().await;
        let open = self.store.invitations().await?.into_iter();
        let void: Vec<String> =
            open.filter(|open| open.invitation.invitee.name() == name).map(|open| open.key).collect();
        let member = members.find(&name);
        if member.is_none() && void.is_empty() {
            return Err(Status::not_found(format!("{name} is not of this fabric, and not invited")));
        }
        let revoked = |member| Member { standing: Standing::Revoked, since: SystemTime::now(), ..member };
        let member = member.map(revoked);
        let (entry, turn) = self.tell(author, "Members/Revoke", format!("revoked {name}")).await?;
        self.store.revoke(self.desired.fence(), member.as_ref(), &void, entry).await?;
        turn.done();
        if let Some(member) = member {
            members.note(member);
        }
        if let MemberName::Node(node) = &name {
            Users::of(&self.store).expel(node).await?;
        }
        info!(who = %name, "revoked");
        let invitations = u32::try_from(void.len()).unwrap_or(u32::MAX);
        Ok(Response::new(wire::RevokeResponse { invitations }))
    }

    async fn list(
        &self,
        _: Request<wire::ListMembersRequest>,
    ) -> Result<Response<wire::ListMembersResponse>, Status> {
        let (_, members) = self.guarded()?;
        let invitations = self.store.invitations().await?;
        Ok(Response::new(wire::ListMembersResponse {
            members: members.all().iter().map(Into::into).collect(),
            invitations: invitations.iter().map(|open| (&open.invitation).into()).collect(),
        }))
    }
}
