//! What each NIC, DPU and switch port can do.
