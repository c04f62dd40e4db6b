//! A change of some documents: judged first, beside all that stays, and made only where nothing is wrong with it.

use std::collections::BTreeSet;
use std::mem;

use super::super::codes::Code;
use super::super::files::{Files, Piece};
use super::super::kinds::Kind;
use super::super::load::read;
use super::super::sink::{Sink, quoted, suggestion};
use super::super::tree::Span;
use super::super::validate::{self, Going, Rest, Valid};
use super::super::{Diagnostic, Key, SourceFile};
use super::undo::{Replaced, Undo};
use super::{Candidate, Changed, Registry};
use crate::model::{Direction, Peer};
use crate::names::GroupName;

/// A document to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Its kind, e.g. `Workload`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Where findings about removals stand: a list of them, one a line, which no file holds.
const REMOVALS: &str = "<removals>";

/// A change with which nothing is wrong.
enum Judged<'t> {
    /// Of documents beside the fabric.
    Documents { valid: Valid, read: Vec<Candidate<'t>>, going: Going, warnings: Vec<Diagnostic> },
    /// Of the fabric as well: all that refers to it has to be read again.
    Fabric { going: Going },
}

impl Registry {
    /// Takes the documents in `written` in place of those of the same kind and name, and takes away those in `removed`. Gives
    /// what changed, and the warnings about it; or every error, with nothing changed.
    ///
    /// Warnings are those that a document itself shows. What only all documents together show, such as a policy that selects
    /// nothing, [`crate::documents::load`] says; and so does a change of the `Fabric` document, which reads all of them.
    pub fn change(
        &mut self,
        written: &[SourceFile],
        removed: &[Removal],
    ) -> Result<(Changed, Vec<Diagnostic>), Vec<Diagnostic>> {
        mem::take(&mut self.retired).into_iter().for_each(|file| self.files.leave(file));
        let lines = removed.iter().map(|Removal { kind, name }| format!("{kind} {name}\n"));
        let list = SourceFile { name: REMOVALS.to_owned(), text: lines.collect() };
        let pieces: Vec<Piece<'_>> =
            written.iter().chain([&list]).map(|file| Piece::of_file(file, &mut self.files)).collect();
        let judged = self.judge(&pieces, removed);
        // Files that only this request names are left again: what is held of it has entered them by itself.
        let leave = |files: &mut Files| pieces.iter().for_each(|piece| files.leave(piece.file));
        match judged {
            Ok(Judged::Documents { valid, read, going, warnings }) => {
                let replaced = self.replace(valid, read, &going);
                leave(&mut self.files);
                Ok((Changed(Undo::Documents(replaced)), warnings))
            }
            Ok(Judged::Fabric { going }) => {
                leave(&mut self.files);
                self.read_again(written, &going)
            }
            Err(diagnostics) => {
                leave(&mut self.files);
                Err(diagnostics)
            }
        }
    }

    /// `pieces` are the files that are written, and last the list of removals.
    fn judge<'t>(&self, pieces: &[Piece<'t>], removed: &[Removal]) -> Result<Judged<'t>, Vec<Diagnostic>> {
        let mut sink = Sink::new(&self.files, pieces.to_vec());
        let Some((list, files)) = pieces.split_last() else { return Err(Vec::new()) };
        let mut candidates = Vec::new();
        let decoded = read(files, self.bytes, &mut sink, |kind, document, text| {
            candidates.push(Candidate::new(kind, &document, text));
        });
        let written: BTreeSet<&Key> = candidates.iter().map(|candidate| &candidate.key).collect();
        let mut going: Going = written
            .iter()
            .filter(|key| self.documents.contains_key(**key))
            .map(|key| (*key).clone())
            .collect();
        for (removal, line) in removed.iter().zip(1..) {
            let column = u32::try_from(removal.kind.chars().count()).unwrap_or(u32::MAX).saturating_add(2);
            let span = Span { file: list.file, line, column, width: u32::MAX };
            going.extend(self.removable(removal, span, &written, &mut sink));
        }
        self.named_still(&going, &written, &mut sink);
        // Who reads everything finds what is wrong in the files again, and what they make wrong elsewhere; not what is wrong with
        // the removals.
        if !decoded.fabrics.is_empty() && (removed.is_empty() || !sink.has_errors()) {
            return Ok(Judged::Fabric { going });
        }
        let rest = Rest::Staying { model: &self.model, held: &self.held, going: &going };
        let valid = validate::beside(decoded, rest, &mut sink);
        let failed = sink.has_errors();
        let warnings = sink.finish(Vec::new());
        if failed {
            return Err(warnings);
        }
        Ok(Judged::Documents { valid, read: candidates, going, warnings })
    }

    /// The document that is to be removed, or an error.
    fn removable(
        &self,
        removal: &Removal,
        span: Span,
        written: &BTreeSet<&Key>,
        sink: &mut Sink<'_>,
    ) -> Option<Key> {
        let Removal { kind: word, name } = removal;
        let Some(kind) = Kind::of_word(word) else {
            let help = suggestion(word, super::super::kinds::ALL.iter().map(|kind| kind.word()));
            let span = Span { column: 1, width: span.column - 2, ..span };
            sink.error(Code::UnknownKind, span, format!("there is no kind {}", quoted(word)), help);
            return None;
        };
        if kind == Kind::Fabric {
            let help = "write the fabric as it is to be instead".to_owned();
            sink.error(Code::NoFabric, span, "without a fabric there is nothing to refer to", help);
            return None;
        }
        let key = Key::new(kind, name);
        if written.contains(&key) {
            let help = "leave it out here, or in the files".to_owned();
            let message = format!("{word} {} is written and removed at once", quoted(name));
            sink.error(Code::DuplicateName, span, message, help);
            return None;
        }
        if !self.documents.contains_key(&key) {
            let of_kind = self.documents.range(Key::new(kind, "")..).map(|(key, _)| key);
            let names = of_kind.take_while(|key| key.kind == kind).map(|key| &*key.name);
            let message = format!("there is no {word} {}", quoted(name));
            sink.error(Code::UnknownReference, span, message, suggestion(name, names));
            return None;
        }
        Some(key)
    }

    /// Reports policies that stay and name a CIDR group that does not.
    fn named_still<'s>(&'s self, going: &Going, written: &BTreeSet<&Key>, sink: &mut Sink<'s>) {
        let removed = |name: &GroupName| {
            let key = Key::new(Kind::CidrGroup, name.as_str());
            going.contains(&key) && !written.contains(&key)
        };
        if !going.iter().any(|key| key.kind == Kind::CidrGroup && !written.contains(key)) {
            return;
        }
        for policy in self.model.policies.values() {
            let key = Key::new(Kind::SegmentationPolicy, policy.name.as_str());
            let Some(entry) = self.documents.get(&key).filter(|_| !going.contains(&key)) else { continue };
            let rules = Direction::BOTH.into_iter().flat_map(|of| policy.rules(of).unwrap_or_default());
            for rule in rules {
                for name in rule.peers.iter().filter_map(Peer::group).filter(|name| removed(name)) {
                    let span = Span {
                        file: entry.file,
                        line: rule.place.line,
                        column: rule.place.column,
                        width: u32::MAX,
                    };
                    let message =
                        format!("CidrGroup `{name}` is to be removed, and policy `{}` names it", policy.name);
                    let help = "remove the policy as well, or write it without the group".to_owned();
                    sink.show(Piece {
                        file: entry.file,
                        line: entry.excerpt.line,
                        text: &entry.excerpt.text,
                    });
                    sink.error(Code::UnknownReference, span, message, help);
                }
            }
        }
    }

    /// Takes `other` in the place of all there is, and gives what that changed.
    pub fn supersede(&mut self, other: Self) -> Changed {
        Changed(Undo::Everything(Box::new(mem::replace(self, other))))
    }

    /// Reads all that stays and all that is `written`.
    fn read_again(
        &mut self,
        written: &[SourceFile],
        going: &Going,
    ) -> Result<(Changed, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut files = Files::default();
        let staying = self.documents.iter().filter(|(key, _)| !going.contains(*key));
        let mut pieces: Vec<Piece<'_>> =
            staying.map(|(_, entry)| Piece::of_excerpt(&entry.excerpt, &mut files)).collect();
        pieces.extend(written.iter().map(|file| Piece::of_file(file, &mut files)));
        let (registry, warnings) = Self::of_pieces(files, &pieces)?;
        Ok((self.supersede(registry), warnings))
    }

    /// Puts in what was judged, and takes out what is going.
    fn replace(&mut self, valid: Valid, read: Vec<Candidate<'_>>, going: &Going) -> Replaced {
        let mut replaced = Replaced::default();
        for key in going {
            replaced.take_out(key, self);
        }
        replaced.put_in(valid, self);
        for candidate in read {
            let (key, entry) = candidate.enter(&mut self.files);
            self.bytes += entry.excerpt.text.len();
            self.documents.insert(key.clone(), entry);
            replaced.documents.entry(key).or_default();
        }
        self.retired = replaced.documents.values().flatten().map(|entry| entry.file).collect();
        replaced
    }
}
