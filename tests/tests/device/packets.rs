//! Packets for a port: of every kind that its program tells apart, between addresses that it tells apart.

use std::net::IpAddr;

use selvedge_classifier::testing::frame::{self, Cut, Transport};
use selvedge_tests::cases::Numbers;
use selvedge_tests::random::addresses;
use selvedge_tests::scene::Scene;
use selvedge_topology::model::PortRole;

const PORTS: [u16; 10] = [1, 2, 53, 80, 443, 8080, 40000, 65534, 65535, 179];
const TCP_FLAGS: [u8; 10] = [0x02, 0x02, 0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x2a];

/// Addresses that packets at a port are from and to.
pub(super) struct Ends {
    all: Vec<IpAddr>,
    /// Who may send there.
    genuine: Vec<IpAddr>,
    /// Who is behind the node.
    local: Vec<IpAddr>,
}

impl Ends {
    pub(super) fn of(scene: &Scene<'_>, more: &[IpAddr]) -> Self {
        let all: Vec<IpAddr> = addresses(scene.model).into_iter().chain(more.iter().copied()).collect();
        let is_genuine = |address: &&IpAddr| match scene.arrival.role {
            PortRole::Workload => scene.behind(**address) == Some(&scene.arrival.name),
            _ => scene.behind(**address).is_none(),
        };
        let genuine = all.iter().filter(is_genuine).copied().collect();
        Self { genuine, local: scene.locals.keys().copied().collect(), all }
    }

    /// A source and a destination of one family, of whom policy mostly has a say.
    pub(super) fn pick(&self, numbers: &mut Numbers) -> (IpAddr, IpAddr) {
        let one_of = |numbers: &mut Numbers, from: &[IpAddr]| match from {
            [] => numbers.pick(&self.all),
            from if numbers.one_in(8) => {
                numbers.pick(&[numbers.clone().pick(from), numbers.clone().pick(&self.all)])
            }
            from => numbers.pick(from),
        };
        loop {
            let source = one_of(numbers, &self.genuine);
            let destination =
                if numbers.one_in(2) { one_of(numbers, &self.local) } else { numbers.pick(&self.all) };
            if source.is_ipv4() == destination.is_ipv4() {
                return (source, destination);
            }
        }
    }
}

/// A frame from one end to another: most are sound and plain.
pub(super) fn frame(ends: &Ends, numbers: &mut Numbers) -> Vec<u8> {
    let (source, destination) = ends.pick(numbers);
    let v4 = source.is_ipv4();
    let transport = transport(numbers, v4, source, destination);
    let frame = frame::packet(&source.to_string(), &destination.to_string(), transport);
    let frame = if numbers.one_in(8) { extended(numbers, frame, v4) } else { frame };
    if numbers.one_in(12) { damaged(numbers, frame) } else { frame }
}

fn transport(numbers: &mut Numbers, v4: bool, source: IpAddr, destination: IpAddr) -> Transport {
    let (from, to) = (numbers.pick(&PORTS), numbers.pick(&PORTS));
    let [request, reply] = if v4 { [8, 0] } else { [128, 129] };
    match numbers.below(16) {
        0..=5 => frame::tcp(from, to, numbers.pick(&TCP_FLAGS)),
        6..=8 => frame::udp(from, to),
        9 => frame::udp(numbers.pick(&[67, 68, 546, 547]), numbers.pick(&[67, 68, 546, 547])),
        10 => frame::sctp(from, to, numbers.pick(&[0, 1, 1, 2, 6, 7])),
        11 => frame::echo(request, from),
        12 => frame::echo(reply, from),
        13 => {
            let about = frame::datagram(&destination.to_string(), &source.to_string(), frame::udp(to, from));
            frame::error(numbers.pick(if v4 { &[3, 11, 12, 4] } else { &[1, 2, 3, 4] }), 0, &about)
        }
        14 => frame::icmp(numbers.pick(&[5, 9, 13, 17, 130, 133, 134, 135, 136, 139, 143, 151]), 0, &[0; 36]),
        _ => frame::other(numbers.pick(&[0, 2, 43, 44, 47, 50, 51, 60, 89, 132])),
    }
}

/// With a tag, options, an extension header, or as a fragment.
fn extended(numbers: &mut Numbers, frame: Vec<u8>, v4: bool) -> Vec<u8> {
    match (numbers.below(4), v4) {
        (0, _) => frame::tagged(frame, &[(0x8100, numbers.pick(&[0, 7]))]),
        (1, true) => frame::with_options(frame, &[1, 1, 1, 0]),
        (1, false) => frame::with_extensions(frame, &[(60, &[0, 1, 4, 0, 0, 0, 0])]),
        (first, _) => {
            let start = if first == 2 { 0 } else { 16 };
            frame::fragment(&frame, Cut { id: 1, start, last: start > 0 }, 24)
        }
    }
}

/// With bytes changed or cut off.
fn damaged(numbers: &mut Numbers, mut frame: Vec<u8>) -> Vec<u8> {
    if numbers.one_in(3) {
        let length = 14 + numbers.below(frame.len() - 13);
        frame.truncate(length);
        return frame;
    }
    for _ in 0..=numbers.below(2) {
        let (at, value) = (numbers.below(frame.len().min(70)), numbers.below(256) as u8);
        frame[at] = value;
    }
    frame
}
