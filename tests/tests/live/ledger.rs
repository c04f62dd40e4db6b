//! Judging every packet by what was in force when it left.
//!
//! A packet that left while one set was in force everywhere has to arrive if that set allows its flow, and must not if it
//! denies it. Packets of flows that are the same in every set are judged at all times. Not judged of flows that flip: what
//! left in transition; what belongs to a TCP connection that was opened before the interval, if its set allows the flow (a
//! connection once cut stays cut); and what a busy machine held up until the next set was applied, where packets that arrived
//! show that it did.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use selvedge_lab::table::Table;

use super::capture::{Seen, Sighting};
use super::flows::{Carrier, Class, Ends, Flow};
use super::packet::{Packet, Toward};
use super::timeline::{Interval, Moment, Timeline};

/// What left so shortly before a change began may still have been under way when it came, and is not held to arrive. It is
/// a hundred times what a packet takes from end to end here.
const UNDER_WAY: u64 = 5_000_000;

/// What is expected of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Arrives,
    /// Does not arrive before this moment, from which on another set may be in force.
    DoesNot {
        until: Option<Moment>,
    },
    Unjudged,
}

/// Packets of one kind of flow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) left: u64,
    pub(crate) arrived: u64,
    /// Had to arrive.
    pub(crate) due: u64,
    /// Had to, and did not.
    pub(crate) lost: u64,
    /// Must not arrive.
    pub(crate) forbidden: u64,
    /// Must not, and did.
    pub(crate) leaked: u64,
    pub(crate) unjudged: u64,
    /// Of those that must not arrive: of a connection that had been open under another set.
    pub(crate) cut: u64,
}

/// All that was counted, and what was wrong.
pub(crate) struct Ledger {
    pub(crate) accounts: BTreeMap<(&'static str, Class, Carrier), Account>,
    pub(crate) wrong: Vec<String>,
    /// Arrivals of what nobody sent.
    pub(crate) invented: u64,
    /// Intervals in which at least one packet of a flipping flow was judged: those that allow, those that deny.
    pub(crate) proved: [usize; 2],
    /// The longest that an arriving packet took.
    pub(crate) slowest: u64,
}

/// A time in which a fault itself drops packets of some flows: they are not held to arrive.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    pub(crate) from: Moment,
    pub(crate) until: Moment,
    pub(crate) connections: Connections,
    pub(crate) flows: HashSet<Ends>,
}

/// What becomes, in an outage, of what is known of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connections {
    Kept,
    /// None that was opened before is known afterwards.
    Lost,
}

impl Outage {
    /// Whether the fault may have dropped what left at a moment, of a connection that was opened at another.
    fn excuses(&self, flow: &Flow, at: Moment, opened: Moment) -> bool {
        let during = at <= self.until || self.connections == Connections::Lost && opened <= self.until;
        self.from.0 <= at.0 + UNDER_WAY && during && self.flows.contains(&flow.ends)
    }

    /// Whether the fault may have broken connections between these ends: however soon that is over, TCP may be late to ask.
    pub(crate) fn broke(&self, ends: &Ends) -> bool {
        self.connections == Connections::Lost && self.flows.contains(ends)
    }
}

/// Judges everything that was seen.
pub(crate) fn judge(flows: &[Flow], timeline: &Timeline, outages: &[Outage], seen: Seen) -> Ledger {
    let flows: HashMap<Ends, &Flow> = flows.iter().map(|flow| (flow.ends, flow)).collect();
    let mut arrivals = Arrivals::new(seen.arrived);
    let mut left = seen.left;
    left.sort_by_key(|sighting| sighting.at);
    let mut bench = Bench { timeline, opened: HashMap::new() };
    let mut ledger =
        Ledger { accounts: BTreeMap::new(), wrong: Vec::new(), invented: 0, proved: [0; 2], slowest: 0 };
    let mut proved = [vec![false; timeline.0.len()], vec![false; timeline.0.len()]];
    let ways: Vec<Way> = left.iter().map(|sighting| arrivals.pair(sighting)).collect();
    let stalls = Stalls::of(&ways);
    for Way { packet, at, arrived } in ways {
        let Some(flow) = flows.get(&packet.ends) else { continue };
        let (mut expected, earlier) = bench.expect(flow, &packet, at);
        let opened = bench.opened[&(packet.ends, packet.client_port)];
        let held_up = || timeline.at(at).is_some_and(|here| stalls.last(at, timeline.0[here].next_applied));
        if arrived.is_none() && expected == Expected::Arrives && flow.class() == Class::Flips && held_up() {
            expected = Expected::Unjudged;
        }
        if expected == Expected::Arrives && outages.iter().any(|outage| outage.excuses(flow, at, opened)) {
            expected = Expected::Unjudged;
        }
        let account = ledger.accounts.entry((flow.way, flow.class(), flow.ends.carrier)).or_default();
        account.left += 1;
        account.arrived += u64::from(arrived.is_some());
        if let Some(arrived) = arrived {
            ledger.slowest = ledger.slowest.max(arrived.0.saturating_sub(at.0));
        }
        let fault = match expected {
            Expected::Unjudged => {
                account.unjudged += 1;
                continue;
            }
            Expected::Arrives => {
                account.due += 1;
                account.lost += u64::from(arrived.is_none());
                arrived.is_none()
            }
            Expected::DoesNot { until } => {
                account.forbidden += 1;
                account.cut += u64::from(earlier);
                let leaked = arrived.is_some_and(|arrived| until.is_none_or(|until| arrived < until));
                account.leaked += u64::from(leaked);
                leaked
            }
        };
        if flow.class() == Class::Flips
            && let Some(position) = timeline.at(at)
        {
            proved[usize::from(expected != Expected::Arrives)][position] = true;
        }
        if fault {
            ledger.wrong.push(describe(flow, &packet, at, arrived, timeline, expected));
        }
    }
    ledger.invented = arrivals.rest();
    ledger.proved = proved.map(|intervals| intervals.iter().filter(|proved| **proved).count());
    ledger
}

/// A packet from where it left to where it arrived, if it did.
struct Way {
    packet: Packet,
    at: Moment,
    arrived: Option<Moment>,
}

/// From when to when packets were held up that arrived in the end.
struct Stalls(Vec<(Moment, Moment)>);

impl Stalls {
    fn of(ways: &[Way]) -> Self {
        let slow = |way: &Way| {
            let arrived = way.arrived?;
            (arrived.0 > way.at.0 + UNDER_WAY).then_some((way.at, arrived))
        };
        Self(ways.iter().filter_map(slow).collect())
    }

    /// Whether what left at a moment may have been held up until another.
    fn last(&self, from: Moment, until: Moment) -> bool {
        self.0.iter().any(|(began, ended)| began.0 <= from.0 + UNDER_WAY && from <= *ended && until <= *ended)
    }
}

/// Arrivals by packet, in order of time.
struct Arrivals(HashMap<Packet, VecDeque<Moment>>);

impl Arrivals {
    fn new(mut arrived: Vec<Sighting>) -> Self {
        arrived.sort_by_key(|sighting| sighting.at);
        let mut by_packet: HashMap<Packet, VecDeque<Moment>> = HashMap::new();
        for Sighting { packet, at } in arrived {
            by_packet.entry(packet).or_default().push_back(at);
        }
        Self(by_packet)
    }

    fn pair(&mut self, left: &Sighting) -> Way {
        let Sighting { packet, at } = *left;
        let arrived = self.0.get_mut(&packet).and_then(VecDeque::pop_front);
        Way { packet, at, arrived }
    }

    fn rest(&self) -> u64 {
        self.0.values().map(|times| times.len() as u64).sum()
    }
}

/// What is known while packets are gone through in order of time.
struct Bench<'a> {
    timeline: &'a Timeline,
    /// When the newest TCP connection of these ends was opened, or the first datagram of them sent.
    opened: HashMap<(Ends, u16), Moment>,
}

impl Bench<'_> {
    /// What is expected, and whether the packet's connection was there before the interval.
    fn expect(&mut self, flow: &Flow, packet: &Packet, at: Moment) -> (Expected, bool) {
        let connection = (packet.ends, packet.client_port);
        if packet.opens {
            self.opened.insert(connection, at);
        }
        // A TCP packet of a connection that nobody was seen to open: it was there before the capture, and may have been cut then.
        let first = if packet.ends.carrier == Carrier::Tcp && !packet.opens { Moment(0) } else { at };
        let opened = *self.opened.entry(connection).or_insert(first);
        match flow.class() {
            Class::Always => return (Expected::Arrives, false),
            Class::Never => return (Expected::DoesNot { until: None }, false),
            Class::Flips => {}
        }
        let Some(position) = self.timeline.at(at) else { return (Expected::Unjudged, false) };
        let Interval { set, confirmed, next_applied } = self.timeline.0[position];
        let earlier = opened < confirmed;
        let expected = match flow.allowed[set] {
            true if packet.ends.carrier == Carrier::Tcp && earlier => Expected::Unjudged,
            true if at.0 + UNDER_WAY > next_applied.0 => Expected::Unjudged,
            true => Expected::Arrives,
            false => Expected::DoesNot { until: Some(next_applied) },
        };
        (expected, earlier)
    }
}

fn describe(
    flow: &Flow,
    packet: &Packet,
    at: Moment,
    arrived: Option<Moment>,
    timeline: &Timeline,
    expected: Expected,
) -> String {
    let (from, to) = match packet.toward {
        Toward::Server => (&flow.from.target, &flow.to.target),
        Toward::Client => (&flow.to.target, &flow.from.target),
    };
    let next = timeline.0.partition_point(|interval| interval.confirmed <= at);
    let when = next.checked_sub(1).map(|position| {
        let Interval { set, confirmed, next_applied } = timeline.0[position];
        let since = (at.0 as i64 - confirmed.0 as i64) / 1000;
        let until = (next_applied.0 as i64 - at.0 as i64) / 1000;
        format!("{since} us after interval {position} (set {set}) began, {until} us before its end")
    });
    let took = arrived.map(|arrived| (arrived.0 as i64 - at.0 as i64) / 1000);
    let syn = if packet.opens { " SYN" } else { "" };
    format!(
        "{from} -> {to} {:?} port {} of client port {}{syn}, {}: {expected:?}; took {took:?} us; {}",
        packet.ends.carrier,
        packet.ends.server,
        packet.client_port,
        flow.class(),
        when.unwrap_or_else(|| "before the first interval".to_owned()),
    )
}

impl Ledger {
    /// The sum of one column over a class.
    pub(crate) fn sum(&self, class: Class, column: fn(&Account) -> u64) -> u64 {
        self.accounts.iter().filter(|((_, of, _), _)| *of == class).map(|(_, account)| column(account)).sum()
    }

    /// Everything as a table.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new([
            "WAY",
            "FLOWS",
            "OVER",
            "LEFT",
            "ARRIVED",
            "DUE",
            "LOST",
            "FORBIDDEN",
            "DELIVERED",
            "CUT",
            "UNJUDGED",
        ]);
        for ((way, class, carrier), account) in &self.accounts {
            let Account { left, arrived, due, lost, forbidden, leaked, unjudged, cut } = account;
            let numbers =
                [left, arrived, due, lost, forbidden, leaked, cut, unjudged].map(ToString::to_string);
            let words = [(*way).to_owned(), class.to_string(), format!("{carrier:?}").to_uppercase()];
            table.row(words.into_iter().chain(numbers).collect());
        }
        table
    }
}
