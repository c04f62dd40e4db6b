//! Plans as a compiler would make them.

use selvedge_topology::demands::Demands;
use selvedge_topology::identity::Identity;
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::labels::Labels;
use selvedge_topology::model::{Action, Direction, NodeRole, PortRole, RuleId};
use selvedge_topology::plan::{
    Decision, Outcome, Plan, PlanAddress, PlanIdentity, PlanInterval, PlanPort, PlanRow, PlanRule, PlanSet,
    PlanWorkload, Runs, SetId,
};
use selvedge_topology::timeouts::Timeouts;

const APP: Identity = Identity(256);
const ALLOW: RuleId = RuleId(7);
const DENY: RuleId = RuleId(100);

/// `app1` (10.1.0.12) behind `w1`, reachable from everywhere on TCP `port` and nothing else; all it does itself is allowed.
pub(crate) fn allowing(port: u16) -> Plan {
    allowing_only(L4Key::new(Protocol::TCP, port))
}

/// The same, for any one port of any protocol.
pub(crate) fn allowing_only(key: L4Key) -> Plan {
    let decision = |outcome, rule| Decision { outcome, rule, logged: false };
    let (allowed, denied) = (decision(Outcome::Allowed, ALLOW), decision(Outcome::Denied, DENY));
    let interval = |first, decision| PlanInterval { first, decision };
    let after = L4Key::from_number(key.number() + 1).unwrap();
    let open = vec![interval(L4Key::FIRST, denied), interval(key, allowed), interval(after, denied)];
    let row = |direction, default| PlanRow { subject: APP, direction, default, peers: Vec::new() };
    let rule = |id, display: &str, action| PlanRule {
        id,
        display: display.to_owned(),
        tier: None,
        direction: Direction::Ingress,
        action,
    };
    Plan {
        demands: Demands::default(),
        node: "host1".parse().unwrap(),
        role: NodeRole::Host,
        timeouts: Timeouts::default(),
        ports: vec![port_of("eth0", PortRole::Uplink), port_of("w1", PortRole::Workload)],
        workloads: vec![PlanWorkload {
            name: "app1".parse().unwrap(),
            identity: APP,
            port: "w1".parse().unwrap(),
            addresses: ["10.1.0.12".parse().unwrap()].into(),
        }],
        addresses: [PlanAddress {
            prefix: "10.1.0.12/32".parse().unwrap(),
            identity: APP,
            class: APP.into(),
        }]
        .into(),
        rows: [row(Direction::Ingress, SetId(1)), row(Direction::Egress, SetId(2))].into(),
        sets: [
            PlanSet { id: SetId(1), intervals: open },
            PlanSet { id: SetId(2), intervals: vec![interval(L4Key::FIRST, allowed)] },
        ]
        .into(),
        rules: [
            rule(ALLOW, "app/ingress/http", Action::Allow),
            rule(DENY, "app/default/ingress", Action::Deny),
        ]
        .into(),
        identities: [PlanIdentity { identity: APP, labels: Labels::default() }].into(),
    }
}

/// The same, where nobody is let in; `denied` says what becomes of who was.
pub(crate) fn closed(denied: Outcome) -> Plan {
    let mut plan = allowing(8080);
    for interval in &mut plan.sets[0].intervals {
        interval.decision = Decision { outcome: denied, rule: DENY, logged: false };
    }
    plan.sets[0].intervals.truncate(1);
    plan
}

/// The same, for a node that has `eth0` only.
pub(crate) fn uplink_only() -> Plan {
    let plan = allowing(8080);
    let ports = vec![port_of("eth0", PortRole::Uplink)];
    Plan {
        ports,
        workloads: vec![],
        addresses: Runs::default(),
        rows: Runs::default(),
        sets: Runs::default(),
        rules: Runs::default(),
        identities: Runs::default(),
        ..plan
    }
}

fn port_of(name: &str, role: PortRole) -> PlanPort {
    PlanPort { name: name.parse().unwrap(), role }
}
