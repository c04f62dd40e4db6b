//! Protobuf services, wire conversions and the etcd key layout.
