//! The checks, in their order: what holds is the ground that the next stand on.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use super::cards::{Space, join, remove, switch};
use super::fabric::Fabric;
use super::kernel::{Programs, programs};
use super::tally::{Finding, Instead, Tally, equal};
use super::wire::End;

/// The node's card, and its ports.
const CARD: u32 = 1;
const PORTS: [&str; 2] = ["sim0", "sim1"];
/// What the policy of the documents allows, and what its edit does in its place.
const ALLOWED: u16 = 8080;
const EDITED: u16 = 9090;

/// The node and what its ports lead to.
struct Site {
    node: Space,
    web: End,
    app: End,
}

impl Site {
    fn make() -> io::Result<Self> {
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
    fn plug(&self) -> io::Result<()> {
        self.node.card(CARD, &PORTS)?;
        for ((port, end), address) in
            PORTS.into_iter().zip([&self.web, &self.app]).zip(["10.0.0.1", "10.1.0.1"])
        {
            self.node.ip(&format!("addr add {address}/24 dev {port}"))?;
            join((&self.node, port), (&end.space, "eth0"))?;
        }
        Ok(())
    }

    /// Checks that what reaches the app is what policy allows, and nothing else.
    fn is_policed(&self, allowed: u16, denied: u16) -> Finding {
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

/// Makes all checks; `Err` is what keeps them from going on.
pub(crate) fn run(documents: &Path, tally: &mut Tally) -> io::Result<()> {
    let site = Site::make()?;
    let mut fabric = Fabric::start()?;
    tally.now("without an agent, everything passes", open(&site));
    fabric.start_agent()?;
    tally.now("the documents are in force", fabric.apply(documents));
    let first = carried(tally, &fabric, "a port")?;
    tally.now("what policy allows passes, what it denies does not", site.is_policed(ALLOWED, EDITED));

    fabric.kill_agent()?;
    tally.now("a killed agent leaves the programs as they are", held(&first));
    tally.now("and they go on enforcing", site.is_policed(ALLOWED, EDITED));
    fabric.start_agent()?;

    let edited = edited(documents)?;
    tally.now("an edit is in force after a restart", fabric.apply(edited.path()));
    tally.now("the restarted agent took over the programs that ran", held(&first));
    tally.now("and what passes is what the edit says", site.is_policed(EDITED, ALLOWED));

    remove(CARD)?;
    tally.now("a card that goes takes its programs along", equal(&programs(PORTS[0])?, &Programs::new()));
    tally.soon("the status says that its ports are gone", || gone(&fabric));
    tally.now("and the agent lives", fabric.agent_lives());
    site.plug()?;
    carried(tally, &fabric, "a port of a card that is back")?;
    // Soon: the others ask for the new card's address only when the old one does not answer.
    tally.soon("with the policy that was in force", || site.is_policed(EDITED, ALLOWED));
    Ok(())
}

/// Without a program on the node's ports, what policy will deny passes too: else nothing would be shown by what does not.
fn open(site: &Site) -> Finding {
    site.web.reaches(&site.app, ALLOWED)?;
    site.web.reaches(&site.app, EDITED)
}

/// Checks of each port that it carries one program, in the mode that the status says, for the reason that it says.
fn carried(tally: &mut Tally, fabric: &Fabric, what: &str) -> io::Result<Vec<Programs>> {
    for port in PORTS {
        tally.soon(&format!("{what} carries one program, in generic mode ({port})"), || {
            let slots: Vec<&str> = programs(port)?.into_keys().collect();
            equal(&slots, &vec!["generic"])
        });
        tally.soon(&format!("the status says so, and why no better ({port})"), || {
            let (mode, why) = fabric.port(port)?;
            equal(&mode.as_str(), &"generic")?;
            if why.contains("netdevsim accepts such programs and does not run them") {
                Ok(())
            } else {
                Err(Instead::Found(why))
            }
        });
    }
    tally.now("no program is bound to the card", bound_to_none());
    tally.soon("the ledger says that the workload is enforced at every point", || fabric.ledger());
    PORTS.iter().map(|port| programs(port)).collect()
}

/// What the device itself says of programs in it (drivers/net/netdevsim/bpf.c).
fn bound_to_none() -> Finding {
    let bound = fs::read_dir(switch(CARD, "bpf_bound_progs"))?.count();
    equal(&bound, &0)?;
    let offloaded = fs::read_to_string(switch(CARD, "ports/0/bpf_offloaded_id"))?;
    equal(&offloaded.trim(), &"0")
}

fn held(before: &[Programs]) -> Finding {
    let now: Result<Vec<Programs>, io::Error> = PORTS.iter().map(|port| programs(port)).collect();
    equal(&now?.as_slice(), &before)
}

fn gone(fabric: &Fabric) -> Finding {
    let (mode, why) = fabric.port(PORTS[0])?;
    if mode == "generic" { Err(Instead::Found(format!("{mode} ({why})"))) } else { Ok(()) }
}

/// The documents with another port allowed.
fn edited(documents: &Path) -> io::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    for entry in fs::read_dir(documents)? {
        let entry = entry?;
        let text = fs::read_to_string(entry.path())?.replace(&ALLOWED.to_string(), &EDITED.to_string());
        fs::write(folder.path().join(entry.file_name()), text)?;
    }
    Ok(folder)
}
