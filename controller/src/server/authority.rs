//! Who signs what is published: the key behind it is all that nodes believe.

use std::path::Path;

use selvedge_proto::{FabricId, GenerationRecord, Signature, Target};
use selvedge_topology::names::NodeName;
use selvedge_trust::{Anchor, AnchorError, KeyError, Mistrust, SigningKey};

/// Who says what the fabric enforces.
#[derive(Debug, Default)]
pub enum Authority {
    /// Nobody signs, and nodes believe whatever lies in etcd. For trials on one machine.
    #[default]
    Nobody,
    /// This controller signs.
    Controller {
        /// The fabric.
        fabric: FabricId,
        /// Its key.
        key: SigningKey,
    },
    /// An operator signs, elsewhere. This controller distributes policy, and can't invent it.
    Operator(Anchor),
}

/// Why it is not known who signs.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// What nodes trust can't be read.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// The key can't be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key is another than nodes trust.
    #[error("{key} is not the key that {anchor} names: nodes would believe nothing that it signs")]
    OtherKey {
        /// File of the key.
        key: String,
        /// File of what nodes trust.
        anchor: String,
    },
}

/// The file that says what nodes trust.
const ANCHOR: &str = "fabric.json";
/// The file of the key, where the controller signs.
const KEY: &str = "signing.key";

impl Authority {
    /// As the files in `folder` say: `fabric.json` is what nodes trust, `signing.key` the key. Without the key an operator
    /// signs; without either, nobody.
    pub fn load(folder: &Path) -> Result<Self, AuthorityError> {
        let (anchor_file, key_file) = (folder.join(ANCHOR), folder.join(KEY));
        if !anchor_file.exists() {
            return Ok(Self::Nobody);
        }
        let anchor = Anchor::load(&anchor_file)?;
        if !key_file.exists() {
            return Ok(Self::Operator(anchor));
        }
        let key = SigningKey::load(&key_file)?;
        if key.public() != anchor.signing_key {
            let (key, anchor) = (key_file.display().to_string(), anchor_file.display().to_string());
            return Err(AuthorityError::OtherKey { key, anchor });
        }
        Ok(Self::Controller { fabric: anchor.fabric, key })
    }

    /// What nodes trust; nothing where nobody signs.
    pub fn anchor(&self) -> Option<Anchor> {
        match self {
            Self::Nobody => None,
            Self::Controller { fabric, key } => Some(Anchor { fabric: *fabric, signing_key: key.public() }),
            Self::Operator(anchor) => Some(*anchor),
        }
    }

    /// The controller's signature of a target, where it is the one to sign.
    pub(super) fn sign_target(&self, node: &NodeName, target: &Target) -> Option<Signature> {
        self.sign(|fabric| target.statement(fabric, node))
    }

    /// The controller's signature of a generation, where it is the one to sign.
    pub(super) fn sign_record(&self, record: &GenerationRecord) -> Option<Signature> {
        self.sign(|fabric| record.statement(fabric))
    }

    fn sign(&self, statement: impl FnOnce(FabricId) -> Vec<u8>) -> Option<Signature> {
        match self {
            Self::Controller { fabric, key } => Some(key.sign(&statement(*fabric))),
            Self::Nobody | Self::Operator(_) => None,
        }
    }

    /// Whether a generation that lies in etcd is one of this fabric: else somebody put it there.
    pub(super) fn verify(&self, record: &GenerationRecord) -> Result<(), Mistrust> {
        self.anchor().map_or(Ok(()), |anchor| anchor.verify_record(record))
    }
}
