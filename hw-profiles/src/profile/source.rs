//! Where a figure of a profile is from.

use std::fmt;

use serde::Deserialize;

/// Where a figure is from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Source {
    /// A function, a macro or a type in a file of the kernel that the profile names.
    Kernel {
        /// The file, from the top of the kernel's tree.
        file: String,
        /// What to look for in it.
        symbol: String,
    },
    /// The same of another project: its name, a file and a symbol.
    Code(String),
    /// What the maker says.
    DataSheet(String),
    /// What somebody saw a device do.
    Tried(String),
}

/// A text that names no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is no source; write a file of the kernel and a symbol in it, as in `drivers/net/veth.c veth_xdp_set`, \
     or `code: PROJECT FILE SYMBOL`, `data sheet: …`, `tried: …`"
)]
pub struct SourceError {
    /// What was given.
    pub given: String,
}

impl TryFrom<String> for Source {
    type Error = SourceError;

    fn try_from(given: String) -> Result<Self, SourceError> {
        let after = |prefix| given.strip_prefix(prefix).map(str::trim).filter(|rest| !rest.is_empty());
        if let Some(code) = after("code:").filter(|code| code.split(' ').count() == 3) {
            return Ok(Self::Code(code.to_owned()));
        }
        if let Some(sheet) = after("data sheet:") {
            return Ok(Self::DataSheet(sheet.to_owned()));
        }
        if let Some(what) = after("tried:") {
            return Ok(Self::Tried(what.to_owned()));
        }
        let in_kernel = given.split_once(' ').filter(|(file, symbol)| {
            let is_file = file.contains('/') && [".c", ".h", ".rst"].iter().any(|end| file.ends_with(end));
            is_file && !symbol.is_empty() && !symbol.contains(' ')
        });
        let Some((file, symbol)) = in_kernel else { return Err(SourceError { given }) };
        Ok(Self::Kernel { file: file.to_owned(), symbol: symbol.to_owned() })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel { file, symbol } => write!(f, "{file} {symbol}"),
            Self::Code(code) => write!(f, "code: {code}"),
            Self::DataSheet(sheet) => write!(f, "data sheet: {sheet}"),
            Self::Tried(what) => write!(f, "tried: {what}"),
        }
    }
}

impl serde::Serialize for Source {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_reads_as_it_is_written_and_hearsay_is_none() {
        for text in [
            "drivers/net/veth.c veth_xdp_set",
            "code: OpenBCM a/b.c c",
            "data sheet: DS-1 rev. B",
            "tried: offload on 6.12",
        ] {
            assert_eq!(Source::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        for given in
            ["", "somebody said so", "drivers/net/veth.c", "veth.c veth_xdp_set", "code: b.c", "tried: "]
        {
            assert_eq!(Source::try_from(given.to_owned()), Err(SourceError { given: given.to_owned() }));
        }
    }
}
