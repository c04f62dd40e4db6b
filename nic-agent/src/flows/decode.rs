//! Event → flow.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use selvedge_abi::{Address, Event, Reason, Verdict};
use selvedge_hw_profiles::Mode;
use selvedge_proto::{
    Flow, FlowEnd, FlowRule, Mode as FlowMode, Observed, Transport, Verdict as FlowVerdict,
};
use selvedge_topology::identity::Identity;
use selvedge_topology::l4::Protocol;
use selvedge_topology::model::RuleId;
use selvedge_topology::plan::Generation;

use super::Directory;

/// Turns the kernel's monotonic nanoseconds into time of day.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    boot: SystemTime,
}

impl Clock {
    /// From two readings of the same moment.
    pub fn new(now: SystemTime, monotonic: Duration) -> Self {
        Self { boot: now.checked_sub(monotonic).unwrap_or(SystemTime::UNIX_EPOCH) }
    }

    fn time(self, nanoseconds: u64) -> SystemTime {
        self.boot + Duration::from_nanos(nanoseconds)
    }
}

const ETHER_TYPE_IPV4: u16 = 0x0800;
const ETHER_TYPE_IPV6: u16 = 0x86dd;

/// The flow of an event; `None` where the event says what this version does not know, or its port is gone.
pub(super) fn flow(event: &Event, directory: &Directory, clock: Clock) -> Option<Flow> {
    let reason = Reason::from_number(event.reason)?;
    let (port, mode) = directory.ports.get(&event.ifindex)?;
    Some(Flow {
        time: clock.time(event.time),
        node: directory.node.clone(),
        port: port.clone(),
        mode: match mode {
            Some(Mode::Native) => FlowMode::Native,
            Some(Mode::Generic) => FlowMode::Generic,
            Some(Mode::Offload) | None => FlowMode::None,
        },
        packet: packet(event, directory),
        length: event.length,
        verdict: match reason.verdict() {
            Verdict::Allowed => FlowVerdict::Allowed,
            Verdict::Denied => FlowVerdict::Denied,
            Verdict::Dropped => FlowVerdict::Dropped,
        },
        reason: reason.name().parse().ok()?,
        rule: rule(event.rule, directory),
        generation: (event.generation != 0).then_some(Generation(event.generation)),
    })
}

fn rule(number: u32, directory: &Directory) -> Option<FlowRule> {
    let id = RuleId(number);
    let display = || directory.rules.get(&id).cloned().unwrap_or_default();
    (number != 0).then(|| FlowRule { id, display: display() })
}

fn packet(event: &Event, directory: &Directory) -> Observed {
    let Event { ether_type, source, destination, .. } = *event;
    let unread = source == Address([0; 16]) && destination == Address([0; 16]);
    if !matches!(ether_type, ETHER_TYPE_IPV4 | ETHER_TYPE_IPV6) || unread {
        return Observed::Frame { ether_type };
    }
    let end = |address: Address, identity: u32| {
        let address = ip(address);
        FlowEnd {
            address,
            identity: Identity(identity),
            workload: directory.workloads.get(&address).cloned(),
        }
    };
    Observed::Ip {
        source: end(source, event.source_identity),
        destination: end(destination, event.destination_identity),
        transport: transport(event),
    }
}

fn transport(event: &Event) -> Transport {
    let (source, destination) = (event.source_port, event.destination_port);
    match Protocol(event.protocol) {
        Protocol::TCP => {
            Transport::Ports { protocol: Protocol::TCP, source, destination, tcp_flags: event.tcp_flags }
        }
        protocol @ (Protocol::UDP | Protocol::SCTP) => {
            Transport::Ports { protocol, source, destination, tcp_flags: 0 }
        }
        // The event carries type and code in the place of ports; both are bytes.
        protocol @ (Protocol::ICMP | Protocol::ICMPV6) => {
            Transport::Icmp { protocol, kind: source as u8, code: destination as u8 }
        }
        protocol => Transport::Other(protocol),
    }
}

fn ip(address: Address) -> IpAddr {
    Ipv6Addr::from(address.0).to_canonical()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use selvedge_abi::EventKind;

    use super::*;

    fn directory() -> Directory {
        Directory {
            node: "host1".parse().unwrap(),
            ports: BTreeMap::from([(5, ("w1".parse().unwrap(), Some(Mode::Generic)))]),
            workloads: BTreeMap::from([("10.1.0.11".parse().unwrap(), "web1".parse().unwrap())]),
            rules: BTreeMap::from([(RuleId(7), "app/ingress/http".to_owned())]),
        }
    }

    fn event() -> Event {
        Event {
            time: 5_000_000_000,
            generation: 3,
            source: Address::from_ipv4([10, 1, 0, 11]),
            destination: Address::from_ipv4([192, 0, 2, 1]),
            source_identity: 256,
            destination_identity: 2,
            rule: 7,
            reason: Reason::PolicyDeny as u32,
            kind: EventKind::Drop as u32,
            ifindex: 5,
            length: 74,
            source_port: 40_000,
            destination_port: 443,
            protocol: 6,
            tcp_flags: 2,
            ether_type: ETHER_TYPE_IPV4,
            reserved: 0,
        }
    }

    fn clock() -> Clock {
        Clock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000), Duration::from_secs(100))
    }

    #[test]
    fn an_event_becomes_a_flow_with_names() {
        let flow = flow(&event(), &directory(), clock()).unwrap();
        assert_eq!(flow.time, SystemTime::UNIX_EPOCH + Duration::from_secs(905));
        assert_eq!(
            (flow.port.as_str(), flow.mode, flow.verdict),
            ("w1", FlowMode::Generic, FlowVerdict::Denied)
        );
        assert_eq!((flow.reason.as_str(), flow.generation), ("policy-deny", Some(Generation(3))));
        assert_eq!(flow.rule, Some(FlowRule { id: RuleId(7), display: "app/ingress/http".to_owned() }));
        let Observed::Ip { source, destination, transport } = flow.packet else { panic!("an IP packet") };
        assert_eq!(source.workload, Some("web1".parse().unwrap()));
        assert_eq!((source.address, source.identity), ("10.1.0.11".parse().unwrap(), Identity(256)));
        assert_eq!((destination.workload, destination.identity), (None, Identity(2)));
        let protocol = Protocol::TCP;
        assert_eq!(transport, Transport::Ports { protocol, source: 40_000, destination: 443, tcp_flags: 2 });
    }

    #[test]
    fn icmp_carries_type_and_code_and_a_rule_forgotten_since_keeps_its_number() {
        let event = Event { protocol: 1, source_port: 8, destination_port: 0, rule: 9, ..event() };
        let flow = flow(&event, &directory(), clock()).unwrap();
        assert_eq!(flow.rule, Some(FlowRule { id: RuleId(9), display: String::new() }));
        let Observed::Ip { transport, .. } = flow.packet else { panic!("an IP packet") };
        assert_eq!(transport, Transport::Icmp { protocol: Protocol::ICMP, kind: 8, code: 0 });
    }

    #[test]
    fn a_frame_without_addresses_is_told_by_its_type() {
        let none = Address([0; 16]);
        let reason = Reason::UnknownEtherType as u32;
        let event = Event { ether_type: 0x88cc, source: none, destination: none, rule: 0, reason, ..event() };
        let flow = flow(&event, &directory(), clock()).unwrap();
        assert_eq!((flow.packet, flow.rule), (Observed::Frame { ether_type: 0x88cc }, None));
        assert_eq!(flow.verdict, FlowVerdict::Dropped);
    }

    #[test]
    fn what_is_not_known_is_no_flow() {
        assert_eq!(flow(&Event { reason: 9999, ..event() }, &directory(), clock()), None);
        assert_eq!(flow(&Event { ifindex: 6, ..event() }, &directory(), clock()), None);
    }
}
