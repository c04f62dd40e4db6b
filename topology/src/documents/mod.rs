//! Documents: YAML text → [`Model`], with every error at once.
//!
//! [`parse`] makes trees that know their places, [`decode`] reads them as the records that [`kinds`] declares,
//! [`validate`] checks everything that more than one value decides. Each step reports to one sink and goes on.
//!
//! A [`Registry`] keeps what was read, so that one document can be judged without reading the others again.

mod assertions;
mod canonical;
pub mod codes;
mod constraint;
mod declare;
mod decode;
mod files;
mod kinds;
pub mod limits;
mod load;
mod parse;
mod registry;
mod render;
mod scalars;
mod schema;
pub(crate) mod sink;
mod tree;
mod validate;

use std::sync::Arc;

use crate::model::{Model, Place};

pub use assertions::load_tests;
pub use canonical::to_yaml;
pub use load::{load, load_excerpts, names};
pub use registry::{Changed, Registry, Removal};
pub use render::{Colours, render};
pub use schema::schema;

/// One file, already read.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its name as the user gave it, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The text of one document, comments before it included, and where it stood. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The name of its file as the user gave it.
    pub file: Arc<str>,
    /// The line at which it begins, from 1.
    pub line: u32,
    /// The text: whole lines.
    pub text: Arc<str>,
}

/// What no two documents share. Sorted by kind, in the order that people read them, and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    kind: kinds::Kind,
    name: Box<str>,
}

impl Key {
    fn new(kind: kinds::Kind, name: &str) -> Self {
        Self { kind, name: name.into() }
    }

    /// The kind, e.g. `Workload`.
    pub fn kind(&self) -> &'static str {
        self.kind.word()
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The documents can't be used.
    Error,
    /// Legal, and probably wrong.
    Warning,
}

/// One finding: where, what is wrong, what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name of this kind of finding, in kebab case.
    pub code: &'static str,
    /// Where.
    pub place: Place,
    /// How many characters from there it is about, at least 1.
    pub width: u32,
    /// The source line, cut to a bounded length.
    pub source: String,
    /// The column, from 1, of the first character of `source`: above 1 where the beginning of a long line is cut.
    pub source_column: u32,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

/// One document as the user wrote it, in canonical form.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its kind, e.g. `Workload`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub place: Place,
    /// Its content, keys sorted.
    pub content: serde_json::Value,
}

/// What [`load`] makes of files.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The model; `None` when there is any error.
    pub model: Option<Model>,
    /// The documents that could be read, by kind and name.
    pub documents: Vec<Document>,
    /// All findings, by place.
    pub diagnostics: Vec<Diagnostic>,
}
