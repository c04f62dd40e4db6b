//! What a driver says of itself (`ethtool -i`), and what is asked of it: LRO off (`-K`), numbers of channels (`-L`).

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

const ETHTOOL_GDRVINFO: u32 = 3;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
const ETHTOOL_SCHANNELS: u32 = 0x3d;
const FLAG_LRO: u32 = 1 << 15;

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `struct ethtool_channels`; of the other channels, those for what is no traffic, as many as there are.
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    most: [u32; 4],
    rx: u32,
    tx: u32,
    other: u32,
    combined: u32,
}

/// `struct ethtool_drvinfo` (include/uapi/linux/ethtool.h).
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware: [u8; 32],
    bus: [u8; 32],
    expansion_rom: [u8; 32],
    reserved: [u8; 12],
    counts: [u32; 5],
}

/// What a driver says of itself and of its device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DriverWords {
    /// What it calls itself.
    pub(crate) driver: String,
    /// The firmware's version.
    pub(crate) firmware: String,
    /// Where the device is: a PCI address, where it is on that bus.
    pub(crate) bus: String,
}

/// What the driver of `interface` says.
pub(crate) fn driver_info(interface: &str) -> io::Result<DriverWords> {
    let mut info = DriverInfo {
        command: ETHTOOL_GDRVINFO,
        driver: [0; 32],
        version: [0; 32],
        firmware: [0; 32],
        bus: [0; 32],
        expansion_rom: [0; 32],
        reserved: [0; 12],
        counts: [0; 5],
    };
    call(interface, &mut info)?;
    Ok(DriverWords { driver: text(&info.driver), firmware: text(&info.firmware), bus: text(&info.bus) })
}

/// Turns large receive offload off.
pub(crate) fn lro_off(interface: &str) -> io::Result<()> {
    let mut flags = Value { command: ETHTOOL_GFLAGS, data: 0 };
    call(interface, &mut flags)?;
    call(interface, &mut Value { command: ETHTOOL_SFLAGS, data: flags.data & !FLAG_LRO })
}

/// Sets how many channels receive, transmit, and do both.
pub(crate) fn set_channels(interface: &str, rx: u32, tx: u32, combined: u32) -> io::Result<()> {
    let mut channels = Channels { command: ETHTOOL_GCHANNELS, ..Channels::default() };
    call(interface, &mut channels)?;
    call(interface, &mut Channels { command: ETHTOOL_SCHANNELS, rx, tx, combined, ..channels })
}

/// `A` begins with a command that says which structure it is.
#[expect(unsafe_code, reason = "SIOCETHTOOL has no safe wrapper")]
fn call<A>(interface: &str, attributes: &mut A) -> io::Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut name = [0; libc::IFNAMSIZ];
    if interface.len() >= name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    let data = libc::__c_anonymous_ifr_ifru { ifru_data: std::ptr::from_mut(attributes).cast() };
    let mut request = libc::ifreq { ifr_name: name, ifr_ifru: data };
    // SAFETY: the request names a NUL-terminated interface and points at the structure of its command, which outlives the call.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, std::ptr::from_mut(&mut request)) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Up to the first NUL, without the space that the kernel puts after versions of devlink's.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned()
}
