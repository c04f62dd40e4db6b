//! Somebody else who writes into maps of cards.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use selvedge_tests::bpf::{MapInfo, MapKind, map, map_info, maps, update};

/// How often it looks for maps.
const EVERY: Duration = Duration::from_millis(10);

/// Fills every hash map that appears in a card, from when it is made until it leaves.
pub(crate) struct Writer {
    leaves: Arc<AtomicBool>,
    works: JoinHandle<usize>,
}

impl Writer {
    pub(crate) fn comes() -> Self {
        let leaves = Arc::new(AtomicBool::new(false));
        let last = maps().last().unwrap_or_default();
        let works = thread::spawn({
            let leaves = Arc::clone(&leaves);
            move || fill(last, &leaves)
        });
        Self { leaves, works }
    }

    /// How many maps it filled.
    pub(crate) fn leaves(self) -> usize {
        self.leaves.store(true, Ordering::Relaxed);
        self.works.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Numbers of maps grow, so those above `last` are new.
fn fill(mut last: u32, leaves: &AtomicBool) -> usize {
    let mut filled = 0;
    while !leaves.load(Ordering::Relaxed) {
        let new: Vec<u32> = maps().filter(|id| *id > last).collect();
        // One that is gone again, or that its owner has filled first, is of no use.
        filled += new.iter().filter(|id| matches!(fill_one(**id), Ok(true))).count();
        last = new.last().copied().unwrap_or(last);
        thread::sleep(EVERY);
    }
    filled
}

/// Writes as many entries as a simulated card has room for (`NSIM_BPF_MAX_KEYS`); whether the map is a hash map in a card.
fn fill_one(id: u32) -> io::Result<bool> {
    let map = map(id)?;
    let MapInfo { kind, key_size, value_size, ifindex, .. } = map_info(map.as_fd())?;
    if ifindex == 0 || kind != MapKind::Hash as u32 {
        return Ok(false);
    }
    let value = vec![0; value_size];
    for byte in [0xfe, 0xff] {
        update(map.as_fd(), &vec![byte; key_size], &value)?;
    }
    Ok(true)
}
