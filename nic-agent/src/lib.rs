//! The agent: etcd, netlink, datapath and the executor around the pure core.
