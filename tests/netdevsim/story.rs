//! The checks, in their order: what holds is the ground that the next stand on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::counters::drop_more;
use super::device::Device;
use super::fabric::Fabric;
use super::kernel::{Programs, programs};
use super::probing;
use super::refusals;
use super::site::{CARD, PORTS, Site};
use super::tally::{Finding, Instead, Tally, equal, says};

/// What the policy of the documents allows, and what its edit does in its place.
const POLICIES: [u16; 2] = [8080, 9090];

/// The documents as they are now.
pub(crate) struct Documents {
    original: PathBuf,
    folder: TempDir,
    edits: usize,
}

impl Documents {
    fn of(original: &Path) -> io::Result<Self> {
        let documents = Self { original: original.to_owned(), folder: tempfile::tempdir()?, edits: 0 };
        documents.write()?;
        Ok(documents)
    }

    /// Where they are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Allows the other port in place of the one that is allowed.
    pub(crate) fn edit(&mut self) -> io::Result<()> {
        self.edits += 1;
        self.write()
    }

    /// The port that is allowed now, and the one that is not.
    pub(crate) fn policy(&self) -> (u16, u16) {
        (POLICIES[self.edits % 2], POLICIES[(self.edits + 1) % 2])
    }

    fn write(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.original)? {
            let entry = entry?;
            let text = fs::read_to_string(entry.path())?;
            let text = text.replace(&POLICIES[0].to_string(), &self.policy().0.to_string());
            fs::write(self.folder().join(entry.file_name()), text)?;
        }
        Ok(())
    }
}

/// Makes all checks; `Err` is what keeps them from going on.
pub(crate) fn run(original: &Path, tally: &mut Tally) -> io::Result<()> {
    probing::run(tally)?;
    let mut documents = Documents::of(original)?;
    let site = Site::make()?;
    let mut fabric = Fabric::start()?;
    tally.now("without an agent, everything passes", site.is_open(POLICIES));
    fabric.start_agent()?;
    tally.now("the documents are in force", fabric.apply(documents.folder()));
    let first = carried(tally, &fabric, "a port")?;
    tally.now("what policy allows passes, what it denies does not", policed(&site, &documents));

    drop_more(PORTS[0], 5)?;
    tally.soon("what a card drops is told by rule", || equal(&fabric.dropped_in_cards()?, &5));

    fabric.kill_agent()?;
    tally.now("a killed agent leaves the programs as they are", equal(&all()?, &first));
    tally.now("and they go on enforcing", policed(&site, &documents));
    fabric.start_agent()?;
    tally.soon("the restarted agent reports", || equal(&fabric.port(PORTS[0])?.state.as_str(), &"enforced"));
    tally.now("it took over the programs that ran, in the card too", equal(&all()?, &first));
    drop_more(PORTS[0], 2)?;
    tally.soon("and goes on from what the card had counted", || equal(&fabric.dropped_in_cards()?, &7));
    drop_more(PORTS[0], 1)?;

    documents.edit()?;
    tally.now("an edit is in force", fabric.apply(documents.folder()));
    tally.now("what passes is what it says", policed(&site, &documents));
    tally.soon("the program in the kernel is the same, the one in the card is another", || exchanged(&first));
    drop_more(PORTS[0], 4)?;
    tally
        .soon("what both have counted is told, each packet once", || equal(&fabric.dropped_in_cards()?, &12));

    refusals::run(&site, &fabric, &mut documents, tally)?;

    site.unplug()?;
    tally.now("a card that goes takes its programs along", equal(&programs(PORTS[0])?, &Programs::new()));
    tally.soon("the status says that its port is gone", || {
        equal(&fabric.port(PORTS[0])?.state.as_str(), &"gone")
    });
    tally.now("and the agent lives", fabric.agent_lives());
    site.plug()?;
    carried(tally, &fabric, "a port of a card that is back")?;
    // Soon: the others ask for the new card's address only when the old one does not answer.
    tally.soon("with the policy that was in force", || policed(&site, &documents));
    Ok(())
}

fn policed(site: &Site, documents: &Documents) -> Finding {
    let (allowed, denied) = documents.policy();
    site.is_policed(allowed, denied)
}

/// The programs of the node's ports.
fn all() -> io::Result<Vec<Programs>> {
    PORTS.iter().map(|port| programs(port)).collect()
}

/// Checks of each port that it carries a program in the card and one behind it in the kernel, and that all say so: the kernel,
/// the card, the status and the ledger.
fn carried(tally: &mut Tally, fabric: &Fabric, what: &str) -> io::Result<Vec<Programs>> {
    for (number, port) in PORTS.into_iter().enumerate() {
        tally.soon(&format!("{what} carries a program in the card and one in the kernel ({port})"), || {
            let slots: Vec<&str> = programs(port)?.into_keys().collect();
            equal(&slots, &vec!["generic", "offload"])
        });
        tally.now(&format!("the card says that it has it ({port})"), in_card(number));
        tally.soon(&format!("the status says both, and why no better ({port})"), || {
            let port = fabric.port(port)?;
            equal(&[port.state.as_str(), &port.mode, &port.nic], &["enforced", "generic", "runs"])?;
            says(&port.why, "netdevsim accepts such programs and does not run them")
        });
        tally.soon(&format!("the ledger names both ({port})"), || {
            let (hooks, _) = fabric.points(port)?;
            let named = |hook: &str| hooks.iter().any(|found| found == hook);
            if named("xdp-offload") && named("xdp-generic") { Ok(()) } else { Err(Instead::found(hooks)) }
        });
        tally.soon(
            &format!("the ledger says what the one in the card takes, and of how much ({port})"),
            || {
                let cost = fabric.cost(port)?;
                let room = serde_json::json!([{"atMost": 2}, "unlimited"]);
                equal(
                    &serde_json::json!([cost["entriesEach"]["room"], cost["instructions"]["room"]]),
                    &room,
                )?;
                let used = [&cost["instructions"], &cost["maps"]].map(|share| share["used"].as_u64());
                if used.iter().all(|used| used.is_some_and(|used| used > 0)) {
                    Ok(())
                } else {
                    Err(Instead::found(cost))
                }
            },
        );
    }
    tally.soon("the ledger says that the workload is enforced at every point", || fabric.ledger());
    all()
}

/// Checks that the program that rtnetlink names in the card is the one that the card has, and that its driver has taken it.
fn in_card(port: usize) -> Finding {
    let device = Device::of(CARD);
    let Some(id) = programs(PORTS[port])?.remove("offload") else {
        return Err(Instead::Found("rtnetlink names none".to_owned()));
    };
    equal(&device.offloaded(port)?, &id)?;
    let bound = device.bound()?;
    if bound.contains(&(id, "xlated".to_owned())) { Ok(()) } else { Err(Instead::found(bound)) }
}

fn exchanged(before: &[Programs]) -> Finding {
    for (port, (now, before)) in all()?.iter().zip(before).enumerate() {
        equal(&now.get("generic"), &before.get("generic"))?;
        in_card(port)?;
        if now.get("offload") == before.get("offload") {
            return Err(Instead::found(now));
        }
    }
    Ok(())
}
