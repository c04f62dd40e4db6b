//! How far each node is: what it is to enforce against what its agent last said.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use selvedge_proto::Report;
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::Generation;

/// A report older than this is no sign of life.
pub const SILENT_AFTER: Duration = Duration::from_secs(15);

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// The wanted generation is in force.
    InForce,
    /// The agent is there and not as far.
    Pending,
    /// The agent won't take the wanted generation.
    Refused,
    /// The last report is old. What was in force still is: enforcement does not need the agent.
    Silent,
    /// No agent ever reported.
    NeverSeen,
}

/// A report and since when this controller knows it.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// The report.
    pub report: Report,
    /// When it came, by the controller's clock; for one found at start, by the time it names.
    seen: Instant,
}

impl Sighting {
    /// How old the report is.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.seen)
    }
}

/// The last report of each node.
#[derive(Clone, Debug, Default)]
pub struct Sightings(BTreeMap<NodeName, Sighting>);

impl Sightings {
    /// The last report of `node`.
    pub fn of(&self, node: &NodeName) -> Option<&Sighting> {
        self.0.get(node)
    }

    /// The last report of every node.
    pub fn all(&self) -> impl Iterator<Item = &Report> {
        self.0.values().map(|sighting| &sighting.report)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes a report that was just written.
    pub fn written(&mut self, report: Report, now: Instant) {
        self.0.insert(report.node.clone(), Sighting { report, seen: now });
    }

    /// Takes a report of which only its own time says how old it is; one from the future is new.
    pub fn found(&mut self, report: Report, now: Instant, clock: SystemTime) {
        let age = clock.duration_since(report.time).unwrap_or_default();
        // Where the machine has not been up for so long, "older than all we can say" is what is meant.
        let seen = now.checked_sub(age).or_else(|| now.checked_sub(SILENT_AFTER * 2)).unwrap_or(now);
        self.0.insert(report.node.clone(), Sighting { report, seen });
    }

    /// Forgets a node.
    pub fn gone(&mut self, node: &NodeName) {
        self.0.remove(node);
    }
}

/// How far a node is that has to have `wanted` in force.
pub fn judge(wanted: Generation, sighting: Option<&Sighting>, now: Instant) -> NodeState {
    let Some(sighting) = sighting else { return NodeState::NeverSeen };
    let report = &sighting.report;
    if sighting.age(now) > SILENT_AFTER {
        return NodeState::Silent;
    }
    if report.in_force == Some(wanted) {
        return NodeState::InForce;
    }
    match &report.refusal {
        Some(refusal) if refusal.generation == wanted => NodeState::Refused,
        _ => NodeState::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_proto::{Occupancy, Refusal};

    fn report(in_force: Option<u64>, refused: Option<u64>) -> Report {
        Report {
            node: "host1".parse().unwrap(),
            agent_version: String::new(),
            abi_version: 1,
            wanted: None,
            in_force: in_force.map(Generation),
            refusal: refused.map(|number| Refusal { generation: Generation(number), reason: "why".into() }),
            proof: None,
            ports: Vec::new(),
            reasons: Vec::new(),
            rules: Vec::new(),
            device_rules: Vec::new(),
            connections: Occupancy::default(),
            half_open: Occupancy::default(),
            draining: 0,
            revocations: Vec::new(),
            events_lost: 0,
            services: Vec::new(),
            time: SystemTime::UNIX_EPOCH,
        }
    }

    fn state(report: Report, age: Duration) -> NodeState {
        let now = Instant::now();
        let mut sightings = Sightings::default();
        sightings.written(report, now);
        judge(Generation(3), sightings.of(&"host1".parse().unwrap()), now + age)
    }

    #[test]
    fn a_node_is_in_force_only_with_the_wanted_generation_and_a_fresh_report() {
        let fresh = Duration::from_secs(1);
        assert_eq!(state(report(Some(3), None), fresh), NodeState::InForce);
        assert_eq!(state(report(Some(2), None), fresh), NodeState::Pending);
        assert_eq!(state(report(None, None), fresh), NodeState::Pending);
        assert_eq!(state(report(Some(2), Some(3)), fresh), NodeState::Refused);
        assert_eq!(state(report(Some(2), Some(2)), fresh), NodeState::Pending);
        assert_eq!(state(report(Some(3), None), SILENT_AFTER + fresh), NodeState::Silent);
        assert_eq!(judge(Generation(3), None, Instant::now()), NodeState::NeverSeen);
    }

    #[test]
    fn a_report_found_at_start_is_as_old_as_it_says() {
        let now = Instant::now();
        let clock = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
        let mut sightings = Sightings::default();
        sightings.found(report(Some(3), None), now, clock);
        let node = "host1".parse().unwrap();
        assert_eq!(judge(Generation(3), sightings.of(&node), now), NodeState::Silent);
        sightings.found(report(Some(3), None), now, SystemTime::UNIX_EPOCH);
        assert_eq!(judge(Generation(3), sightings.of(&node), now), NodeState::InForce);
        sightings.gone(&node);
        assert_eq!(judge(Generation(3), sightings.of(&node), now), NodeState::NeverSeen);
    }
}
