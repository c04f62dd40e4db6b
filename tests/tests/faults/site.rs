//! Everything that runs: etcd, controllers under a supervisor that starts them again, and an agent on every node.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use selvedge_lab::registry::{Place, Record};
use selvedge_proto::MAX_MESSAGE_BYTES;
use selvedge_proto::wire::fabric_client::FabricClient;
use tonic::transport::{Channel, Endpoint};

use super::cluster::{Cluster, endpoints};
use super::trust::Trust;
use crate::live::fabric::AGENTS;
use crate::live::lab::{Lab, Wire, built, end};

/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(15);

/// How long a controller may take until it answers.
const STARTING: Duration = Duration::from_secs(30);

/// One of two controllers; one leads, the other waits, where both run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seat {
    First,
    Second,
}

impl Seat {
    fn address(self) -> &'static str {
        match self {
            Self::First => "172.31.0.1:7471",
            Self::Second => "172.31.0.1:7472",
        }
    }

    fn data_dir(self, lab: &Lab) -> PathBuf {
        lab.folder().join(format!("{self:?}"))
    }
}

pub(crate) struct Site {
    agents: BTreeMap<&'static str, Child>,
    controllers: BTreeMap<Seat, Child>,
    pub(crate) cluster: Cluster,
    pub(crate) trust: Trust,
    pub(crate) lab: Lab,
}

impl Site {
    pub(crate) fn up() -> Self {
        let lab = Lab::up("faults", Wire::Encrypted);
        let trust = Trust::init(&lab, &Seat::First.data_dir(&lab));
        trust.share(&Seat::Second.data_dir(&lab));
        let cluster = Cluster::start(&lab, &trust);
        let mut site = Self { agents: BTreeMap::new(), controllers: BTreeMap::new(), cluster, trust, lab };
        site.start_controller(Seat::First);
        site.wait_for_controller();
        AGENTS.iter().for_each(|node| site.trust.enrol(&site.lab, node));
        for node in AGENTS {
            site.start_agent(node);
        }
        site
    }

    /// Waits until a controller answers: who enrols needs one.
    fn wait_for_controller(&self) {
        let deadline = Instant::now() + STARTING;
        while self.lab.lines_with("serving").is_empty() {
            assert!(Instant::now() < deadline, "no controller answers");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn record(&self) -> Record {
        self.lab.record()
    }

    /// The place of a node.
    pub(crate) fn place(&self, node: &str) -> Place {
        self.record().place(node).unwrap().clone()
    }

    pub(crate) fn start_controller(&mut self, seat: Seat) {
        self.start_controller_as(seat, &["selvedge-controller".to_owned()]);
    }

    /// Starts a controller by a command of its own, which gets the options.
    pub(crate) fn start_controller_as(&mut self, seat: Seat, command: &[String]) {
        let data = seat.data_dir(&self.lab).display().to_string();
        let endpoints = endpoints();
        let options = ["--listen", seat.address(), "--etcd", &endpoints, "--data-dir", &data];
        let controller = self.exec("controller", command, &options);
        assert!(self.controllers.insert(seat, controller).is_none(), "{seat:?} is taken");
    }

    /// Kills a controller without a word.
    pub(crate) fn kill_controller(&mut self, seat: Seat) {
        let mut controller = self.controllers.remove(&seat).unwrap();
        controller.kill().unwrap();
        controller.wait().unwrap();
    }

    /// Stops a controller in order.
    pub(crate) fn stop_controller(&mut self, seat: Seat) {
        end(&mut self.controllers.remove(&seat).unwrap());
    }

    /// Stops the clock of a controller, or lets it go on.
    pub(crate) fn signal_controller(&self, seat: Seat, signal: Signal) {
        kill(Pid::from_raw(self.controllers[&seat].id() as i32), signal).unwrap();
    }

    /// What a supervisor does: controllers that ended are started again.
    pub(crate) fn supervise(&mut self) {
        let ended = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        let seats: Vec<Seat> =
            self.controllers.iter_mut().filter_map(|(seat, child)| ended(child).then_some(*seat)).collect();
        for seat in seats {
            self.controllers.remove(&seat);
            self.start_controller(seat);
        }
    }

    pub(crate) fn start_agent(&mut self, node: &'static str) {
        self.start_agent_from(node, &built("selvedge-agent"));
    }

    /// Starts the agent of a node from another file.
    pub(crate) fn start_agent_from(&mut self, node: &'static str, program: &Path) {
        self.start_agent_as(node, &[program.display().to_string()]);
    }

    /// Starts the agent of a node by a command of its own, which gets the options.
    pub(crate) fn start_agent_as(&mut self, node: &'static str, command: &[String]) {
        let agent = self.exec(node, command, &["run", "--etcd", &endpoints()]);
        assert!(self.agents.insert(node, agent).is_none(), "{node} has an agent");
    }

    fn exec(&self, place: &str, command: &[String], options: &[&str]) -> Child {
        let (program, rest) = command.split_first().unwrap();
        let arguments: Vec<&str> = rest.iter().map(String::as_str).chain(options.iter().copied()).collect();
        self.lab.exec(place, program, &arguments)
    }

    /// Kills an agent without a word.
    pub(crate) fn kill_agent(&mut self, node: &'static str) {
        let mut agent = self.agents.remove(node).unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// Stops an agent in order.
    pub(crate) fn stop_agent(&mut self, node: &'static str) {
        end(&mut self.agents.remove(node).unwrap());
    }

    /// The API of a controller, if it answers.
    pub(crate) async fn api(&self, seat: Seat) -> Result<FabricClient<Channel>, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("https://{}", seat.address()))?;
        let endpoint = endpoint.tls_config(self.trust.admin())?;
        let endpoint = endpoint.connect_timeout(Duration::from_secs(1)).timeout(REQUEST);
        Ok(FabricClient::new(endpoint.connect().await?).max_decoding_message_size(MAX_MESSAGE_BYTES))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for controller in self.controllers.values_mut() {
            // One whose clock stands can't hear the other signal.
            let _going = kill(Pid::from_raw(controller.id() as i32), Signal::SIGCONT);
            end(controller);
        }
        for agent in self.agents.values_mut() {
            let _ended = agent.kill().and_then(|()| agent.wait());
        }
    }
}

/// `ip -n NAMESPACE …`; what it says.
pub(crate) fn ip(place: &Place, arguments: &str) -> String {
    let namespace = place.namespace.to_string();
    let output =
        Command::new("ip").args(["-n", &namespace]).args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
