//! Workloads.

use std::net::IpAddr;

use super::super::constraint::Constraint::AnyOf;
use super::super::declare::record;
use super::super::decode::List;
use super::super::limits;
use super::super::scalars::{LabelMap, Port};
use super::AttachmentSpec;
use crate::l4::PortProtocol;
use crate::model::Enforcement;
use crate::names::ServiceName;

record! {
    /// A named thing with labels and addresses.
    WorkloadSpec {
        /// What selectors see of it; `{}` where there are none.
        Required "labels" labels: LabelMap, hint "write `labels: {}` for a workload without labels";
        /// Its addresses; no two workloads share one.
        Required "addresses" addresses: List<IpAddr, 1, { limits::ADDRESSES }>,
            hint "without an address nothing can be enforced for it";
        /// Where it is: a workload port of a node with an agent, which enforces for it; or an uplink of one that is the
        /// workload itself (bare metal).
        Optional "attachment" attachment: AttachmentSpec;
        /// That nobody enforces for it. Written where that is so, so that nobody believes otherwise.
        Optional "unmanaged" unmanaged: bool;
        /// Whether a generation is refused that is known to leave it unenforced at some port: `required` (by default) or
        /// `optional`.
        Optional "enforcement" enforcement: Enforcement;
        /// Its service ports, which policies can name.
        Optional "services" services: List<ServiceSpec, 0, { limits::SERVICES }>;
        where [AnyOf(
            &["attachment", "unmanaged"],
            "write where it is, or `unmanaged: true` where nobody enforces for it",
        )]
    }

    /// A service port of a workload.
    ServiceSpec {
        /// Its name, unique in the workload.
        Required "name" name: ServiceName;
        /// Its protocol: TCP, UDP or SCTP.
        Required "protocol" protocol: PortProtocol;
        /// Its port.
        Required "port" port: Port;
    }
}
