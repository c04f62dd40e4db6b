//! Requests, and answers as Linux 6.12 gave them for a card of netdevsim's.

use super::*;

/// Of the wire: `DEVLINK_CMD_PORT_NEW`, which is what a request for ports is answered with.
const WIRE: &str = "0e0001006e657464657673696d0000000f0002006e657464657673696d31000008000300000000000600040002000000\
    08000600020000000900070073696d3000000000050094000000000006004d000000000008004e0001000000";
/// Of a virtual function's representor.
const REPRESENTOR: &str = "0e0001006e657464657673696d0000000f0002006e657464657673696d31000008000300800000000600040002000000\
    080006000400000009000700657468300000000005009400000000000600\
    4d0004000000080096000000000006007f000000000006008000000000000500950000000000";
const SWITCHDEV: &str = "0e0001006e657464657673696d0000000f0002006e657464657673696d3100000600190001000000";
const INFORMATION: &str = "0e0001006e657464657673696d0000000f0002006e657464657673696d310000\
    200066000c00670066772e6d676d74000d00680031302e32302e333000000000\
    200065000c00670066772e6d676d74000d00680031302e32302e3330000000000e0062006e657464657673696d000000";

fn parse(hexadecimal: &str) -> Message {
    let digits: Vec<char> = hexadecimal.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
    Message::parse_with_param(&bytes, GenlHeader { cmd: 7, version: 1 }).unwrap()
}

fn card() -> Handle {
    Handle { bus: "netdevsim".to_owned(), name: "netdevsim1".to_owned() }
}

#[test]
fn a_port_is_told_by_its_interface() {
    let is = |flavour| DevicePort { device: card(), flavour: Some(flavour) };
    assert_eq!(parse(WIRE).port(), Some((IfIndex(2), is(Flavour::Physical))));
    assert_eq!(parse(REPRESENTOR).port(), Some((IfIndex(4), is(Flavour::PciVf))));
    let mut elsewhere = parse(WIRE);
    elsewhere.attributes.retain(|(kind, _)| *kind != PORT_NETDEV_IFINDEX);
    assert_eq!(elsewhere.port(), None, "its interface is in another network namespace");
}

#[test]
fn a_switch_is_set_as_it_says_and_what_nobody_knows_is_left_out() {
    let eswitch = |mode| Some(Eswitch { mode, inline_mode: None, encap: None });
    assert_eq!(parse(SWITCHDEV).eswitch(), eswitch(EswitchMode::Switchdev));
    let with = |mode: u16, more: &[(u16, Vec<u8>)]| {
        let mode = (ESWITCH_MODE, mode.to_ne_bytes().to_vec());
        Message { command: 29, attributes: [&[mode], more].concat() }.eswitch()
    };
    assert_eq!(with(0, &[]), eswitch(EswitchMode::Legacy));
    assert_eq!(with(9, &[]), None);
    let all = with(1, &[(ESWITCH_INLINE_MODE, vec![2]), (ESWITCH_ENCAP_MODE, vec![1])]).unwrap();
    assert_eq!((all.inline_mode, all.encap), (Some(InlineMode::Network), Some(Encap::Basic)));
    assert_eq!(
        with(1, &[(ESWITCH_INLINE_MODE, vec![9]), (ESWITCH_ENCAP_MODE, vec![])]),
        eswitch(EswitchMode::Switchdev)
    );
}

#[test]
fn versions_are_read_and_serial_numbers_are_not() {
    let management = BTreeMap::from([("fw.mgmt".to_owned(), "10.20.30".to_owned())]);
    let mut answer = parse(INFORMATION);
    let told = answer.information();
    assert_eq!(told.driver.as_deref(), Some("netdevsim"));
    let versions = Versions { fixed: BTreeMap::new(), running: management.clone(), stored: management };
    assert_eq!(told.versions, versions);
    for serial in [99, 146] {
        answer.attributes.push((serial, b"MT2101X00042\0".to_vec())); // DEVLINK_ATTR_INFO_[BOARD_]SERIAL_NUMBER
    }
    assert_eq!(answer.information(), told);
}

#[test]
fn a_request_about_a_device_names_bus_and_device() {
    let request = Message::of(Command::Eswitch, &card());
    let mut bytes = vec![0xff; request.buffer_len()];
    request.emit(&mut bytes);
    let header = GenlHeader { cmd: request.command(), version: request.version() };
    assert_eq!(Message::parse_with_param(&bytes, header).unwrap(), request);
    assert_eq!((request.text(BUS_NAME), request.text(DEV_NAME)), (Some(card().bus), Some(card().name)));
    assert_eq!(Message::all(Command::Port).buffer_len(), 0);
}
