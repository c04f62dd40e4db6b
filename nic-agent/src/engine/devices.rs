//! What NICs have dropped: added up over their programs, kept on disk, and said where some of it is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use selvedge_agent_core::device::DeviceCounts;
use selvedge_topology::model::RuleId;
use selvedge_topology::names::PortName;

use crate::datapath::{Counted, Last};
use crate::store::{StateDir, StateError};

/// How often counts are kept, where programs stay. A device's words are of 32 bits: whoever takes the counts up again tells how much is
/// new only if that is less than 2^32 packets, so 71 million a second.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// The counts, and what is on disk of them.
pub(super) struct Devices {
    /// This start of the machine.
    boot: String,
    counts: DeviceCounts,
    kept: DeviceCounts,
    kept_at: SystemTime,
    /// Ports whose counters can't be read, and why.
    unread: BTreeMap<PortName, String>,
}

impl Devices {
    /// Takes up what `state` has.
    pub(super) fn load(state: &StateDir, boot: String) -> Self {
        let counts = state.load_device_counts(&boot);
        let (kept, kept_at, unread) = (counts.clone(), SystemTime::UNIX_EPOCH, BTreeMap::new());
        Self { boot, counts, kept, kept_at, unread }
    }

    /// Packets that NICs dropped, by rule.
    pub(super) fn packets(&self) -> BTreeMap<RuleId, u64> {
        self.counts.packets().collect()
    }

    /// Why the counters of a port's NIC can't be read.
    pub(super) fn unread(&self, port: &PortName) -> Option<&String> {
        self.unread.get(port)
    }

    /// Adds what programs have counted. What one counted that is gone, and was not read to its end, is told to be lost.
    pub(super) fn add(&mut self, nics: BTreeMap<PortName, Counted>) {
        let running = nics.iter().map(|(port, counted)| (port.clone(), counted.program)).collect();
        for port in self.counts.bereft(&running) {
            tracing::warn!(%port, "the program in the NIC is gone, and with it what it counted since it was last read");
        }
        let before = std::mem::take(&mut self.unread);
        for (port, Counted { reading, .. }) in nics {
            match reading {
                Ok(reading) => self.counts.add(&port, reading),
                Err(reason) => {
                    if before.get(&port) != Some(&reason) {
                        tracing::warn!(%port, reason, "what the NIC counts can't be read");
                    }
                    self.unread.insert(port, reason);
                }
            }
        }
    }

    /// Adds what a program counted to its end.
    pub(super) fn close(&mut self, port: &PortName, last: Last) {
        match last {
            Some(Ok(reading)) => self.counts.add(port, reading),
            Some(Err(reason)) => {
                tracing::warn!(%port, reason, "what the program that was in the NIC counted since it was last read is lost");
            }
            // It was there before this agent, which has not looked at it: the next look misses it.
            None => return,
        }
        self.counts.close(port);
    }

    /// Forgets rules that are no more.
    pub(super) fn keep_rules(&mut self, rules: &BTreeSet<RuleId>) {
        self.counts.keep(rules);
    }

    /// Writes the counts to disk, if they are others than there.
    pub(super) fn save(&mut self, state: &StateDir, now: SystemTime) -> Result<(), StateError> {
        if self.counts == self.kept {
            return Ok(());
        }
        state.save_device_counts(&self.boot, &self.counts)?;
        (self.kept, self.kept_at) = (self.counts.clone(), now);
        Ok(())
    }

    /// Whether it is time to save them.
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        now.duration_since(self.kept_at).is_ok_and(|since| since >= KEEP_EVERY)
    }
}
