//! Damaged inputs, the same ones on every machine.

use crate::cases::Numbers;

/// Words that lengths, tags and marks are made of.
const INTERESTING: [&[u8]; 12] = [
    &[0],
    &[0xff],
    &[0x7f],
    &[0x80],
    &[0xff, 0xff],
    &[0x00, 0x01],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff; 10],
    b"\n",
    b": ",
    b"\n---\n",
    b"{}",
];

/// `seed`, damaged in one to four places; `other` is an input to cross it with.
pub fn damaged(seed: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut input = seed.to_vec();
    for _ in 0..numbers.pick(&[1, 1, 1, 2, 4]) {
        let at = numbers.below(input.len() + 1);
        let until = (at + numbers.below(16)).min(input.len());
        match numbers.below(7) {
            0 if at < input.len() => input[at] ^= 1 << numbers.below(8),
            1 if at < input.len() => input[at] = numbers.below(256) as u8,
            2 => drop(input.drain(at..until)),
            3 => input.splice(at..at, INTERESTING[numbers.below(INTERESTING.len())].to_vec()).for_each(drop),
            4 => input.splice(at..at, input[at..until].to_vec()).for_each(drop),
            5 => {
                let from = numbers.below(other.len() + 1);
                let to = (from + numbers.below(64)).min(other.len());
                input.splice(at..until, other[from..to].to_vec()).for_each(drop);
            }
            _ => input.truncate(at),
        }
    }
    input
}
