//! `detach`.

use std::process::ExitCode;

use super::{Outcome, Place};
use crate::datapath::{DetachedPort, Pins, Was};
use crate::surroundings;

pub(super) fn run(place: &Place) -> Outcome {
    surroundings::check()?;
    let Place { node, bpffs } = place;
    let Some(pins) = Pins::find(bpffs, node) else {
        anstream::println!("nothing is pinned for node {node} under {}; nothing to detach", bpffs.display());
        return Ok(ExitCode::SUCCESS);
    };
    let lock = pins.lock()?;
    let root = pins.root().to_owned();
    let detached = pins.remove()?;
    drop(lock);
    for DetachedPort { port, was } in &detached {
        match was {
            Was::Attached => anstream::println!("{port}: detached, and open now"),
            Was::Dead => anstream::println!("{port}: its interface was gone; pin removed"),
        }
    }
    let open = detached.iter().filter(|port| port.was == Was::Attached).count();
    anstream::println!("node {node}: {open} ports are open now, {} is removed", root.display());
    Ok(ExitCode::SUCCESS)
}
