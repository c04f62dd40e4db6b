//! What each NIC, DPU and switch port can do, as data: one YAML profile per device family under `profiles/`.
//!
//! A [`Profile`] says which devices it is for, what interfaces they have, in which modes programs run on each, what that
//! needs, what gets past it, and where every figure is from. [`Profiles`] finds the profile of a [`Port`]; [`fit()`] says
//! which mode the port gets, what it costs, and why no better one. Nothing here looks at a machine: what was seen of a
//! port is an argument. Reading a user's folder of profiles is the only thing that touches a disk.

mod embedded;
pub mod fit;
mod mode;
pub mod port;
pub mod profile;
mod profiles;
pub mod recording;
mod remedy;
pub mod units;

pub use embedded::profile_names;
pub use fit::{Demand, Fit, ModeChoice, Requirement, fit};
pub use mode::Mode;
pub use port::Port;
pub use profile::Profile;
pub use profiles::{Entry, Match, Origin, ProfileError, Profiles};
pub use recording::Recording;
pub use remedy::{Remedy, remedies};
