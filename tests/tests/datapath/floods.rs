//! Whoever opens more connections than there is room for keeps others from opening for a while at most, and cuts nobody off.

use std::collections::BTreeMap;

use selvedge_abi::{CONNECTION_ANSWERED, CONNECTION_ASSURED, ConnectionEntry, ConnectionKey, PortRole, map};
use selvedge_classifier::testing::{
    CONNECTION_LIMIT, Hook,
    frame::{ACK, RST, SYN, packet, tcp, udp},
    world::{key, world},
};

use super::kernel::{HALF_OPEN, Kernel};

const CLIENT: &str = "10.0.0.9";
const SERVER: &str = "10.0.0.1";
const ESTABLISHED: u16 = CONNECTION_LIMIT as u16 - 1;
/// Twice the room for half-open connections.
const FLOOD: u32 = 2 * HALF_OPEN;

/// From the world to the server, where it listens.
fn in_port(port: u16, flags: u8) -> Vec<u8> {
    packet(CLIENT, SERVER, tcp(port, 80, flags))
}

/// And back.
fn out_port(port: u16, flags: u8) -> Vec<u8> {
    packet(SERVER, CLIENT, tcp(80, port, flags))
}

/// The kernel with a web server whose clients have all but one of the places that stay.
struct Server(Kernel);

impl Server {
    fn new() -> Self {
        let mut kernel = Kernel::load();
        let flags = selvedge_abi::CONNECTION_FROM_HIGH | CONNECTION_ANSWERED | CONNECTION_ASSURED;
        let tables = (1..=ESTABLISHED).fold(world(PortRole::Uplink), |tables, port| {
            tables.with(key((SERVER, 80), (CLIENT, port), 6), flags, 1)
        });
        kernel.fill(&tables);
        Self(kernel)
    }

    fn hears(&mut self, frame: &[u8]) -> bool {
        self.0.fill_world(&world(PortRole::Uplink));
        self.0.passes(Hook::Received, frame)
    }

    fn says(&mut self, frame: &[u8]) -> bool {
        self.0.fill_world(&world(PortRole::Workload));
        self.0.passes(Hook::Received, frame)
    }

    fn kept(&mut self) -> BTreeMap<ConnectionKey, ConnectionEntry> {
        self.0.connections(map::CONNECTIONS)
    }

    fn half_open(&mut self) -> usize {
        self.0.connections(map::HALF_OPEN).len()
    }

    /// Whether everyone who was there goes on, in both directions.
    fn serves_who_was_there(&mut self) -> bool {
        let hears = (1..=ESTABLISHED).all(|port| self.hears(&in_port(port, ACK)));
        hears && (1..=ESTABLISHED).all(|port| self.says(&out_port(port, ACK)))
    }

    /// Whether a client that comes now is served.
    fn serves(&mut self, port: u16) -> bool {
        self.hears(&in_port(port, SYN))
            && self.says(&out_port(port, SYN | ACK))
            && self.hears(&in_port(port, ACK))
    }
}

/// An address of the flood, which nobody has.
fn forged(number: u32) -> String {
    format!("11.{}.{}.{}", number >> 16, number >> 8 & 0xff, number & 0xff)
}

#[test]
fn a_flood_of_syns_from_forged_addresses_cuts_nobody_off_and_keeps_nobody_out() {
    let mut server = Server::new();
    server.0.fill_world(&world(PortRole::Uplink));
    let before = server.kept();
    let passed = (0..FLOOD).filter(|number| {
        server.0.passes(Hook::Received, &packet(&forged(*number), SERVER, tcp(1024, 80, SYN)))
    });
    assert_eq!(passed.count() as u32, FLOOD, "policy allows them: only the server can tell");
    let half_open = server.half_open();
    assert!((HALF_OPEN as usize / 2..=HALF_OPEN as usize).contains(&half_open), "{half_open}");
    assert_eq!(server.kept(), before);
    assert!(server.serves_who_was_there());
    assert!(server.serves(40000), "the newest is not the one to give way");
    assert_eq!(server.kept().len(), ESTABLISHED as usize + 1);
}

#[test]
fn answers_to_a_flood_and_the_resets_of_those_that_were_forged_take_no_place_that_stays() {
    let mut server = Server::new();
    let flood = || (0..256).map(forged);
    for source in flood() {
        assert!(server.hears(&packet(&source, SERVER, tcp(1024, 80, SYN))));
    }
    for source in flood() {
        assert!(server.says(&packet(SERVER, &source, tcp(80, 1024, SYN | ACK))));
    }
    for source in flood() {
        assert!(server.hears(&packet(&source, SERVER, tcp(1024, 80, RST))));
    }
    assert_eq!(server.kept().len(), ESTABLISHED as usize);
    assert!(server.serves(40000));
}

#[test]
fn a_spray_of_datagrams_cuts_nobody_off() {
    let mut server = Server::new();
    server.0.fill_world(&world(PortRole::Uplink));
    let passed = (0..FLOOD)
        .filter(|number| server.0.passes(Hook::Received, &packet(&forged(*number), SERVER, udp(1024, 53))));
    assert_eq!(passed.count() as u32, FLOOD);
    assert_eq!(server.kept().len(), ESTABLISHED as usize);
    assert!(server.serves_who_was_there());
}

#[test]
fn when_no_place_is_left_the_next_is_refused_and_who_is_there_goes_on() {
    let mut server = Server::new();
    assert!(server.serves(40000));
    assert!(!server.serves(40001), "there was one place");
    assert!(server.serves_who_was_there() && server.hears(&in_port(40000, ACK)));
    assert_eq!(server.kept().len(), CONNECTION_LIMIT as usize);
}
