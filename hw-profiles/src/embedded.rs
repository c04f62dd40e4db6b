//! Every file under `profiles/`, name and text. A test compares this list with the folder.

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../profiles/", $name, ".yaml")))),*]
    };
}

/// The names of the profiles that come with this crate.
pub fn profile_names() -> impl Iterator<Item = &'static str> {
    EMBEDDED.iter().map(|(name, _)| *name)
}

/// The profiles that come with this crate.
pub(crate) const EMBEDDED: [(&str, &str); 47] = embedded![
    "am65",
    "bluefield-2",
    "bluefield-3",
    "bnxt",
    "bonding",
    "bridge",
    "connectx-5",
    "connectx-6",
    "connectx-7",
    "dpaa",
    "dpaa2",
    "dsa",
    "e810",
    "ena",
    "enetc",
    "gvnic",
    "hv-netvsc",
    "i225",
    "iavf",
    "igb",
    "ixgbe",
    "ixgbevf",
    "lan966x",
    "mana",
    "mlx5",
    "mlxsw",
    "mvneta",
    "mvpp2",
    "netdevsim",
    "nfp",
    "octeon-ep",
    "octeon-vf",
    "octeon",
    "pensando-dsc",
    "prestera",
    "ql4xxxx",
    "sfc",
    "sonic",
    "sparx5",
    "stack",
    "stingray",
    "stmmac",
    "tun",
    "veth",
    "virtio-net",
    "vmxnet3",
    "x710",
];
