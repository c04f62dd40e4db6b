//! Numbers for the classes that are neither an identity nor a CIDR of their own. From content, so that an edit
//! elsewhere changes none; where two collide, the later in sorted order takes the next free one.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ipnet::IpNet;
use sha2::{Digest, Sha256};

use super::Halt;
use crate::identity::{Class, Identity};

/// The numbers of pairs of an identity and the narrowest CIDR that holds some of its addresses.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    numbers: BTreeMap<(Identity, IpNet), Class>,
    taken: HashSet<u32>,
    /// Some pairs collide: what is next free depends on all of them, so any other pair takes a new beginning.
    crowded: bool,
}

impl Numbers {
    /// The numbers of all of `pairs`.
    pub(super) fn of_all(pairs: BTreeSet<(Identity, IpNet)>) -> Self {
        let mut all = Self { crowded: true, ..Self::default() };
        for (identity, cidr) in pairs {
            let mut number = hash(identity, cidr);
            while !all.taken.insert(number) {
                number = number.wrapping_add(1) | Identity::END.0;
            }
            all.numbers.insert((identity, cidr), Class(number));
        }
        all
    }

    /// The number of a pair, a new one where it has none. Fails where that takes a look at all pairs.
    pub(super) fn of(&mut self, identity: Identity, cidr: IpNet) -> Result<Class, Halt> {
        if let Some(class) = self.numbers.get(&(identity, cidr)) {
            return Ok(*class);
        }
        let number = hash(identity, cidr);
        if self.crowded || !self.taken.insert(number) {
            return Err(Halt::Crowded);
        }
        self.numbers.insert((identity, cidr), Class(number));
        Ok(Class(number))
    }

    /// The number of a pair that has one.
    pub(super) fn known(&self, identity: Identity, cidr: IpNet) -> Option<Class> {
        self.numbers.get(&(identity, cidr)).copied()
    }

    /// Gives back the number of a pair of which there is no address any more.
    pub(super) fn release(&mut self, identity: Identity, cidr: IpNet) -> Result<(), Halt> {
        let Some(class) = self.numbers.get(&(identity, cidr)).copied() else { return Ok(()) };
        if self.crowded {
            return Err(Halt::Crowded);
        }
        self.numbers.remove(&(identity, cidr));
        self.taken.remove(&class.0);
        Ok(())
    }
}

fn hash(identity: Identity, cidr: IpNet) -> u32 {
    let digest = Sha256::digest(format!("class/{identity}/{cidr}").as_bytes());
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) | Identity::END.0
}
