use super::*;
use crate::port::Channels;

fn port() -> Port {
    Port::new("x", Bytes(1500))
}

fn channels(rx: u32, tx: u32, combined: u32, max: u32) -> Option<Channels> {
    Some(Channels { rx, tx, combined, max_rx: 0, max_tx: 0, max_combined: max })
}

fn read(text: &str) -> Result<Constraint, serde_norway::Error> {
    serde_norway::from_str(text)
}

#[test]
fn an_mtu_limit_holds_up_to_its_last_byte_and_fragments_lift_the_linear_one() {
    let at = |mtu| Port { mtu: Bytes(mtu), peer_mtu: Some(Bytes(mtu)), ..port() };
    let unmet = Check::Unmet { found: "1501 B".to_owned() };
    for need in [
        Need::MtuAtMost(Bytes(1500)),
        Need::LinearMtuAtMost(Bytes(1500)),
        Need::LinearPeerMtuAtMost(Bytes(1500)),
    ] {
        assert_eq!(need.check(&at(1500), Frames::Linear), Check::Met, "{need}");
        assert_eq!(need.check(&at(1501), Frames::Linear), unmet, "{need}");
        let lifted = if need == Need::MtuAtMost(Bytes(1500)) { unmet.clone() } else { Check::Met };
        assert_eq!(need.check(&at(1501), Frames::Fragments), lifted, "{need}");
    }
}

#[test]
fn what_nobody_saw_is_neither_met_nor_unmet() {
    let needs = [
        Need::LinearPeerMtuAtMost(Bytes(1)),
        Need::LroOff,
        Need::HwGroOff,
        Need::VlanStrippingOff,
        Need::CombinedChannels,
        Need::ChannelsAtMostHalf,
        Need::SpareChannelPerCpu,
        Need::TxQueuesPerCpu(Queues(1)),
        Need::NoVfs,
        Need::Firmware(Pattern::from("*".to_owned())),
        Need::Configuration("a moon".to_owned()),
    ];
    for need in needs {
        assert_eq!(need.check(&port(), Frames::Linear), Check::Unseen, "{need}");
    }
}

#[test]
fn what_was_seen_is_compared() {
    let unmet = |found: &str| Check::Unmet { found: found.to_owned() };
    let cases = [
        (Need::LroOff, Port { lro: Some(Switch::On), ..port() }, unmet("on")),
        (Need::HwGroOff, Port { hw_gro: Some(Switch::Off), ..port() }, Check::Met),
        (Need::VlanStrippingOff, Port { vlan_stripping: Some(Switch::On), ..port() }, unmet("on")),
        (Need::CombinedChannels, Port { channels: channels(2, 3, 0, 8), ..port() }, unmet("2 rx and 3 tx")),
        (Need::CombinedChannels, Port { channels: channels(0, 0, 8, 8), ..port() }, Check::Met),
        (Need::ChannelsAtMostHalf, Port { channels: channels(0, 0, 5, 8), ..port() }, unmet("5 of 8")),
        (Need::ChannelsAtMostHalf, Port { channels: channels(0, 0, 4, 8), ..port() }, Check::Met),
        (
            Need::SpareChannelPerCpu,
            Port { channels: channels(0, 0, 1, 2), cpus: Some(2), ..port() },
            unmet("1 for 2 CPUs"),
        ),
        (
            Need::TxQueuesPerCpu(Queues(2)),
            Port { tx_queues: Some(Queues(4)), cpus: Some(2), ..port() },
            Check::Met,
        ),
        (
            Need::TxQueuesPerCpu(Queues(2)),
            Port { tx_queues: Some(Queues(3)), cpus: Some(2), ..port() },
            unmet("3 queues for 2 CPUs"),
        ),
        (Need::NoVfs, Port { vfs: Some(4), ..port() }, unmet("4")),
        (
            Need::Firmware(Pattern::from("*ebpf".to_owned())),
            Port { firmware: Some("0.0.3.5 nic".to_owned()), ..port() },
            unmet("`0.0.3.5 nic`"),
        ),
    ];
    for (need, port, check) in cases {
        assert_eq!(need.check(&port, Frames::Linear), check, "{need}");
    }
}

#[test]
fn the_command_that_mends_has_the_ports_own_numbers() {
    let text = "{needs: mtu-at-most, value: 1500 B, mend: 'ip link set dev {port} mtu {value}', \
                source: drivers/net/veth.c x}";
    let constraint = read(text).unwrap();
    assert_eq!(constraint.mend("eth0", &port()).unwrap(), "ip link set dev eth0 mtu 1500");
    assert_eq!((constraint.modes, constraint.otherwise), (vec![Mode::Native], Otherwise::Refused));

    let text = "{needs: channels-at-most-half, mend: 'ethtool -L {port} combined {half}', \
                source: drivers/net/veth.c x}";
    let constraint = read(text).unwrap();
    let seen = Port { channels: channels(0, 0, 8, 8), ..port() };
    assert_eq!(constraint.mend("eth0", &seen).unwrap(), "ethtool -L eth0 combined 4");
    assert_eq!(constraint.mend("eth0", &port()).unwrap(), "ethtool -L eth0 combined N");
}

#[test]
fn a_constraint_that_says_too_little_or_too_much_is_refused_in_words() {
    let cases = [
        ("{needs: mtu-at-most, source: drivers/net/veth.c x}", "`value` is missing"),
        ("{needs: lro-off, value: 1, source: drivers/net/veth.c x}", "`value: 1` says nothing here"),
        ("{needs: mtu-at-most, value: 1500, source: drivers/net/veth.c x}", "write a number and its unit"),
        ("{needs: lro-off, modes: [], source: drivers/net/veth.c x}", "`modes` is empty"),
        ("{needs: lro-off, mend: 'ethtool {prot}', source: drivers/net/veth.c x}", "a place `{prot}`"),
        ("{needs: lro-off}", "missing field `source`"),
        ("{needs: lro-on, source: drivers/net/veth.c x}", "unknown variant `lro-on`"),
    ];
    for (text, words) in cases {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}
