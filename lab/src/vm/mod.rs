//! Virtual machines, for what the kernel of this machine can't show: another architecture, or a device that it has no
//! driver of.
//!
//! A [`Kit`] holds a kernel, its modules and a busybox (`lab/vm-kit` makes one of Debian's packages). An [`Initramfs`] packs
//! them with the programs and files of a [`Task`] and with [`INIT`], which runs the task and tells how it ended. A
//! [`Machine`] is QEMU running that, in software: `/dev/kvm` of a machine that is virtual itself may hang its guests. It may
//! take the [`Seat`] of a node in a lab.

mod initramfs;
mod kit;
mod libraries;
mod machine;
mod seat;
mod task;

pub use initramfs::{INIT, Initramfs, InitramfsError};
pub use kit::{Architecture, Kit, KitError};
pub use libraries::{LibrariesError, libraries};
pub use machine::{Hardware, Machine, MachineError, Talk};
pub use seat::{Seat, SeatError};
pub use task::{Task, Variable};
