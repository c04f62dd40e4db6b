//! What happened to packets: events from the ring, as flows with names, to the controller.

mod decode;
mod export;
mod ring;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use selvedge_agent_core::Observed;
use selvedge_hw_profiles::Mode;
use selvedge_topology::model::RuleId;
use selvedge_topology::names::{NodeName, PortName, WorkloadName};
use selvedge_topology::plan::Plan;

pub use decode::Clock;
pub use export::{discard, export};
pub use ring::read_ring;

/// Names for the numbers in events. Made anew after each change.
#[derive(Clone, Debug)]
pub struct Directory {
    node: NodeName,
    ports: BTreeMap<u32, (PortName, Option<Mode>)>,
    workloads: BTreeMap<IpAddr, WorkloadName>,
    rules: BTreeMap<RuleId, String>,
}

impl Directory {
    /// The names that `plan` and what is observed know.
    pub fn new(node: &NodeName, plan: Option<&Plan>, observed: &Observed) -> Self {
        let attached = observed.attachments.iter().filter_map(|(port, attachment)| {
            let index = attachment.index?.0;
            Some((index, (port.clone(), Some(attachment.mode))))
        });
        let workloads = plan.iter().flat_map(|plan| &plan.workloads);
        let addresses = workloads.flat_map(|workload| {
            workload.addresses.iter().map(move |address| (*address, workload.name.clone()))
        });
        let rules = plan.iter().flat_map(|plan| &plan.rules);
        Self {
            node: node.clone(),
            ports: attached.collect(),
            workloads: addresses.collect(),
            rules: rules.map(|rule| (rule.id, rule.display.clone())).collect(),
        }
    }
}

/// Events that were read and never reached the controller.
#[derive(Clone, Debug, Default)]
pub struct Lost(Arc<AtomicU64>);

impl Lost {
    fn add(&self, events: u64) {
        self.0.fetch_add(events, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
