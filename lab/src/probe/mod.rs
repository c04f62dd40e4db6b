//! Real packets between every pair of workloads and externals, compared with the oracle.
//!
//! Each place of the lab gets a [`station`]: a thread in its namespace that answers on every probed port with the
//! place's name, asks others, and notes every first packet that arrives. A flow that policy allows must be
//! answered by the right place; one that policy denies must not even arrive. On a loaded machine an answer may
//! be late: a flow that should have been answered is asked again, a bounded number of times, with more
//! patience. A packet that should not have arrived is an error however late it comes.

mod ask;
mod echo;
mod listen;
mod matrix;
mod report;
mod sctp;
mod sniff;
mod station;
mod wanted;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use selvedge_topology::model::{Model, RuleId, Tracking};
use selvedge_topology::oracle::{self, FlowOutcome, FlowVerdict};

pub use matrix::matrix;
pub use report::{Finding, Report};
pub use sniff::Arrival;
pub use wanted::{Probed, ProbedError, wanted};

use crate::kernel::namespace::NamespaceError;
use crate::names::{NamespaceName, Target};
use crate::registry::Place;
use station::{Lookout, Station};

/// How often a flow that should have been answered is asked again, each time with twice the patience.
pub const RETRIES: u32 = 2;
/// How long arrivals are still noted after the last flow.
const LISTEN_ON: Duration = Duration::from_millis(200);

/// Why a lab can't be probed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A place where probes can't listen.
    #[error("{namespace}: listen on {what}: {source}; end what uses it, or leave it out with --ports")]
    Listen {
        /// Where.
        namespace: NamespaceName,
        /// On what.
        what: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A thread that can't be had.
    #[error("{namespace}: start a thread: {source}")]
    Thread {
        /// For where.
        namespace: NamespaceName,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A place whose thread ended.
    #[error("{namespace}: its probing thread ended early")]
    Ended {
        /// Where.
        namespace: NamespaceName,
    },
    /// Nothing to probe.
    #[error(
        "there is nothing to probe: the lab has {places} places with addresses, and {ports} protocols and ports are asked for"
    )]
    Nothing {
        /// Workloads and externals.
        places: usize,
        /// Protocols and ports.
        ports: usize,
    },
}

/// A new connection to try.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Position of the source among the places.
    pub source: usize,
    /// Position of the destination.
    pub destination: usize,
    /// From this address.
    pub from: IpAddr,
    /// To this one.
    pub to: IpAddr,
    /// What is sent.
    pub probed: Probed,
    /// What policy says of it.
    pub verdict: FlowVerdict,
    /// What shows that it is open.
    pub proof: Proof,
}

/// What shows that a flow is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// An answer from the right place.
    Answer,
    /// The arrival of the first packet: no answer is due (no SCTP in the kernel; a stateless rule lets none pass).
    Arrival,
}

impl Flow {
    /// Whether policy lets it pass.
    pub fn should_pass(&self) -> bool {
        self.verdict.outcome != FlowOutcome::Denied
    }
}

/// What became of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The right place answered.
    Answered,
    /// The first packet arrived, no answer came back.
    Arrived,
    /// Nothing arrived and nothing came back.
    Silence,
    /// The destination's kernel refused: nothing listens there.
    Refused,
    /// Someone else answered.
    WrongAnswer(String),
    /// It never left, or a router said there is no way.
    NoWay(std::io::ErrorKind),
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Family {
    /// IPv4.
    #[value(name = "4")]
    V4,
    /// IPv6.
    #[value(name = "6")]
    V6,
}

impl Family {
    /// That of `address`.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "4",
            Self::V6 => "6",
        })
    }
}

/// Which flows to try.
pub struct Wish<'a> {
    /// The documents to compare with.
    pub model: &'a Model,
    /// Where from and where to.
    pub places: Vec<Place>,
    /// Protocols and ports.
    pub probed: BTreeSet<Probed>,
    /// Address families.
    pub families: BTreeSet<Family>,
    /// How long to wait for an answer.
    pub patience: Duration,
}

/// Probes; takes about as long as the patience wished for, more if something has to be asked again.
pub fn probe(wish: Wish<'_>) -> Result<Report, ProbeError> {
    let started = Instant::now();
    let flows = flows(&wish);
    let Wish { places, probed, patience, .. } = wish;
    if flows.is_empty() {
        return Err(ProbeError::Nothing { places: places.len(), ports: probed.len() });
    }
    let lookout = Lookout::default();
    let stations =
        places.iter().map(|place| Station::start(place, &probed, &lookout)).collect::<Result<Vec<_>, _>>()?;
    stations.iter().try_for_each(Station::ready)?;

    let mut findings: Vec<Finding> = flows.into_iter().map(Finding::new).collect();
    let mut open: Vec<usize> = (0..findings.len()).collect();
    for round in 0..=RETRIES {
        ask_all(&stations, &places, &mut findings, &open, patience * 2_u32.pow(round))?;
        lookout.complete(&mut findings);
        open.retain(|&flow| findings[flow].flow.should_pass() && !findings[flow].agrees());
        if open.is_empty() {
            break;
        }
    }
    std::thread::sleep(LISTEN_ON);
    lookout.complete(&mut findings);
    drop(stations);
    Ok(Report { places, probed, findings, took: started.elapsed() })
}

/// Every flow of every ordered pair.
fn flows(wish: &Wish<'_>) -> Vec<Flow> {
    let mut flows = Vec::new();
    for (source, from) in addresses(&wish.places) {
        for (destination, to) in addresses(&wish.places) {
            let family = Family::of(from);
            if source == destination || family != Family::of(to) || !wish.families.contains(&family) {
                continue;
            }
            for &probed in &wish.probed {
                let verdict = oracle::flow(wish.model, from, to, probed.key(from));
                let proof = proof(wish.model, probed, &verdict);
                flows.push(Flow { source, destination, from, to, probed, verdict, proof });
            }
        }
    }
    flows
}

fn addresses(places: &[Place]) -> impl Iterator<Item = (usize, IpAddr)> {
    let each = |(position, place): (usize, &Place)| {
        place.addresses.iter().map(move |a| (position, *a)).collect::<Vec<_>>()
    };
    places.iter().enumerate().flat_map(each)
}

fn proof(model: &Model, probed: Probed, verdict: &FlowVerdict) -> Proof {
    let judgements = verdict.egress.iter().chain(&verdict.ingress);
    let stateless = judgements.map(|judgement| judgement.rule).any(|rule| is_stateless(model, rule));
    if stateless || matches!(probed, Probed::Sctp(_)) { Proof::Arrival } else { Proof::Answer }
}

fn is_stateless(model: &Model, id: RuleId) -> bool {
    let rules =
        model.policies.values().flat_map(|policy| policy.ingress.iter().chain(&policy.egress).flatten());
    rules.into_iter().any(|rule| rule.id == id && rule.tracking == Tracking::Stateless)
}

/// One round: every station asks its flows, all at once.
fn ask_all(
    stations: &[Station],
    places: &[Place],
    findings: &mut [Finding],
    open: &[usize],
    patience: Duration,
) -> Result<(), ProbeError> {
    for (position, station) in stations.iter().enumerate() {
        let own = open.iter().filter(|&&flow| findings[flow].flow.source == position);
        let questions = own.map(|&number| {
            let flow = &findings[number].flow;
            let answer = places[flow.destination].target.to_string();
            ask::Question { number, from: flow.from, to: flow.to, probed: flow.probed, answer, patience }
        });
        station.ask(questions.collect())?;
    }
    for station in stations {
        for reply in station.replies()? {
            findings[reply.number].note(reply);
        }
    }
    Ok(())
}

/// Whether probes go there: workloads and externals do.
pub fn is_probed(place: &Place) -> bool {
    matches!(place.target, Target::Workload(_) | Target::External(_))
}
