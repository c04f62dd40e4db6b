//! What a node was told to trust when it was enrolled: one fabric, and the key that signs for it.

use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use selvedge_proto::{FabricId, GenerationRecord, Target};
use selvedge_topology::names::NodeName;
use serde::{Deserialize, Serialize};

use crate::files::{FileError, read, write_public};
use crate::signing::{KeyError, VerifyingKey};

/// The fabric a node belongs to, and the key whose signature it takes orders by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Anchor {
    /// The fabric.
    pub fabric: FabricId,
    /// The public half of the key that signs its generations.
    pub signing_key: VerifyingKey,
}

/// A file that should hold an anchor.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// It can't be had.
    #[error(transparent)]
    File(#[from] FileError),
    /// It holds something else.
    #[error("{}: {source}; it should be as `selvedge-controller init` wrote it", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Why something that lies in etcd is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistrust {
    /// Nobody signed it.
    #[error("it is not signed")]
    Unsigned,
    /// Its signature is of another key, or of something else.
    #[error(
        "its signature is not of key {expected} for fabric {fabric}: it was forged, changed, or meant for another node"
    )]
    WrongSignature {
        /// The key that should have signed.
        expected: VerifyingKey,
        /// The fabric it should be for.
        fabric: FabricId,
    },
}

impl Anchor {
    /// A new fabric, of which `signing_key` signs the generations.
    pub fn of_new_fabric(signing_key: VerifyingKey) -> Result<Self, KeyError> {
        let mut fabric = [0; 16];
        SystemRandom::new().fill(&mut fabric).map_err(|_| KeyError::NoRandomness)?;
        Ok(Self { fabric: FabricId(fabric), signing_key })
    }

    /// Reads it.
    pub fn load(path: &Path) -> Result<Self, AnchorError> {
        let wrong = |source| AnchorError::Form { path: path.to_owned(), source };
        serde_json::from_str(&read(path)?).map_err(wrong)
    }

    /// Writes it, once.
    pub fn save(&self, path: &Path) -> Result<(), AnchorError> {
        let wrong = |source| AnchorError::Form { path: path.to_owned(), source };
        Ok(write_public(path, &serde_json::to_string_pretty(self).map_err(wrong)?)?)
    }

    /// Whether `target` is what the fabric says that `node` is to enforce.
    pub fn verify_target(&self, node: &NodeName, target: &Target) -> Result<(), Mistrust> {
        self.verify(&target.statement(self.fabric, node), target.signature.as_ref())
    }

    /// Whether `record` is a generation of the fabric.
    pub fn verify_record(&self, record: &GenerationRecord) -> Result<(), Mistrust> {
        self.verify(&record.statement(self.fabric), record.signature.as_ref())
    }

    fn verify(
        &self,
        statement: &[u8],
        signature: Option<&selvedge_proto::Signature>,
    ) -> Result<(), Mistrust> {
        let Self { fabric, signing_key } = *self;
        let signature = signature.ok_or(Mistrust::Unsigned)?;
        let wrong = Mistrust::WrongSignature { expected: signing_key, fabric };
        if signing_key.verifies(statement, signature) { Ok(()) } else { Err(wrong) }
    }
}
