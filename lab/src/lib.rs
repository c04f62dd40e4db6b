//! Builds a fabric out of network namespaces and probes it.
