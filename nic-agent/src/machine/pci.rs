//! The numbers of a device on the PCI bus.

use std::fs;
use std::path::{Path, PathBuf};

use selvedge_hw_profiles::port::PciId;

/// The folder of the PCI function at `address`, as in `0000:03:00.0`. Sysfs has PCI devices under one path in every network
/// namespace, other than their interfaces.
fn folder(address: &str) -> Option<PathBuf> {
    let is_name = !address.is_empty() && !address.contains('/') && !address.starts_with('.');
    is_name.then(|| Path::new("/sys/bus/pci/devices").join(address))
}

/// How many virtual functions were made of the PCI function at `address`; `None` where it can have none.
pub fn vfs(address: &str) -> Option<u32> {
    fs::read_to_string(folder(address)?.join("sriov_numvfs")).ok()?.trim().parse().ok()
}

/// Vendor and device of the PCI function at `address`.
pub(super) fn id(address: &str) -> Option<PciId> {
    let device = folder(address)?;
    let number = |file: &str| {
        let text = fs::read_to_string(device.join(file)).ok()?;
        u16::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
    };
    Some(PciId { vendor: number("vendor")?, device: number("device")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_no_pci_bus_has_no_numbers() {
        for address in ["", "N/A", "../net/lo", ".", "tap", "virtio0"] {
            assert_eq!((id(address), vfs(address)), (None, None), "{address}");
        }
    }
}
