//! Who may say what a fabric enforces: the key that signs generations, and what a node holds against it.
//!
//! Keys are made where they are used and lie in files that only their owner can read.

mod anchor;
mod files;
mod signing;

pub use anchor::{Anchor, AnchorError, Mistrust};
pub use files::{FileError, write_private, write_public};
pub use signing::{KeyError, SigningKey, VerifyingKey};
