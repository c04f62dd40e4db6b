//! Assertions about policy: documents of their own, and no part of a fabric.

use super::super::constraint::Constraint::{Needs, OneOf};
use super::super::declare::record;
use super::super::decode::List;
use super::super::limits;
use super::super::scalars::{Cidr, Description};
use super::policy::{PortMatchSpec, SelectorSpec};
use crate::assertions::Expect;
use crate::model::Entity;
use crate::names::{GroupName, WorkloadName};

/// The kind of such a document.
pub(crate) const POLICY_TEST: &str = "PolicyTest";

record! {
    /// What policy has to come to.
    PolicyTestSpec {
        /// Assertions, each of which is judged.
        Required "assertions" assertions: List<AssertionSpec, 1, { limits::ASSERTIONS }>,
            hint "a test without assertions can't fail";
    }

    /// What new connections have to come to.
    AssertionSpec {
        /// What it says, in its author's words.
        Required "name" name: Description;
        /// Where connections come from: any of these.
        Required "from" from: List<WhomSpec, 1, { limits::PEERS }>, hint "write `- entity: any` for everyone";
        /// But none of these.
        Optional "exceptFrom" except_from: List<WhomSpec, 1, { limits::PEERS }>;
        /// Where they go: any of these.
        Required "to" to: List<WhomSpec, 1, { limits::PEERS }>, hint "write `- entity: any` for everyone";
        /// But none of these.
        Optional "exceptTo" except_to: List<WhomSpec, 1, { limits::PEERS }>;
        /// Destination ports: any of these.
        Required "ports" ports: List<PortMatchSpec, 1, { limits::RULE_PORTS }>,
            hint "write `- protocol: any` for everything";
        /// What is to become of all of them: allowed or denied.
        Required "expect" expect: Expect;
        /// Whether it may be about nobody; otherwise that is a failure.
        Optional "allowEmpty" allow_empty: bool;
    }

    /// An end of connections, in one of five ways.
    WhomSpec {
        /// Workloads by label; `{}` for every workload.
        Optional "selector" selector: SelectorSpec;
        /// One workload.
        Optional "workload" workload: WorkloadName;
        /// A kind of peer: world, host, remote-node, unmanaged or any.
        Optional "entity" entity: Entity;
        /// Addresses, whoever has them.
        Optional "cidr" cidr: Cidr;
        /// Holes in `cidr`.
        Optional "except" except: List<Cidr, 0, { limits::EXCEPTS }>;
        /// Addresses of a CidrGroup.
        Optional "cidrGroup" cidr_group: GroupName;
        where [OneOf(&["selector", "workload", "entity", "cidr", "cidrGroup"]), Needs("except", "cidr")]
    }
}
