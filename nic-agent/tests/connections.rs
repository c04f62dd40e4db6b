//! The tables of connections: as large as was asked for, swept in time however large, and never made anew under what they hold.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

mod support;

use std::time::Instant;

use aya::maps::{Array, HashMap, Map, MapData};
use nix::time::{ClockId, clock_gettime};
use selvedge_abi::{Address, CONNECTION_ASSURED, Config, ConnectionEntry, ConnectionKey, Timeouts, map};
use selvedge_agent::datapath::{KernelDatapath, Pins, Sizes, Sweep, Swept};
use support::Node;
use zerocopy::IntoBytes;

const MILLION: u32 = 1_000_000;
/// Seconds that a connection may be silent.
const LIFE: u32 = 30;

type Bytes = HashMap<MapData, [u8; size_of::<ConnectionKey>()], [u8; size_of::<ConnectionEntry>()]>;

fn datapath(node: &Node, sizes: Sizes) -> (Pins, KernelDatapath) {
    let pins = Pins::prepare(&node.bpffs(), &"host1".parse().unwrap()).unwrap();
    let datapath = KernelDatapath::open(pins.clone(), sizes).unwrap();
    let data = MapData::from_pin(pins.map(map::CONFIG)).unwrap();
    let mut config: Array<_, [u8; size_of::<Config>()]> =
        Map::from_map_data(data).unwrap().try_into().unwrap();
    let timeouts = Timeouts { udp: LIFE, ..Timeouts::default() };
    let bytes = Config { generation: 1, timeouts, ..Config::default() };
    config.set(0, <[u8; _]>::try_from(bytes.as_bytes()).unwrap(), 0).unwrap();
    (pins, datapath)
}

fn table(pins: &Pins) -> Bytes {
    let data = MapData::from_pin(pins.map(map::CONNECTIONS)).unwrap();
    Map::from_map_data(data).unwrap().try_into().unwrap()
}

/// Every second of them ended long ago.
fn fill(table: &mut Bytes, connections: u32) {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    let now = now.tv_sec() as u64 * 1_000_000_000;
    let old = now.saturating_sub(u64::from(LIFE + 1) * 1_000_000_000);
    for number in 0..connections {
        let high = Address::from_ipv4(number.to_be_bytes());
        let low = Address::from_ipv4([10, 0, 0, 1]);
        let key = ConnectionKey { low, high, low_port: 53, high_port: 1024, protocol: 17 };
        let last_seen = if number % 2 == 0 { now } else { old };
        let entry = ConnectionEntry { last_seen, generation: 1, flags: CONNECTION_ASSURED, rule: 1 };
        let bytes = (key.as_bytes().try_into().unwrap(), entry.as_bytes().try_into().unwrap());
        let (key, entry): ([u8; _], [u8; _]) = bytes;
        table.insert(key, entry, 0).unwrap();
    }
}

#[test]
fn a_million_connections_are_swept() {
    let node = Node::bare();
    let (pins, datapath) = datapath(&node, Sizes { connections: MILLION, half_open: 1024 });
    fill(&mut table(&pins), MILLION);
    let mut sweeper = datapath.sweeper().unwrap();
    let half = u64::from(MILLION / 2);
    let room = u64::from(MILLION);
    for expired in [half, 0] {
        let begun = Instant::now();
        let Sweep { kept, half_open } = sweeper.sweep().unwrap();
        println!("{expired} of {} connections deleted in {:?}", half + expired, begun.elapsed());
        assert_eq!(kept, Swept { live: half, draining: 0, expired, room });
        assert_eq!(half_open, Swept { live: 0, draining: 0, expired: 0, room: 1024 });
    }
    assert_eq!(table(&pins).keys().count() as u64, half);
}

#[test]
fn an_agent_that_wants_more_room_adopts_the_table_that_is_there_with_what_it_holds() {
    let node = Node::bare();
    let small = Sizes { connections: 2048, half_open: 1024 };
    let (pins, before) = datapath(&node, small);
    drop(before);
    fill(&mut table(&pins), 100);
    let (_, after) = datapath(&node, Sizes { connections: 4096, ..small });
    let mut sweeper = after.sweeper().unwrap();
    assert_eq!(sweeper.sizes(), small);
    let swept = sweeper.sweep().unwrap().kept;
    assert_eq!(swept, Swept { live: 50, draining: 0, expired: 50, room: 2048 });
}
