//! What tests of several files share.

use selvedge_hw_profiles::Profiles;

use crate::Limits;

/// The limits of a profile that comes with Selvedge.
pub(crate) fn limits(profile: &str) -> Limits {
    let profiles = Profiles::embedded().unwrap();
    let entry = profiles.get(profile).unwrap();
    Limits::of(entry.profile.offload.as_ref().unwrap())
}
