//! The profile files: their form, and the set of all that are embedded.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What is known of one family of drivers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The family's name, the same as its file's.
    pub family: String,
    /// The names by which drivers of the family call themselves (`ethtool -i`).
    pub drivers: Vec<String>,
    /// Whether the driver runs XDP programs itself.
    pub native: NativeSupport,
    /// The largest MTU, in bytes, with which native mode works, where the driver has such a limit.
    #[serde(default)]
    pub max_native_mtu: Option<u32>,
    /// What a user has to know when native mode is refused, or granted.
    pub constraint: String,
    /// Where this was read.
    pub source: String,
}

/// Whether a driver runs XDP programs itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NativeSupport {
    /// It does.
    Driver,
    /// It does not.
    None,
    /// It accepts them and runs none, so that a native program would leave the port open.
    AcceptedButNotRun,
}

/// A profile file that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not YAML, or not a profile.
    #[error("profile `{file}`: {source}")]
    Syntax {
        /// The file.
        file: String,
        /// What is wrong, with line and column.
        source: serde_norway::Error,
    },
    /// Two profiles claim a driver.
    #[error("profile `{second}` claims driver `{driver}`, which `{first}` already has")]
    DriverClaimedTwice {
        /// The driver.
        driver: String,
        /// The family that has it.
        first: String,
        /// The family that wants it too.
        second: String,
    },
}

/// Profiles by driver.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    by_driver: BTreeMap<String, Profile>,
}

macro_rules! embedded {
    ($($family:literal),* $(,)?) => {
        [$(($family, include_str!(concat!("../profiles/", $family, ".yaml")))),*]
    };
}

/// Every file under `profiles/`: family and text. A test compares this list with the folder.
const EMBEDDED: [(&str, &str); 18] = embedded![
    "bnxt",
    "bonding",
    "bridge",
    "ena",
    "i40e",
    "ice",
    "igc",
    "mlx5",
    "mlx5-representor",
    "netdevsim",
    "nfp",
    "no-native",
    "software",
    "stmmac",
    "switch-asic",
    "tun",
    "veth",
    "virtio-net",
];

impl Profiles {
    /// The profiles that come with this crate.
    pub fn embedded() -> Result<Self, ProfileError> {
        Self::parse(EMBEDDED)
    }

    /// Profiles out of `(file, text)` pairs.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ProfileError> {
        let mut profiles = Self::default();
        for (file, text) in files {
            let profile = serde_norway::from_str(text)
                .map_err(|source| ProfileError::Syntax { file: file.to_owned(), source })?;
            profiles.insert(profile)?;
        }
        Ok(profiles)
    }

    fn insert(&mut self, profile: Profile) -> Result<(), ProfileError> {
        for driver in &profile.drivers {
            if let Some(first) = self.by_driver.insert(driver.clone(), profile.clone()) {
                let (driver, first, second) = (driver.clone(), first.family, profile.family);
                return Err(ProfileError::DriverClaimedTwice { driver, first, second });
            }
        }
        Ok(())
    }

    /// The profile of `driver`, if there is one.
    pub fn of(&self, driver: &str) -> Option<&Profile> {
        self.by_driver.get(driver)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_embedded_and_named_by_its_family() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let embedded: BTreeSet<String> =
            EMBEDDED.iter().map(|(family, _)| format!("{family}.yaml")).collect();
        assert_eq!(files, embedded);
        for (family, text) in EMBEDDED {
            let profile: Profile = serde_norway::from_str(text).unwrap();
            assert_eq!(profile.family, family);
            assert!(!profile.drivers.is_empty() && profile.source.contains("Linux"), "{family}");
        }
        assert!(Profiles::embedded().is_ok());
    }

    #[test]
    fn a_field_nobody_knows_is_refused_with_its_line() {
        let text = "family: x\ndrivers: [x]\nnative: driver\nconstraint: c\nsource: s\nspeed: 100\n";
        let error = Profiles::parse([("x", text)]).unwrap_err();
        assert!(matches!(error, ProfileError::Syntax { .. }));
        assert!(error.to_string().contains("profile `x`: unknown field `speed`"), "{error}");
        assert!(error.to_string().contains("line 6"), "{error}");
    }

    #[test]
    fn two_families_never_claim_one_driver() {
        let file = |family: &str| {
            format!("family: {family}\ndrivers: [x]\nnative: none\nconstraint: c\nsource: s\n")
        };
        let error = Profiles::parse([("a", file("a").as_str()), ("b", file("b").as_str())]).unwrap_err();
        assert_eq!(error.to_string(), "profile `b` claims driver `x`, which `a` already has");
    }
}
