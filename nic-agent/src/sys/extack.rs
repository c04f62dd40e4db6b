//! XDP over netlink, for what a bpf link can't do: take a program off that has no link, and hear in the kernel's own words
//! why a mode is refused (links get an errno only).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use selvedge_agent_core::IfIndex;
use selvedge_hw_profiles::Mode;

/// `XDP_FLAGS_*` of include/uapi/linux/if_link.h.
const UPDATE_IF_NOEXIST: u32 = 1;
const MODE_SKB: u32 = 1 << 1;
const MODE_DRIVER: u32 = 1 << 2;
const MODE_HARDWARE: u32 = 1 << 3;

/// A request that the kernel refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetlinkError {
    /// With an errno, and where it gave one, a message.
    #[error("{}{source}", message.as_ref().map(|text| format!("{text}: ")).unwrap_or_default())]
    Refused {
        /// Its words.
        message: Option<String>,
        /// The errno.
        source: io::Error,
    },
    /// The socket failed.
    #[error("netlink: {0}")]
    Socket(#[from] io::Error),
}

/// Why the kernel does not attach `program` to `index` in `mode`, in its own words. Tries it once more to hear them; should
/// it succeed, the program is taken off again.
pub(crate) fn refusal(index: IfIndex, program: BorrowedFd<'_>, mode: Mode) -> Option<String> {
    match set(index, program.as_raw_fd(), flags(mode) | UPDATE_IF_NOEXIST) {
        Ok(()) => {
            remove(index, mode).ok();
            None
        }
        Err(NetlinkError::Refused { message, .. }) => message,
        Err(NetlinkError::Socket(_)) => None,
    }
}

/// Takes off whatever program was attached over netlink in `mode`.
pub(crate) fn remove(index: IfIndex, mode: Mode) -> Result<(), NetlinkError> {
    set(index, -1, flags(mode))
}

fn flags(mode: Mode) -> u32 {
    match mode {
        Mode::Offload => MODE_HARDWARE,
        Mode::Native => MODE_DRIVER,
        Mode::Generic => MODE_SKB,
    }
}

fn set(index: IfIndex, program: i32, flags: u32) -> Result<(), NetlinkError> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.set_ext_ack(true)?;
    let mut link = LinkMessage::default();
    link.header.index = index.0;
    link.attributes.push(LinkAttribute::Xdp(vec![LinkXdp::Fd(program), LinkXdp::Flags(flags)]));
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::SetLink(link));
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    message.finalize();
    let mut request = vec![0; message.buffer_len()];
    message.serialize(&mut request);
    socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    verdict(&answer)
}

fn verdict(answer: &[u8]) -> Result<(), NetlinkError> {
    let parsed = NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer).map_err(io::Error::other)?;
    match parsed.payload {
        NetlinkPayload::Error(error) => match error.code {
            None => Ok(()),
            Some(_) => Err(NetlinkError::Refused { message: words(answer), source: error.to_io() }),
        },
        _ => Ok(()),
    }
}

/// The text of an extended acknowledgement: behind the errno comes the request's header, all of the request unless capped,
/// then attributes, of which `NLMSGERR_ATTR_MSG` (1) is the text (include/uapi/linux/netlink.h).
fn words(answer: &[u8]) -> Option<String> {
    const HEADER: usize = 16;
    const CAPPED: u16 = 0x100;
    const HAS_ATTRIBUTES: u16 = 0x200;
    let u16_at = |at: usize| Some(u16::from_ne_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    let flags = u16_at(6)?;
    if flags & HAS_ATTRIBUTES == 0 {
        return None;
    }
    let request = HEADER + 4;
    let length = if flags & CAPPED != 0 {
        HEADER
    } else {
        u32::from_ne_bytes(answer.get(request..request + 4)?.try_into().ok()?) as usize
    };
    let mut at = request + length.next_multiple_of(4);
    loop {
        let (length, kind) = (usize::from(u16_at(at)?), u16_at(at + 2)?);
        if kind == 1 {
            let text = answer.get(at + 4..at + length)?;
            return Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
        }
        at += length.max(4).next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(flags: u16, request: &[u8], attributes: &[u8]) -> Vec<u8> {
        let length = 20 + request.len() + attributes.len();
        let mut answer = Vec::new();
        answer.extend((length as u32).to_ne_bytes());
        answer.extend(2_u16.to_ne_bytes());
        answer.extend(flags.to_ne_bytes());
        answer.extend([0; 8]);
        answer.extend((-libc::ERANGE).to_ne_bytes());
        answer.extend(request);
        answer.extend(attributes);
        answer
    }

    #[test]
    fn the_kernels_words_are_found_behind_a_whole_or_capped_request() {
        let mut text = vec![9, 0, 1, 0];
        text.extend(b"MTU!\0\0\0\0");
        let mut whole = vec![0; 24];
        whole[..4].copy_from_slice(&24_u32.to_ne_bytes());
        assert_eq!(words(&answer(0x200, &whole, &text)).as_deref(), Some("MTU!"));
        assert_eq!(words(&answer(0x300, &whole[..16], &text)).as_deref(), Some("MTU!"));
    }

    #[test]
    fn an_answer_without_words_or_cut_short_has_none() {
        assert_eq!(words(&answer(0, &[0; 16], &[])), None);
        assert_eq!(words(&answer(0x300, &[0; 16], &[9, 0, 1, 0, b'M'])), None);
        assert_eq!(words(&answer(0x300, &[0; 16], &[0, 0, 2, 0])), None);
        assert_eq!(words(&[]), None);
    }
}
