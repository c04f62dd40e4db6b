//! Programs in the NIC, before the one in the kernel: which port gets which, and why not.
//!
//! The program in the kernel judges everything, whether or not a NIC drops some of it first. So a NIC that refuses a program costs
//! time and no policy; what must not be is a program there that drops what the one in the kernel would pass.

mod cost;
mod counts;
mod name;
mod worth;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use selvedge_abi::FailsafeKey;
use selvedge_codegen::{
    Device, DeviceProgram, Hits, Incomplete, Limits, PortPolicy, Step, Violation, change, complete, prefilter,
};
use selvedge_hw_profiles::fit::{DeviceNeeds, MapNeed};
use selvedge_hw_profiles::profile::OffloadLimits;
use selvedge_hw_profiles::{Mode, Requirement, fit};
use selvedge_topology::names::PortName;
use selvedge_topology::plan::Plan;

pub use cost::cost;
pub use counts::{DeviceCounts, Reading};
pub use name::ProgramName;
pub use worth::{Swap, Worth};

use crate::lower::{LowerError, port_policy};
use crate::machine::{IfIndex, Interface, Machine};
use crate::place::Terms;

/// What becomes of a port's NIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It does not run programs.
    Unable,
    /// It could, and gets none.
    Not {
        /// Why.
        reason: String,
    },
    /// It gets this one.
    Runs(NicProgram),
}

/// What becomes of each port's NIC.
pub type Choices = BTreeMap<PortName, Choice>;

/// What comes of `then` in the place of `now`, in packets that rules have `counted`.
pub fn swap(now: &Choices, then: &Choices, counted: &Hits) -> Swap {
    let packets = |rule: &u32| counted.get(rule).copied().unwrap_or_default();
    let mut swap = Swap::default();
    for (port, now) in now {
        let (Choice::Runs(now), Some(Choice::Runs(then))) = (now, then.get(port)) else { continue };
        let (now, then) = (now.left_out(), then.left_out());
        swap.gained += now.difference(&then).map(packets).sum::<u64>();
        swap.given_up += then.difference(&now).map(packets).sum::<u64>();
    }
    swap
}

/// A program for a NIC, and what it is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicProgram {
    /// From its content.
    pub name: ProgramName,
    /// The program.
    pub program: Box<DeviceProgram>,
    /// Why it is no more than a prefilter; not said of one that is there only while policy changes.
    pub incomplete: Option<Incomplete>,
}

impl NicProgram {
    /// The most that a NIC within `limits` can do for `policy`, by `hits` where it does not hold all drops.
    fn most(policy: &PortPolicy, limits: &Limits, hits: Option<&Hits>) -> Result<Self, Violation> {
        match complete(policy, limits) {
            Ok(program) => Ok(Box::new(program).into()),
            Err(why) => {
                let program = Box::new(prefilter(policy, limits, hits)?);
                Ok(Self { incomplete: Some(why), ..program.into() })
            }
        }
    }

    /// The rules of which something did not fit.
    fn left_out(&self) -> BTreeSet<u32> {
        self.program.shed.iter().map(|shed| shed.drops.rule).collect()
    }
}

impl From<Box<DeviceProgram>> for NicProgram {
    fn from(program: Box<DeviceProgram>) -> Self {
        Self { name: ProgramName::of(&program), program, incomplete: None }
    }
}

impl fmt::Display for NicProgram {
    /// `prefilter of 45 instructions, 3 drops shed`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeviceProgram { kind, instructions, shed, .. } = &*self.program;
        write!(f, "{kind} of {} instructions, {} drops shed", instructions.len(), shed.len())
    }
}

/// A link by which a program is in a NIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicLink {
    /// The interface it is on; `None` when that interface is gone, and the program with it.
    pub index: Option<IfIndex>,
    /// Which program.
    pub program: ProgramName,
}

/// All that a program for a NIC is made from.
#[derive(Clone, Copy, Debug)]
pub struct Grounds<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What devices can do, and what is demanded.
    pub terms: Terms<'a>,
    /// The interfaces.
    pub machine: &'a Machine,
    /// Traffic that the node itself can't live without.
    pub failsafe: &'a BTreeSet<FailsafeKey>,
}

impl Grounds<'_> {
    /// What becomes of the NIC of every port of the plan. Where a NIC does not hold all drops, it gets those that are worth most, by
    /// `hits` or, where there are none, by breadth.
    ///
    /// # Errors
    /// Where the plan can't be lowered to tables either.
    pub fn choices(&self, hits: Option<&Hits>) -> Result<Choices, LowerError> {
        let ports = self.plan.ports.iter();
        ports.map(|port| Ok((port.name.clone(), self.choice(&port.name, hits)?))).collect()
    }

    fn choice(&self, name: &PortName, hits: Option<&Hits>) -> Result<Choice, LowerError> {
        let Some((interface, limits)) = self.able(name) else { return Ok(Choice::Unable) };
        let Some(policy) = self.policy(name)? else { return Ok(Choice::Unable) };
        let most = match NicProgram::most(&policy, &Limits::of(limits), hits) {
            Ok(most) => most,
            Err(violation) => return Ok(Choice::Not { reason: violation.to_string() }),
        };
        if most.program.is_idle() {
            let reason = "policy has nothing there that could be dropped whatever the connection".to_owned();
            return Ok(Choice::Not { reason });
        }
        let against = self.against(name, interface, &most.program);
        Ok(against.map_or_else(|| Choice::Runs(most), |reason| Choice::Not { reason }))
    }

    /// The interface, if it is one that runs programs itself, and what it takes of them.
    fn able(&self, name: &PortName) -> Option<(&Interface, &OffloadLimits)> {
        let interface = self.machine.port(name)?;
        Some((interface, self.terms.offload(interface)?))
    }

    fn policy(&self, name: &PortName) -> Result<Option<PortPolicy>, LowerError> {
        port_policy(self.plan, self.machine, name, self.failsafe)
    }

    /// What speaks against the program: the profile, what is seen of the port, what is demanded.
    fn against(&self, name: &PortName, interface: &Interface, program: &DeviceProgram) -> Option<String> {
        let profile = self.terms.profiles.of(&interface.seen).map(|found| &found.entry.profile);
        let demand = self.terms.demand(name, interface);
        let asked = Requirement { device: Some(needs(program)), demand, ..Requirement::best() };
        let fit = fit(&asked, profile, name.as_str(), &interface.seen);
        let against = fit.passed_over.into_iter().find(|passed| passed.mode == Mode::Offload)?;
        let reasons: Vec<String> = against.reasons.iter().map(ToString::to_string).collect();
        Some(reasons.join(", and "))
    }

    /// Whether `program` is the whole of what the NIC of `name` could run.
    pub(crate) fn gives(&self, name: &PortName, program: &ProgramName) -> bool {
        let Some((_, limits)) = self.able(name) else { return false };
        let Ok(Some(policy)) = self.policy(name) else { return false };
        let most = NicProgram::most(&policy, &Limits::of(limits), None);
        most.is_ok_and(|most| most.program.shed.is_empty() && most.name == *program)
    }

    /// What the NIC of `name` may run while the program in the kernel judges by either of `plans`; `None`: nothing.
    pub(crate) fn in_common(&self, plans: [&Plan; 2], name: &PortName) -> Option<NicProgram> {
        let (_, limits) = self.able(name)?;
        let policy = |plan| Grounds { plan, ..*self }.policy(name).ok()?;
        let [old, new] = plans.map(policy);
        let steps = change(None, Some(&old?), &new?, &Limits::of(limits), None).ok()?;
        match steps.into_iter().next()? {
            Step::Device(Device::Runs(program)) => Some(program.into()),
            Step::Device(Device::Idle) | Step::FullProgram => None,
        }
    }
}

fn needs(program: &DeviceProgram) -> DeviceNeeds {
    let maps = program.maps.iter().map(|map| MapNeed {
        kind: map.kind,
        key: map.key_size,
        value: map.value_size,
        entries: map.max_entries,
    });
    let instructions = u32::try_from(program.instructions.len()).unwrap_or(u32::MAX);
    DeviceNeeds { maps: maps.collect(), instructions }
}

#[cfg(test)]
mod tests;
