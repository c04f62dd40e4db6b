//! How tables lie in arrays of buckets: where each entry goes, which is nobody's business above.
//!
//! The tables are maps, to be read whole, and written one entry at a time; what an entry costs does not grow with the
//! table. Nothing here is I/O either: the arrays are arguments.

mod addresses;
mod cuckoo;
mod ends;
mod lengths;
mod occupied;
mod policies;
mod pool;
mod ports;

pub use addresses::{AddressArrays, AddressTables};
pub use cuckoo::{Full, Memory};
pub use policies::{PolicyArrays, PolicyTable};
pub use ports::PortTable;

#[cfg(test)]
mod tests;
