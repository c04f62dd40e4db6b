//! The sections of `docs/packet-classes.md`: which class of packet a case belongs to, and why its verdict is what it is.

use std::vec::Vec;

use super::Case;

/// Cases that are decided for one reason.
#[derive(Debug, PartialEq, Eq)]
pub struct Section {
    /// Number of the class of packets, 1 to 17.
    pub class: u8,
    /// What its packets are.
    pub title: &'static str,
    /// Why they are decided as they are.
    pub why: &'static str,
    /// The standards behind it, if any.
    pub standards: &'static str,
}

impl Section {
    /// The cases, in this section.
    pub(super) fn of(&'static self, cases: Vec<Case>) -> Vec<Case> {
        cases.into_iter().map(|case| Case { section: Some(self), ..case }).collect()
    }
}

macro_rules! sections {
    ($($name:ident = $class:literal, $title:literal, $standards:literal, $why:literal;)*) => {
        $(
            #[doc = $title]
            pub static $name: Section =
                Section { class: $class, title: $title, why: $why, standards: $standards };
        )*
        /// Every section.
        pub static ALL: &[&Section] = &[$(&$name),*];
    };
}

sections! {
    ETHERNET = 1, "Ethernet headers", "IEEE 802.3, RFC 1122 §3.3.6",
        "A frame that ends in its header, or comes from a group, is broken. What nobody here speaks is not carried, so that \
         nothing passes unread. A unicast packet in a group frame reaches stations that it is not for.";
    IPV4 = 1, "IPv4 headers", "RFC 791",
        "A length that contradicts the frame or the header means that two readers read two packets.";
    IPV6 = 1, "IPv6 headers", "RFC 8200", "As for IPv4.";
    ICMP_HEADER = 1, "ICMP headers, and protocols of the other family", "RFC 792, RFC 4443",
        "Echo has no codes; a protocol number that only the other version of IP knows means nothing.";
    LINK_CONTROL = 2, "Link control: LLDP, LACP, EAPOL, spanning tree", "IEEE 802.1Q table 8-1",
        "Links need it, on ports that face the fabric. A workload that speaks it could become part of the topology.";
    ARP = 2, "ARP", "RFC 826, RFC 5227",
        "Addresses have to be resolved, before any policy too; a workload may speak for itself only.";
    TAGS = 3, "VLAN tags in the frame", "IEEE 802.1Q, 802.1ad",
        "Up to two tags are read through, and the packet behind them is judged. A workload sends none but a priority tag, for \
         any other could take its frames into another VLAN. A tag that the NIC strips, or a veth carries beside the frame, is \
         not in what XDP is given: VLANs are not a boundary that Selvedge enforces. Turn `rxvlan` off where they matter.";
    OPTIONS = 4, "IPv4 options", "RFC 7126, RFC 2113",
        "Source routes take a packet elsewhere than its destination, and no option does workloads any good: all are dropped but \
         the router alert of IGMP.";
    FIRST_FRAGMENT = 5, "First fragments", "RFC 7112",
        "A first fragment has the whole transport header, is judged like a whole packet, and is remembered for 60 seconds if it \
         is allowed, as long as a receiver would wait.";
    LATER_FRAGMENT = 5, "Later fragments", "RFC 8200 §4.5, RFC 4963",
        "They pass in order and without a gap after an allowed first one. Those that overtake others on the way are dropped: \
         exact ranges would cost memory that an attacker fills.";
    OVERLAPPING = 5, "Overlapping and repeated fragments, identifications used again", "RFC 5722, RFC 4963",
        "Each byte of a datagram passes once, decided by one compare-and-exchange among all CPUs. An identification stays taken \
         until its datagram is whole, or its time is over.";
    TINY = 5, "Tiny fragments", "RFC 1858, RFC 3128, RFC 7112",
        "Where the transport header is cut, nobody can judge the datagram by it.";
    REFUSED_FRAGMENTS = 5, "Other fragments that are refused", "RFC 6980, RFC 791",
        "A full table denies new datagrams and leaves whole packets alone. Discovery needs no fragments, an attacker does.";
    EXTENSIONS = 6, "IPv6 extension headers", "RFC 8200, RFC 5095, RFC 6946, RFC 7045, RFC 8504",
        "Four headers are followed. They pass if every node may ignore them and none moves an address: routing headers that \
         have arrived, options that may be skipped, atomic fragments. AH and ESP are protocols of their own (class 11).";
    BROKEN_EXTENSIONS = 6, "Broken chains of extension headers", "RFC 8200, CVE-2023-4809",
        "A chain that can be read in two ways is not read.";
    DISCOVERY = 7, "Neighbour and router discovery, redirects", "RFC 4861 §6.1, §7.1, §8.1, RFC 4890",
        "Links need it, from nearer than any router (hop limit 255). A workload speaks for itself, and is no router.";
    DHCP = 7, "Address configuration", "RFC 2131, RFC 8415",
        "Clients ask from workload ports, servers answer from the fabric, before any policy too.";
    GROUPS = 7, "Group membership: MLD and IGMP", "RFC 3810, RFC 3590, RFC 3376, RFC 4541",
        "A snooping switch delivers discovery only to who reported by MLD. Workloads report, routers ask. What is sent to groups \
         is not carried: policy has no words for them.";
    LIST_OF_4890 = 7, "The rest of RFC 4890's list, and what is withdrawn", "RFC 4890 §4.3.3, RFC 6633",
        "What only routers say is rogue from a workload. ICMP that is neither error, echo nor control is judged by policy, \
         message by message.";
    ERRORS = 8, "ICMP errors", "RFC 792, RFC 4443, RFC 5927",
        "An error passes, with path-MTU discovery among them, if the packet it quotes was sent by who it is for on a tracked \
         connection; else policy decides, as for any message. Without a connection (stateless rules) a rule has to allow \
         type 3 code 4, or ICMPv6 type 2.";
    ECHOES = 8, "Echo", "RFC 792, RFC 4443",
        "Tracked by identifier and by who asks, so that a reply's entry is no way in for a request.";
    TCP_HEADER = 9, "TCP headers", "RFC 9293",
        "Flags that no stack sends together are scans.";
    TCP_STATES = 9, "TCP connections", "RFC 9293, RFC 5961",
        "Only a SYN opens. Sequence numbers are not tracked, which hardware could not; so a RST out of the window is the ends' to \
         tell, and ends an entry only where nobody goes on. A half-open or closing entry lives shortly.";
    UDP_HEADER = 10, "UDP headers", "RFC 768, RFC 8200 §8.1",
        "A length other than IP's hides bytes from one reader or the other. Over IPv6 nothing else protects the addresses, so a \
         checksum has to be there, in tunnels too.";
    DATA_AND_CHECKSUMS = 10, "UDP without a checksum over IPv4; SYN with data", "RFC 768, RFC 7413", "Both are sound.";
    DIALOGUES = 10, "UDP and SCTP dialogues", "RFC 768, RFC 9260",
        "A datagram opens, and its answers pass until the dialogue was silent for its timeout.";
    SCTP_HEADER = 11, "SCTP headers and chunks", "RFC 9260 §3.3.2, §6.10, §8.5.1",
        "The first chunk decides. An INIT comes alone, and without a tag.";
    TUNNELS = 11, "GRE, ESP, AH, IP in IP, VXLAN, Geneve and all other protocols", "RFC 2784, RFC 4303, RFC 7348, RFC 8926",
        "Judged and tracked by their outer header only: by protocol without ports, VXLAN and Geneve by their UDP port. What is in \
         them is not looked at. In documents, `protocol: any` allows them.";
    ADDRESSES = 12, "Martians, and groups as destination", "RFC 6890, RFC 1122",
        "An address that can't be on a wire, a source that is its destination, IPv4 in an IPv6 header. Groups and broadcasts are \
         not carried.";
    ENDS = 12, "Who may send, and what is for the node itself", "RFC 2827",
        "On a workload port the source has to be behind that very port; elsewhere it must be neither behind this node nor the \
         node's own.";
    JUDGED = 13, "New connections", "",
        "Egress policy of a source behind this node, then ingress policy of a destination behind it, on whichever port they \
         arrive.";
    STATELESS = 13, "Stateless rules, and logs", "", "A stateless rule leaves no entry; replies need their own.";
    ONE_NODE = 13, "Two ends behind one node", "",
        "Each end is judged as if it were alone on its node, so that a verdict does not depend on where a workload runs.";
    FROM_NODE = 13, "What the node itself sends", "",
        "Nobody receives it at a port of this node, so it is judged where it leaves one: ingress policy of a workload behind this \
         node, egress policy of a workload that is the node (bare metal), and their answers, by the same tables. All else that the \
         node sends in its own name passes. What was received at a port was judged there.";
    NODE_CONTROL = 7, "Discovery, configuration and groups of the node itself", "",
        "The node is trusted with its own links; a workload that is the node sends no more to groups than any other.";
    UNKNOWN_PORT = 15, "A port without a role", "", "Nothing is known of it, so nothing passes.";
    FAILING_TABLES = 16, "Missing policy, full tables", "",
        "What is not there allows nothing. A full connection table denies new connections; established ones go on.";
    GENERATIONS = 17, "Connections of another generation", "",
        "Judged again in the direction of their opener at the next packet, and cut where they are no longer allowed, \
         unless the denial lets them drain.";
    DRAINING = 17, "Connections that drain", "",
        "Where the denial says so, what is established goes on until it ends by itself or falls silent; what is new is denied at \
         once. It is counted and told of once, and judged again by the next generation.";
    CUT_DATAGRAMS = 17, "Datagrams after a cut", "",
        "What was cut is remembered while the other end's node may still have it, so that a late answer does not open it again.";
}
