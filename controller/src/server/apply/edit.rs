//! What is wanted of documents, and the documents as that makes them.

use std::collections::BTreeSet;

use selvedge_topology::documents::{Changed, Diagnostic, Registry, Removal, SourceFile};

use super::ApplyError;

/// What is wanted of the documents in force.
pub(in crate::server) enum Wish {
    /// These are to be all there are.
    Whole(Vec<SourceFile>),
    /// These take the place of those of their kind and name, those go, and all others stay.
    Partial { written: Vec<SourceFile>, removed: Vec<Removal> },
}

/// A wish, read as far as it can be without the documents in force.
pub(super) enum Edit {
    Whole(Box<Registry>, Vec<Diagnostic>),
    Partial { written: Vec<SourceFile>, removed: Vec<Removal> },
}

/// Documents that were edited.
pub(super) struct Edited {
    pub(super) registry: Box<Registry>,
    /// None where there were no documents before.
    pub(super) changed: Option<Changed>,
    pub(super) warnings: Vec<Diagnostic>,
}

impl Wish {
    /// Refuses two files of one name: what is said of them would be about either.
    pub(super) fn check_names(&self) -> Result<(), ApplyError> {
        let (Self::Whole(files) | Self::Partial { written: files, .. }) = self;
        let mut names = BTreeSet::new();
        match files.iter().find(|file| !names.insert(&file.name)) {
            Some(file) => Err(ApplyError::FileTwice { name: file.name.clone() }),
            None => Ok(()),
        }
    }

    /// Reads all documents, or gives what is wrong with them. This may take a while.
    pub(super) fn read(self) -> Result<Edit, Vec<Diagnostic>> {
        Ok(match self {
            Self::Whole(files) => {
                let (registry, warnings) = Registry::read(&files)?;
                Edit::Whole(Box::new(registry), warnings)
            }
            Self::Partial { written, removed } => Edit::Partial { written, removed },
        })
    }
}

impl Edit {
    /// Edits the documents that there are; or gives them back as they were, with what is wrong.
    pub(super) fn of(
        self,
        was: Option<Box<Registry>>,
    ) -> Result<Edited, (Option<Box<Registry>>, Vec<Diagnostic>)> {
        match (was, self) {
            (Some(mut registry), Self::Whole(other, warnings)) => {
                let changed = Some(registry.supersede(*other));
                Ok(Edited { registry, changed, warnings })
            }
            (None, Self::Whole(registry, warnings)) => Ok(Edited { registry, changed: None, warnings }),
            (Some(mut registry), Self::Partial { written, removed }) => {
                match registry.change(&written, &removed) {
                    Ok((changed, warnings)) => Ok(Edited { registry, changed: Some(changed), warnings }),
                    Err(diagnostics) => Err((Some(registry), diagnostics)),
                }
            }
            (None, Self::Partial { written, .. }) => match Registry::read(&written) {
                Ok((registry, warnings)) => {
                    Ok(Edited { registry: Box::new(registry), changed: None, warnings })
                }
                Err(diagnostics) => Err((None, diagnostics)),
            },
        }
    }
}
