//! What makes notes of passages and denials worthless.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

mod support;

use aya::maps::{Array, Map, MapData};
use selvedge_abi::{Config, PortEntry, PortRole, map};
use selvedge_agent::datapath::{Datapath, KernelDatapath, Pins, Sizes};
use selvedge_agent_core::{Action, Entry, IfIndex, Key};
use support::Node;
use zerocopy::FromBytes;

const PORT: IfIndex = IfIndex(7);

fn open(node: &Node) -> (Pins, KernelDatapath) {
    let pins = Pins::prepare(&node.bpffs(), &"host1".parse().unwrap()).unwrap();
    (pins.clone(), KernelDatapath::open(pins, Sizes::default()).unwrap())
}

/// The configuration as programs see it.
fn config(pins: &Pins) -> Config {
    let data = MapData::from_pin(pins.map(map::CONFIG)).unwrap();
    let map: Array<_, [u8; size_of::<Config>()]> = Map::from_map_data(data).unwrap().try_into().unwrap();
    Config::read_from_bytes(&map.get(&0, 0).unwrap()).unwrap()
}

#[test]
fn notes_of_before_are_worthless_when_a_port_changed_and_when_an_agent_starts() {
    let node = Node::bare();
    let (pins, mut datapath) = open(&node);
    let entry = |role: PortRole| PortEntry { role: role as u32 };
    let steps = [
        Action::Put(Entry::Port(PORT, entry(PortRole::Workload))),
        Action::Put(Entry::Port(PORT, entry(PortRole::Uplink))),
        Action::Delete(Key::Port(PORT)),
    ];
    for step in steps {
        let before = config(&pins);
        datapath.execute(&step).unwrap();
        assert_ne!(config(&pins).ports, before.ports, "{step}");
        assert_eq!(Config { ports: before.ports, ..config(&pins) }, before, "nothing else changes");
    }
    let before = config(&pins);
    let wanted = Config { generation: 3, slot: 1, ..Config::default() };
    datapath.execute(&Action::Switch(wanted)).unwrap();
    assert_eq!(
        config(&pins),
        Config { ports: before.ports, ..wanted },
        "notes are of a generation in any case"
    );
    assert_eq!(
        datapath.observe(&[]).unwrap().tables.config,
        wanted,
        "what is of ports is the programs' business"
    );

    drop(open(&node));
    assert_ne!(config(&pins).ports, before.ports, "one before it may have died in between");
}
