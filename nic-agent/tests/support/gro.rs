//! Generic receive offload of an interface, on and off, as `ethtool -K PORT gro on` does.

use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::support::Namespace;

const ETHTOOL_SGRO: u32 = 0x2c;

/// `struct ethtool_value` (include/uapi/linux/ethtool.h).
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// Turns it on or off for `port`.
#[expect(unsafe_code, reason = "SIOCETHTOOL has no safe wrapper")]
pub(crate) fn set(namespace: &Namespace, port: &str, on: bool) {
    namespace.enter(|| {
        let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).unwrap();
        let mut value = Value { command: ETHTOOL_SGRO, data: u32::from(on) };
        let mut name = [0; libc::IFNAMSIZ];
        name.iter_mut().zip(port.bytes()).for_each(|(to, from)| *to = from as libc::c_char);
        let data = libc::__c_anonymous_ifr_ifru { ifru_data: (&raw mut value).cast() };
        let mut request = libc::ifreq { ifr_name: name, ifr_ifru: data };
        // SAFETY: the request points at the structure of its command, which outlives the call.
        let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    });
}
