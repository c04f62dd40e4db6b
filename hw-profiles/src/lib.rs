//! What each NIC, DPU and switch port can do, as data: one YAML profile per driver family under `profiles/`.
//!
//! [`Profiles::embedded`] parses the files that come with this crate; [`Profiles::choose`] says in which modes
//! to try a port, in order, and why. Nothing here looks at a machine: what was observed is an argument.

mod choose;
mod profile;

pub use choose::{Mode, ModeChoice, ModeReason, ObservedPort};
pub use profile::{NativeSupport, Profile, ProfileError, Profiles};
