//! Packets from one end to the other.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use super::cards::Space;
use super::tally::{Finding, Instead};

/// How long a datagram may take; the first waits for two ARP exchanges.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How many are sent, and how far apart: one may be lost while neighbours are looked for.
const TRIES: u32 = 3;

/// An end: where, and its address.
pub(crate) struct End {
    pub(crate) space: Space,
    pub(crate) address: Ipv4Addr,
}

impl End {
    /// Checks that a datagram to `port` of `to` arrives, and that the answer to it comes back.
    pub(crate) fn reaches(&self, to: &End, port: u16) -> Finding {
        self.asks(to, port, Outcome::Answered)
    }

    /// Checks that no datagram to `port` of `to` arrives.
    pub(crate) fn is_kept_from(&self, to: &End, port: u16) -> Finding {
        self.asks(to, port, Outcome::Lost)
    }

    fn asks(&self, to: &End, port: u16, expected: Outcome) -> Finding {
        let outcome = self.asked(to, port)?;
        if outcome == expected {
            return Ok(());
        }
        Err(Instead::Found(format!("{} -> {}:{port}/udp: {outcome:?}", self.address, to.address)))
    }

    fn socket(&self, port: u16) -> io::Result<UdpSocket> {
        let socket = self.space.run(|| UdpSocket::bind((self.address, port)))?;
        socket.set_read_timeout(Some(PATIENCE / TRIES))?;
        Ok(socket)
    }

    fn asked(&self, to: &End, port: u16) -> io::Result<Outcome> {
        let (here, there) = (self.socket(0)?, to.socket(port)?);
        let mut byte = [0];
        for _ in 0..TRIES {
            here.send_to(&[1], (to.address, port))?;
            match there.recv_from(&mut byte) {
                Ok((_, from)) => {
                    there.send_to(&[2], from)?;
                    let answered = here.recv_from(&mut byte).is_ok();
                    return Ok(if answered { Outcome::Answered } else { Outcome::Unanswered });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Outcome::Lost)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    Unanswered,
    Lost,
}
