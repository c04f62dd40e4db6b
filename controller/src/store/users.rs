//! etcd's own users and roles: what a node's certificate may read and write there.
//!
//! etcd takes the common name of a client's certificate as its user. Every node has a role of its own, and every
//! enrolment of it a user with that role; the controller's user has the role `root`. There are no passwords. As soon as
//! etcd asks for users, whoever it does not know can read and write nothing.

use std::collections::{BTreeMap, BTreeSet};

use etcd_client::{AuthClient, Permission, UserAddOptions};
use selvedge_proto::keys;
use selvedge_topology::names::NodeName;
use selvedge_trust::pki::{Enrolment, Subject};

use super::{Store, StoreError};

/// The role that may do everything, and the user that etcd wants to have it. Nobody gets a certificate of that name.
const ROOT: &str = "root";

fn role(node: &NodeName) -> String {
    format!("node:{node}")
}

fn user(node: &NodeName, enrolment: Enrolment) -> String {
    Subject::Node { node: node.clone(), enrolment }.common_name()
}

/// What a node may do: see what it has to enforce and what that is made of, and say how far it is.
pub fn permissions(node: &NodeName) -> [Permission; 4] {
    [
        Permission::read(keys::target(node)),
        Permission::read(keys::MANIFESTS).with_prefix(),
        Permission::read(keys::CHUNKS).with_prefix(),
        Permission::write(keys::report(node)),
    ]
}

/// etcd's users, as they should be.
pub struct Users {
    client: AuthClient,
}

impl Users {
    /// Those of the etcd behind `store`.
    pub fn of(store: &Store) -> Self {
        Self { client: store.client.auth_client() }
    }

    /// Makes etcd ask for users: `controller` may do everything, the nodes of `enrolled` what they should, and nobody else
    /// anything. Doing it again changes nothing.
    pub async fn establish(
        &mut self,
        controller: &str,
        enrolled: &BTreeMap<NodeName, Enrolment>,
    ) -> Result<(), StoreError> {
        let roles = self.roles().await?;
        if !roles.contains(ROOT) {
            self.client.role_add(ROOT).await?;
        }
        let users = self.users().await?;
        for name in [ROOT, controller] {
            if !users.contains(name) {
                self.add_user(name, ROOT).await?;
            }
        }
        for (node, enrolment) in enrolled {
            self.admit(node, *enrolment, (&users, &roles)).await?;
        }
        let known = |name: &String| {
            name == ROOT
                || name == controller
                || enrolled.iter().any(|(node, number)| user(node, *number) == *name)
        };
        for stranger in users.iter().filter(|name| name.starts_with("node:") && !known(name)) {
            self.client.user_delete(stranger).await?;
        }
        self.client.auth_enable().await?;
        Ok(())
    }

    /// Lets a node in, under this enrolment.
    pub async fn add(&mut self, node: &NodeName, enrolment: Enrolment) -> Result<(), StoreError> {
        let (users, roles) = (self.users().await?, self.roles().await?);
        self.admit(node, enrolment, (&users, &roles)).await
    }

    /// Lets no earlier enrolment of a node in than `enrolment`.
    pub async fn supersede(&mut self, node: &NodeName, enrolment: Enrolment) -> Result<(), StoreError> {
        self.remove(node, |name| name != user(node, enrolment)).await
    }

    /// Lets a node in no more.
    pub async fn expel(&mut self, node: &NodeName) -> Result<(), StoreError> {
        self.remove(node, |_| true).await
    }

    async fn remove(&mut self, node: &NodeName, whether: impl Fn(&str) -> bool) -> Result<(), StoreError> {
        let prefix = format!("{}:", role(node));
        for name in self.users().await? {
            // A node's name may begin with another's, and a colon is in no name.
            if name.starts_with(&prefix) && whether(&name) {
                self.client.user_delete(name).await?;
            }
        }
        Ok(())
    }

    async fn admit(
        &mut self,
        node: &NodeName,
        enrolment: Enrolment,
        (users, roles): (&BTreeSet<String>, &BTreeSet<String>),
    ) -> Result<(), StoreError> {
        let (role, user) = (role(node), user(node, enrolment));
        if !roles.contains(&role) {
            self.client.role_add(role.as_str()).await?;
        }
        if !users.contains(&user) {
            // Before there is somebody who has them; and again where that was interrupted.
            for permission in permissions(node) {
                self.client.role_grant_permission(role.as_str(), permission).await?;
            }
            self.add_user(&user, &role).await?;
        }
        Ok(())
    }

    async fn add_user(&mut self, name: &str, role: &str) -> Result<(), StoreError> {
        let without_password = UserAddOptions::new().with_no_pwd();
        self.client.user_add(name, "", Some(without_password)).await?;
        self.client.user_grant_role(name, role).await?;
        Ok(())
    }

    async fn users(&mut self) -> Result<BTreeSet<String>, StoreError> {
        Ok(self.client.user_list().await?.users().iter().cloned().collect())
    }

    async fn roles(&mut self) -> Result<BTreeSet<String>, StoreError> {
        Ok(self.client.role_list().await?.roles().iter().cloned().collect())
    }
}
