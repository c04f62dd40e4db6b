//! The faults, each as what is done. That nothing forbidden is delivered and nothing allowed is lost meanwhile is judged for
//! all of them alike; what is asserted here is that the fault happened, and that `selvedge status` told the truth.

use super::scene::Scene;
use super::{agents, clocks, controllers, pins, ports, stores};

/// How often agents, and controllers, are killed at a random moment.
pub(super) const KILLS: usize = 10;

/// Every fault there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    AgentsKilledInUpdates,
    AgentReplaced,
    AgentOfAnotherAbi,
    AgentStartedWithoutEtcd,
    EtcdLeaderKilled,
    EtcdWithoutQuorum,
    EtcdOutOfSpace,
    EtcdRestored,
    AgentCutOff,
    ControllerKilledInPublishes,
    TwoControllers,
    StateDiskFull,
    StateFileCorrupted,
    PinsRemoved,
    PinsExchanged,
    HalfWrittenGeneration,
    PlanTooLarge,
    ClocksJumped,
    PortMadeAgain,
    NodeRebooted,
}

impl Fault {
    pub(crate) const ALL: [Self; 20] = [
        Self::AgentsKilledInUpdates,
        Self::AgentReplaced,
        Self::AgentOfAnotherAbi,
        Self::AgentStartedWithoutEtcd,
        Self::EtcdLeaderKilled,
        Self::EtcdWithoutQuorum,
        Self::EtcdOutOfSpace,
        Self::EtcdRestored,
        Self::AgentCutOff,
        Self::ControllerKilledInPublishes,
        Self::TwoControllers,
        Self::StateDiskFull,
        Self::StateFileCorrupted,
        Self::PinsRemoved,
        Self::PinsExchanged,
        Self::HalfWrittenGeneration,
        Self::PlanTooLarge,
        Self::ClocksJumped,
        Self::PortMadeAgain,
        Self::NodeRebooted,
    ];

    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AgentsKilledInUpdates => "agents killed at random moments of updates",
            Self::AgentReplaced => "agent replaced by another binary",
            Self::AgentOfAnotherAbi => "agent replaced by one of another ABI version",
            Self::AgentStartedWithoutEtcd => "agent started with etcd away",
            Self::EtcdLeaderKilled => "etcd's leader killed",
            Self::EtcdWithoutQuorum => "etcd without quorum for 60 s",
            Self::EtcdOutOfSpace => "etcd out of space",
            Self::EtcdRestored => "etcd restored from an older snapshot",
            Self::AgentCutOff => "agent cut off from etcd",
            Self::ControllerKilledInPublishes => "controller killed at random moments of publishing",
            Self::TwoControllers => "two controllers, each believing that it leads",
            Self::StateDiskFull => "disk full at the agent's state",
            Self::StateFileCorrupted => "state file corrupted",
            Self::PinsRemoved => "pins removed",
            Self::PinsExchanged => "pins exchanged for others",
            Self::HalfWrittenGeneration => "a half-written generation",
            Self::PlanTooLarge => "a plan that exceeds capacity",
            Self::ClocksJumped => "clocks of agents and controller jump",
            Self::PortMadeAgain => "port removed and added again",
            Self::NodeRebooted => "node rebooted",
        }
    }

    /// Causes it, and ends it.
    pub(crate) async fn strike(self, scene: &mut Scene<'_>) {
        match self {
            Self::AgentsKilledInUpdates => agents::kill_agents(scene).await,
            Self::AgentReplaced => agents::replace_agent(scene).await,
            Self::AgentOfAnotherAbi => pins::replace_agent_across_abi_versions(scene).await,
            Self::AgentStartedWithoutEtcd => agents::start_agent_without_etcd(scene).await,
            Self::EtcdLeaderKilled => stores::kill_etcd_leader(scene).await,
            Self::EtcdWithoutQuorum => stores::take_quorum(scene).await,
            Self::EtcdOutOfSpace => stores::fill_etcd(scene).await,
            Self::EtcdRestored => stores::restore_etcd(scene).await,
            Self::AgentCutOff => agents::cut_agent_off(scene).await,
            Self::ControllerKilledInPublishes => controllers::kill_controllers(scene).await,
            Self::TwoControllers => controllers::two_controllers(scene).await,
            Self::StateDiskFull => agents::fill_state_disk(scene).await,
            Self::StateFileCorrupted => agents::corrupt_state_file(scene).await,
            Self::PinsRemoved => pins::remove_pins(scene).await,
            Self::PinsExchanged => pins::exchange_pins(scene).await,
            Self::HalfWrittenGeneration => stores::half_written_generation(scene).await,
            Self::PlanTooLarge => controllers::exceed_capacity(scene).await,
            Self::ClocksJumped => clocks::jump_clocks(scene).await,
            Self::PortMadeAgain => ports::make_port_again(scene).await,
            Self::NodeRebooted => ports::reboot_node(scene).await,
        }
    }
}
