//! Failsafe entries: what the services that a node can't live without send to it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use selvedge_abi::{Address, FailsafeKey};
use selvedge_topology::failsafe::Service;
use selvedge_topology::l4::Protocol;

/// One for each of `services` that is known by its address: a name can't be known to an XDP program.
pub fn entries(services: &[Service]) -> BTreeSet<FailsafeKey> {
    let entry = |service: &Service| {
        let remote = match service.address()? {
            IpAddr::V4(v4) => Address::from_ipv4(v4.octets()),
            IpAddr::V6(v6) => Address(v6.octets()),
        };
        Some(FailsafeKey { remote, remote_port: service.port, protocol: Protocol::TCP.0.into() })
    };
    services.iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use selvedge_topology::failsafe::{Origin, ServiceKind};

    use super::*;

    #[test]
    fn a_service_with_an_address_has_an_entry_and_one_with_a_name_has_none() {
        let service = |host: &str, port| Service {
            kind: ServiceKind::Etcd,
            host: host.to_owned(),
            port,
            origin: Origin::Token,
        };
        let services = [service("172.31.0.1", 2379), service("fd00::1", 7471), service("etcd.example", 2379)];
        let v4 = Address::from_ipv4([172, 31, 0, 1]);
        let v6 = Address("fd00::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
        let entry = |remote, remote_port| FailsafeKey { remote, remote_port, protocol: 6 };
        assert_eq!(entries(&services), BTreeSet::from([entry(v4, 2379), entry(v6, 7471)]));
    }
}
