//! Plans and machines for the tests of this crate.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr;

use selvedge_topology::demands::Demands;
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::labels::Labels;
use selvedge_topology::model::{Action, Direction, NodeRole, PortRole, RuleId};
use selvedge_topology::plan::{
    Decision, Outcome, Plan, PlanAddress, PlanIdentity, PlanInterval, PlanPort, PlanRow, PlanRule, PlanSet,
    PlanWorkload, SetId,
};
use selvedge_topology::timeouts::Timeouts;

use crate::machine::{IfIndex, Interface, Machine};

/// A name, where a test knows that it is one.
pub(crate) fn name<N: FromStr<Err: std::fmt::Debug>>(text: &str) -> N {
    text.parse().unwrap()
}

/// A machine with veths of these names, numbered from 10.
pub(crate) fn machine(ports: &[&str]) -> Machine {
    let interface = |(port, index): (&&str, u32)| {
        let interface = Interface::veth(IfIndex(index));
        (port.to_string(), interface)
    };
    Machine { interfaces: ports.iter().zip(10..).map(interface).collect() }
}

pub(crate) const WEB: Identity = Identity(256);
pub(crate) const APP: Identity = Identity(257);
pub(crate) const RANGE: Class = Class(0x8000_0001);

/// A small plan of node `host1`: an uplink, one workload port with `app1` behind it, `web1` elsewhere, a CIDR.
pub(crate) struct Sample {
    pub(crate) plan: Plan,
}

pub(crate) fn set(id: u64, intervals: &[(u32, Outcome, u32)]) -> PlanSet {
    let interval = |&(first, outcome, rule): &(u32, Outcome, u32)| PlanInterval {
        first: L4Key::from_number(first).unwrap(),
        decision: Decision { outcome, rule: RuleId(rule), logged: outcome == Outcome::Denied },
    };
    PlanSet { id: SetId(id), intervals: intervals.iter().map(interval).collect() }
}

pub(crate) fn rule(id: u32) -> PlanRule {
    let (direction, action) = (Direction::Ingress, Action::Allow);
    PlanRule { id: RuleId(id), display: format!("p/ingress/{id:08x}"), tier: None, direction, action }
}

impl Sample {
    pub(crate) fn new() -> Self {
        let http = L4Key::new(Protocol::TCP, 8080).number();
        let address = |prefix: &str, identity: Identity, class: Class| PlanAddress {
            prefix: prefix.parse().unwrap(),
            identity,
            class,
        };
        let app: BTreeSet<IpAddr> = ["10.1.0.12".parse().unwrap(), "fd00:1::12".parse().unwrap()].into();
        let row = |direction, default, peers: Vec<(Class, SetId)>| PlanRow {
            subject: APP,
            direction,
            default,
            peers,
        };
        let plan = Plan {
            demands: Demands::default(),
            node: name("host1"),
            role: NodeRole::Host,
            timeouts: Timeouts::default(),
            ports: vec![
                PlanPort { name: name("eth0"), role: PortRole::Uplink },
                PlanPort { name: name("w1"), role: PortRole::Workload },
            ],
            workloads: vec![PlanWorkload {
                name: name("app1"),
                identity: APP,
                port: name("w1"),
                addresses: app,
            }],
            addresses: [
                address("10.0.0.0/8", Identity::WORLD, RANGE),
                address("10.1.0.11/32", WEB, WEB.into()),
                address("10.1.0.12/32", APP, APP.into()),
                address("fd00:1::/64", Identity::WORLD, RANGE),
                address("fd00:1::12/128", APP, APP.into()),
            ]
            .into(),
            rows: [
                row(Direction::Ingress, SetId(1), vec![(WEB.into(), SetId(2))]),
                row(Direction::Egress, SetId(3), Vec::new()),
            ]
            .into(),
            sets: [
                set(1, &[(0, Outcome::Denied, 100)]),
                set(
                    2,
                    &[
                        (0, Outcome::Denied, 100),
                        (http, Outcome::Allowed, 7),
                        (http + 1, Outcome::Denied, 100),
                    ],
                ),
                set(3, &[(0, Outcome::AllowedStateless, 101)]),
            ]
            .into(),
            rules: [rule(7), rule(100), rule(101)].into(),
            identities: [PlanIdentity { identity: APP, labels: Labels::default() }].into(),
        };
        Self { plan }
    }
}
