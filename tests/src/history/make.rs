//! Random histories: a few flows that go their usual way and often don't.

use std::net::{IpAddr, SocketAddr};

use arbitrary::{Result, Unstructured};
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::{Model, PortRole};
use selvedge_topology::names::PortName;
use selvedge_topology::plan::Plan;

use super::connections::{Node, Opinion};
use super::packet::{Kind, Packet, Segment};
use super::{History, Step};
use crate::cases::Numbers;
use crate::random::{addresses, ground, policies};
use crate::scene::Scene;

const TCP: [Kind; 5] = [Kind::Syn, Kind::SynAck, Kind::Ack, Kind::Fin, Kind::Reset];
const SCTP: [Kind; 5] = [Kind::Init, Kind::InitAck, Kind::Data, Kind::Shutdown, Kind::Abort];
const PORTS: [u16; 6] = [1, 53, 80, 443, 8080, 65535];
const OPENERS: [u16; 3] = [80, 40000, 40001];
/// Idle times about the timeouts (60, 20, 10, 8 and 5 seconds), and short ones.
const WAITS: [u64; 16] = [1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 19, 21, 60];
/// Flows at a node; some are more than its connection table holds.
const FLOWS: [usize; 3] = [4, 10, 40];

/// A random history of `steps` steps at a random node.
pub fn history(u: &mut Unstructured<'_>, steps: usize) -> Result<History> {
    let ground = ground(u)?;
    let [odd, even] =
        [policies(u, &ground)?, policies(u, &ground)?].map(|policies| ground.text.clone() + &policies);
    let mut numbers = Numbers::new(u.arbitrary()?);
    let [first, second] = [&odd, &even].map(|text| model(text));
    let mut identities = IdentityTable::default();
    identities.allocate(&first).expect("few enough");
    let plans = selvedge_topology::compile::compile(&first, &identities).expect("small enough");
    let plan = plans.values().nth(numbers.below(plans.len())).expect("every node has an agent");
    let traffic = Traffic::new(plan, [&first, &second], &mut numbers);
    let mut history = Vec::new();
    while history.len() < steps {
        history.extend(traffic.steps(&mut numbers));
    }
    Ok(History { node: plan.node.clone(), odd, even, steps: history })
}

fn model(text: &str) -> Model {
    let loaded = load(&[SourceFile { name: "random.yaml".into(), text: text.into() }]);
    loaded.model.unwrap_or_else(|| panic!("{text}\n{:#?}", loaded.diagnostics))
}

/// What goes on at a node.
struct Traffic<'m> {
    /// Seen from its ports, the models taking turns.
    scenes: Vec<Scene<'m>>,
    flows: Vec<Segment>,
    everyone: Vec<IpAddr>,
    /// The node's own addresses, and those of a workload that it is.
    node: Vec<IpAddr>,
}

impl<'m> Traffic<'m> {
    fn new(plan: &'m Plan, models: [&'m Model; 2], numbers: &mut Numbers) -> Self {
        let scenes: Vec<Scene<'_>> =
            plan.ports.iter().flat_map(|port| models.map(|model| Scene::new(model, plan, port))).collect();
        let everyone = addresses(models[0]);
        let node = everyone.iter().copied().filter(|address| scenes[0].is_of_the_node(*address)).collect();
        let mut traffic = Self { scenes, flows: Vec::new(), everyone, node };
        traffic.flows = (0..numbers.pick(&FLOWS)).map(|_| traffic.flow(numbers)).collect();
        traffic
    }

    /// The opening packet of a flow, of those that some generation allows if a few attempts find one.
    fn flow(&self, numbers: &mut Numbers) -> Segment {
        let wanted = |segment: &Segment| {
            let packet = Packet::Segment(*segment);
            self.scenes.iter().any(|scene| {
                let (source, destination) = packet.ends();
                let decided = match scene.is_of_the_node(source) {
                    true => scene.decided_when_sent(source, destination),
                    false => scene.decided(source, destination),
                };
                decided.is_none() && scene.opinions(&packet).joint() == Some(Opinion::Tracked)
            })
        };
        let attempts = if numbers.one_in(4) { 1 } else { 40 };
        let mut segment = self.opening(numbers);
        for _ in 1..attempts {
            if wanted(&segment) {
                break;
            }
            segment = self.opening(numbers);
        }
        segment
    }

    fn opening(&self, numbers: &mut Numbers) -> Segment {
        let sources = if numbers.one_in(6) { &self.node } else { &self.everyone };
        let source = numbers.pick(sources);
        let others: Vec<IpAddr> = self
            .everyone
            .iter()
            .copied()
            .filter(|other| other.is_ipv4() == source.is_ipv4() && *other != source)
            .collect();
        let destination = numbers.pick(&others);
        let kind =
            numbers.pick(&[Kind::Syn, Kind::Syn, Kind::Datagram, Kind::Init, Kind::EchoRequest, Kind::Query]);
        let (from, to) = match kind {
            Kind::EchoRequest | Kind::Query => (7, 7),
            _ => (numbers.pick(&OPENERS), numbers.pick(&PORTS)),
        };
        Segment { kind, source: SocketAddr::new(source, from), destination: SocketAddr::new(destination, to) }
    }

    fn steps(&self, numbers: &mut Numbers) -> Vec<Step> {
        match numbers.below(40) {
            0 => vec![Step::Flips],
            1..=3 => vec![Step::Waits(numbers.pick(&WAITS))],
            4..=15 => {
                let dialogue = dialogue(numbers.pick(&self.flows));
                dialogue.map(|segment| self.step(Packet::Segment(segment), numbers)).into()
            }
            _ => {
                let packet = self.packet(numbers);
                vec![self.step(packet, numbers)]
            }
        }
    }

    /// The packet leaves where it is the node's, else it arrives; now and then the other way round.
    fn step(&self, packet: Packet, numbers: &mut Numbers) -> Step {
        let (source, destination) = packet.ends();
        if self.node.contains(&source) != numbers.one_in(40) {
            Step::Leaves { port: self.port(destination, numbers), packet }
        } else {
            Step::Arrives { port: self.port(source, numbers), packet }
        }
    }

    fn packet(&self, numbers: &mut Numbers) -> Packet {
        let opening = numbers.pick(&self.flows);
        let segment = next(opening, numbers);
        if numbers.one_in(15) {
            let families = |sender: &IpAddr| sender.is_ipv4() == segment.source.is_ipv4();
            let senders: Vec<IpAddr> = self.everyone.iter().copied().filter(families).collect();
            let sender = numbers.pick(&senders);
            if sender != segment.source.ip() {
                return Packet::Error { sender, about: segment };
            }
        }
        Packet::Segment(segment)
    }

    /// The port that the address is behind; now and then any.
    fn port(&self, address: IpAddr, numbers: &mut Numbers) -> PortName {
        let scene = numbers.pick(&(0..self.scenes.len()).collect::<Vec<_>>());
        let anywhere = &self.scenes[scene];
        if let Some(port) = anywhere.behind(address).filter(|_| !numbers.one_in(40)) {
            return port.clone();
        }
        let faces_fabric = |scene: &&Scene<'_>| scene.arrival.role != PortRole::Workload;
        let outside = self.scenes.iter().find(faces_fabric).filter(|_| !numbers.one_in(40));
        outside.unwrap_or(anywhere).arrival.name.clone()
    }
}

/// How the flow that `opening` opens goes when nothing comes between: it opens, is answered, and goes on.
fn dialogue(opening: Segment) -> [Segment; 3] {
    let (answer, further) = match opening.kind {
        Kind::Syn => (Kind::SynAck, Kind::Ack),
        Kind::Init => (Kind::InitAck, Kind::Data),
        Kind::EchoRequest => (Kind::EchoReply, Kind::EchoRequest),
        kind => (kind, kind),
    };
    let answer = Segment { kind: answer, source: opening.destination, destination: opening.source };
    [opening, answer, Segment { kind: further, ..opening }]
}

/// A packet of the flow that `opening` opens: most often one of its first three, in either direction.
fn next(opening: Segment, numbers: &mut Numbers) -> Segment {
    let back = |kind| Segment { kind, source: opening.destination, destination: opening.source };
    let forth = |kind| Segment { kind, ..opening };
    let stream = |all: [Kind; 5], numbers: &mut Numbers| match numbers.below(16) {
        0..=4 => forth(all[0]),
        5 | 6 => back(all[1]),
        7..=9 => forth(all[2]),
        10 | 11 => back(all[2]),
        12 => forth(all[3]),
        13 => back(all[3]),
        _ if numbers.one_in(2) => forth(numbers.pick(&all)),
        _ => back(numbers.pick(&all)),
    };
    match opening.kind {
        Kind::Syn => stream(TCP, numbers),
        Kind::Init => stream(SCTP, numbers),
        Kind::EchoRequest => match numbers.below(8) {
            0 => forth(Kind::EchoReply),
            1 => back(Kind::EchoRequest),
            2..=4 => back(Kind::EchoReply),
            _ => opening,
        },
        _ if numbers.one_in(2) => back(opening.kind),
        _ => opening,
    }
}
