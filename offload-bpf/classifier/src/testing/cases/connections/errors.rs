//! Errors that quote packets of connections.

use std::{vec, vec::Vec};

use super::*;

pub(super) fn cases() -> Vec<Case> {
    let quoting = |about: &[u8]| packet("10.8.8.8", "10.0.0.1", error(3, 4, about));
    let sent = || datagram(OUT.0, OUT.1, tcp(40000, 80, ACK));
    let tracked = || world(Uplink).with(http(), CONNECTION_ANSWERED, 0);
    let http_v6 = key(("fd00::1", 40000), ("fd00::9", 80), 6);
    let ping = key(("10.0.0.1", 5), ("10.0.0.9", 5), 1);
    let denied =
        |name, tables, frame| Case::at(tables, name, frame, Reason::PolicyDeny).by(&[WEB_INGRESS + DEFAULT]);
    vec![
        Case::at(tracked(), "an error about a connection passes", quoting(&sent()), Reason::Related),
        Case::at(
            world(Uplink).with(http_v6, CONNECTION_ANSWERED, 0),
            "packet too big about a connection passes",
            packet("fd00::8", "fd00::1", error(2, 0, &datagram("fd00::1", "fd00::9", tcp(40000, 80, ACK)))),
            Reason::Related,
        ),
        Case::at(
            world(Uplink).with(ping, 0, 0),
            "an error about an echo request passes",
            quoting(&datagram(OUT.0, OUT.1, echo(8, 5))),
            Reason::Related,
        ),
        denied("an error about an unknown connection is judged by policy", world(Uplink), quoting(&sent())),
        denied(
            "an error about a forgotten connection is judged by policy",
            world(Uplink).with(http(), 0, 11),
            quoting(&sent()),
        ),
        denied(
            "an error about an earlier generation's connection is judged by policy",
            world(Uplink).with_of_generation(GENERATION - 1, http(), 0, 1),
            quoting(&sent()),
        ),
        denied(
            "an error that quotes the other end's packet is judged by policy",
            tracked(),
            quoting(&datagram(BACK.0, BACK.1, tcp(80, 40000, ACK))),
        ),
        denied("an error that quotes too little is judged by policy", tracked(), quoting(&sent()[..27])),
        denied(
            "an error that quotes a later fragment is judged by policy",
            tracked(),
            quoting(&patched(sent(), 7, &[9])),
        ),
    ]
}
