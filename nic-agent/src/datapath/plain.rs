//! ABI types as map keys and values.

use aya::Pod;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A type that is nothing but its bytes.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct Plain<T>(pub(super) T);

#[expect(unsafe_code, reason = "aya asks for this marker")]
// SAFETY: zerocopy's derives prove that T has no padding and that all bytes are a T; the wrapper is transparent.
unsafe impl<T: FromBytes + IntoBytes + Immutable + Copy + 'static> Pod for Plain<T> {}
