//! What is done to ports, and to a node with all of them.

use std::fs;
use std::time::Duration;

use selvedge_lab::registry::Place;
use selvedge_proto::wire::{PortState, StatusResponse};

use super::pins;
use super::scene::Scene;
use super::site::ip;
use crate::live::flows::Flow;
use crate::live::ledger::Connections;
use crate::live::timeline::Moment;

/// The workloads of host1.
const BEHIND: [&str; 2] = ["web1", "app1"];
/// What a router of the fabric needs until it takes a way again that was gone: it asks for a neighbour once a second.
const SETTLING: Duration = Duration::from_millis(1500);
/// How many ends of a flow are on host1.
fn ends_there(flow: &Flow) -> usize {
    [&flow.from, &flow.to].iter().filter(|place| BEHIND.contains(&place.target.to_string().as_str())).count()
}

/// What an interface loses with itself, or when it goes down.
struct Settings {
    place: Place,
    name: &'static str,
    mac: String,
    addresses: Vec<String>,
    routes: Vec<String>,
}

impl Settings {
    fn of(place: &Place, name: &'static str) -> Self {
        let lines = |arguments: String| ip(place, &arguments).lines().map(str::to_owned).collect::<Vec<_>>();
        // 2: eth0    inet6 fe80::2/64 scope link
        let addresses = lines(format!("-o addr show dev {name}"));
        let addresses =
            addresses.iter().filter_map(|line| line.split_whitespace().nth(3)).map(str::to_owned).collect();
        let routes = ["-4", "-6"].into_iter().flat_map(|family| {
            let routes = lines(format!("{family} route show dev {name}")).into_iter();
            routes
                .filter(|line| !line.contains("proto kernel"))
                .map(move |line| format!("{family} route add {line}"))
        });
        let mac = lines(format!("-o link show dev {name}"))[0].clone();
        let mac = mac.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).unwrap().to_owned();
        Self { place: place.clone(), name, mac, addresses, routes: routes.collect() }
    }

    /// Brings the interface up, with what it had.
    fn restore(&self) {
        let Self { place, name, addresses, routes, .. } = self;
        ip(place, &format!("link set {name} up"));
        for address in addresses {
            let nodad = if address.contains(':') { "nodad" } else { "" };
            ip(place, &format!("addr replace {address} dev {name} {nodad}"));
        }
        for route in routes {
            ip(place, &format!("{} dev {name}", route.replacen("add", "replace", 1).trim()));
        }
    }
}

/// What status says of a port of host1.
fn port(status: &StatusResponse, name: &str) -> Option<PortState> {
    let node = status.nodes.iter().find(|node| node.node == "host1")?;
    let port = node.report.as_ref()?.ports.iter().find(|port| port.name == name)?;
    Some(port.state())
}

pub(super) async fn make_port_again(scene: &mut Scene<'_>) {
    let [host1, leaf1] = ["host1", "leaf1"].map(|node| scene.site.place(node));
    let ends = [Settings::of(&host1, "eth0"), Settings::of(&leaf1, "swp1")];
    let crosses = |flow: &Flow| ends_there(flow) == 1;
    for _ in 0..2 {
        let from = Moment::now();
        ip(&host1, "link del eth0");
        scene.told("the port is gone", |status| port(status, "eth0") == Some(PortState::Gone)).await;
        let [here, there] = &ends;
        ip(
            &host1,
            &format!(
                "link add eth0 address {} type veth peer name swp1 address {} netns {}",
                here.mac, there.mac, leaf1.namespace
            ),
        );
        // Whoever makes a port brings it up when it is enforced.
        scene.told("the port is enforced", |status| port(status, "eth0") == Some(PortState::Enforced)).await;
        ends.iter().for_each(Settings::restore);
        tokio::time::sleep(SETTLING).await;
        scene.excuse(from, Connections::Kept, crosses);
        scene.change().await;
    }
}

pub(super) async fn reboot_node(scene: &mut Scene<'_>) {
    let host1 = scene.site.place("host1");
    let leaf1 = scene.site.place("leaf1");
    let ports = ["eth0", "w1", "w2"].map(|name| Settings::of(&host1, name));
    let other_end = Settings::of(&leaf1, "swp1");
    let from = Moment::now();
    // Nothing passes, nothing runs, and nothing that was pinned is there.
    for port in ["eth0", "w1", "w2", "mgmt0"] {
        ip(&host1, &format!("link set {port} down"));
    }
    scene.site.kill_agent("host1");
    fs::remove_dir_all(pins::root(scene, "host1")).unwrap();
    // It boots: the agent before the network, with the plan that is on its disk.
    scene.site.start_agent("host1");
    let attached = pins::root(scene, "host1").join("egress/w2");
    pins::wait(|| attached.exists(), "the agent attaches before the network is up").await;
    ip(&host1, "link set mgmt0 up");
    scene
        .told("ports are enforced", |status| {
            ["eth0", "w1", "w2"].iter().all(|name| port(status, name) == Some(PortState::Enforced))
        })
        .await;
    ports.iter().for_each(Settings::restore);
    other_end.restore();
    tokio::time::sleep(SETTLING).await;
    scene.excuse(from, Connections::Lost, |flow| ends_there(flow) > 0);
    scene.change().await;
}
