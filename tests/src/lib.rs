//! What several tests of the whole product share.

pub mod bpf;
pub mod cases;
pub mod etcd;
pub mod fuzz;
pub mod history;
pub mod process;
pub mod random;
pub mod scale;
pub mod scene;
