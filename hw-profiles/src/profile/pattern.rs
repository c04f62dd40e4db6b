//! Patterns of firmware strings.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A pattern in which `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Pattern {
    /// Whether the whole of `text` is like it.
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_the_rest_for_itself() {
        let cases = [
            ("*ebpf", "0.0.5.5 0.25 bpf-2.0.6.124 ebpf", true),
            ("*ebpf", "0.0.5.5 0.25 nic-2.1.16 nic", false),
            ("22.*", "22.31.1014 (MT_0000000001)", true),
            ("22.*", "122.31", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("*", "", true),
            ("", "x", false),
        ];
        for (pattern, text, matches) in cases {
            assert_eq!(Pattern::from(pattern.to_owned()).matches(text), matches, "{pattern} {text}");
        }
    }
}
