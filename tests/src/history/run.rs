//! Runs a history: the oracle and the connection model on one side, the classifier and a further backend on the other.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use selvedge_abi::{Counter, Passage, Reason, Revocations, Verdict};
use selvedge_classifier::Way;
use selvedge_classifier::testing::{CONNECTION_LIMIT, Hook, MemoryTables, Outcome as Effects, PORT, SECOND};
use selvedge_topology::compile::compile;
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::Model;
use selvedge_topology::names::PortName;
use selvedge_topology::oracle::Judgement;
use selvedge_topology::plan::{Outcome, Plan};

use super::connections::{Connections, Moment, Node, Opinion, Opinions};
use super::packet::Packet;
use super::{History, Step};
use crate::scene::{Scene, tables};

/// Packets by where they were judged, and by reason.
pub type Seen = BTreeMap<(Hook, Reason), u64>;

/// Judges a frame by tables as the classifier does: whether it passed, and all that it changed. `None` where it was not
/// asked.
pub type Backend<'b> = dyn FnMut(Hook, &MemoryTables, &[u8]) -> Option<(bool, Effects)> + 'b;

/// How a history can go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is none: documents that don't load, a node or port that is not there.
    NoHistory(String),
    /// Two of those that judge disagree.
    Disagreement {
        /// The step, counted from 0.
        step: usize,
        /// Who says what.
        message: String,
    },
}

/// A generation's documents and what they come to.
struct World {
    model: Model,
    plan: Plan,
}

/// The worlds of odd and even generations. Identities are allocated once, as a controller does.
fn worlds(history: &History) -> Result<[World; 2], Failure> {
    let no = |what: String| Failure::NoHistory(what);
    let mut identities = IdentityTable::default();
    let mut world = |name: &str, text: &String| {
        let loaded = load(&[SourceFile { name: name.into(), text: text.clone() }]);
        let model = loaded.model.ok_or_else(|| no(format!("{name}: {:?}", loaded.diagnostics)))?;
        identities.allocate(&model).map_err(|error| no(error.to_string()))?;
        let mut plans = compile(&model, &identities).map_err(|error| no(error.to_string()))?;
        let plan =
            plans.remove(&history.node).ok_or_else(|| no(format!("{name} has no node {}", history.node)))?;
        Ok(World { model, plan })
    };
    Ok([world("even", &history.even)?, world("odd", &history.odd)?])
}

/// One port in one world, ready to judge.
struct Stage<'w> {
    /// The port's own number: all are [`PORT`] when a packet arrives on them.
    port: u32,
    scene: Scene<'w>,
    tables: MemoryTables,
}

type Stages<'w> = BTreeMap<PortName, Stage<'w>>;

/// The ports in even and in odd generations.
fn stages(worlds: &[World; 2]) -> Result<[Stages<'_>; 2], Failure> {
    let [even, odd] = worlds;
    Ok([stages_of(even, 2)?, stages_of(odd, 1)?])
}

fn stages_of(world: &World, generation: u64) -> Result<Stages<'_>, Failure> {
    let World { model, plan } = world;
    let mut stages = BTreeMap::new();
    for (number, port) in (PORT + 1..).zip(&plan.ports) {
        let tables =
            tables(plan, &port.name, generation).map_err(|error| Failure::NoHistory(error.to_string()))?;
        stages
            .insert(port.name.clone(), Stage { port: number, scene: Scene::new(model, plan, port), tables });
    }
    Ok(stages)
}

/// Runs `history`; counts what was seen by reason.
pub fn run(history: &History, seen: &mut Seen, backend: &mut Backend<'_>) -> Result<(), Failure> {
    let worlds = worlds(history)?;
    let mut stages = stages(&worlds)?;
    let timeouts = stages[1].values().next().map(|stage| stage.tables.config.timeouts).unwrap_or_default();
    let mut course = Course {
        now: Moment { second: 1_000, generation: 1 },
        connections: Connections::new(CONNECTION_LIMIT as usize, timeouts),
        carried: MemoryTables::default(),
        revocations: BTreeMap::new(),
    };
    for (step, what) in history.steps.iter().enumerate() {
        match what {
            Step::Waits(seconds) => {
                course.now.second += seconds;
                // The model knows the time to a second, which notes of passages outlive: another test has them.
                course.carried.passages.take();
            }
            Step::Flips => course.now.generation += 1,
            Step::Arrives { port, packet } | Step::Leaves { port, packet } => {
                let hook = if matches!(what, Step::Leaves { .. }) { Hook::Sent } else { Hook::Received };
                let stage = stages[(course.now.generation % 2) as usize].get_mut(port);
                let stage = stage.ok_or_else(|| Failure::NoHistory(format!("there is no port {port}")))?;
                let reason = course.judge(hook, stage, packet, backend).map_err(|message| {
                    Failure::Disagreement { step, message: format!("{what}: {message}") }
                })?;
                *seen.entry((hook, reason)).or_default() += 1;
            }
        }
    }
    Ok(())
}

/// What goes on from packet to packet.
struct Course {
    now: Moment,
    connections: Connections,
    /// Tables of which the connections and notes count: all ports and generations share them.
    carried: MemoryTables,
    /// Connections that the classifier counted as revoked, by generation.
    revocations: BTreeMap<u64, Revocations>,
}

impl Course {
    /// Lets everyone judge one packet; the reason they agree on, or who disagrees.
    fn judge(
        &mut self,
        hook: Hook,
        stage: &mut Stage<'_>,
        packet: &Packet,
        backend: &mut Backend<'_>,
    ) -> Result<Reason, String> {
        let expected = self.expect(hook, &stage.scene, packet);
        let tables = &mut stage.tables;
        tables.config.generation = self.now.generation;
        tables.clock.set(self.now.second * SECOND);
        std::mem::swap(&mut tables.connections, &mut self.carried.connections);
        // Notes of denials serve where no event is due, so every other second has none.
        tables.config.event_share = if self.now.second.is_multiple_of(2) { 0 } else { 1 };
        tables.passages = renumbered(self.carried.passages.take(), stage.port, PORT).into();
        tables.denials = renumbered(self.carried.denials.take(), stage.port, PORT).into();
        let agreed = agree(hook, tables, &packet.frame(), expected, backend);
        tables.reason_counters.take();
        tables.rule_counters.take();
        tables.events.take();
        std::mem::swap(&mut tables.connections, &mut self.carried.connections);
        self.carried.passages = renumbered(tables.passages.take(), PORT, stage.port).into();
        self.carried.denials = renumbered(tables.denials.take(), PORT, stage.port).into();
        agreed?;
        for (generation, revoked) in tables.revocations.take() {
            let Revocations { cut, draining } = revoked;
            let sum = self.revocations.entry(generation).or_default();
            (sum.cut, sum.draining) = (sum.cut + cut, sum.draining + draining);
        }
        if self.revocations != *self.connections.revocations() {
            let (found, wanted) = (&self.revocations, self.connections.revocations());
            return Err(format!("{expected:?} is counted as {found:?}, not {wanted:?}"));
        }
        let (tracked, expected_tracked) = (self.carried.connections.borrow().len(), self.connections.count());
        if tracked != expected_tracked {
            return Err(format!("{expected:?} leaves {tracked} connections, not {expected_tracked}"));
        }
        Ok(expected)
    }

    /// What should become of the packet.
    fn expect(&mut self, hook: Hook, scene: &Scene<'_>, packet: &Packet) -> Reason {
        let (source, destination) = packet.ends();
        let decided = match hook {
            Hook::Received => scene.decided(source, destination),
            Hook::Sent => scene.decided_when_sent(source, destination),
        };
        decided.unwrap_or_else(|| self.connections.judge(self.now, packet, scene))
    }
}

fn renumbered<N>(passages: BTreeMap<Passage, N>, from: u32, to: u32) -> BTreeMap<Passage, N> {
    let number = |ifindex| if ifindex == from { to } else { ifindex };
    let renumbered =
        |(passage, noted): (Passage, N)| (Passage { ifindex: number(passage.ifindex), ..passage }, noted);
    passages.into_iter().map(renumbered).collect()
}

impl Node for Scene<'_> {
    fn opinions(&self, packet: &Packet) -> Opinions {
        let (source, destination) = packet.ends();
        let [egress, ingress] = self.judgements(source, destination, packet.key());
        let opinion = |judgement: Judgement| match judgement.outcome {
            Outcome::Allowed => Opinion::Tracked,
            Outcome::AllowedStateless => Opinion::Untracked,
            Outcome::Denied => Opinion::Denied,
            Outcome::DeniedDraining => Opinion::Draining,
        };
        Opinions { source: egress.map(opinion), destination: ingress.map(opinion) }
    }

    fn is_behind(&self, address: IpAddr) -> bool {
        self.behind(address).is_some()
    }
}

/// Holds the classifier to what is expected, also where it forgets what passed, and the backend to all that the classifier does; leaves the tables as
/// they are after the packet.
fn agree(
    hook: Hook,
    tables: &MemoryTables,
    frame: &[u8],
    expected: Reason,
    backend: &mut Backend<'_>,
) -> Result<(), String> {
    let (reason, effects) = catch_unwind(AssertUnwindSafe(|| Effects::at(hook, tables, frame)))
        .map_err(|_| "the classifier panics".to_owned())?;
    if reason != expected {
        return Err(format!("the classifier says {reason:?}, the model {expected:?}"));
    }
    let once = Counter { packets: 1, bytes: frame.len() as u64 };
    if effects.reasons != BTreeMap::from([(reason as u32, once)]) {
        return Err(format!("{reason:?} is not counted once: {:?}", effects.reasons));
    }
    let nothing = (BTreeMap::new().into(), BTreeMap::new().into());
    let forgetful = MemoryTables { passages: nothing.0, denials: nothing.1, ..tables.clone() };
    let without_notes = Effects::at(hook, &forgetful, frame);
    if without_notes != (reason, effects.clone()) {
        return Err(format!("{:#?} by notes, {without_notes:#?} without", (reason, effects)));
    }
    let passes = reason.verdict() == Verdict::Allowed;
    if let Some(other) = backend(hook, tables, frame)
        && other != (passes, effects.clone())
    {
        return Err(format!("the classifier says {:#?}, the backend {other:#?}", (passes, effects)));
    }
    match hook {
        Hook::Received => drop(tables.classify(frame, PORT)),
        Hook::Sent => drop(tables.classify_sent(frame, Way { received: 0, leaves: PORT })),
    }
    Ok(())
}
