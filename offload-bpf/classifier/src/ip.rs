//! IP addresses as two words, and the classes of them that matter.

use selvedge_abi::Address;

/// An IPv6 address, or an IPv4 address as `::ffff:a.b.c.d`, as a 128-bit number in two halves: comparing and
/// masking words is cheap in eBPF, comparing bytes is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ip {
    high: u64,
    low: u64,
}

const V4_MAPPED: u64 = 0xffff_0000_0000;

impl Ip {
    pub(crate) const UNSPECIFIED_V4: Self = Self { high: 0, low: V4_MAPPED };
    pub(crate) const BROADCAST: Self = Self { high: 0, low: V4_MAPPED | 0xffff_ffff };
    /// `ff02::1:2`, where DHCPv6 clients send (RFC 8415 §7.1).
    pub(crate) const DHCPV6_SERVERS: Self = Self { high: 0xff02 << 48, low: 0x0001_0002 };

    #[inline(always)]
    pub(crate) fn from_v4(octets: [u8; 4]) -> Self {
        Self { high: 0, low: V4_MAPPED | u32::from_be_bytes(octets) as u64 }
    }

    #[inline(always)]
    pub(crate) fn from_halves(high: u64, low: u64) -> Self {
        Self { high, low }
    }

    #[inline(always)]
    pub(crate) fn address(self) -> Address {
        Address::from_halves(self.high, self.low)
    }

    #[inline(always)]
    pub(crate) fn is_v4(self) -> bool {
        self.high == 0 && self.low >> 32 == V4_MAPPED >> 32
    }

    #[inline(always)]
    pub(crate) fn is_unspecified(self) -> bool {
        self.high == 0 && (self.low == 0 || self.low == V4_MAPPED)
    }

    /// Multicast, or the limited broadcast.
    #[inline(always)]
    pub(crate) fn is_multicast(self) -> bool {
        if self.is_v4() {
            self.low >> 28 & 0xf == 0xe || self.low as u32 == u32::MAX
        } else {
            self.high >> 56 == 0xff
        }
    }

    /// `fe80::/10`.
    #[inline(always)]
    pub(crate) fn is_link_local_v6(self) -> bool {
        self.high >> 54 == 0xfe80 >> 6
    }

    /// Loopback or reserved: neither a source nor a destination on a wire (RFC 6890). The unspecified address is
    /// not among them, for it is a source of DHCP and of duplicate address detection.
    #[inline(always)]
    pub(crate) fn is_never_on_wire(self) -> bool {
        if self.is_v4() {
            let octet = self.low >> 24 & 0xff;
            octet == 127
                || (octet == 0 && self.low as u32 != 0)
                || (octet >= 240 && self.low as u32 != u32::MAX)
        } else {
            self.high == 0 && self.low == 1
        }
    }
}
