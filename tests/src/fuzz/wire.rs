//! Everything else that is read from a wire: values in etcd, their keys, and flows.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use prost::Message;
use selvedge_proto::{
    Chunks, Count, Digest, EgressReport, Flow, FlowEnd, FlowRule, GenerationRecord, Mode, Observed,
    Occupancy, PortReport, ProofReport, Refusal, Report, RevocationReport, Signature, Sources, Summary,
    Target, TargetList, Transport, Verdict, decode_identity, encode_identity, wire,
};
use selvedge_topology::documents::Excerpt;
use selvedge_topology::failsafe::{Origin, Service, ServiceKind};
use selvedge_topology::identity::{Identity, IdentityKey};
use selvedge_topology::l4::Protocol;
use selvedge_topology::model::{PortRole, RuleId};
use selvedge_topology::placement::{Mode as XdpMode, Nic, PortState};
use selvedge_topology::plan::Generation;

use super::{Bytes, Outcome, run_of};

/// What was decoded encodes to something that decodes to the same, and equal values are equal bytes.
fn round_trip<T: PartialEq + Debug, E: Debug + PartialEq + std::fmt::Display>(
    input: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, E>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> Outcome {
    let value = match decode(input) {
        Ok(value) => value,
        Err(error) => {
            assert!(error.to_string().len() <= 256 + 4 * input.len(), "a refusal is bounded: {error}");
            return Outcome::Refused;
        }
    };
    let encoded = encode(&value);
    let again = decode(&encoded);
    assert_eq!(again.as_ref(), Ok(&value));
    assert_eq!(encode(&again.unwrap()), encoded);
    Outcome::Accepted
}

pub(super) fn target(input: &[u8]) -> Outcome {
    round_trip(input, Target::decode, Target::encode)
}

pub(super) fn report(input: &[u8]) -> Outcome {
    round_trip(input, Report::decode, Report::encode)
}

pub(super) fn identity(input: &[u8]) -> Outcome {
    round_trip(input, decode_identity, |(identity, key)| encode_identity(*identity, key))
}

pub(super) fn flow(input: &[u8]) -> Outcome {
    let decode = |bytes: &[u8]| Flow::try_from(wire::Flow::decode(bytes)?);
    round_trip(input, decode, |flow| wire::Flow::from(flow).encode_to_vec())
}

/// An input: a run with a chunk of documents, a run with a chunk of targets, and the record, whose digests are made
/// to fit.
pub(super) fn generation(input: &[u8]) -> Outcome {
    let mut bytes = Bytes(input);
    let contents = [bytes.run().to_vec(), bytes.run().to_vec()];
    let record = bytes.take(usize::MAX);
    let outcome = round_trip(record, GenerationRecord::decode, GenerationRecord::encode);
    let Ok(mut wire) = wire::GenerationRecord::decode(record) else { return outcome };
    let [sources, targets] = contents.each_ref().map(|content| Digest::of(content));
    (wire.sources, wire.targets) = (vec![sources.into()], vec![targets.into()]);
    (wire.source_lists, wire.target_lists) = Default::default();
    let Ok(record) = GenerationRecord::decode(&wire.encode_to_vec()) else { return outcome };
    let mut chunks = Chunks::new();
    for (digest, content) in [sources, targets].into_iter().zip(contents) {
        chunks.insert(digest, content).unwrap();
    }
    let (excerpts, targets) = (record.excerpts(&chunks), record.targets(&chunks));
    if let (Ok(excerpts), Ok(targets)) = (excerpts, targets) {
        check_record(&record, &excerpts, &targets);
    }
    outcome
}

/// A record made of what was read gives the same documents and targets.
fn check_record(record: &GenerationRecord, excerpts: &[Excerpt], targets: &TargetList) {
    let GenerationRecord { generation, created, summary, .. } = record;
    let numbers: Vec<usize> = (0..excerpts.len()).collect();
    let (sources, mut chunks) = Sources::cut(numbers.iter().zip(excerpts)).unwrap();
    let (again, names) =
        GenerationRecord::new(*generation, *created, *summary, sources.digests(), targets).unwrap();
    chunks.append(names);
    assert_eq!(again.excerpts(&chunks).as_deref(), Ok(excerpts));
    assert_eq!(again.targets(&chunks).as_ref(), Ok(targets));
}

/// An input: a key of etcd.
pub(super) fn keys(input: &[u8]) -> Outcome {
    use selvedge_proto::keys;
    let formatted = [
        keys::parse_report(input).ok().map(|node| keys::report(&node)),
        keys::parse_target(input).ok().map(|node| keys::target(&node)),
        keys::parse_generation(input).ok().map(keys::generation),
    ];
    let mut outcome = Outcome::Refused;
    for key in formatted.into_iter().flatten() {
        assert_eq!(key.as_bytes(), input);
        outcome = Outcome::Accepted;
    }
    outcome
}

pub(super) fn target_seeds() -> Vec<Vec<u8>> {
    let unsigned = Target { generation: Generation(7), manifest: Digest::of(b"manifest"), signature: None };
    vec![unsigned.encode(), Target { signature: Some(Signature([9; 64])), ..unsigned }.encode()]
}

fn time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123)
}

pub(super) fn report_seeds() -> Vec<Vec<u8>> {
    let count = Count { packets: 1, bytes: 74 };
    let report = Report {
        node: "host1".parse().unwrap(),
        agent_version: "0.1.0".into(),
        abi_version: 1,
        wanted: Some(Generation(4)),
        in_force: Some(Generation(3)),
        refusal: Some(Refusal { generation: Generation(4), reason: "port w9 does not exist".into() }),
        proof: Some(ProofReport::Proven { packets: 40, classes: 20, of: 30, skipped: 1 }),
        ports: vec![PortReport {
            name: "eth0".parse().unwrap(),
            role: PortRole::Uplink,
            profile: Some("veth".parse().unwrap()),
            requested: XdpMode::Native,
            state: PortState::Enforced(XdpMode::Generic),
            reason: "the driver has no native XDP".into(),
            egress: EgressReport::Unenforced { reason: "the kernel has no tcx".into() },
            past: vec!["flows that the eSwitch forwards".into()],
            nic: Nic::Idle { reason: "the device takes 2 entries".into() },
        }],
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
        time: time(),
    };
    let unproven = ProofReport::Unproven { reason: "unknown error 524".into() };
    vec![report.encode(), Report { proof: Some(unproven), ..report }.encode()]
}

pub(super) fn identity_seeds() -> Vec<Vec<u8>> {
    let cidr = IdentityKey::Cidr("10.9.0.0/16".parse().unwrap());
    let label = |key: &str, value: &str| wire::Label { key: key.into(), value: value.into() };
    let labels = vec![label("role", "web"), label("selvedge.io/service.http", "TCP/80")];
    let key = wire::identity_record::Key::Labels(wire::SecurityLabels { labels });
    let record = wire::IdentityRecord { identity: 256, key: Some(key) };
    vec![encode_identity(Identity(0x0100_0000), &cidr), record.encode_to_vec()]
}

pub(super) fn flow_seeds() -> Vec<Vec<u8>> {
    let end = |address: &str| FlowEnd {
        address: address.parse().unwrap(),
        identity: Identity(256),
        workload: Some("web1".parse().unwrap()),
    };
    let ip = |transport| Observed::Ip { source: end("10.1.0.11"), destination: end("fd00::1"), transport };
    let tcp = Transport::Ports { protocol: Protocol::TCP, source: 4242, destination: 8080, tcp_flags: 2 };
    let ping = Transport::Icmp { protocol: Protocol::ICMP, kind: 8, code: 0 };
    let packets =
        [ip(tcp), ip(ping), ip(Transport::Other(Protocol(47))), Observed::Frame { ether_type: 0x88cc }];
    let flow = |packet| Flow {
        time: time(),
        node: "host1".parse().unwrap(),
        port: "w1".parse().unwrap(),
        mode: Mode::Native,
        packet,
        length: 74,
        verdict: Verdict::Denied,
        reason: "policy-deny".parse().unwrap(),
        rule: Some(FlowRule { id: RuleId(0xdead_beef), display: "shop/ingress/http".into() }),
        generation: Some(Generation(3)),
    };
    packets.into_iter().map(|packet| wire::Flow::from(&flow(packet)).encode_to_vec()).collect()
}

pub(super) fn generation_seeds() -> Vec<Vec<u8>> {
    let excerpt = |(file, line): (&str, u32)| Excerpt { file: file.into(), line, text: "---\n".into() };
    let excerpts = [("a.yaml", 1), ("b.yaml", 1), ("b.yaml", 7)].map(excerpt);
    let target = Target { generation: Generation(7), manifest: Digest::of(b"manifest"), signature: None };
    let targets = TargetList::from([("host1".parse().unwrap(), target)]);
    let summary = Summary { added: 1, changed: 2, removed: 3 };
    let (sources, mut chunks) = Sources::cut([1, 2, 3].iter().zip(&excerpts)).expect("small");
    let (record, names) =
        GenerationRecord::new(Generation(7), time(), summary, sources.digests(), &targets).expect("small");
    chunks.append(names);
    let contents =
        record.chunks(&chunks).unwrap().into_iter().flat_map(|digest| run_of(chunks.get(digest).unwrap()));
    vec![contents.chain(record.encode()).collect()]
}

pub(super) fn key_seeds() -> Vec<Vec<u8>> {
    use selvedge_proto::keys;
    let node = "host1".parse().unwrap();
    [keys::report(&node), keys::target(&node), keys::generation(Generation(7))].map(String::into_bytes).into()
}
