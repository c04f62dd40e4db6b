//! A service that a node can't live without.

use selvedge_topology::failsafe::{Origin, Service, ServiceKind};

use crate::convert::{DecodeError, narrow, prose};
use crate::wire;

/// Longest host in a report, in bytes: a name of the DNS.
const MAX_HOST: usize = 253;

pub(crate) fn to_wire(service: &Service) -> wire::Service {
    let Service { kind, host, port, origin } = service;
    let kind = match kind {
        ServiceKind::Etcd => wire::ServiceKind::Etcd,
        ServiceKind::Controller => wire::ServiceKind::Controller,
    };
    let origin = match origin {
        Origin::Token => wire::ServiceOrigin::Token,
        Origin::Option => wire::ServiceOrigin::Option,
    };
    wire::Service { kind: kind.into(), host: host.clone(), port: (*port).into(), origin: origin.into() }
}

pub(crate) fn from_wire(service: wire::Service) -> Result<Service, DecodeError> {
    let (kind, origin) = (service.kind(), service.origin());
    let wire::Service { kind: kind_number, host, port, origin: origin_number } = service;
    let unknown = |field, value: i32| DecodeError::Unknown { field, value: value.into() };
    Ok(Service {
        kind: match kind {
            wire::ServiceKind::Etcd => ServiceKind::Etcd,
            wire::ServiceKind::Controller => ServiceKind::Controller,
            wire::ServiceKind::Unspecified => return Err(unknown("service kind", kind_number)),
        },
        host: prose("host", &host, MAX_HOST)?,
        port: narrow("port of a service", port, u16::MAX)?,
        origin: match origin {
            wire::ServiceOrigin::Token => Origin::Token,
            wire::ServiceOrigin::Option => Origin::Option,
            wire::ServiceOrigin::Unspecified => return Err(unknown("service origin", origin_number)),
        },
    })
}
