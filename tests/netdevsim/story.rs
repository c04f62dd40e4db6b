//! The checks, in their order: what holds is the ground that the next stand on.

use std::io;
use std::path::Path;

use super::counters::drop_more;
use super::device::Device;
use super::documents::{Documents, POLICIES, Rules};
use super::fabric::Fabric;
use super::kernel::{Programs, programs};
use super::probing;
use super::refusals::Refusals;
use super::site::{CARD, PORTS, Site};
use super::tally::{Finding, Instead, Tally, equal, says};

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
    tally.soon("the status says why a card can't decide by itself", || {
        says(
            &fabric.port(PORTS[0])?.incomplete,
            "is not `stateless: true`, so connections have to be tracked",
        )
    });

    documents.ask_for(Rules::Stateless)?;
    tally.now("stateless rules are in force", fabric.apply(documents.folder()));
    decided_in_card(tally, &site, &fabric, &documents);
    documents.ask_for(Rules::Stateful)?;

    Refusals { site: &site, fabric: &fabric, documents: &mut documents, tally }.run()?;

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

/// Checks of stateless rules: the program in the card of the uplink decides alone. It never meets a packet, because netdevsim runs
/// no program of those that it has; so what packets show is what the program in the kernel makes of them.
fn decided_in_card(tally: &mut Tally, site: &Site, fabric: &Fabric, documents: &Documents) {
    let [uplink, workload] = PORTS;
    tally.soon("a card that faces the fabric decides by itself", || {
        let port = fabric.port(uplink)?;
        equal(&[port.mode.as_str(), &port.nic, &port.kind], &["generic", "runs", "complete"])
    });
    tally.soon("the ledger says so", || equal(&fabric.cost(uplink)?["kind"].as_str(), &Some("complete")));
    tally.now("the card says that it has that program", in_card(0));
    tally.soon("a card that faces workloads does not, and the status says why", || {
        says(&fabric.port(workload)?.incomplete, "the port faces workloads")
    });
    tally.now("what passes is what stateless rules say", policed(site, documents));
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
