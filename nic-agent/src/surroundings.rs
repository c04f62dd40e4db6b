//! What the agent needs of the machine, checked before anything is touched.

use aya::programs::ProgramType;
use caps::{CapSet, Capability};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

/// The machine or the process lacks something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SurroundingsError {
    /// Rights.
    #[error(
        "the agent lacks {}; run it as root, or give it these capabilities (systemd: AmbientCapabilities=)",
        list(missing)
    )]
    Capabilities {
        /// Which.
        missing: Vec<Capability>,
    },
    /// They can't be read.
    #[error("can't read the process's capabilities: {0}")]
    Unreadable(#[from] caps::errors::CapsError),
    /// XDP.
    #[error(
        "this kernel has no XDP: the agent needs one with CONFIG_BPF_SYSCALL, from Linux 5.9 on (XDP links)"
    )]
    NoXdp,
}

fn list(missing: &[Capability]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// Checks rights and kernel.
pub(crate) fn check() -> Result<(), SurroundingsError> {
    let missing = missing(|capability| caps::has_cap(None, CapSet::Effective, capability))?;
    if !missing.is_empty() {
        return Err(SurroundingsError::Capabilities { missing });
    }
    // Kernels before 5.11 charge maps to this limit; where it can't be raised, loading says so.
    setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).ok();
    match aya::sys::is_program_supported(ProgramType::Xdp) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(SurroundingsError::NoXdp),
    }
}

/// CAP_SYS_ADMIN stands for CAP_BPF, as in kernels that did not have that yet.
fn missing<E>(has: impl Fn(Capability) -> Result<bool, E>) -> Result<Vec<Capability>, E> {
    let admin = has(Capability::CAP_SYS_ADMIN)?;
    let mut missing = Vec::new();
    if !admin && !has(Capability::CAP_BPF)? {
        missing.push(Capability::CAP_BPF);
    }
    if !has(Capability::CAP_NET_ADMIN)? {
        missing.push(Capability::CAP_NET_ADMIN);
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn with(held: &[Capability]) -> Vec<Capability> {
        missing(|capability| Ok::<_, Infallible>(held.contains(&capability))).unwrap()
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(with(&[]), [Capability::CAP_BPF, Capability::CAP_NET_ADMIN]);
        assert_eq!(with(&[Capability::CAP_BPF]), [Capability::CAP_NET_ADMIN]);
        assert_eq!(with(&[Capability::CAP_SYS_ADMIN]), [Capability::CAP_NET_ADMIN]);
        assert_eq!(with(&[Capability::CAP_BPF, Capability::CAP_NET_ADMIN]), []);
        let error = SurroundingsError::Capabilities { missing: with(&[]) };
        assert!(error.to_string().starts_with("the agent lacks CAP_BPF and CAP_NET_ADMIN; run it as root"));
    }
}
