//! What the maps hold, without reading them each time: nobody but the agent writes them, so what it read once and wrote since is
//! what there is. A change of a few entries then reads none of the others.
//!
//! It is believed only as long as nothing speaks against it: after a start, an error, a failed proof or a configuration that is
//! not the agent's, everything is read, and so it is every now and then in any case ([`KnownTables::doubt`]).

use std::collections::BTreeMap;

use selvedge_abi::{Config, map};
use selvedge_agent_core::{Entry, Key, Slot, Source, Tables, differences};

use super::kernel::DatapathError;
use super::pins::Pins;
use super::tables::{KernelTables, in_map};

/// The maps, and what is known of them.
pub(super) struct KnownTables {
    kernel: KernelTables,
    known: Knowledge,
}

enum Knowledge {
    /// None yet: the maps were opened just now, and are to be read.
    Opened,
    /// None any more: what the maps hold is to be read.
    Nothing,
    /// What the maps hold.
    Sure(Tables),
    /// What they should hold, if nobody else writes them.
    Doubted(Tables),
}

impl KnownTables {
    /// Opens every pinned map.
    pub(super) fn open(pins: &Pins) -> Result<Self, DatapathError> {
        let mut kernel = KernelTables::open(pins)?;
        // An agent before this one may have died when it had changed a port, and not said so yet.
        kernel.forget_notes().map_err(in_map(map::CONFIG))?;
        Ok(Self { kernel, known: Knowledge::Opened })
    }

    /// The maps themselves.
    pub(super) fn kernel(&self) -> &KernelTables {
        &self.kernel
    }

    /// The next look reads everything, and tells of what is not as it was left.
    pub(super) fn doubt(&mut self) {
        self.known = match std::mem::replace(&mut self.known, Knowledge::Nothing) {
            Knowledge::Sure(tables) => Knowledge::Doubted(tables),
            other => other,
        };
    }

    /// Nothing is known any more.
    pub(super) fn forget(&mut self) {
        self.known = Knowledge::Nothing;
    }

    /// Everything the maps hold, and whether they were read for it.
    pub(super) fn look(&mut self, pins: &Pins) -> Result<(Tables, Source), DatapathError> {
        let config = self.kernel.config()?;
        let (tables, source) = match std::mem::replace(&mut self.known, Knowledge::Nothing) {
            Knowledge::Sure(tables) if tables.config == config => (tables, Source::Kept),
            Knowledge::Sure(before) | Knowledge::Doubted(before) => {
                let tables = self.read(pins)?;
                tell(&differences(&before, &tables));
                (tables, Source::Read)
            }
            Knowledge::Opened => (self.kernel.read()?, Source::Read),
            Knowledge::Nothing => (self.read(pins)?, Source::Read),
        };
        self.known = Knowledge::Sure(tables.clone());
        self.kernel.rest();
        Ok((tables, source))
    }

    /// Reads every map, whatever was known of any.
    fn read(&mut self, pins: &Pins) -> Result<Tables, DatapathError> {
        self.kernel.take_stock(pins)?;
        self.kernel.read()
    }

    /// Writes one entry.
    pub(super) fn put(&mut self, entry: &Entry) -> Result<(), DatapathError> {
        self.change(|kernel| kernel.put(entry), |tables| tables.put(entry))
    }

    /// Deletes one entry, if it is there.
    pub(super) fn delete(&mut self, key: &Key) -> Result<(), DatapathError> {
        self.change(
            |kernel| kernel.delete(key),
            |tables| {
                tables.delete(key);
            },
        )
    }

    /// Puts another slot in use. What was written until then is all that is in it.
    pub(super) fn switch(&mut self, config: &Config) -> Result<(), DatapathError> {
        let known = |tables: &mut Tables| {
            if tables.config.slot != config.slot {
                tables.slot_mut(Slot::in_use(config)).prune();
            }
            tables.config = *config;
        };
        self.change(|kernel| kernel.switch(config), known)
    }

    /// Does the same to the maps and to what is known of them; an error leaves nothing known.
    fn change(
        &mut self,
        kernel: impl FnOnce(&mut KernelTables) -> Result<(), DatapathError>,
        known: impl FnOnce(&mut Tables),
    ) -> Result<(), DatapathError> {
        let before = std::mem::replace(&mut self.known, Knowledge::Nothing);
        kernel(&mut self.kernel)?;
        self.known = match before {
            Knowledge::Sure(mut tables) => {
                known(&mut tables);
                Knowledge::Sure(tables)
            }
            Knowledge::Doubted(mut tables) => {
                known(&mut tables);
                Knowledge::Doubted(tables)
            }
            Knowledge::Opened | Knowledge::Nothing => Knowledge::Nothing,
        };
        Ok(())
    }
}

fn tell(differences: &BTreeMap<&'static str, usize>) {
    if !differences.is_empty() {
        tracing::warn!(entries = ?differences, "somebody else changed the tables; what the plan says is put back");
    }
}
