//! Every packet that leaves or reaches a place, with the kernel's time. One thread empties all packet sockets in turn, so
//! that watching costs little; what a socket had no room for is counted by the kernel and comes with the next packet.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use selvedge_lab::kernel::namespace::Namespace;
use selvedge_lab::registry::Place;
use socket2::{Domain, Socket, Type};

use super::packet::Packet;
use super::timeline::Moment;

/// Bytes of packets that the kernel keeps for us, a place.
const ROOM: usize = 32 << 20;
/// Bytes of a packet that are looked at; ours are shorter.
const SNAP: usize = 2048;
/// How often sockets are emptied.
const EVERY: Duration = Duration::from_millis(10);

/// A packet that was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sighting {
    pub(crate) packet: Packet,
    pub(crate) at: Moment,
}

/// What was seen in all places together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) left: Vec<Sighting>,
    pub(crate) arrived: Vec<Sighting>,
    /// Packets that passed unseen, because a socket was full.
    pub(crate) missed: u64,
}

/// A capture under way.
pub(crate) struct Capture {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Capture {
    /// Begins to capture; returns when nothing is missed any more.
    pub(crate) fn start(places: &[Place]) -> Self {
        let mut taps: Vec<Tap> = places.iter().map(Tap::open).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            loop {
                // Read before emptying, so that what came before the end is taken in.
                let last = stopped.load(Ordering::Acquire);
                taps.iter_mut().for_each(|tap| tap.empty(&mut seen));
                if last {
                    seen.missed = taps.iter().map(|tap| u64::from(tap.missed)).sum();
                    return seen;
                }
                thread::sleep(EVERY);
            }
        });
        Self { stop, thread }
    }

    /// Ends it.
    pub(crate) fn finish(self) -> Seen {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}

/// A packet socket in one place.
struct Tap {
    socket: Socket,
    place: Place,
    missed: u32,
}

impl Tap {
    fn open(place: &Place) -> Self {
        let protocol = i32::from((libc::ETH_P_ALL as u16).to_be());
        let kind = Type::DGRAM.nonblocking().cloexec();
        let namespace = Namespace::open(&place.namespace).unwrap();
        let socket =
            namespace.run(|| Socket::new(Domain::PACKET, kind, Some(protocol.into()))).unwrap().unwrap();
        setsockopt(&socket, sockopt::RcvBufForce, &ROOM).unwrap();
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).unwrap();
        setsockopt(&socket, sockopt::RxqOvfl, &1).unwrap();
        Self { socket, place: place.clone(), missed: 0 }
    }

    fn empty(&mut self, seen: &mut Seen) {
        let mut bytes = [0; SNAP];
        let mut control = cmsg_space!(TimeSpec, u32);
        loop {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let got = recvmsg::<LinkAddr>(
                self.socket.as_raw_fd(),
                &mut parts,
                Some(&mut control),
                MsgFlags::MSG_DONTWAIT,
            );
            let message = match got {
                Ok(message) => message,
                Err(Errno::EAGAIN) => return,
                // Of an interface that goes away (packet(7)).
                Err(Errno::ENETDOWN) => continue,
                Err(errno) => panic!("{}: {errno}", self.place.target),
            };
            let mut at = None;
            for item in message.cmsgs().unwrap() {
                match item {
                    ControlMessageOwned::ScmTimestampns(time) => at = Some(moment(time)),
                    ControlMessageOwned::RxqOvfl(missed) => self.missed = missed,
                    _ => {}
                }
            }
            let outgoing = message.address.is_some_and(|link| link.pkttype() == libc::PACKET_OUTGOING);
            let length = message.bytes;
            let Some(packet) = Packet::read(&bytes[..length]) else { continue };
            let sighting = Sighting { packet, at: at.expect("every packet has a time") };
            if outgoing && self.place.addresses.contains(&packet.source()) {
                seen.left.push(sighting);
            } else if !outgoing && self.place.addresses.contains(&packet.destination()) {
                seen.arrived.push(sighting);
            }
        }
    }
}

fn moment(time: TimeSpec) -> Moment {
    Moment(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}
