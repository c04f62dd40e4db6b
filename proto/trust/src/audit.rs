//! The record of what was done to a fabric: entries that each hold the digest of the one before.
//!
//! Whoever changes, takes out or slips in an entry breaks the chain behind it. Cutting entries off at the end, or writing
//! all of it anew, shows only to who kept the digest of an entry that was there: [`Chain::head`].

use std::time::SystemTime;

use prost::Message;
use selvedge_proto::{DecodeError, Digest, wire};
use selvedge_topology::plan::Generation;

use crate::member::{millis, time};

/// Longest diff in one entry, in bytes.
const MAX_DIFF: usize = 64 << 10;
/// What stands for the entry before the first.
const NOTHING: [u8; 32] = [0; 32];

/// Somebody who did something, as far as anybody asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// The common name of their certificate; empty where nobody was asked.
    pub name: String,
    /// Its organisation: the role.
    pub organisation: String,
    /// The other end of their connection.
    pub from: String,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// By whom.
    pub author: Author,
    /// Through which method, e.g. `Fabric/Apply`.
    pub method: &'static str,
    /// In one line.
    pub summary: String,
    /// The generation that it made.
    pub generation: Option<Generation>,
    /// What it changed in the documents.
    pub diff: String,
}

/// One entry of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1.
    pub number: u64,
    /// When, in whole milliseconds.
    pub time: SystemTime,
    /// By whom.
    pub author: Author,
    /// Through which method.
    pub method: String,
    /// In one line.
    pub summary: String,
    /// The generation that it made.
    pub generation: Option<Generation>,
    /// What it changed in the documents; the beginning of it, where there is more.
    pub diff: String,
    /// Of all of the diff.
    pub diff_digest: Digest,
    /// The length of all of the diff.
    pub diff_bytes: u64,
    /// Of the entry before.
    pub previous: Digest,
}

/// Where the record stands: what the next entry has to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    number: u64,
    head: Digest,
}

/// An entry that does not follow the one before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Entries are missing, or are there twice.
    #[error("after entry {after} comes entry {found}")]
    Number {
        /// The one before.
        after: u64,
        /// The one that follows.
        found: u64,
    },
    /// The one before is not the one that was there when this one was written.
    #[error("entry {number} was written after another entry {} than the one that is there", number - 1)]
    Previous {
        /// The entry.
        number: u64,
    },
    /// What is shown of the diff is not what was written.
    #[error("entry {number} shows another diff than was applied")]
    Diff {
        /// The entry.
        number: u64,
    },
    /// It can't be read.
    #[error("entry {number} can't be read: {source}")]
    Unreadable {
        /// The entry.
        number: u64,
        /// What is wrong with it.
        source: DecodeError,
    },
}

impl Default for Chain {
    /// Before the first entry.
    fn default() -> Self {
        Self { number: 0, head: nothing() }
    }
}

fn nothing() -> Digest {
    // Thirty-two bytes are a digest.
    Digest::try_from(NOTHING.as_slice()).unwrap_or_else(|_| Digest::of(&NOTHING))
}

impl Chain {
    /// The number of the last entry; 0 where there is none.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The digest of the last entry: who keeps it can tell later that nothing before it was changed.
    pub fn head(&self) -> Digest {
        self.head
    }

    /// What `deed` has to be written as, and where the record stands then.
    pub fn follow(&self, deed: Deed, now: SystemTime) -> (Self, Vec<u8>) {
        let Deed { author, method, summary, generation, diff } = deed;
        let whole = Digest::of(diff.as_bytes());
        let diff_bytes = diff.len() as u64;
        let cut =
            (0..=diff.len().min(MAX_DIFF)).rev().find(|at| diff.is_char_boundary(*at)).unwrap_or_default();
        let Author { name, organisation, from } = author;
        let entry = wire::AuditEntry {
            number: self.number + 1,
            time_ms: millis(now),
            who: name,
            organisation,
            from,
            method: method.to_owned(),
            summary,
            generation: generation.map_or(0, |generation| generation.0),
            diff: diff[..cut].to_owned(),
            diff_digest: whole.into(),
            diff_bytes,
            previous: self.head.into(),
        };
        let bytes = entry.encode_to_vec();
        (Self { number: entry.number, head: Digest::of(&bytes) }, bytes)
    }

    /// Reads the entry `number` and checks that it follows.
    pub fn check(&mut self, number: u64, bytes: &[u8]) -> Result<Entry, Broken> {
        let entry = Entry::decode(bytes).map_err(|source| Broken::Unreadable { number, source })?;
        if number != self.number + 1 || entry.number != number {
            return Err(Broken::Number { after: self.number, found: entry.number });
        }
        if entry.previous != self.head {
            return Err(Broken::Previous { number });
        }
        let shown = entry.diff.len() as u64;
        if shown > entry.diff_bytes
            || (shown == entry.diff_bytes && Digest::of(entry.diff.as_bytes()) != entry.diff_digest)
        {
            return Err(Broken::Diff { number });
        }
        *self = Self { number, head: Digest::of(bytes) };
        Ok(entry)
    }

    /// Where a record stands whose last entry is this.
    pub fn at(number: u64, bytes: &[u8]) -> Self {
        Self { number, head: Digest::of(bytes) }
    }
}

impl Entry {
    /// Reads what lies in etcd.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wire::AuditEntry {
            number,
            time_ms,
            who,
            organisation,
            from,
            method,
            summary,
            generation,
            diff,
            diff_digest,
            diff_bytes,
            previous,
        } = wire::AuditEntry::decode(bytes)?;
        Ok(Self {
            number,
            time: time("time_ms", time_ms)?,
            author: Author { name: who, organisation, from },
            method,
            summary,
            generation: Some(Generation(generation)).filter(|generation| generation.0 > 0),
            diff,
            diff_digest: diff_digest.as_slice().try_into()?,
            diff_bytes,
            previous: previous.as_slice().try_into()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn deed(summary: &str, diff: String) -> Deed {
        let author = Author { name: "operator:alice:1".into(), ..Author::default() };
        Deed {
            author,
            method: "Fabric/Apply",
            summary: summary.into(),
            generation: Some(Generation(1)),
            diff,
        }
    }

    fn record() -> Vec<Vec<u8>> {
        let mut chain = Chain::default();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let diffs = [String::new(), "+ a\n".to_owned(), "é".repeat(MAX_DIFF), "- a\n".to_owned()];
        let write = |diff| {
            let (next, bytes) = chain.follow(deed("applied", diff), now);
            chain = next;
            bytes
        };
        diffs.into_iter().map(write).collect()
    }

    fn check(record: &[Vec<u8>]) -> Result<Chain, Broken> {
        let mut chain = Chain::default();
        for bytes in record {
            let number = Entry::decode(bytes).map_or(0, |entry| entry.number);
            chain.check(number, bytes)?;
        }
        Ok(chain)
    }

    #[test]
    fn a_record_is_read_back_whole_and_long_diffs_are_cut_at_a_character() {
        let record = record();
        let chain = check(&record).unwrap();
        assert_eq!((chain.number(), chain), (4, Chain::at(4, &record[3])));
        let long = Entry::decode(&record[2]).unwrap();
        assert!(long.diff.len() <= MAX_DIFF && long.diff.len() > MAX_DIFF - 4);
        assert_eq!(long.diff_bytes, 2 * MAX_DIFF as u64);
    }

    #[test]
    fn whatever_is_done_to_an_entry_shows() {
        let good = record();
        let mut found = 0;
        for at in 0..good.len() {
            let mut without = good.clone();
            without.remove(at);
            // The last one is missed only by who knows that it was there.
            assert_eq!(check(&without).is_err(), at + 1 < good.len());
            let mut twice = good.clone();
            twice.insert(at, good[at].clone());
            assert!(check(&twice).is_err());
            for byte in 0..good[at].len().min(200) {
                let mut changed = good.clone();
                changed[at][byte] ^= 1;
                let shows =
                    check(&changed).map_or(true, |chain| chain.head() != check(&good).unwrap().head());
                assert!(shows, "byte {byte} of entry {at}");
                found += 1;
            }
        }
        assert!(found > 400, "{found}");
    }
}
