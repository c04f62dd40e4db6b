//! The kinds of documents: every field, once. Decoding, the JSON Schema and the order of keys in canonical YAML
//! all follow these declarations.

mod assertion;
mod fabric;
mod policy;
mod words;
mod workload;

use serde_json::Value as Json;

use super::declare::record;
use super::decode::{Decode, FieldSpec, Presence};
use super::scalars::{Description, Name};
use super::schema::Definitions;

pub(crate) use assertion::{AssertionSpec, POLICY_TEST, PolicyTestSpec, WhomSpec};
pub(crate) use fabric::{
    AttachmentSpec, DemandSpec, ExternalSpec, FabricSpec, HardwareSpec, LabelRuleSpec, LinkSpec, NodeSpec,
    PortSpec, SettersSpec, TierSpec, TimeoutsSpec,
};
pub(crate) use policy::{
    BlockSpec, CidrGroupSpec, EgressRuleSpec, ExpressionSpec, HoledCidrSpec, IngressRuleSpec, MatchProtocol,
    Operator, PeerSpec, PortMatchSpec, SegmentationPolicySpec, SelectorSpec,
};
pub(crate) use workload::{ServiceSpec, WorkloadSpec};

/// The version of the language.
pub(crate) const API_VERSION: &str = "selvedge/v1";

/// A kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Fabric,
    Workload,
    SegmentationPolicy,
    CidrGroup,
}

/// Every kind, in the order that people read them.
pub(crate) const ALL: [Kind; 4] = [Kind::Fabric, Kind::Workload, Kind::SegmentationPolicy, Kind::CidrGroup];

impl Kind {
    /// The kind of this word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// The word for it in documents.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Fabric => "Fabric",
            Self::Workload => "Workload",
            Self::SegmentationPolicy => "SegmentationPolicy",
            Self::CidrGroup => "CidrGroup",
        }
    }

    /// The schema of its `spec`.
    pub(crate) fn schema(self, definitions: &mut Definitions) -> Json {
        match self {
            Self::Fabric => FabricSpec::schema(definitions),
            Self::Workload => WorkloadSpec::schema(definitions),
            Self::SegmentationPolicy => SegmentationPolicySpec::schema(definitions),
            Self::CidrGroup => CidrGroupSpec::schema(definitions),
        }
    }
}

const fn envelope(key: &'static str, doc: &'static str, hint: Option<&'static str>) -> FieldSpec {
    FieldSpec { key, presence: Presence::Required, doc, hint }
}

/// The fields of every document.
pub(crate) const ENVELOPE: &[FieldSpec] = &[
    envelope("apiVersion", "The version of the document language.", Some("write `apiVersion: selvedge/v1`")),
    envelope("kind", "What the document describes: Fabric, Workload, SegmentationPolicy or CidrGroup.", None),
    envelope("metadata", "The document's name.", Some("write `metadata: {name: …}`")),
    envelope("spec", "What is described.", Some("write `spec:` and below it the fields of this kind")),
];

/// The fields of every record, in the order people read them.
pub(crate) fn records() -> [&'static [FieldSpec]; 24] {
    [
        ENVELOPE,
        Metadata::FIELDS,
        FabricSpec::FIELDS,
        TierSpec::FIELDS,
        TimeoutsSpec::FIELDS,
        NodeSpec::FIELDS,
        PortSpec::FIELDS,
        HardwareSpec::FIELDS,
        DemandSpec::FIELDS,
        LinkSpec::FIELDS,
        AttachmentSpec::FIELDS,
        ExternalSpec::FIELDS,
        LabelRuleSpec::FIELDS,
        SettersSpec::FIELDS,
        WorkloadSpec::FIELDS,
        ServiceSpec::FIELDS,
        SegmentationPolicySpec::FIELDS,
        SelectorSpec::FIELDS,
        ExpressionSpec::FIELDS,
        IngressRuleSpec::FIELDS,
        EgressRuleSpec::FIELDS,
        PeerSpec::FIELDS,
        PortMatchSpec::FIELDS,
        CidrGroupSpec::FIELDS,
    ]
}

record! {
    /// What a document is called.
    Metadata {
        /// The name, unique among documents of its kind: lower-case letters, digits, `-`, `_`, `.`.
        Required "name" name: Name;
        /// What it is for, in its author's words.
        Optional "description" description: Description;
    }
}
