//! What a card counts. This one runs nothing, so the checks count in its place: in the very map on the card that its program would
//! count in.

use std::io;
use std::os::fd::AsFd;

use selvedge_tests::bpf::{MapOf, lookup, maps_of, update};

use super::kernel::programs;

/// The first element, in which the first word is of the first rule.
const FIRST: [u8; 4] = [0; 4];

/// Counts `packets` more drops by the first rule that the program in the card of `port` counts.
pub(crate) fn drop_more(port: &str, packets: u32) -> io::Result<()> {
    let missing = |what| move || io::Error::other(what);
    let program = programs(port)?.remove("offload").ok_or_else(missing("there is no program in the card"))?;
    let counters = maps_of(program)?.into_iter().find(|map| map.name.starts_with("drops_"));
    let MapOf { map, value_size, .. } =
        counters.ok_or_else(missing("the program in the card counts nothing"))?;
    let mut value = vec![0; value_size];
    lookup(map.as_fd(), &FIRST, &mut value)?;
    let word = value.first_chunk_mut().ok_or_else(missing("a counter has no room"))?;
    *word = u32::from_ne_bytes(*word).wrapping_add(packets).to_ne_bytes();
    update(map.as_fd(), &FIRST, &value)
}
