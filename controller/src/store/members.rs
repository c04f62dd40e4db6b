//! Who is of the fabric, and who is invited.

use etcd_client::{Compare, CompareOp, TxnOp};
use selvedge_proto::{Digest, keys};
use selvedge_trust::member::{Invitation, Member, MemberName};

use super::{Fence, NewEntry, Operation, Store, StoreError};

/// An invitation, and the digest of its secret by its key.
pub struct Open {
    /// Its key.
    pub key: String,
    /// What it says.
    pub invitation: Invitation,
}

fn key(name: &MemberName) -> String {
    match name {
        MemberName::Node(node) => keys::member_node(node),
        MemberName::Operator(operator) => keys::member_operator(operator),
    }
}

impl Store {
    /// Everybody who is or was of the fabric.
    pub async fn members(&self) -> Result<Vec<Member>, StoreError> {
        let (pairs, _) = self.list(keys::MEMBERS).await?;
        let read = |(key, value): (Vec<u8>, Vec<u8>)| {
            let key = String::from_utf8_lossy(&key).into_owned();
            Member::decode(&value).map_err(|source| StoreError::Value { key, source })
        };
        pairs.into_iter().map(read).collect()
    }

    /// Invitations that nobody has used.
    pub async fn invitations(&self) -> Result<Vec<Open>, StoreError> {
        let (pairs, _) = self.list(keys::INVITATIONS).await?;
        let read = |(key, value): (Vec<u8>, Vec<u8>)| {
            let key = String::from_utf8_lossy(&key).into_owned();
            match Invitation::decode(&value) {
                Ok(invitation) => Ok(Open { key, invitation }),
                Err(source) => Err(StoreError::Value { key, source }),
            }
        };
        pairs.into_iter().map(read).collect()
    }

    /// The invitation with this secret.
    pub async fn invitation(&self, secret: Digest) -> Result<Option<Invitation>, StoreError> {
        let key = keys::invitation(secret);
        let value = self.get(key.clone()).await?;
        value
            .map(|value| Invitation::decode(&value))
            .transpose()
            .map_err(|source| StoreError::Value { key, source })
    }

    /// Writes an invitation down, and takes others away.
    pub async fn invite(
        &self,
        fence: Fence,
        (secret, invitation): (Digest, &Invitation),
        void: &[String],
        audit: NewEntry,
    ) -> Result<(), StoreError> {
        self.withdraw(fence, void).await?;
        let put = TxnOp::put(keys::invitation(secret), invitation.encode(), None);
        let (unwritten, entry) = audit.operations();
        self.commit(fence, vec![unwritten], vec![put, entry]).await?.or_conflict()
    }

    /// Uses an invitation up and makes `member` one of the fabric, both or neither.
    pub async fn enrol(
        &self,
        fence: Fence,
        secret: Digest,
        member: &Member,
        audit: NewEntry,
    ) -> Result<(), StoreError> {
        let invitation = keys::invitation(secret);
        let unused = Compare::create_revision(invitation.as_str(), CompareOp::Greater, 0);
        let (unwritten, entry) = audit.operations();
        let put = TxnOp::put(key(&member.who.name()), member.encode(), None);
        let operations = vec![TxnOp::delete(invitation, None), put, entry];
        self.commit(fence, vec![unused, unwritten], operations).await?.or_conflict()
    }

    /// Takes invitations away.
    async fn withdraw(&self, fence: Fence, void: &[String]) -> Result<(), StoreError> {
        self.write(fence, void.iter().cloned().map(Operation::Delete).collect()).await
    }

    /// Writes down that somebody is revoked; `member` is nobody who was only invited.
    pub async fn revoke(
        &self,
        fence: Fence,
        member: Option<&Member>,
        void: &[String],
        audit: NewEntry,
    ) -> Result<(), StoreError> {
        self.withdraw(fence, void).await?;
        let (unwritten, entry) = audit.operations();
        let put = member.map(|member| TxnOp::put(key(&member.who.name()), member.encode(), None));
        self.commit(fence, vec![unwritten], put.into_iter().chain([entry]).collect()).await?.or_conflict()
    }

    /// Writes down who the first administrator is.
    pub async fn write_member(&self, fence: Fence, member: &Member) -> Result<(), StoreError> {
        self.write(fence, vec![Operation::Put(key(&member.who.name()), member.encode())]).await
    }
}
