//! What a number was allocated for, as it lies in etcd.

use prost::Message;
use selvedge_topology::identity::{Identity, IdentityKey, SecurityLabels};
use selvedge_topology::labels::Labels;
use serde::Deserialize;
use serde::de::value::MapDeserializer;

use crate::convert::{
    DecodeError, labels_from_wire, labels_to_wire, prefix_from_wire, prefix_to_wire, present,
};
use crate::wire;
use crate::wire::identity_record::Key;

impl From<(Identity, &IdentityKey)> for wire::IdentityRecord {
    fn from((identity, key): (Identity, &IdentityKey)) -> Self {
        let key = match key {
            IdentityKey::Labels(labels) => {
                Key::Labels(wire::SecurityLabels { labels: labels_to_wire(labels.labels()) })
            }
            IdentityKey::Cidr(cidr) => Key::Cidr(prefix_to_wire(*cidr)),
        };
        Self { identity: identity.0, key: Some(key) }
    }
}

impl TryFrom<wire::IdentityRecord> for (Identity, IdentityKey) {
    type Error = DecodeError;
    fn try_from(record: wire::IdentityRecord) -> Result<Self, DecodeError> {
        let wire::IdentityRecord { identity, key } = record;
        let key = match present("identity key", key)? {
            Key::Labels(wire::SecurityLabels { labels }) => IdentityKey::Labels(security_labels(labels)?),
            Key::Cidr(cidr) => IdentityKey::Cidr(prefix_from_wire(cidr)?),
        };
        Ok((Identity(identity), key))
    }
}

/// Security labels are made of workloads only; what was made and stored comes back through serde.
fn security_labels(labels: Vec<wire::Label>) -> Result<SecurityLabels, DecodeError> {
    let Labels(labels) = labels_from_wire(labels)?;
    let text = || labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    SecurityLabels::deserialize(MapDeserializer::<_, serde::de::value::Error>::new(text()))
        .map_err(|_| DecodeError::Form { field: "security labels", text: format!("{labels:?}") })
}

/// The value of an identity's key in etcd.
pub fn encode_identity(identity: Identity, key: &IdentityKey) -> Vec<u8> {
    wire::IdentityRecord::from((identity, key)).encode_to_vec()
}

/// Reads the value of an identity's key.
pub fn decode_identity(bytes: &[u8]) -> Result<(Identity, IdentityKey), DecodeError> {
    wire::IdentityRecord::decode(bytes)?.try_into()
}
