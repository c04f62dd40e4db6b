//! Who is of the fabric, and who is invited.

use etcd_client::{Compare, CompareOp, TxnOp};
use selvedge_proto::{Digest, keys};
use selvedge_trust::member::{Invitation, Member, MemberName};

use super::{Fence, Operation, Store, StoreError};

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
    ) -> Result<(), StoreError> {
        let put = Operation::Put(keys::invitation(secret), invitation.encode());
        let deletes = void.iter().cloned().map(Operation::Delete);
        self.write(fence, deletes.chain([put]).collect()).await
    }

    /// Uses an invitation up and makes `member` one of the fabric, both or neither.
    pub async fn enrol(&self, fence: Fence, secret: Digest, member: &Member) -> Result<(), StoreError> {
        let invitation = keys::invitation(secret);
        let unused = Compare::create_revision(invitation.as_str(), CompareOp::Greater, 0);
        let operations =
            [TxnOp::delete(invitation, None), TxnOp::put(key(&member.who.name()), member.encode(), None)];
        self.commit(fence, vec![unused], operations.into()).await?.or_conflict()
    }

    /// Takes invitations away.
    pub async fn withdraw(&self, fence: Fence, void: &[String]) -> Result<(), StoreError> {
        self.write(fence, void.iter().cloned().map(Operation::Delete).collect()).await
    }

    /// Writes down how somebody stands, and takes invitations away.
    pub async fn write_member(
        &self,
        fence: Fence,
        member: &Member,
        void: &[String],
    ) -> Result<(), StoreError> {
        let put = Operation::Put(key(&member.who.name()), member.encode());
        let deletes = void.iter().cloned().map(Operation::Delete);
        self.write(fence, deletes.chain([put]).collect()).await
    }
}
