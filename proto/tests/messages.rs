//! Everything else that crosses a wire comes back as it was.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use prost::Message;
use selvedge_proto::{
    Chunks, Count, DecodeError, Digest, EgressReport, FabricId, Flow, FlowEnd, FlowRule, GenerationRecord,
    MAX_REVOCATIONS, MAX_RULE_COUNTS, Mode, Observed, Occupancy, PortReport, ProofReport, Refusal, Report,
    RevocationReport, Signature, Sources, Summary, Target, TargetList, Transport, Verdict, wire,
};
use selvedge_topology::documents::Excerpt;
use selvedge_topology::failsafe::{Origin, Service, ServiceKind};
use selvedge_topology::identity::Identity;
use selvedge_topology::l4::Protocol;
use selvedge_topology::model::{PortRole, RuleId};
use selvedge_topology::placement::{
    Counting, DeviceCost, DeviceKind, Mode as XdpMode, Nic, PortState, Room, Share, ShedDrops,
};
use selvedge_topology::plan::Generation;

fn flow(packet: Observed) -> Flow {
    Flow {
        time: SystemTime::UNIX_EPOCH + Duration::from_nanos(1_790_000_000_123_456_789),
        node: "host1".parse().unwrap(),
        port: "w1".parse().unwrap(),
        mode: Mode::Native,
        packet,
        length: 74,
        verdict: Verdict::Denied,
        reason: "policy-deny".parse().unwrap(),
        rule: Some(FlowRule { id: RuleId(0xdead_beef), display: "shop/ingress/http".into() }),
        generation: Some(Generation(3)),
    }
}

fn end(address: &str, workload: Option<&str>) -> FlowEnd {
    FlowEnd {
        address: address.parse().unwrap(),
        identity: Identity(256),
        workload: workload.map(|name| name.parse().unwrap()),
    }
}

fn ip(transport: Transport) -> Flow {
    flow(Observed::Ip {
        source: end("10.1.0.11", Some("web1")),
        destination: end("fd00::1", None),
        transport,
    })
}

#[test]
fn flows_of_every_kind_come_back() {
    let flows = [
        ip(Transport::Ports { protocol: Protocol::TCP, source: 4242, destination: 8080, tcp_flags: 2 }),
        ip(Transport::Ports { protocol: Protocol::UDP, source: 1, destination: u16::MAX, tcp_flags: 0 }),
        ip(Transport::Icmp { protocol: Protocol::ICMPV6, kind: 128, code: 0 }),
        ip(Transport::Other(Protocol(47))),
        flow(Observed::Frame { ether_type: 0x88cc }),
        Flow { rule: None, generation: None, ..flow(Observed::Frame { ether_type: 0 }) },
    ];
    for flow in flows {
        assert_eq!(Flow::try_from(wire::Flow::from(&flow)), Ok(flow));
    }
}

#[test]
fn a_flow_that_cannot_be_is_refused_by_field() {
    let good = wire::Flow::from(&ip(Transport::Other(Protocol(47))));
    let refused = |change: fn(&mut wire::Flow)| {
        let mut flow = good.clone();
        change(&mut flow);
        Flow::try_from(flow).unwrap_err()
    };
    let large = |field, value, limit| DecodeError::TooLarge { field, value, limit };
    assert_eq!(refused(|flow| flow.protocol = 256), large("protocol", 256, 255));
    assert_eq!(refused(|flow| flow.source.as_mut().unwrap().port = 65_536), large("port", 65_536, 65_535));
    assert_eq!(refused(|flow| flow.destination = None), DecodeError::Missing { field: "destination" });
    assert_eq!(refused(|flow| flow.verdict = 99), DecodeError::Unknown { field: "verdict", value: 99 });
    assert_eq!(refused(|flow| flow.mode = 0), DecodeError::Missing { field: "mode" });
    let form = DecodeError::Form { field: "reason", text: "\u{1b}[31m".into() };
    assert_eq!(refused(|flow| flow.reason = "\u{1b}[31m".into()), form);
    assert_eq!(
        refused(|flow| flow.source.as_mut().unwrap().address = vec![1; 5]),
        DecodeError::Address { length: 5 }
    );
}

fn port(name: &str, nic: Nic) -> PortReport {
    PortReport {
        name: name.parse().unwrap(),
        role: PortRole::Uplink,
        profile: Some("veth".parse().unwrap()),
        requested: XdpMode::Native,
        state: PortState::Enforced(XdpMode::Generic),
        reason: "driver veth_test has no native XDP".into(),
        egress: EgressReport::Unenforced { reason: "the kernel has no tcx".into() },
        past: vec!["flows that the eSwitch forwards".into()],
        nic,
    }
}

fn device_program() -> DeviceCost {
    let share = |used, room| Share { used, room };
    let shed = |rule, packets| ShedDrops {
        rule,
        name: "p/ingress/00000009".into(),
        from: None,
        to: Some(Identity(256)),
        packets,
        flows: u64::MAX,
    };
    DeviceCost {
        kind: DeviceKind::Prefilter,
        incomplete: "rule 9 is not `stateless: true`".into(),
        instructions: share(90, Room::Assumed(4096)),
        maps: share(2, Room::Unlimited),
        entries: share(4, Room::Unlimited),
        entries_each: share(2, Room::AtMost(2)),
        entry_bytes: share(16, Room::AtMost(64)),
        counting: Counting::Unread { reason: "no such device".into() },
        shed: vec![shed(Some(RuleId(9)), Some(7)), shed(None, None)],
        shed_more: 3,
        shed_why: "the device takes 2 entries".into(),
    }
}

fn report() -> Report {
    let count = Count { packets: 1, bytes: 2 };
    Report {
        node: "host1".parse().unwrap(),
        agent_version: "0.1.0".into(),
        abi_version: 1,
        wanted: Some(Generation(4)),
        in_force: None,
        refusal: Some(Refusal { generation: Generation(4), reason: "port w9 does not exist".into() }),
        proof: Some(ProofReport::Proven { packets: 40, classes: 20, of: 30, skipped: 1 }),
        ports: vec![
            port("eth0", Nic::Idle { reason: "the device takes 2 entries".into() }),
            port("eth1", Nic::Runs { program: device_program() }),
        ],
        reasons: vec![("policy-deny".into(), count)],
        rules: vec![(RuleId(9), count)],
        device_rules: vec![(RuleId(9), 5)],
        connections: Occupancy { entries: 5, room: 9 },
        half_open: Occupancy { entries: 6, room: 7 },
        draining: 2,
        revocations: vec![RevocationReport { generation: Generation(3), cut: 7, draining: 2 }],
        events_lost: 6,
        services: vec![
            Service { kind: ServiceKind::Etcd, host: "fd00::1".into(), port: 2379, origin: Origin::Token },
            Service {
                kind: ServiceKind::Controller,
                host: "controller.example".into(),
                port: 7471,
                origin: Origin::Option,
            },
        ],
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123),
    }
}

#[test]
fn reports_come_back_and_are_bounded() {
    assert_eq!(Report::decode(&report().encode()), Ok(report()));
    let rules = vec![(RuleId(1), Count::default()); MAX_RULE_COUNTS + 1];
    let large = DecodeError::TooLarge { field: "rules", value: 1025, limit: 1024 };
    assert_eq!(Report::decode(&Report { rules, ..report() }.encode()), Err(large));
    let revocations = vec![report().revocations[0]; MAX_REVOCATIONS + 1];
    let large = DecodeError::TooLarge { field: "revocations", value: 17, limit: 16 };
    assert_eq!(Report::decode(&Report { revocations, ..report() }.encode()), Err(large));
}

#[test]
fn a_port_is_enforced_shut_open_or_gone_and_none_is_taken_for_another() {
    let modes = [XdpMode::Offload, XdpMode::Native, XdpMode::Generic];
    let with_program = modes.map(|mode| [PortState::Enforced(mode), PortState::Shut(mode)]);
    for state in with_program.into_iter().flatten().chain([PortState::Open, PortState::Gone]) {
        let mut told = report();
        told.ports[0].state = state;
        let read = Report::decode(&told.encode()).unwrap();
        assert_eq!((read.ports[0].state, read.seen().ports[&read.ports[0].name].state), (state, state));
    }
    let refused = |change: fn(&mut wire::PortReport)| {
        let mut told = wire::Report::from(&report());
        change(&mut told.ports[0]);
        Report::try_from(told).unwrap_err()
    };
    assert_eq!(refused(|port| port.state = 0), DecodeError::Unknown { field: "state of a port", value: 0 });
    assert_eq!(refused(|port| port.granted = 0), DecodeError::Missing { field: "XDP mode" });
}

#[test]
fn what_a_report_says_to_people_cannot_steer_their_terminal() {
    let refusal = Some(Refusal { generation: Generation(4), reason: "\u{1b}[2Jport\nw9".into() });
    let proof = Some(ProofReport::Unproven { reason: "no BPF_PROG_TEST_RUN".into() });
    let unproven = Report { proof, ..report() };
    assert_eq!(Report::decode(&unproven.encode()), Ok(unproven));
    let read = Report::decode(&Report { refusal, ..report() }.encode()).unwrap();
    assert_eq!(read.refusal.unwrap().reason, " [2Jport w9");
}

fn target(generation: u64, content: &[u8]) -> Target {
    Target { generation: Generation(generation), manifest: Digest::of(content), signature: None }
}

#[test]
fn targets_come_back_and_never_name_generation_zero() {
    let unsigned = target(7, b"manifest");
    for target in [unsigned, Target { signature: Some(Signature([9; 64])), ..unsigned }] {
        assert_eq!(Target::decode(&target.encode()), Ok(target));
    }
    let none = Target { generation: Generation(0), ..unsigned };
    assert_eq!(Target::decode(&none.encode()), Err(DecodeError::Missing { field: "generation" }));
    let told = wire::Target { signature: vec![9; 63], ..unsigned.into() };
    assert_eq!(Target::try_from(told), Err(DecodeError::Signature { length: 63 }));
}

fn excerpt(file: &str, line: u32, text: &str) -> Excerpt {
    Excerpt { file: file.into(), line, text: text.into() }
}

/// Documents as chunks, and the digests of these in order.
fn cut(excerpts: &[Excerpt]) -> (Vec<Digest>, Chunks) {
    let numbers: Vec<usize> = (0..excerpts.len()).collect();
    let (sources, chunks) = Sources::cut(numbers.iter().zip(excerpts)).unwrap();
    (sources.digests().collect(), chunks)
}

#[test]
fn whatever_differs_in_meaning_differs_in_what_is_signed() {
    let (here, there) = (FabricId([1; 16]), FabricId([2; 16]));
    let node = |name: &str| name.parse().unwrap();
    let (one, two) = (target(1, b"one"), target(2, b"one"));
    let record = |generation, text: &str| {
        let (targets, created) = ([(node("a"), one)].into(), SystemTime::UNIX_EPOCH);
        let (sources, _) = cut(&[excerpt("a.yaml", 1, text)]);
        GenerationRecord::new(Generation(generation), created, Summary::default(), sources, &targets)
            .unwrap()
            .0
    };
    let statements = [
        one.statement(here, &node("a")),
        one.statement(here, &node("b")),
        one.statement(there, &node("a")),
        two.statement(here, &node("a")),
        target(1, b"two").statement(here, &node("a")),
        record(1, "x").statement(here),
        record(1, "x").statement(there),
        record(2, "x").statement(here),
        record(1, "y").statement(here),
    ];
    let different: std::collections::BTreeSet<_> = statements.iter().collect();
    assert_eq!(different.len(), statements.len());
    // A signature is not a part of what it signs.
    let signed = Target { signature: Some(Signature([9; 64])), ..one };
    assert_eq!(signed.statement(here, &node("a")), statements[0]);
    let mut signed = record(1, "x");
    signed.signature = Some(Signature([9; 64]));
    assert_eq!(signed.statement(here), statements[5]);
    assert_eq!(GenerationRecord::decode(&signed.encode()), Ok(signed));
}

#[test]
fn a_record_names_thousands_of_chunks_by_few_lists_and_one_of_before_is_read_as_it_was() {
    let document = |number: u32| {
        let text: String = (0..12).map(|line| format!("key-{number}-{line}: {}\n", "v".repeat(60))).collect();
        excerpt(&format!("{number}.yaml"), 1, &text)
    };
    let excerpts: Vec<Excerpt> = (0..40_000).map(document).collect();
    let (created, summary, targets) = (SystemTime::UNIX_EPOCH, Summary::default(), TargetList::new());
    let (sources, mut chunks) = cut(&excerpts);
    let (record, names) = GenerationRecord::new(Generation(1), created, summary, sources, &targets).unwrap();
    chunks.append(names);
    let named = record.chunks(&chunks).unwrap();
    assert!(named.len() > 700, "{} chunks", named.len());
    assert!(record.encode().len() < 3 << 10, "{} bytes", record.encode().len());
    let all: BTreeSet<Digest> = named.iter().copied().chain(record.lists()).collect();
    assert_eq!(all, chunks.digests().collect());

    // As up to format 1 of the layout: without lists.
    let mut before = wire::GenerationRecord::decode(record.encode().as_slice()).unwrap();
    before.source_lists.clear();
    before.sources = named.iter().copied().map(Vec::from).collect();
    let bytes = before.encode_to_vec();
    let read = GenerationRecord::decode(&bytes).unwrap();
    assert_eq!(read.encode(), bytes);
    assert_eq!((read.lists().count(), read.chunks(&chunks)), (0, Ok(named)));
    assert_eq!(read.excerpts(&chunks).unwrap().len(), excerpts.len());
    before.source_lists = vec![before.sources[0].clone()];
    assert!(GenerationRecord::decode(&before.encode_to_vec()).is_err(), "named in both ways");
}

#[test]
fn generations_keep_documents_byte_by_byte() {
    let long: String = (0..20_000).map(|n| format!("name: workload-{n} ä\n")).collect();
    let excerpts = [
        excerpt("a.yaml", 1, "---\n"),
        excerpt("a.yaml", 2, &long),
        excerpt("a.yaml", 20_002, "short: 1\n"),
        excerpt("b.yaml", 7, &"ü".repeat(400_000)),
        excerpt("empty.yaml", 1, ""),
        excerpt("a.yaml", 20_003, "last: 1\n"),
    ];
    let targets: TargetList = [("host1".parse().unwrap(), target(2, b"1"))].into();
    let summary = Summary { added: 1, changed: 2, removed: 3 };
    let created = SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123);
    let (sources, mut chunks) = cut(&excerpts);
    let (record, names) = GenerationRecord::new(Generation(2), created, summary, sources, &targets).unwrap();
    chunks.append(names);
    let read = GenerationRecord::decode(&record.encode()).unwrap();
    assert_eq!(read, record);
    assert_eq!(read.excerpts(&chunks).as_deref(), Ok(&excerpts[..]));
    assert_eq!(read.targets(&chunks).unwrap(), targets);
}

#[test]
fn files_of_a_record_from_before_documents_were_kept_one_by_one_are_read_whole() {
    let part = |file: &str, text: &str| {
        let part = wire::SourcePart { file: file.into(), text: text.into(), line: 0 };
        part.encode_length_delimited_to_vec()
    };
    let chunk = [part("a.yaml", "a: 1\n"), part("a.yaml", "---\nb: 2\n"), part("b.yaml", "c: 3\n")].concat();
    let mut chunks = Chunks::new();
    let digest = Digest::of(&chunk);
    chunks.insert(digest, chunk).unwrap();
    let (created, targets) = (SystemTime::UNIX_EPOCH, TargetList::new());
    let (record, names) =
        GenerationRecord::new(Generation(1), created, Summary::default(), [digest], &targets).unwrap();
    chunks.append(names);
    let whole = [excerpt("a.yaml", 1, "a: 1\n---\nb: 2\n"), excerpt("b.yaml", 1, "c: 3\n")];
    assert_eq!(record.excerpts(&chunks).as_deref(), Ok(&whole[..]));
}
