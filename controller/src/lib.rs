//! The controller daemon and the selvedge command line.
