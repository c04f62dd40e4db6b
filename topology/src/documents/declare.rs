//! Macros that declare what documents may hold. What they make implements [`Decode`](super::decode::Decode).

/// Declares records: their fields, in the order people write them, with what the documentation says of each.
macro_rules! record {
    ($($(#[doc = $doc:literal])+ $name:ident {
        $($(#[doc = $field_doc:literal])+ $presence:ident $key:literal $field:ident: $type:ty $(, hint $hint:literal)?;)*
        $(where [$($constraint:expr),* $(,)?])?
    })*) => {$(
        $(#[doc = $doc])+
        #[derive(Debug)]
        pub(crate) struct $name {
            $($(#[doc = $field_doc])+ pub(crate) $field: $crate::documents::decode::Field<$type>,)*
        }

        impl $name {
            /// What may be in it.
            pub(crate) const FIELDS: &'static [$crate::documents::decode::FieldSpec] = &[$(
                $crate::documents::decode::FieldSpec {
                    key: $key,
                    presence: $crate::documents::decode::Presence::$presence,
                    doc: concat!($($field_doc),+),
                    hint: $crate::documents::declare::optional!($($hint)?),
                },
            )*];
            const CONSTRAINTS: &'static [$crate::documents::constraint::Constraint] = &[$($($constraint),*)?];
        }

        impl $crate::documents::decode::Decode for $name {
            fn decode(
                node: &$crate::documents::tree::Node,
                field: &$crate::documents::decode::FieldSpec,
                sink: &mut $crate::documents::sink::Sink<'_>,
            ) -> Option<Self> {
                let record = $crate::documents::decode::Record::open(
                    node, field, Self::FIELDS, Self::CONSTRAINTS, sink,
                )?;
                Some(Self { $($field: record.field($key, sink)),* })
            }

            fn schema(definitions: &mut $crate::documents::schema::Definitions) -> serde_json::Value {
                definitions.record(
                    stringify!($name), concat!($($doc),+), Self::FIELDS, Self::CONSTRAINTS,
                    &[$(<$type as $crate::documents::decode::Decode>::schema),*],
                )
            }
        }
    )*};
}
pub(crate) use record;

macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}
pub(crate) use optional;

/// Declares which words stand for which values of an enum, each with what it means.
macro_rules! choices {
    ($($type:ty { $($word:literal => $value:expr, $doc:literal;)* })*) => {$(
        impl $crate::documents::decode::Decode for $type {
            fn decode(
                node: &$crate::documents::tree::Node,
                field: &$crate::documents::decode::FieldSpec,
                sink: &mut $crate::documents::sink::Sink<'_>,
            ) -> Option<Self> {
                $crate::documents::decode::choice(node, field, &[$(($word, $value)),*], sink)
            }

            fn schema(_: &mut $crate::documents::schema::Definitions) -> serde_json::Value {
                // `markdownEnumDescriptions` is what the YAML language server shows beside each word.
                serde_json::json!({"enum": [$($word),*], "markdownEnumDescriptions": [$($doc),*]})
            }
        }
    )*};
}
pub(crate) use choices;
