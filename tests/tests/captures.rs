//! Captures that others made, through the classifier and the program in the kernel. `tests/captures/README.md` says where
//! they are from. `SELVEDGE_CAPTURES` names a folder with more. Needs root.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

#[path = "datapath/kernel.rs"]
mod kernel;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{self, File};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use kernel::Kernel;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};
use selvedge_abi::{AddressEntry, Direction, Interval, PortRole, PrefixKey, Reason, Verdict};
use selvedge_classifier::testing::world::{OTHER_PORT, SLOT, WEB, address, world};
use selvedge_classifier::testing::{Hook, MemoryTables, Outcome, PORT};

/// The frames of a capture, and how many packets it has of other links than Ethernet.
struct Capture {
    frames: Vec<Vec<u8>>,
    others: usize,
}

fn read(path: &Path) -> Capture {
    let wrong = |error: PcapError<&[u8]>| panic!("{}: {error:?}", path.display());
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut reader =
        create_reader(1 << 18, file).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut capture = Capture { frames: Vec::new(), others: 0 };
    let mut links: Vec<Linktype> = Vec::new();
    loop {
        let consumed = match reader.next() {
            Ok((consumed, block)) => {
                capture.add(block, &mut links);
                consumed
            }
            Err(PcapError::Eof | PcapError::UnexpectedEof) => return capture,
            Err(PcapError::Incomplete(_)) => {
                reader.refill().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                continue;
            }
            Err(error) => wrong(error),
        };
        reader.consume(consumed);
    }
}

impl Capture {
    /// `links`: the link of each interface so far.
    fn add(&mut self, block: PcapBlockOwned<'_>, links: &mut Vec<Linktype>) {
        match block {
            // The upper half says how long the frames' checksums are.
            PcapBlockOwned::LegacyHeader(header) => links.push(Linktype(header.network.0 & 0xffff)),
            PcapBlockOwned::Legacy(packet) => self.add_frame(packet.data, links.first()),
            PcapBlockOwned::NG(Block::SectionHeader(_)) => links.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => links.push(interface.linktype),
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let length = (packet.caplen as usize).min(packet.data.len());
                self.add_frame(&packet.data[..length], links.get(packet.if_id as usize));
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => self.add_frame(packet.data, links.first()),
            PcapBlockOwned::NG(_) => {}
        }
    }

    fn add_frame(&mut self, data: &[u8], link: Option<&Linktype>) {
        if link == Some(&Linktype::ETHERNET) {
            self.frames.push(data.to_vec());
        } else {
            self.others += 1;
        }
    }
}

/// Networks whose hosts are taken for workloads of this node.
const NETWORKS: [(&str, u32); 4] =
    [("10.0.0.0", 96 + 8), ("172.16.0.0", 96 + 12), ("192.168.0.0", 96 + 16), ("2000::", 4)];

/// Where packets arrive.
const PORTS: [(&str, &[PortRole]); 3] = [
    ("workload port", &[PortRole::Workload]),
    ("uplink", &[PortRole::Uplink]),
    ("both", &[PortRole::Workload, PortRole::Uplink]),
];

/// A node with the private networks, and half of the IPv6 Internet, behind one port; everything else is the world, to
/// which they may open what they like.
fn tables(role: PortRole) -> MemoryTables {
    let mut tables = world(role);
    let ifindex = if role == PortRole::Workload { PORT } else { OTHER_PORT };
    for (network, bits) in NETWORKS {
        let key = PrefixKey { length: bits, slot: SLOT, address: address(network) };
        tables.prefixes.insert(key, AddressEntry { identity: WEB, class: WEB, ifindex });
    }
    tables.add_policy(WEB, 2, Direction::Egress, &[Interval { start: 0, rule: 600, decision: 1 }]);
    tables
}

/// Judges the packets of a capture in turn, their connections kept; how many ended in each reason. Each arrives on the
/// first port that its source can be behind.
fn judge(name: &str, frames: &[Vec<u8>], ports: &[PortRole], kernel: &mut Kernel) -> BTreeMap<Reason, usize> {
    // What the kernel runs a test on: at least an Ethernet header, and what fits a page with room around it.
    const TESTABLE: RangeInclusive<usize> = 14..=3400;
    let mut ports: Vec<MemoryTables> = ports.iter().copied().map(tables).collect();
    let mut carried = MemoryTables::default();
    let mut seen = BTreeMap::new();
    for (number, frame) in (1..).zip(frames) {
        let arrival = ports.iter().position(|port| port.clone().classify(frame, PORT) != Reason::Spoofed);
        let tables = &mut ports[arrival.unwrap_or_default()];
        std::mem::swap(&mut tables.connections, &mut carried.connections);
        let (reason, expected) = Outcome::of(tables, frame);
        if TESTABLE.contains(&frame.len()) {
            let (passed, outcome) = kernel.judge(Hook::Received, tables, frame);
            assert_eq!(outcome, expected, "packet {number} of {name}, {reason:?}");
            assert_eq!(passed, reason.verdict() == Verdict::Allowed, "packet {number} of {name}, {reason:?}");
        }
        tables.classify(frame, PORT);
        tables.reason_counters.take();
        tables.rule_counters.take();
        tables.events.take();
        std::mem::swap(&mut tables.connections, &mut carried.connections);
        *seen.entry(reason).or_default() += 1;
    }
    seen
}

/// Judges every capture of a folder, on one port and on two; lines for each.
fn judge_folder(folder: &Path, kernel: &mut Kernel, total: &mut BTreeMap<Reason, usize>) -> String {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng"))
        .collect();
    files.sort();
    let mut text = String::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let Capture { frames, others } = read(&file);
        writeln!(text, "{name}: {} packets", frames.len()).unwrap();
        if others > 0 {
            writeln!(text, "  and {others} of other links, left out").unwrap();
        }
        for (port, roles) in PORTS {
            let seen = judge(&name, &frames, roles, kernel);
            let counts: Vec<String> =
                seen.iter().map(|(reason, count)| format!("{} {count}", reason.name())).collect();
            writeln!(text, "  {port}: {}", counts.join(", ")).unwrap();
            seen.into_iter().for_each(|(reason, count)| *total.entry(reason).or_default() += count);
        }
    }
    text
}

#[test]
fn captures_of_others_are_judged_alike_and_as_before() {
    let mut kernel = Kernel::load();
    let mut total = BTreeMap::new();
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "captures", "tcpdump"].iter().collect();
    insta::assert_snapshot!("captures", judge_folder(&folder, &mut kernel, &mut total));
    println!("{total:?}");
    assert!(total.values().sum::<usize>() >= 1_000, "{total:?}");
    for reason in [Reason::Established, Reason::PolicyAllow, Reason::PolicyDeny, Reason::Truncated] {
        assert!(
            total.get(&reason).is_some_and(|count| *count >= 8),
            "{reason:?} was seen too rarely: {total:?}"
        );
    }
    if let Some(folder) = std::env::var_os("SELVEDGE_CAPTURES") {
        let text = judge_folder(Path::new(&folder), &mut kernel, &mut BTreeMap::new());
        assert!(!text.is_empty(), "there is no .pcap or .pcapng file in {}", folder.display());
        println!("{text}");
    }
}
