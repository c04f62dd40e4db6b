//! All profiles: those that come with this crate, those that users add, and which one is a port's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::embedded::EMBEDDED;
use crate::port::{PciId, Port};
use crate::profile::{Evidence, Flaw, Profile, Raw};

/// Profiles that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not YAML, or not a profile.
    #[error("profile {file}: {source}")]
    Syntax {
        /// The file.
        file: String,
        /// What is wrong, with field, line and column.
        source: serde_norway::Error,
    },
    /// It says too little, or what can't be.
    #[error("profile {file}: {flaw}")]
    Flaw {
        /// The file.
        file: String,
        /// What is wrong.
        flaw: Flaw,
    },
    /// The file has another name than the profile.
    #[error("profile {file}: it calls itself `{name}`; a profile's file is named after it, `{name}.yaml`")]
    Name {
        /// The file.
        file: String,
        /// The profile's name.
        name: String,
    },
    /// It extends what is not there, or what extends something itself.
    #[error(
        "profile {file}: it extends `{base}`, and there is no profile of that name that stands by itself"
    )]
    Base {
        /// The file.
        file: String,
        /// What it extends.
        base: String,
    },
    /// Two profiles are as good as each other for a device.
    #[error("profile {file}: `{other}` matches the same devices ({devices}) as particularly as this one")]
    Ambiguous {
        /// The file.
        file: String,
        /// The other profile.
        other: String,
        /// Which devices.
        devices: String,
    },
    /// A folder or a file in it can't be read.
    #[error("profiles in {path}: {source}")]
    Read {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A folder without profiles.
    #[error("profiles in {path}: there is no *.yaml file")]
    NoFiles {
        /// The folder.
        path: PathBuf,
    },
}

/// Who wrote a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// It comes with this crate.
    BuiltIn,
    /// A user did; it goes before those that come with this crate.
    User,
}

impl Origin {
    /// Its name, as in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::User => "user",
        }
    }
}

/// A profile and who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The profile.
    pub profile: Profile,
    /// Who wrote it.
    pub origin: Origin,
}

/// The profile of a port, and by what it is that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match<'p> {
    /// The profile, and who wrote it.
    pub entry: &'p Entry,
    /// By what it matched.
    pub evidence: Evidence,
}

/// Profiles by name.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    entries: BTreeMap<String, Entry>,
}

/// A profile's file: its name without folder and ending, where it is, and what it says.
struct File {
    stem: String,
    shown: String,
    text: String,
}

impl Profiles {
    /// The profiles that come with this crate.
    pub fn embedded() -> Result<Self, ProfileError> {
        let files = EMBEDDED.iter().map(|(stem, text)| file(stem, text));
        Self::default().with(files, Origin::BuiltIn)
    }

    /// Those that come with this crate and those of `folder`, if there is one: a profile there takes the place of one of the
    /// same name, and goes before all others.
    pub fn with_folder(folder: Option<&Path>) -> Result<Self, ProfileError> {
        let embedded = Self::embedded()?;
        match folder {
            Some(folder) => embedded.with(read(folder)?, Origin::User),
            None => Ok(embedded),
        }
    }

    /// These and a user's, given as name and text.
    pub fn with_texts<'a>(
        self,
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ProfileError> {
        self.with(texts.into_iter().map(|(stem, text)| file(stem, text)), Origin::User)
    }

    fn with(mut self, files: impl IntoIterator<Item = File>, origin: Origin) -> Result<Self, ProfileError> {
        let raws = files.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let (alone, extending): (Vec<_>, Vec<_>) =
            raws.into_iter().partition(|(_, raw)| raw.extends.is_none());
        for (shown, raw) in alone {
            self.insert(shown, raw, None, origin)?;
        }
        // One step only: what a profile extends stands by itself, so that reading two files tells all.
        let bases = self.clone();
        for (shown, raw) in extending {
            let base = raw.extends.clone().unwrap_or_default();
            let Some(found) = bases.get(&base) else { return Err(ProfileError::Base { file: shown, base }) };
            self.insert(shown, raw, Some(&found.profile), origin)?;
        }
        Ok(self)
    }

    fn insert(
        &mut self,
        file: String,
        raw: Raw,
        base: Option<&Profile>,
        origin: Origin,
    ) -> Result<(), ProfileError> {
        let profile = match raw.complete(base) {
            Ok(profile) => profile,
            Err(flaw) => return Err(ProfileError::Flaw { file, flaw }),
        };
        let same = |entry: &&Entry| entry.origin == origin && entry.profile.name != profile.name;
        for other in self.entries.values().filter(same) {
            if let Some(devices) = shared(&profile, &other.profile) {
                return Err(ProfileError::Ambiguous { file, other: other.profile.name.clone(), devices });
            }
        }
        self.entries.insert(profile.name.clone(), Entry { profile, origin });
        Ok(())
    }

    /// Every profile, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The profile of this name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// The profile of `port`: a user's before those that come with this crate, then the most particular one.
    pub fn of(&self, port: &Port) -> Option<Match<'_>> {
        let matches =
            self.iter().filter_map(|entry| Some(Match { entry, evidence: entry.profile.matching.of(port)? }));
        matches.max_by_key(|found| (found.entry.origin, found.evidence))
    }

    /// The profile of devices with this number, where no driver is known: a user's before those that come with this crate.
    pub fn by_pci(&self, id: PciId) -> Option<&Entry> {
        let knows = |list: &[PciId]| list.contains(&id);
        let of_id = |entry: &&Entry| knows(&entry.profile.matching.pci) || knows(&entry.profile.matching.ids);
        self.iter().filter(of_id).max_by_key(|entry| (entry.origin, knows(&entry.profile.matching.pci)))
    }
}

fn file(stem: &str, text: &str) -> File {
    File { stem: stem.to_owned(), shown: format!("{stem}.yaml"), text: text.to_owned() }
}

fn parse(File { stem, shown, text }: File) -> Result<(String, Raw), ProfileError> {
    let raw: Raw = match serde_norway::from_str(&text) {
        Ok(raw) => raw,
        Err(source) => return Err(ProfileError::Syntax { file: shown, source }),
    };
    if raw.name != stem {
        return Err(ProfileError::Name { file: shown, name: raw.name });
    }
    Ok((shown, raw))
}

/// The devices that both match, where neither is more particular.
fn shared(one: &Profile, other: &Profile) -> Option<String> {
    let (one, other) = (&one.matching, &other.matching);
    let driver = one.drivers.iter().find(|driver| other.drivers.contains(driver))?;
    let pci = one.pci.iter().find(|id| other.pci.contains(id));
    let same_pci = one.pci.is_empty() || pci.is_some();
    if one.evidence() != other.evidence() || !same_pci || one.firmware != other.firmware {
        return None;
    }
    Some(pci.map_or_else(|| driver.clone(), |id| format!("{driver}, {id}")))
}

fn read(folder: &Path) -> Result<Vec<File>, ProfileError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ProfileError::Read { path, source }
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        paths.push(entry.map_err(failed(folder))?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    paths.sort();
    if paths.is_empty() {
        return Err(ProfileError::NoFiles { path: folder.to_owned() });
    }
    let file = |path: PathBuf| {
        let text = fs::read_to_string(&path).map_err(failed(&path))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(File { stem, shown: path.display().to_string(), text })
    };
    paths.into_iter().map(file).collect()
}

#[cfg(test)]
mod tests;
