//! Packet parsing and classification, generic over its tables.
