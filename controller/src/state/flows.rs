//! The flows that agents told of: a bounded log of recent ones, and those who follow it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use selvedge_proto::{Flow, Observed, Verdict};
use selvedge_topology::l4::Protocol;
use selvedge_topology::names::{NodeName, WorkloadName};
use tokio::sync::broadcast;

/// How many recent flows are kept.
const KEPT: usize = 1 << 16;
/// How far a follower may fall behind before it loses flows.
const BEHIND: usize = 1 << 13;

/// What a follower gets.
#[derive(Clone, Debug)]
pub enum FlowItem {
    /// A flow.
    Flow(Arc<Flow>),
    /// So many events got lost before they came here.
    Lost(u64),
}

/// Recent flows. Cheap to clone; clones share the log.
#[derive(Clone, Debug)]
pub struct FlowLog {
    recent: Arc<Mutex<VecDeque<Arc<Flow>>>>,
    followers: broadcast::Sender<FlowItem>,
}

impl Default for FlowLog {
    fn default() -> Self {
        let (followers, _) = broadcast::channel(BEHIND);
        Self { recent: Arc::default(), followers }
    }
}

impl FlowLog {
    /// Takes flows, and how many an agent had to leave out; the oldest flows make room.
    pub fn push(&self, flows: Vec<Flow>, lost: u64) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        // A send fails only where nobody follows.
        if lost > 0 {
            let _ = self.followers.send(FlowItem::Lost(lost));
        }
        for flow in flows.into_iter().map(Arc::new) {
            if recent.len() == KEPT {
                recent.pop_front();
            }
            recent.push_back(Arc::clone(&flow));
            let _ = self.followers.send(FlowItem::Flow(flow));
        }
    }

    /// The last `count` flows that match, oldest first, and every item from there on: none twice, none left out.
    pub fn follow(&self, count: usize, filter: &Filter) -> (Vec<Arc<Flow>>, broadcast::Receiver<FlowItem>) {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last: Vec<_> =
            recent.iter().rev().filter(|flow| filter.matches(flow)).take(count).cloned().collect();
        last.reverse();
        (last, self.followers.subscribe())
    }
}

/// Which flows to show: those that match every set that is not empty.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The verdict.
    pub verdicts: BTreeSet<Verdict>,
    /// The workload at either end.
    pub workloads: BTreeSet<WorkloadName>,
    /// The node that saw it.
    pub nodes: BTreeSet<NodeName>,
    /// The protocol.
    pub protocols: BTreeSet<Protocol>,
    /// The port at either end.
    pub ports: BTreeSet<u16>,
}

impl Filter {
    /// Whether `flow` is among them.
    pub fn matches(&self, flow: &Flow) -> bool {
        let Self { verdicts, workloads, nodes, protocols, ports } = self;
        let seen = (verdicts.is_empty() || verdicts.contains(&flow.verdict))
            && (nodes.is_empty() || nodes.contains(&flow.node));
        let Observed::Ip { source, destination, transport } = &flow.packet else {
            return seen && workloads.is_empty() && protocols.is_empty() && ports.is_empty();
        };
        let named = [source, destination].into_iter().filter_map(|end| end.workload.as_ref());
        let numbers = transport.ports().map(|(source, destination)| [source, destination]);
        seen && (workloads.is_empty() || named.into_iter().any(|name| workloads.contains(name)))
            && (protocols.is_empty() || protocols.contains(&transport.protocol()))
            && (ports.is_empty() || numbers.into_iter().flatten().any(|port| ports.contains(&port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_proto::{FlowEnd, Mode, Transport};
    use selvedge_topology::identity::Identity;
    use std::time::SystemTime;

    fn flow(verdict: Verdict, workload: &str, port: u16) -> Flow {
        let end = |workload: Option<&str>| FlowEnd {
            address: "10.0.0.1".parse().unwrap(),
            identity: Identity(256),
            workload: workload.map(|name| name.parse().unwrap()),
        };
        let transport =
            Transport::Ports { protocol: Protocol::TCP, source: 40_000, destination: port, tcp_flags: 2 };
        Flow {
            time: SystemTime::UNIX_EPOCH,
            node: "host1".parse().unwrap(),
            port: "w1".parse().unwrap(),
            mode: Mode::Native,
            packet: Observed::Ip { source: end(Some(workload)), destination: end(None), transport },
            length: 60,
            verdict,
            reason: "policy-deny".parse().unwrap(),
            rule: None,
            generation: None,
        }
    }

    #[test]
    fn a_flow_has_to_match_every_filter_that_is_given() {
        let denied = flow(Verdict::Denied, "web1", 80);
        let all = Filter::default();
        let web = Filter { workloads: ["web1".parse().unwrap()].into(), ..Filter::default() };
        let web_on_81 = Filter { ports: [81].into(), ..web.clone() };
        let allowed = Filter { verdicts: [Verdict::Allowed].into(), ..Filter::default() };
        let udp = Filter { protocols: [Protocol::UDP].into(), ..Filter::default() };
        let shown = [&all, &web, &web_on_81, &allowed, &udp].map(|filter| filter.matches(&denied));
        assert_eq!(shown, [true, true, false, false, false]);
    }

    #[test]
    fn the_log_keeps_the_newest_flows_and_follows_without_a_gap() {
        let log = FlowLog::default();
        let flows = (0..KEPT + 10).map(|n| flow(Verdict::Allowed, "a", u16::try_from(n % 65_536).unwrap()));
        log.push(flows.collect(), 0);
        let (last, mut rest) = log.follow(usize::MAX, &Filter::default());
        assert_eq!(last.len(), KEPT);
        let (last, _) = log.follow(2, &Filter::default());
        let ports: Vec<_> = last
            .iter()
            .map(|flow| match &flow.packet {
                Observed::Ip { transport, .. } => transport.ports().unwrap().1,
                Observed::Frame { .. } => unreachable!(),
            })
            .collect();
        assert_eq!(ports, [8, 9]);
        log.push(vec![flow(Verdict::Denied, "b", 1)], 7);
        assert!(matches!(rest.try_recv(), Ok(FlowItem::Lost(7))));
        assert!(matches!(rest.try_recv(), Ok(FlowItem::Flow(flow)) if flow.verdict == Verdict::Denied));
        assert!(rest.try_recv().is_err());
    }

    #[test]
    fn a_follower_that_is_too_slow_is_told_how_many_flows_it_lost() {
        let log = FlowLog::default();
        let (_, mut slow) = log.follow(0, &Filter::default());
        log.push((0..BEHIND + 5).map(|_| flow(Verdict::Allowed, "a", 1)).collect(), 0);
        assert!(matches!(slow.try_recv(), Err(broadcast::error::TryRecvError::Lagged(5))));
    }
}
