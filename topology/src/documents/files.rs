//! What is read: names of files, each known by a number, and stretches of them.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Excerpt, SourceFile};

/// Names of files. One has a number for as long as somebody is in it.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// By number, with how often it was entered.
    names: Vec<(Arc<str>, usize)>,
    numbers: HashMap<Arc<str>, u32>,
    free: Vec<u32>,
}

impl Files {
    /// The number of a name, until it was left as often as it was entered.
    pub(crate) fn enter(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            self.names[number as usize].1 += 1;
            return number;
        }
        let name: Arc<str> = name.into();
        let number = self.free.pop().unwrap_or_else(|| {
            self.names.push((Arc::clone(&name), 0));
            // Beyond four thousand million files, memory is long gone.
            u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX)
        });
        self.names[number as usize] = (Arc::clone(&name), 1);
        self.numbers.insert(name, number);
        number
    }

    /// Enters once more the file of this number.
    pub(crate) fn stay(&mut self, number: u32) {
        self.names[number as usize].1 += 1;
    }

    /// Gives the number up once.
    pub(crate) fn leave(&mut self, number: u32) {
        let (name, entered) = &mut self.names[number as usize];
        *entered -= 1;
        if *entered == 0 {
            self.numbers.remove(name);
            self.free.push(number);
        }
    }

    /// Empty where there is no file at all.
    pub(crate) fn name(&self, number: u32) -> Arc<str> {
        self.names.get(number as usize).map(|(name, _)| Arc::clone(name)).unwrap_or_default()
    }
}

/// A stretch of a file, from the beginning of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'t> {
    /// The number of the file.
    pub(crate) file: u32,
    /// Its first line, from 1.
    pub(crate) line: u32,
    pub(crate) text: &'t str,
}

impl<'t> Piece<'t> {
    pub(crate) fn of_file(file: &'t SourceFile, files: &mut Files) -> Self {
        Self { file: files.enter(&file.name), line: 1, text: &file.text }
    }

    pub(crate) fn of_excerpt(excerpt: &'t Excerpt, files: &mut Files) -> Self {
        Self { file: files.enter(&excerpt.file), line: excerpt.line, text: &excerpt.text }
    }
}

/// Walks over the lines of a piece, and cuts it between them.
pub(crate) struct Lines<'t> {
    /// Since the last cut.
    piece: Piece<'t>,
    rest: &'t str,
    line: u32,
}

impl<'t> Lines<'t> {
    pub(crate) fn new(piece: Piece<'t>) -> Self {
        Self { piece, rest: piece.text, line: piece.line }
    }

    /// What begins with `line`; nothing beyond the end.
    pub(crate) fn from(&mut self, line: u32) -> &'t str {
        while self.line < line && next_line(&mut self.rest).is_some() {
            self.line += 1;
        }
        self.rest
    }

    /// All that was walked over since the last cut.
    pub(crate) fn cut(&mut self) -> Piece<'t> {
        let length = self.piece.text.len() - self.rest.len();
        let cut = Piece { text: &self.piece.text[..length], ..self.piece };
        self.piece = Piece { text: self.rest, line: self.line, ..self.piece };
        cut
    }
}

/// The next line, ended by any of the line breaks of YAML.
pub(crate) fn next_line<'t>(rest: &mut &'t str) -> Option<&'t str> {
    if rest.is_empty() {
        return None;
    }
    let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let (line, after) = rest.split_at(end);
    *rest = after.strip_prefix("\r\n").or_else(|| after.strip_prefix(['\n', '\r'])).unwrap_or_default();
    Some(line)
}
