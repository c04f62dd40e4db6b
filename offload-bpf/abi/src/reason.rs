//! Verdicts and reasons: the enumeration every packet ends in.

/// What happened to a packet.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Policy, or what a fabric needs to live, let it pass.
    Allowed = 1,
    /// Policy denied it.
    Denied = 2,
    /// Malformed, unsafe or not understood, whatever policy says.
    Dropped = 3,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $verdict:ident, $name:literal;)*) => {
        /// Why a packet got its verdict. The numbers are part of the ABI: never reused.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[$doc])* $variant = $number,)*
        }

        impl Reason {
            /// Every reason, in the order of their numbers.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant),*];

            /// The verdict this reason goes with.
            #[inline(always)]
            pub const fn verdict(self) -> Verdict {
                match self { $(Reason::$variant => Verdict::$verdict,)* }
            }

            /// The name users see, in kebab case.
            pub const fn name(self) -> &'static str {
                match self { $(Reason::$variant => $name,)* }
            }

            /// The reason with this number.
            pub const fn from_number(number: u32) -> Option<Reason> {
                match number { $($number => Some(Reason::$variant),)* _ => None }
            }
        }
    };
}

reasons! {
    /// A new connection that policy allows.
    PolicyAllow = 1, Allowed, "policy-allow";
    /// A packet of a tracked connection.
    Established = 2, Allowed, "established";
    /// Allowed by a rule that tracks no connection.
    Stateless = 3, Allowed, "stateless-allow";
    /// Address resolution.
    Arp = 4, Allowed, "arp";
    /// IPv6 neighbour or router discovery with a hop limit of 255 (RFC 4861).
    NeighbourDiscovery = 5, Allowed, "neighbour-discovery";
    /// Address configuration.
    Dhcp = 6, Allowed, "dhcp";
    /// LLDP, LACP and other link-local control frames, on uplink and fabric ports.
    LinkControl = 7, Allowed, "link-control";
    /// To one of the node's own addresses, from the fabric.
    ToNode = 8, Allowed, "to-node";
    /// Neither end is behind this switch.
    Transit = 9, Allowed, "transit";
    /// A service the node itself can't live without.
    Failsafe = 10, Allowed, "failsafe";
    /// An ICMP error that quotes a packet of a tracked connection.
    Related = 11, Allowed, "related";
    /// The next fragment of a datagram whose first one was allowed.
    LaterFragment = 12, Allowed, "later-fragment";
    /// IGMP or MLD, on its link.
    GroupMembership = 13, Allowed, "group-membership";
    /// Sent by the node itself, and neither end is a workload of this node.
    FromNode = 14, Allowed, "from-node";
    /// A packet of a connection that policy no longer allows, and lets end by itself.
    Draining = 15, Allowed, "draining";

    /// A rule, or a tier's or the fabric's default, denies it.
    PolicyDeny = 32, Denied, "policy-deny";
    /// The tables hold no policy for the workload: never left open.
    NoPolicy = 33, Denied, "no-policy";
    /// An established connection that the generation in force no longer allows.
    Cut = 34, Denied, "cut-by-generation";
    /// Mid-stream, reply or error packet of no known connection.
    NotTracked = 35, Denied, "no-connection";
    /// The connection table is full.
    ConnectionsFull = 36, Denied, "connections-full";
    /// A first fragment, but the table that would remember it is full.
    FragmentsFull = 37, Denied, "fragments-full";

    /// No generation in force yet.
    NoGeneration = 64, Dropped, "no-generation";
    /// The port is not in the tables.
    UnknownPort = 65, Dropped, "unknown-port";
    /// The frame ends inside a header, or a length field contradicts it.
    Truncated = 66, Dropped, "truncated";
    /// A header that contradicts itself: version, header length, flags.
    Malformed = 67, Dropped, "malformed";
    /// An Ethernet type this fabric does not carry.
    UnknownEtherType = 68, Dropped, "unknown-ethertype";
    /// More than two VLAN tags; of a workload, any but one priority tag.
    Vlan = 69, Dropped, "vlan";
    /// A fragment that is not the next one of an allowed datagram: unknown, overlapping, repeated, out of order; or a
    /// first one of an unfinished datagram's identification.
    Fragment = 70, Dropped, "fragment";
    /// An IPv4 option or IPv6 extension header that is not carried, or too many of them.
    Extension = 71, Dropped, "extension-header";
    /// A protocol number that means nothing over this version of IP.
    UnknownProtocol = 72, Dropped, "unknown-protocol";
    /// An address no packet on a wire may have: loopback, unspecified, reserved, v4-mapped in IPv6; a multicast
    /// source; a source equal to the destination.
    Martian = 73, Dropped, "martian";
    /// A source that is not behind this port; of what the node sends, one that is somebody else's.
    Spoofed = 74, Dropped, "spoofed-source";
    /// A multicast or broadcast destination.
    Multicast = 75, Dropped, "multicast";
    /// Neither end is behind this node.
    NotLocal = 76, Dropped, "not-local";
    /// A control frame that must not come from a workload.
    RogueControl = 77, Dropped, "rogue-control";
    /// A first fragment without the whole transport header, or a later one that would overwrite one.
    FragmentTiny = 78, Dropped, "fragment-tiny";
    /// Neighbour discovery or group membership in fragments.
    FragmentedControl = 79, Dropped, "fragmented-control";
    /// What the internet has withdrawn: type 0 routing headers, source quench.
    Deprecated = 80, Dropped, "deprecated";
}
