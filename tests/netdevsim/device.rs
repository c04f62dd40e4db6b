//! What a simulated card says of the programs in it, and its switches (drivers/net/netdevsim/bpf.c), in debugfs.

use std::fs;
use std::io;
use std::path::PathBuf;

/// A card's folder.
pub(crate) struct Device(PathBuf);

impl Device {
    /// That of card `number`.
    pub(crate) fn of(number: u32) -> Self {
        Self(format!("/sys/kernel/debug/netdevsim/netdevsim{number}").into())
    }

    /// The number of the program that runs in a port; 0: none.
    pub(crate) fn offloaded(&self, port: usize) -> io::Result<u32> {
        let text = fs::read_to_string(self.0.join(format!("ports/{port}/bpf_offloaded_id")))?;
        text.trim().parse().map_err(io::Error::other)
    }

    /// Of every program that is bound to the card: its number, and how far it is (`xlated`: the driver has taken it).
    pub(crate) fn bound(&self) -> io::Result<Vec<(u32, String)>> {
        let entries = fs::read_dir(self.0.join("bpf_bound_progs"))?.collect::<io::Result<Vec<_>>>()?;
        let read = |entry: &fs::DirEntry| {
            let text = |file| fs::read_to_string(entry.path().join(file)).map(|text| text.trim().to_owned());
            Ok((text("id")?.parse().map_err(io::Error::other)?, text("state")?))
        };
        let mut bound = entries.iter().map(read).collect::<io::Result<Vec<_>>>()?;
        bound.sort();
        Ok(bound)
    }

    /// Has the driver accept or refuse something, by the name of the switch.
    pub(crate) fn accept(&self, switch: &str, accepts: bool) -> io::Result<()> {
        fs::write(self.0.join(switch), if accepts { "Y" } else { "N" })
    }

    /// Has the verifier of the card take so many milliseconds longer for each program.
    pub(crate) fn hold_up(&self, milliseconds: u32) -> io::Result<()> {
        fs::write(self.0.join("bpf_bind_verifier_delay"), milliseconds.to_string())
    }
}
