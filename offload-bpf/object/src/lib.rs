//! The compiled XDP object, embedded.
