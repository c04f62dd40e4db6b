//! Connections that a generation no longer allows.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What becomes of a connection that the generation in force no longer allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// It ended with the packet that was judged.
    Cut,
    /// It goes on until it ends by itself or falls silent.
    Drains,
}

/// How many connections a generation revoked, each counted once; a per-CPU value, so readers add the CPUs up.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Revocations {
    /// Those that were cut, also after they had been draining.
    pub cut: u64,
    /// Those that began to drain.
    pub draining: u64,
}

impl Revocations {
    /// One more.
    #[inline(always)]
    pub fn count(&mut self, revocation: Revocation) {
        match revocation {
            Revocation::Cut => self.cut += 1,
            Revocation::Drains => self.draining += 1,
        }
    }
}
