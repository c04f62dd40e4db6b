//! Who has which address: everybody's own.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;

use super::super::codes::Code;
use super::super::decode::{Field, List};
use super::super::sink::Sink;
use super::super::tree::Span;
use super::Rest;
use crate::names::WorkloadName;

/// Addresses, and who claims each.
pub(crate) type Claims = HashMap<IpAddr, Claim>;

/// Every address claimed so far, beside what others hold.
pub(super) struct AddressBook<'r> {
    pub(super) rest: Rest<'r>,
    pub(super) claims: Claims,
}

/// Who claims addresses.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) kind: &'static str,
    pub(super) name: Box<str>,
}

/// Who claims an address, and where.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(super) owner: Owner,
    span: Span,
}

impl Claim {
    /// The workload, where it is one that claims it.
    pub(crate) fn workload(&self) -> Option<WorkloadName> {
        self.owner.name.parse().ok().filter(|_| self.owner.kind == "workload")
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name)
    }
}

impl<'r> AddressBook<'r> {
    pub(super) fn new(rest: Rest<'r>) -> Self {
        Self { rest, claims: Claims::new() }
    }

    /// Claims addresses for `owner`, and reports those that are taken.
    pub(super) fn claim<const MIN: usize, const MAX: usize>(
        &mut self,
        owner: &Owner,
        addresses: &Field<List<IpAddr, MIN, MAX>>,
        sink: &mut Sink<'_>,
    ) -> BTreeSet<IpAddr> {
        let mut claimed = BTreeSet::new();
        for address in addresses.value().into_iter().flat_map(|list| &list.0) {
            let first = self.claims.get(&address.value).or_else(|| self.rest.claim(&address.value));
            if let Some(Claim { owner: first, span }) = first {
                let message = format!("`{}` of {owner} is already claimed by {first}", address.value);
                let help =
                    format!("first claimed at {}; an address belongs to one of them", sink.place(*span));
                sink.error(Code::DuplicateAddress, address.span, message, help);
            } else {
                self.claims.insert(address.value, Claim { owner: owner.clone(), span: address.span });
                claimed.insert(address.value);
            }
        }
        claimed
    }
}
