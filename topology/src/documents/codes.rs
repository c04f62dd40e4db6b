//! The stable names of findings.

macro_rules! codes {
    ($($code:ident $text:literal $meaning:literal;)*) => {
        /// What kind of finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $code,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$code),*];

            /// The code as findings carry it, in kebab case.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text),* }
            }

            /// One line on what it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$code => $meaning),* }
            }
        }
    };
}

codes! {
    YamlSyntax "yaml-syntax" "The text is no YAML.";
    YamlAlias "yaml-alias" "A YAML alias; documents say everything where it applies.";
    YamlTag "yaml-tag" "A YAML tag; every field has one type.";
    DuplicateKey "duplicate-key" "A key is written twice in one map.";
    TooLarge "too-large" "A file, or all files together, have too many bytes.";
    TooDeep "too-deep" "Lists and maps are nested too deep.";
    TooMany "too-many" "There is more of something than the limit.";
    TooLong "too-long" "A text is longer than the limit.";
    MoreFindings "more-findings" "There are more findings than are shown.";
    ApiVersion "api-version" "The document is of another version of the language.";
    UnknownKind "unknown-kind" "There is no such kind of document.";
    UnknownField "unknown-field" "There is no such field here.";
    MissingField "missing-field" "A required field is missing.";
    ConflictingFields "conflicting-fields" "Fields that exclude or need each other.";
    WrongType "wrong-type" "A value has the wrong type.";
    UnknownValue "unknown-value" "A value is none of those that the field may have.";
    OutOfRange "out-of-range" "A number is too low or too high, or a time too short or too long.";
    EmptyList "empty-list" "A list is empty where that would mean nothing.";
    BadName "bad-name" "A name has characters or a length that names can't have.";
    BadLabel "bad-label" "A label's key or value is malformed or reserved.";
    BadAddress "bad-address" "No IP address, or one that can't be anybody's.";
    BadCidr "bad-cidr" "No CIDR, one with host bits, or a hole outside its block.";
    BadTime "bad-time" "No time, or not in whole seconds.";
    BadEndpoint "bad-endpoint" "No `node:port`.";
    NoFabric "no-fabric" "No document is the fabric.";
    TwoFabrics "two-fabrics" "More than one document is the fabric.";
    DuplicateName "duplicate-name" "Two things of one kind have the same name.";
    DuplicateAddress "duplicate-address" "Two things have the same address.";
    UnknownReference "unknown-reference" "A name that nothing has.";
    PortInUse "port-in-use" "A port has two wires.";
    WrongPort "wrong-port" "A port's role does not fit what is attached to it.";
    Enforcement "enforcement" "`unmanaged` does not say what the topology implies.";
    LabelRefused "label-refused" "A workload claims a label that the fabric's rules for labels refuse.";
    SelectsNothing "selects-nothing" "A policy that selects no workload.";
    NeverMatches "never-matches" "A rule that can match nothing.";
    DuplicateRule "duplicate-rule" "A rule that says what another of its policy says.";
    Shadowed "shadowed" "A rule that others always decide before.";
    NoEffect "no-effect" "A setting that changes nothing.";
    NotIsolated "not-isolated" "A workload that no policy of an isolating tier selects.";
}
