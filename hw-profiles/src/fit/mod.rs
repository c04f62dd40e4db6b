//! Which mode a port gets, what it costs, and why no better one.
//!
//! [`fit`] is a pure function of what is asked, what the profile says and what was seen. It always ends in a mode, since
//! generic programs run on every interface; whether that mode is good enough for who asked is said beside it.

mod bypass;
mod demand;
mod device;
mod reason;

use std::fmt;

use serde::Serialize;

pub use bypass::{BypassCheck, BypassState};
pub use demand::Demand;
pub use device::{DeviceNeeds, Excess, MapNeed};
pub use reason::Reason;

use crate::mode::Mode;
use crate::port::{Feature, Port};
use crate::profile::{Check, Constraint, Frames, Interruption, Netdev, Otherwise, Profile, Role, Support};

/// What is asked of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// What the program in the kernel takes.
    pub frames: Frames,
    /// What the program in the device needs; `None`: there is none.
    pub device: Option<DeviceNeeds>,
    /// What a user wants of the mode.
    pub demand: Demand,
}

/// Which mode a port gets, and what there is to say of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fit {
    /// The best mode that nothing speaks against. Where everything is forbidden, generic; the demand is unmet then.
    pub mode: Mode,
    /// On what that stands.
    pub basis: Basis,
    /// Whether it is what the user wants.
    pub demand: DemandCheck,
    /// Every better mode, the best first, with every reason against it.
    pub passed_over: Vec<PassedOver>,
    /// Lesser modes that may be tried where the kernel refuses this one, best first.
    pub fallbacks: Vec<Mode>,
    /// What it costs.
    pub costs: Vec<Cost>,
    /// What it needs that nobody could look at: the kernel refuses the program where it is not so.
    pub unseen: Vec<String>,
    /// Ways of packets past it.
    pub bypasses: Vec<BypassCheck>,
}

/// On what a mode stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// A profile.
    Profile {
        /// The driver.
        driver: String,
        /// The profile.
        profile: String,
        /// What the port is on the device.
        role: Role,
    },
    /// No profile knows the device, so the kernel is asked.
    Untold {
        /// The driver.
        driver: String,
    },
}

/// Whether a mode is what the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DemandCheck {
    /// It is.
    Met,
    /// It is less.
    Less {
        /// What was required.
        required: Mode,
    },
    /// Nothing that is allowed is left.
    NothingAllowed,
}

/// A mode better than the one that a port gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PassedOver {
    /// The mode.
    pub mode: Mode,
    /// Why not; at least one.
    pub reasons: Vec<Reason>,
}

/// What a mode costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cost {
    /// Traffic is interrupted when programs come and go.
    Interruption {
        /// When the first comes or the last goes.
        first: Interruption,
        /// When one takes the place of another.
        exchange: Interruption,
    },
    /// It takes longer than it could.
    Slower {
        /// What would be needed.
        needs: String,
        /// What was found.
        found: String,
        /// The command that mends it, where there is one.
        mend: Option<String>,
    },
    /// The program does not see all of the packet.
    Blind {
        /// What would be needed.
        needs: String,
        /// What was found.
        found: String,
        /// The command that mends it, where there is one.
        mend: Option<String>,
    },
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mended = |f: &mut fmt::Formatter<'_>, mend: &Option<String>| match mend {
            Some(mend) => write!(f, " (`{mend}` mends it)"),
            None => Ok(()),
        };
        match self {
            Self::Interruption { first, exchange } => {
                let (first, exchange) = (first.name(), exchange.name());
                write!(f, "traffic at the first or last program: {first}; at an exchange: {exchange}")
            }
            Self::Slower { needs, found, mend } => {
                write!(f, "slower without {needs}, and there is {found}")?;
                mended(f, mend)
            }
            Self::Blind { needs, found, mend } => {
                write!(f, "the program sees less without {needs}, and it is {found}")?;
                mended(f, mend)
            }
        }
    }
}

impl Requirement {
    /// The program in the kernel, in the best mode there is.
    pub fn best() -> Self {
        Self { frames: Frames::Linear, device: None, demand: Demand::default() }
    }
}

/// Which mode the interface `name`, seen as `port`, gets for what is `asked`, by what its `profile` says of it.
pub fn fit(asked: &Requirement, profile: Option<&Profile>, name: &str, port: &Port) -> Fit {
    let known = profile.and_then(|profile| Some(Known { profile, netdev: profile.netdev(port)? }));
    let view = View { asked, known, name, port };
    let reasons = Mode::BEST_FIRST.map(|mode| (mode, view.against(mode)));
    let free = reasons.iter().find(|(_, reasons)| reasons.is_empty()).map(|(mode, _)| *mode);
    let mode = free.unwrap_or(Mode::Generic);
    let passed = reasons.iter().filter(|(other, _)| *other > mode).cloned();
    let fallbacks = reasons.iter().filter(|(other, reasons)| *other < mode && reasons.is_empty());
    let required = asked.demand.require;
    Fit {
        mode,
        basis: view.basis(),
        demand: match (free, required) {
            (None, _) => DemandCheck::NothingAllowed,
            (Some(mode), Some(required)) if mode < required => DemandCheck::Less { required },
            _ => DemandCheck::Met,
        },
        passed_over: passed.map(|(mode, reasons)| PassedOver { mode, reasons }).collect(),
        fallbacks: fallbacks
            .map(|(mode, _)| *mode)
            .filter(|mode| required.is_none_or(|it| *mode >= it))
            .collect(),
        costs: view.costs(mode),
        unseen: view.unseen(mode),
        bypasses: view.bypasses(),
    }
}

/// What a profile says of a port.
#[derive(Clone, Copy)]
struct Known<'a> {
    profile: &'a Profile,
    netdev: &'a Netdev,
}

/// All that a fit looks at.
struct View<'a> {
    asked: &'a Requirement,
    known: Option<Known<'a>>,
    name: &'a str,
    port: &'a Port,
}

impl<'a> View<'a> {
    fn basis(&self) -> Basis {
        let driver = self.port.driver.clone();
        match self.known {
            Some(Known { profile, netdev }) => {
                Basis::Profile { driver, profile: profile.name.clone(), role: netdev.role }
            }
            None => Basis::Untold { driver },
        }
    }

    /// Everything that speaks against `mode`.
    fn against(&self, mode: Mode) -> Vec<Reason> {
        let demand = &self.asked.demand;
        let forbidden = demand.forbid.contains(&mode).then_some(Reason::Forbidden);
        let limit = demand.at_most.filter(|limit| mode > *limit).map(|limit| Reason::AboveLimit { limit });
        let able = match mode {
            Mode::Generic => Vec::new(),
            Mode::Native => self.unable(mode, |netdev| &netdev.native, Feature::Basic),
            Mode::Offload => self.unable(mode, |netdev| &netdev.offload, Feature::HwOffload),
        };
        able.into_iter().chain(forbidden).chain(limit).collect()
    }

    /// Why the port is not able to run programs in `mode`.
    fn unable(&self, mode: Mode, support: fn(&Netdev) -> &Support, feature: Feature) -> Vec<Reason> {
        let driver = || self.port.driver.clone();
        let Some(Known { profile, netdev }) = self.known else {
            // Asking the kernel for native costs nothing; a program for a device has to be made for it.
            return if mode == Mode::Offload {
                vec![Reason::Unprofiled { driver: driver() }]
            } else {
                Vec::new()
            };
        };
        match support(netdev) {
            Support::Absent(because, _) => {
                return vec![Reason::Unsupported { driver: driver(), because: because.clone() }];
            }
            Support::Ignored(because, _) => {
                return vec![Reason::Ignored { driver: driver(), because: because.clone() }];
            }
            Support::Runs(_) => {}
        }
        let refused = self.broken(mode, Otherwise::Refused);
        let mut reasons: Vec<Reason> =
            refused.map(|(needs, found, mend)| Reason::Unmet { needs, found, mend }).collect();
        let claims = |features: &Vec<Feature>| features.contains(&feature);
        let claimed = self.port.xdp_features.as_ref().is_none_or(claims);
        if !claimed && netdev.features.contains(&feature) {
            reasons.push(Reason::Unclaimed { driver: driver() });
        }
        if mode == Mode::Offload {
            reasons.extend(self.device(profile));
        }
        reasons
    }

    fn device(&self, profile: &Profile) -> Vec<Reason> {
        let Some(needs) = &self.asked.device else { return vec![Reason::NoDeviceProgram] };
        let excesses = profile.offload.as_ref().map(|limits| device::excesses(needs, limits));
        excesses.unwrap_or_default().into_iter().map(Reason::TooLarge).collect()
    }

    fn constraints(&self, mode: Mode) -> impl Iterator<Item = (&'a Constraint, Check)> {
        let (port, frames) = (self.port, self.asked.frames);
        let constraints = self.known.map(|known| known.profile.constraints.as_slice()).unwrap_or_default();
        let of_mode = constraints.iter().filter(move |constraint| constraint.modes.contains(&mode));
        of_mode.map(move |constraint| (constraint, constraint.needs.check(port, frames)))
    }

    /// What `mode` needs and the port has not: the need, what was found, and the command that mends it.
    fn broken(
        &self,
        mode: Mode,
        otherwise: Otherwise,
    ) -> impl Iterator<Item = (String, String, Option<String>)> {
        let (name, port) = (self.name, self.port);
        let constraints = self.constraints(mode).filter(move |(it, _)| it.otherwise == otherwise);
        constraints.filter_map(move |(constraint, check)| match check {
            Check::Unmet { found } => {
                Some((constraint.needs.to_string(), found, constraint.mend(name, port)))
            }
            Check::Met | Check::Unseen => None,
        })
    }

    fn costs(&self, mode: Mode) -> Vec<Cost> {
        let slower = self.broken(mode, Otherwise::Slower);
        let slower = slower.map(|(needs, found, mend)| Cost::Slower { needs, found, mend });
        let blind = self.broken(mode, Otherwise::Blind);
        let blind = blind.map(|(needs, found, mend)| Cost::Blind { needs, found, mend });
        // Generic programs come and go without the driver.
        let on_set =
            self.known.and_then(|known| known.profile.on_set.as_ref()).filter(|_| mode == Mode::Native);
        let on_set = on_set.filter(|it| (it.first, it.exchange) != (Interruption::None, Interruption::None));
        let on_set = on_set.map(|it| Cost::Interruption { first: it.first, exchange: it.exchange });
        on_set.into_iter().chain(slower).chain(blind).collect()
    }

    fn unseen(&self, mode: Mode) -> Vec<String> {
        let unseen = self.constraints(mode).filter(|(_, check)| *check == Check::Unseen);
        unseen.map(|(constraint, _)| constraint.needs.to_string()).collect()
    }
}

/// The modes to try on a port, best first, and why these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeChoice {
    /// What to ask for.
    pub first: Mode,
    /// What to fall back to, in order.
    pub fallbacks: Vec<Mode>,
    /// Why.
    pub reason: String,
}

impl Fit {
    /// The modes to try, and why.
    pub fn choice(&self) -> ModeChoice {
        ModeChoice { first: self.mode, fallbacks: self.fallbacks.clone(), reason: self.to_string() }
    }

    /// The modes that were passed over for another reason than that nothing was made for them.
    fn notable(&self) -> impl Iterator<Item = &PassedOver> {
        let notable = |passed: &&PassedOver| match &passed.reasons[..] {
            [Reason::NoDeviceProgram] => false,
            // Nearly no device runs programs itself: where native is there, that is no news.
            reasons if passed.mode == Mode::Offload => reasons.iter().any(|reason| {
                matches!(reason, Reason::TooLarge(_) | Reason::Forbidden | Reason::AboveLimit { .. })
            }),
            _ => true,
        };
        self.passed_over.iter().filter(notable)
    }
}

impl fmt::Display for Fit {
    /// On what the mode stands, and why it is no better, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = self.notable().map(|PassedOver { mode, reasons }| {
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            format!("no {mode}: {}", reasons.join(", and "))
        });
        let passed: Vec<String> = passed.collect();
        match (&self.basis, self.mode) {
            _ if !passed.is_empty() => f.write_str(&passed.join("; ")),
            (Basis::Untold { driver }, Mode::Native) => {
                write!(f, "no profile for driver {driver}, so native is tried")
            }
            (Basis::Untold { driver }, _) => write!(f, "no profile for driver {driver}"),
            (Basis::Profile { driver, .. }, Mode::Native) => write!(f, "driver {driver} runs XDP itself"),
            (Basis::Profile { driver, .. }, Mode::Offload) => {
                write!(f, "the device of driver {driver} runs XDP itself")
            }
            (Basis::Profile { driver, .. }, Mode::Generic) => write!(f, "driver {driver} has nothing better"),
        }
    }
}

#[cfg(test)]
mod tests;
