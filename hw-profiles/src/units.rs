//! Quantities with their units: `1500 B`, `2 entries`. A profile never says a bare number.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text that is no quantity of the unit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no quantity; write a number and its unit, as in `{example}`")]
pub struct QuantityError {
    /// What was given.
    pub given: String,
    /// What would be right.
    pub example: &'static str,
}

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $one:literal, $many:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!("{} {}", self.0, if self.0 == 1 { $one } else { $many }))
            }
        }

        impl TryFrom<String> for $name {
            type Error = QuantityError;

            fn try_from(given: String) -> Result<Self, QuantityError> {
                let number = given.split_once(' ').filter(|(_, unit)| [$one, $many].contains(unit));
                let number = number.and_then(|(number, _)| number.parse().ok());
                number.map(Self).ok_or(QuantityError { given, example: $example })
            }
        }

        impl From<$name> for String {
            fn from(quantity: $name) -> Self {
                quantity.to_string()
            }
        }
    };
}

unit!(
    /// Bytes.
    Bytes, "B", "B", "1500 B"
);
unit!(
    /// Entries of a map.
    Entries, "entry", "entries", "2 entries"
);
unit!(
    /// Maps.
    Maps, "map", "maps", "4 maps"
);
unit!(
    /// Instructions of a program.
    Instructions, "instruction", "instructions", "4096 instructions"
);
unit!(
    /// Queues.
    Queues, "queue", "queues", "2 queues"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_reads_as_it_is_written() {
        for text in ["0 entries", "1 entry", "2 entries"] {
            assert_eq!(Entries::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        assert_eq!(Bytes::try_from("1500 B".to_owned()), Ok(Bytes(1500)));
    }

    #[test]
    fn a_number_without_its_unit_or_with_another_is_refused_with_an_example() {
        for given in ["1500", "1500 bytes", "B", "-1 B", "1500  B", "5000000000 B", ""] {
            let error = Bytes::try_from(given.to_owned()).unwrap_err();
            assert_eq!((error.given.as_str(), error.example), (given, "1500 B"));
        }
    }
}
