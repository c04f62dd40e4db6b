//! The node, its card, and what its ports lead to.

use std::fs;
use std::io;
use std::net::Ipv4Addr;

use super::cards::{Space, join, remove};
use super::tally::Finding;
use super::wire::End;

/// The node's card, and its ports.
pub(crate) const CARD: u32 = 1;
pub(crate) const PORTS: [&str; 2] = ["sim0", "sim1"];

/// The node is this machine; each of its ports leads to a card in a namespace of its own.
pub(crate) struct Site {
    node: Space,
    web: End,
    app: End,
}

impl Site {
    pub(crate) fn make() -> io::Result<Self> {
        let node = Space::own()?;
        let end = |card: u32, address: [u8; 4], gateway: &str| {
            let (space, address) = (Space::new()?, Ipv4Addr::from(address));
            space.card(card, &["eth0"])?;
            space.ip(&format!("addr add {address}/24 dev eth0"))?;
            space.ip(&format!("route add default via {gateway} dev eth0"))?;
            io::Result::Ok(End { space, address })
        };
        let web = end(2, [10, 0, 0, 2], "10.0.0.1")?;
        let app = end(3, [10, 1, 0, 2], "10.1.0.1")?;
        let site = Self { node, web, app };
        fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        site.plug()?;
        Ok(site)
    }

    /// Makes the node's card and its wires.
    pub(crate) fn plug(&self) -> io::Result<()> {
        self.node.card(CARD, &PORTS)?;
        let ends = [(&self.web, "10.0.0.1"), (&self.app, "10.1.0.1")];
        for (port, (end, address)) in PORTS.into_iter().zip(ends) {
            self.node.ip(&format!("addr add {address}/24 dev {port}"))?;
            join((&self.node, port), (&end.space, "eth0"))?;
        }
        Ok(())
    }

    /// Takes the node's card out.
    pub(crate) fn unplug(&self) -> io::Result<()> {
        remove(CARD)
    }

    /// Checks that everything reaches the app: else nothing would be shown later by what does not.
    pub(crate) fn is_open(&self, ports: [u16; 2]) -> Finding {
        ports.into_iter().try_for_each(|port| self.web.reaches(&self.app, port))
    }

    /// Checks that what reaches the app is what policy allows, and nothing else.
    pub(crate) fn is_policed(&self, allowed: u16, denied: u16) -> Finding {
        self.web.reaches(&self.app, allowed)?;
        self.web.is_kept_from(&self.app, denied)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for card in [CARD, 2, 3] {
            let _gone = remove(card); // the node's may be gone already
        }
    }
}
