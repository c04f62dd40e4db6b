//! Who has which address: everybody's own.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;

use super::super::codes::Code;
use super::super::decode::{Field, List};
use super::super::sink::Sink;
use super::super::tree::Span;

/// Every address claimed so far.
#[derive(Default)]
pub(super) struct AddressBook(HashMap<IpAddr, Claim>);

/// Who claims addresses.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) kind: &'static str,
    pub(super) name: Box<str>,
}

struct Claim {
    owner: Owner,
    span: Span,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name)
    }
}

impl AddressBook {
    /// Claims addresses for `owner`, and reports those that are taken.
    pub(super) fn claim<const MIN: usize, const MAX: usize>(
        &mut self,
        owner: &Owner,
        addresses: &Field<List<IpAddr, MIN, MAX>>,
        sink: &mut Sink<'_>,
    ) -> BTreeSet<IpAddr> {
        let mut claimed = BTreeSet::new();
        for address in addresses.value().into_iter().flat_map(|list| &list.0) {
            if let Some(Claim { owner: first, span }) = self.0.get(&address.value) {
                let message = format!("`{}` of {owner} is already claimed by {first}", address.value);
                let help =
                    format!("first claimed at {}; an address belongs to one of them", sink.place(*span));
                sink.error(Code::DuplicateAddress, address.span, message, help);
            } else {
                self.0.insert(address.value, Claim { owner: owner.clone(), span: address.span });
                claimed.insert(address.value);
            }
        }
        claimed
    }
}
