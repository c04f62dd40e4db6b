//! Device programs, run: the very bytecode, loaded unbound, against the full program in every state that it can be in, and against
//! the oracle. Needs root.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

#[path = "device/alone.rs"]
mod alone;
#[path = "device/chosen.rs"]
mod chosen;
#[path = "device/loaded.rs"]
mod loaded;
#[path = "device/order.rs"]
mod order;
#[path = "device/packets.rs"]
mod packets;
#[path = "device/states.rs"]
mod states;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arbitrary::{Result, Unstructured};
use ipnet::IpNet;
use loaded::Loaded;
use packets::Ends;
use selvedge_abi::{EventKind, FailsafeKey, Reason};
use selvedge_agent_core::lower::port_policy;
use selvedge_classifier::testing::{MemoryTables, PORT, world};
use selvedge_codegen::{Device, Limits, PortPolicy, Step, change, check, complete, prefilter};
use selvedge_hw_profiles::Profiles;
use selvedge_hw_profiles::profile::MapType;
use selvedge_hw_profiles::units::{Entries, Instructions, Maps};
use selvedge_tests::cases::{Numbers, each};
use selvedge_tests::random::{STRANGERS, ground, model, policies};
use selvedge_tests::scene::{Scene, machine, tables};
use selvedge_topology::compile::compile;
use selvedge_topology::documents::{SourceFile, load as load_documents};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::PortRole;
use selvedge_topology::plan::{Plan, PlanAddress};

const GENERATION: u64 = 5;

/// A port, the full program's tables for it, and what its device program is made from.
struct Port<'s, 'm> {
    scene: &'s Scene<'m>,
    tables: MemoryTables,
    policy: PortPolicy,
}

impl<'s, 'm> Port<'s, 'm> {
    fn new(scene: &'s Scene<'m>, generation: u64) -> Self {
        Self::with(scene, generation, failsafe())
    }

    fn with(scene: &'s Scene<'m>, generation: u64, failsafe: BTreeSet<FailsafeKey>) -> Self {
        let mut tables = tables(scene.plan, &scene.arrival.name, generation).unwrap();
        tables.failsafe = failsafe;
        let machine = machine(scene.plan, &scene.arrival.name);
        let policy = port_policy(scene.plan, &machine, &scene.arrival.name, &tables.failsafe).unwrap();
        Self { scene, tables, policy: policy.unwrap() }
    }
}

/// Builds a random fabric and runs `test` for every port of every node that enforces, with as many more prefixes in each plan.
fn ports(u: &mut Unstructured<'_>, crowd: usize, mut test: impl FnMut(&mut Port<'_, '_>)) -> Result<()> {
    let (_, model) = model(u)?;
    let mut identities = IdentityTable::default();
    identities.allocate(&model).unwrap();
    for plan in compile(&model, &identities).unwrap().values_mut() {
        let mut numbers = Numbers::new(u.arbitrary()?);
        let strangers = strangers(plan, &mut numbers, crowd);
        plan.addresses.edit().extend(strangers);
        for port in &plan.ports {
            test(&mut Port::new(&Scene::new(&model, plan, port), GENERATION));
        }
    }
    Ok(())
}

/// Prefixes that the plan does not have, of identities that it knows.
fn strangers(plan: &Plan, numbers: &mut Numbers, count: usize) -> Vec<PlanAddress> {
    let known: BTreeSet<IpNet> = plan.addresses.iter().map(|entry| entry.prefix).collect();
    let local: BTreeSet<IpAddr> =
        plan.workloads.iter().flat_map(|workload| workload.addresses.iter().copied()).collect();
    let elsewhere: Vec<&PlanAddress> =
        plan.addresses.iter().filter(|entry| !local.contains(&entry.prefix.network())).collect();
    let mut more = BTreeMap::new();
    for _ in 0..if elsewhere.is_empty() { 0 } else { count } {
        let address: IpAddr = match numbers.one_in(2) {
            true => Ipv4Addr::from_bits(10 << 24 | numbers.next() as u32 & 0x0003_ffff).into(),
            false => Ipv6Addr::from_bits(0xfd << 120 | u128::from(numbers.next() & 0x3ffff)).into(),
        };
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = IpNet::new(address, longest - numbers.pick(&[0, 0, 0, 3, 8])).unwrap().trunc();
        let PlanAddress { identity, class, .. } = *numbers.pick(&elsewhere);
        more.insert(prefix, PlanAddress { prefix, identity, class });
    }
    more.into_iter().filter(|(prefix, _)| !known.contains(prefix)).map(|(_, entry)| entry).collect()
}

/// Services among those whose packets are random: of a workload, and of strangers.
fn failsafe() -> BTreeSet<FailsafeKey> {
    let key =
        |remote, remote_port, protocol| FailsafeKey { remote: world::address(remote), remote_port, protocol };
    [key("10.1.0.1", 443, 6), key(STRANGERS[3], 53, 17), key("fd00:1::99", 443, 6)].into()
}

fn limits(profile: &str) -> Limits {
    let profiles = Profiles::embedded().unwrap();
    Limits::of(profiles.get(profile).unwrap().profile.offload.as_ref().unwrap())
}

/// Devices, from roomy to hardly any.
fn devices() -> Vec<Limits> {
    let nfp = limits("nfp");
    let short = |most| Limits { instructions: Instructions(most), ..nfp.clone() };
    let bare = Limits { maps: Maps(0), entries: Entries(0), ..nfp.clone() };
    vec![nfp.clone(), limits("netdevsim"), short(400), short(250), bare]
}

/// What kind of packet it is, and where it came in.
fn kind(frame: &[u8], role: PortRole) -> String {
    let (family, protocol, transport) =
        if frame[12] == 0x08 { ("v4", frame[23], 34) } else { ("v6", frame[20], 54) };
    let what = match protocol {
        6 if frame[transport + 13] & 0x17 == 0x02 => "SYN",
        6 => "TCP",
        17 => "UDP",
        132 if frame[transport + 12] == 1 => "INIT",
        132 => "SCTP",
        1 | 58 if [0, 8, 128, 129].contains(&frame[transport]) => "echo",
        1 | 58 => "ICMP",
        _ => "other",
    };
    let port = if role == PortRole::Workload { "workload" } else { "fabric" };
    format!("{family} {what} at a {port} port")
}

/// What was seen of programs.
#[derive(Debug, Default)]
struct Seen {
    packets: u64,
    /// Of packets that were dropped.
    states: usize,
    kinds: BTreeMap<String, u64>,
    programs: u64,
    shed: u64,
    with_tables: u64,
    /// Openings that policy denies, dropped by programs that shed nothing.
    openings: u64,
}

impl Seen {
    /// Runs the prefilter of a port on random packets, and holds it to the full program.
    fn run(
        &mut self,
        port: &mut Port<'_, '_>,
        limits: &Limits,
        packets: u64,
        more: &[IpAddr],
        numbers: &mut Numbers,
    ) {
        let program = prefilter(&port.policy, limits, None).unwrap();
        assert_eq!(check(&program, limits), Ok(()));
        self.programs += 1;
        self.shed += u64::from(!program.shed.is_empty());
        self.with_tables += u64::from(program.maps.iter().any(|map| map.kind == MapType::Hash));
        let loaded = Loaded::new(&program);
        let ends = Ends::of(port.scene, more);
        let mut dropped = 0;
        for _ in 0..packets {
            let frame = packets::frame(&ends, numbers);
            let drops = loaded.drops(&frame);
            if drops {
                dropped += 1;
                *self.kinds.entry(kind(&frame, port.scene.arrival.role)).or_default() += 1;
                match states::all_deny(&mut port.tables, &frame) {
                    Ok(tried) => self.states += tried,
                    Err(why) => panic!("{frame:02x?}\npasses: {why}\n{program}"),
                }
            }
            let (reason, told) = judged(port, &frame);
            assert!(
                !drops || told != Some(EventKind::Logged as u32),
                "{frame:02x?}\na rule wants it logged\n{program}"
            );
            let is_denied = reason == Reason::PolicyDeny && told == Some(EventKind::Drop as u32);
            if program.shed.is_empty() && is_denied && is_opening(&frame) {
                assert!(drops, "{frame:02x?}\nis left, and nothing was shed\n{program}");
                self.openings += 1;
            }
        }
        self.packets += packets;
        if !program.counters.is_empty() {
            assert_eq!(loaded.counted().values().sum::<u64>(), dropped, "{program}");
        }
    }
}

/// What the full program says of a packet that nothing was before, and tells.
fn judged(port: &Port<'_, '_>, frame: &[u8]) -> (Reason, Option<u32>) {
    let reason = port.tables.classify(frame, PORT);
    let told = port.tables.events.borrow_mut().pop().map(|event| event.kind);
    states::forget(&port.tables, &None);
    (reason, told)
}

/// Whether it is a plain SYN over IPv4, of no failsafe flow.
fn is_opening(frame: &[u8]) -> bool {
    let is_plain =
        frame.len() >= 54 && frame[12..15] == [0x08, 0x00, 0x45] && frame[20] & 0x3f == 0 && frame[21] == 0;
    let is_failsafe = |key: &FailsafeKey| {
        key.remote.0[12..] == frame[26..30] && key.remote_port.to_be_bytes() == frame[34..36]
    };
    is_plain && frame[23] == 6 && frame[47] & 0x17 == 0x02 && !failsafe().iter().any(is_failsafe)
}

#[test]
fn a_prefilter_drops_only_what_the_full_program_drops_in_every_state() {
    let devices = devices();
    let mut seen = Seen::default();
    let mut numbers = Numbers::new(4);
    each(150, |u| {
        ports(u, 0, |port| {
            let limits = &devices[seen.programs as usize % devices.len()];
            seen.run(port, limits, 120, &[], &mut numbers);
        })
    });
    println!("{seen:#?}");
    assert!(seen.packets >= 100_000 && seen.states >= 1_000_000 && seen.openings >= 1_000, "too little");
    assert!(seen.shed >= 50, "only {} programs shed", seen.shed);
    for family in ["v4", "v6"] {
        for what in ["SYN", "TCP", "UDP", "INIT", "SCTP", "echo", "ICMP", "other"] {
            for port in ["a fabric port", "a workload port"] {
                let kind = format!("{family} {what} at {port}");
                assert!(seen.kinds.get(&kind).is_some_and(|count| *count >= 20), "too few of {kind}");
            }
        }
    }
}

#[test]
fn a_prefilter_with_tables_drops_only_what_the_full_program_drops() {
    let mut seen = Seen::default();
    let mut numbers = Numbers::new(5);
    let device = limits("nfp");
    each(24, |u| {
        ports(u, 300, |port| {
            let prefixes = port.scene.plan.addresses.iter().map(|entry| entry.prefix);
            let more: Vec<IpAddr> = prefixes.map(|prefix| prefix.network()).step_by(7).collect();
            seen.run(port, &device, 50, &more, &mut numbers);
        })
    });
    println!("{seen:#?}");
    assert!(seen.with_tables >= 40 && seen.states >= 50_000 && seen.openings >= 50, "too little");
}

/// What was seen of changes.
#[derive(Debug, Default)]
struct Changed {
    ports: u64,
    /// Packets that the device dropped before the full program changed over, and after.
    dropped: [u64; 2],
    /// Ports where the new program would have contradicted the old policy: what the order is for.
    would_contradict: u64,
    /// Ports whose device decided on all that it reads, by the old policy.
    complete: u64,
}

impl Changed {
    fn run(
        &mut self,
        old: &mut Port<'_, '_>,
        new: &mut Port<'_, '_>,
        limits: &Limits,
        numbers: &mut Numbers,
    ) {
        let ends = Ends::of(new.scene, &[]);
        let frames: Vec<Vec<u8>> = (0..60).map(|_| packets::frame(&ends, numbers)).collect();
        let alone = complete(&old.policy, limits);
        self.complete += u64::from(alone.is_ok());
        let now = Device::from(alone.or_else(|_| prefilter(&old.policy, limits, None)).unwrap());
        let steps = change(Some(&now), Some(&old.policy), &new.policy, limits, None).unwrap();
        let mut device = load(&now);
        let mut changed = false;
        for step in [None].into_iter().chain(steps.iter().map(Some)) {
            match step {
                Some(Step::Device(next)) => device = load(next),
                Some(Step::FullProgram) => changed = true,
                None => {}
            }
            let tables = if changed { &mut new.tables } else { &mut old.tables };
            for frame in
                frames.iter().filter(|frame| device.as_ref().is_some_and(|device| device.drops(frame)))
            {
                let tried = states::all_deny(tables, frame);
                assert!(
                    tried.is_ok(),
                    "{frame:02x?}\npasses: {tried:?}, changed over: {changed}, at {step:?}"
                );
                self.dropped[usize::from(changed)] += 1;
            }
        }
        assert!(changed, "the full program changes over");
        let tight = Device::from(prefilter(&new.policy, limits, None).unwrap());
        assert!(
            change(Some(&tight), Some(&new.policy), &new.policy, limits, None).unwrap()
                == [Step::FullProgram]
        );
        let contradicts = load(&tight).is_some_and(|tight| {
            frames.iter().any(|frame| tight.drops(frame) && states::all_deny(&mut old.tables, frame).is_err())
        });
        self.would_contradict += u64::from(contradicts);
        self.ports += 1;
    }
}

fn load(device: &Device) -> Option<Loaded> {
    match device {
        Device::Runs(program) => Some(Loaded::new(program)),
        Device::Idle => None,
    }
}

#[test]
fn while_policy_changes_the_device_drops_nothing_that_the_policy_in_force_could_pass() {
    let devices = devices();
    let mut seen = Changed::default();
    let mut numbers = Numbers::new(6);
    each(60, |u| {
        let ground = ground(u)?;
        let mut identities = IdentityTable::default();
        let mut models = Vec::new();
        for _ in 0..2 {
            let text = ground.text.clone() + &policies(u, &ground)?;
            let text = if u.ratio(1, 3)? { alone::stateless(&text) } else { text };
            let model = load_documents(&[SourceFile { name: "random.yaml".into(), text }]).model.unwrap();
            identities.allocate(&model).unwrap();
            models.push(model);
        }
        let plans: Vec<_> = models.iter().map(|model| compile(model, &identities).unwrap()).collect();
        for (node, old) in &plans[0] {
            let new = &plans[1][node];
            for port in &old.ports {
                let scenes = [Scene::new(&models[0], old, port), Scene::new(&models[1], new, port)];
                let [mut old, mut new] =
                    [Port::new(&scenes[0], GENERATION), Port::new(&scenes[1], GENERATION + 1)];
                let limits = &devices[seen.ports as usize % devices.len()];
                seen.run(&mut old, &mut new, limits, &mut numbers);
            }
        }
        Ok(())
    });
    println!("{seen:?}");
    assert!(seen.ports >= 300 && seen.dropped.iter().all(|dropped| *dropped >= 1_000), "{seen:?}");
    assert!(seen.would_contradict >= 30, "the order mattered too rarely: {seen:?}");
    assert!(seen.complete >= 30, "too few devices decided: {seen:?}");
}
