//! What `selvedge-agent probe` tells of a card by devlink: versions, the switch in it, and what each interface is on it.

use std::io;
use std::process::Command;

use serde_json::{Value, json};

use super::cards::{self, Space};
use super::tally::{Tally, equal};

const CARD: u32 = 4;

/// Makes the checks, on a card of their own.
pub(crate) fn run(tally: &mut Tally) -> io::Result<()> {
    let space = Space::new()?;
    space.card(CARD, &["wire"])?;
    let checked = checks(&space, tally);
    cards::remove(CARD)?;
    checked
}

fn checks(space: &Space, tally: &mut Tally) -> io::Result<()> {
    let wire = seen(space, "wire")?;
    let versions = json!({"running": {"fw.mgmt": "10.20.30"}, "stored": {"fw.mgmt": "10.20.30"}});
    tally.now("the probe tells the versions of a card", equal(&wire["devlink"]["versions"], &versions));
    tally.now("and the driver of it", equal(&wire["devlink"]["driver"], &json!("netdevsim")));
    let (flavour, eswitch) = (&wire["devlink"]["flavour"], &wire["devlink"]["eswitch"]["mode"]);
    tally.now("and that the port is the wire", equal(flavour, &json!("physical")));
    tally.now("and that its switch is not the kernel's", equal(eswitch, &json!("legacy")));

    space.switchdev(CARD, 1)?;
    let (wire, function) = (seen(space, "wire")?, seen(space, "eth0")?);
    for (name, port, flavour) in [("the wire", wire, "physical"), ("a representor", function, "pci-vf")] {
        let told = [&port["devlink"]["flavour"], &port["devlink"]["eswitch"]["mode"]];
        let what = format!("with the switch in the kernel's hands, {name} is told as what it is");
        tally.now(&what, equal(&told, &[&json!(flavour), &json!("switchdev")]));
    }
    Ok(())
}

/// What is seen of a port.
fn seen(space: &Space, port: &str) -> io::Result<Value> {
    let probe = || Command::new("selvedge-agent").args(["probe", port, "-o", "json"]).output();
    let done = space.run(probe)?;
    let rows: Value = serde_json::from_slice(&done.stdout)
        .map_err(|error| io::Error::other(format!("{error}: {}", String::from_utf8_lossy(&done.stderr))))?;
    Ok(rows[0]["seen"].clone())
}
