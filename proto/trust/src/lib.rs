//! Who may say what in a fabric: the key that signs generations, the certificates of whoever talks to whom, and what
//! everybody holds against them.
//!
//! Keys are made where they are used and lie in files that only their owner can read.

mod anchor;
pub mod audit;
mod files;
pub mod member;
pub mod pki;
mod signing;
pub mod token;

pub use anchor::{Anchor, AnchorError, Mistrust};
pub use files::{
    FileError, make_private_folder, read, read_private, replace_private, write_private, write_public,
};
pub use signing::{KeyError, SigningKey, VerifyingKey};
