//! Frames that are dropped for what they are.

use std::{vec, vec::Vec};

use selvedge_abi::{PortRole::Uplink, PortRole::Workload, Reason};

use super::{Case, section};
use crate::testing::{MemoryTables, frame::*};

fn web(transport: Transport) -> Vec<u8> {
    packet("10.0.0.1", "10.0.0.9", transport)
}

fn web_v6(transport: Transport) -> Vec<u8> {
    packet("fd00::1", "fd00::9", transport)
}

pub(super) fn cases() -> Vec<Case> {
    [
        section::UNKNOWN_PORT.of(unnamed_port()),
        section::ETHERNET.of(ethernet_header()),
        section::IPV4.of(ipv4_header()),
        section::IPV6.of(ipv6_header()),
        section::ADDRESSES.of(addresses()),
        section::TCP_HEADER.of(tcp_header()),
        section::UDP_HEADER.of(udp_header()),
        section::SCTP_HEADER.of(sctp_header()),
        section::ICMP_HEADER.of(icmp_header()),
    ]
    .concat()
}

fn drop(name: &'static str, frame: Vec<u8>, reason: Reason) -> Case {
    Case::on(Workload, name, frame, reason)
}

fn syn() -> Vec<u8> {
    web(tcp(40000, 80, SYN))
}

fn syn_v6() -> Vec<u8> {
    web_v6(tcp(40000, 80, SYN))
}

fn unnamed_port() -> Vec<Case> {
    vec![Case::at(
        MemoryTables::default(),
        "a port that nobody named drops everything",
        syn(),
        Reason::UnknownPort,
    )]
}

fn ethernet_header() -> Vec<Case> {
    vec![
        drop("a runt frame is truncated", cut(syn(), 13), Reason::Truncated),
        drop("a group address as source is malformed", patched(syn(), 6, &[3]), Reason::Malformed),
        drop("an unknown Ethernet type is not carried", ethernet(0x9999, &[0; 46]), Reason::UnknownEtherType),
        drop("an 802.3 length to a station is not carried", ethernet(46, &[0; 46]), Reason::UnknownEtherType),
        drop(
            "a unicast packet in a broadcast frame is dropped",
            patched(syn(), 0, &[0xff; 6]),
            Reason::Multicast,
        ),
    ]
}

fn ipv4_header() -> Vec<Case> {
    vec![
        drop("an IPv4 header that the frame cuts off is truncated", cut(syn(), 33), Reason::Truncated),
        drop("IPv4 in name only is malformed", patched(syn(), IP, &[0x65]), Reason::Malformed),
        drop("an IPv4 header of four words is malformed", patched(syn(), IP, &[0x44]), Reason::Malformed),
        drop(
            "a total length beyond the frame is truncated",
            patched(syn(), IP + 2, &[0, 41]),
            Reason::Truncated,
        ),
        drop(
            "a total length below the header is truncated",
            patched(syn(), IP + 2, &[0, 19]),
            Reason::Truncated,
        ),
        drop("the reserved flag of IPv4 is malformed", patched(syn(), IP + 6, &[0x80, 0]), Reason::Malformed),
    ]
}

fn ipv6_header() -> Vec<Case> {
    vec![
        drop("an IPv6 header that the frame cuts off is truncated", cut(syn_v6(), 53), Reason::Truncated),
        drop("IPv6 in name only is malformed", patched(syn_v6(), IP, &[0x45]), Reason::Malformed),
        drop(
            "a payload length beyond the frame is truncated",
            patched(syn_v6(), IP + 4, &[0, 21]),
            Reason::Truncated,
        ),
    ]
}

fn addresses() -> Vec<Case> {
    vec![
        drop(
            "a v4-mapped source in IPv6 is a martian",
            packet("::ffff:10.0.0.1", "fd00::9", udp(1, 53)),
            Reason::Martian,
        ),
        drop(
            "a v4-mapped destination in IPv6 is a martian",
            packet("fd00::1", "::ffff:1.2.3.4", udp(1, 53)),
            Reason::Martian,
        ),
        drop("a multicast source is a martian", packet("224.0.0.5", "10.0.0.9", udp(1, 53)), Reason::Martian),
        drop(
            "a broadcast source is a martian",
            packet("255.255.255.255", "10.0.0.9", udp(1, 53)),
            Reason::Martian,
        ),
        drop("a loopback source is a martian", packet("127.0.0.1", "10.0.0.9", udp(1, 53)), Reason::Martian),
        drop("a loopback destination is a martian", packet("fd00::1", "::1", udp(1, 53)), Reason::Martian),
        drop(
            "a source in 0.0.0.0/8 is a martian",
            packet("0.1.2.3", "10.0.0.9", udp(1, 53)),
            Reason::Martian,
        ),
        drop(
            "a source in 240.0.0.0/4 is a martian",
            packet("240.0.0.1", "10.0.0.9", udp(1, 53)),
            Reason::Martian,
        ),
        drop(
            "an unspecified source is a martian",
            packet("0.0.0.0", "10.0.0.9", udp(1, 53)),
            Reason::Martian,
        ),
        drop("an unspecified destination is a martian", packet("fd00::1", "::", udp(1, 53)), Reason::Martian),
        drop(
            "a source that is its destination is a martian",
            packet("10.0.0.1", "10.0.0.1", udp(1, 53)),
            Reason::Martian,
        ),
        drop(
            "an IPv4 multicast destination is not carried",
            packet("10.0.0.1", "224.0.0.251", udp(1, 53)),
            Reason::Multicast,
        ),
        drop(
            "an IPv6 multicast destination is not carried",
            packet("fd00::1", "ff02::fb", udp(1, 53)),
            Reason::Multicast,
        ),
        Case::on(
            Uplink,
            "a broadcast from the fabric is not carried",
            packet("10.0.0.3", "255.255.255.255", udp(1, 53)),
            Reason::Multicast,
        ),
    ]
}

fn tcp_header() -> Vec<Case> {
    vec![
        drop(
            "a TCP header that the packet cuts off is truncated",
            patched(syn(), IP + 2, &[0, 39]),
            Reason::Truncated,
        ),
        drop(
            "a TCP header of four words is malformed",
            patched(syn(), OVER_V4 + 12, &[0x40]),
            Reason::Malformed,
        ),
        drop(
            "TCP options beyond the packet are truncated",
            patched(syn(), OVER_V4 + 12, &[0x60]),
            Reason::Truncated,
        ),
        drop("a TCP null scan is malformed", web(tcp(40000, 80, 0)), Reason::Malformed),
        drop("a TCP Xmas scan is malformed", web(tcp(40000, 80, FIN | PSH | URG)), Reason::Malformed),
        drop("SYN with FIN is malformed", web(tcp(40000, 80, SYN | FIN)), Reason::Malformed),
        drop("SYN with RST is malformed", web(tcp(40000, 80, SYN | RST)), Reason::Malformed),
        drop("a FIN that acknowledges nothing is malformed", web_v6(tcp(40000, 80, FIN)), Reason::Malformed),
        drop("FIN with RST is malformed", web(tcp(40000, 80, FIN | RST | ACK)), Reason::Malformed),
        drop("an urgent SYN is malformed", web(tcp(40000, 80, SYN | URG)), Reason::Malformed),
        drop("TCP from port 0 is malformed", web(tcp(0, 80, SYN)), Reason::Malformed),
        drop("TCP to port 0 is malformed", web_v6(tcp(40000, 0, SYN)), Reason::Malformed),
    ]
}

fn udp_header() -> Vec<Case> {
    vec![
        drop(
            "a UDP header that the packet cuts off is truncated",
            patched(web(udp(1, 53)), IP + 2, &[0, 27]),
            Reason::Truncated,
        ),
        drop(
            "a UDP length beyond the packet is truncated",
            patched(web(udp(1, 53)), OVER_V4 + 4, &[0, 13]),
            Reason::Truncated,
        ),
        drop(
            "a UDP length below that of the packet is malformed",
            patched(web(udp(1, 53)), OVER_V4 + 4, &[0, 11]),
            Reason::Malformed,
        ),
        drop(
            "a UDP length of zero is malformed",
            patched(web_v6(udp(1, 53)), OVER_V6 + 4, &[0, 0]),
            Reason::Malformed,
        ),
        drop("UDP to port 0 is malformed", web(udp(1, 0)), Reason::Malformed),
        drop(
            "UDP without a checksum over IPv6 is malformed",
            patched(web_v6(udp(1, 53)), OVER_V6 + 6, &[0, 0]),
            Reason::Malformed,
        ),
    ]
}

fn sctp_header() -> Vec<Case> {
    vec![
        drop(
            "an SCTP header without a chunk is truncated",
            patched(web(sctp(1, 3868, 1)), IP + 2, &[0, 35]),
            Reason::Truncated,
        ),
        drop(
            "an SCTP chunk beyond the packet is truncated",
            patched(web(sctp(1, 3868, 1)), OVER_V4 + 15, &[21]),
            Reason::Truncated,
        ),
        drop(
            "an SCTP chunk shorter than its header is malformed",
            patched(web(sctp(1, 3868, 1)), OVER_V4 + 15, &[3]),
            Reason::Malformed,
        ),
        drop(
            "an INIT with a verification tag is malformed",
            patched(web(sctp(1, 3868, 1)), OVER_V4 + 7, &[1]),
            Reason::Malformed,
        ),
        drop(
            "SCTP data without a verification tag is malformed",
            patched(web(sctp(1, 3868, 0)), OVER_V4 + 7, &[0]),
            Reason::Malformed,
        ),
    ]
}

fn icmp_header() -> Vec<Case> {
    vec![
        drop(
            "an ICMP header that the packet cuts off is truncated",
            patched(web(echo(8, 5)), IP + 2, &[0, 27]),
            Reason::Truncated,
        ),
        drop(
            "an echo request with a code is malformed",
            patched(web(echo(8, 5)), OVER_V4 + 1, &[1]),
            Reason::Malformed,
        ),
        drop(
            "an echo reply with a code is malformed",
            patched(web_v6(echo(129, 5)), OVER_V6 + 1, &[1]),
            Reason::Malformed,
        ),
        drop("ICMP over IPv6 is an unknown protocol", web_v6(other(1)), Reason::UnknownProtocol),
        drop("ICMPv6 over IPv4 is an unknown protocol", web(other(58)), Reason::UnknownProtocol),
        drop("IGMP over IPv6 is an unknown protocol", web_v6(other(2)), Reason::UnknownProtocol),
        drop(
            "an IPv6 fragment header over IPv4 is an unknown protocol",
            web(other(44)),
            Reason::UnknownProtocol,
        ),
    ]
}
