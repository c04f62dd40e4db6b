//! Notes of passages: what is believed, and for how long.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::iter::{once, repeat};

use selvedge_abi::{Address, Flow, NOTE_TICKS, Note, NoteSeeds, Passage, Seeds, TICK_BITS};

const TICK: u64 = 1 << TICK_BITS;
const NOW: u64 = 1_000 * TICK;
/// Of a note that is written as a tick begins. Every connection may be silent for 15 s, and jiffies are 10 ms at most.
const LIFE: u64 = (NOTE_TICKS as u64 + 1) * TICK;
const _: () = assert!(LIFE * 10 < 15_000);

fn seeds() -> NoteSeeds {
    let terms =
        |first: u64| std::array::from_fn(|at| 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(first + 2 * at as u64));
    NoteSeeds {
        flow: Seeds { start: 0x0123_4567_89ab_cdef, terms: terms(3) },
        check: Seeds { start: 0xfedc_ba98_7654_3210, terms: terms(101) },
    }
}

fn ipv4(last: u8) -> Passage {
    let flow = Flow {
        source: Address::from_ipv4([10, 0, 0, last]),
        destination: Address::from_ipv4([10, 0, 1, last]),
        ports: u32::from(last) << 16 | 443,
        protocol: 6,
    };
    Passage { flow, ifindex: 3, ports: 2, generation: 7, slot: 1 }
}

fn ipv6(last: u8) -> Passage {
    let end = |low| Address::from_halves(0xfd00 << 48, low);
    let (source, destination) = (end(last.into()), end(u64::from(last) << 8));
    let flow = ipv4(last).flow;
    Passage { flow: Flow { source, destination, protocol: 6 | Flow::IPV6, ..flow }, ..ipv4(last) }
}

/// Every passage that differs from this one in one thing.
fn others(passage: &Passage) -> Vec<Passage> {
    let flow = passage.flow;
    let flows = [
        flow.reversed(),
        Flow { source: flow.destination, destination: flow.source, ..flow },
        Flow { source: ipv4(9).flow.source, ..flow },
        Flow { destination: ipv6(9).flow.destination, ..flow },
        Flow { ports: flow.ports + 1, ..flow },
        Flow { ports: flow.ports + (1 << 16), ..flow },
        Flow { protocol: flow.protocol ^ 6 ^ 17, ..flow },
        Flow { protocol: flow.protocol ^ Flow::IPV6, ..flow },
    ];
    let elsewhere = [
        Passage { ifindex: 4, ..*passage },
        Passage { ports: 1, ..*passage },
        Passage { generation: 8, ..*passage },
        Passage { generation: 7 + (1 << 32), ..*passage },
        Passage { slot: 0, ..*passage },
    ];
    flows.into_iter().map(|flow| Passage { flow, ..*passage }).chain(elsewhere).collect()
}

type Bucket = [Cell<u64>; 8];

fn write(bucket: &Bucket, passage: &Passage, now: u64) -> bool {
    Note::new(passage, now, &seeds()).write(|at| bucket[at].get(), |at, word| bucket[at].set(word))
}

fn believes(bucket: &Bucket, passage: &Passage, now: u64) -> bool {
    Note::new(passage, now, &seeds()).is_in(|at| bucket[at].get())
}

fn erase(bucket: &Bucket, flow: &Flow) {
    flow.tag(&seeds().flow).erase(|at| bucket[at].get(), |at, word| bucket[at].set(word));
}

#[test]
fn a_note_is_believed_for_some_seconds() {
    for passage in [ipv4(1), ipv6(1)] {
        let bucket = Bucket::default();
        assert!(!believes(&bucket, &passage, NOW), "of nothing");
        assert!(write(&bucket, &passage, NOW));
        for (now, expected) in [(NOW, true), (NOW + LIFE - 1, true), (NOW + LIFE, false), (NOW - 1, false)] {
            assert_eq!(believes(&bucket, &passage, now), expected, "at {now}");
        }
    }
}

#[test]
fn a_note_says_nothing_of_any_other_packet_port_role_generation_or_slot() {
    for passage in [ipv4(1), ipv6(1)] {
        let bucket = Bucket::default();
        assert!(write(&bucket, &passage, NOW));
        for other in others(&passage) {
            assert!(!believes(&bucket, &other, NOW), "{other:?}");
        }
    }
}

#[test]
fn notes_of_a_flow_are_taken_back_wherever_its_packets_came_in_and_no_others() {
    for passage in [ipv4(1), ipv6(1)] {
        let bucket = Bucket::default();
        assert!(write(&bucket, &passage, NOW) && write(&bucket, &ipv4(2), NOW));
        erase(&bucket, &passage.flow.reversed());
        assert!(believes(&bucket, &passage, NOW));
        erase(&bucket, &passage.flow);
        assert!(!believes(&bucket, &passage, NOW) && believes(&bucket, &ipv4(2), NOW));
        let moved = Passage { ifindex: 9, ..passage };
        assert!(write(&bucket, &moved, NOW));
        erase(&bucket, &passage.flow);
        assert!(!believes(&bucket, &moved, NOW));
    }
}

#[test]
fn eight_notes_share_a_bucket_and_a_ninth_waits_for_a_stale_one() {
    let bucket = Bucket::default();
    let kinds: Vec<Passage> = (1..=4).flat_map(|last| [ipv4(last), ipv6(last)]).collect();
    for (passage, now) in kinds.iter().zip(once(NOW).chain(repeat(NOW + TICK))) {
        assert!(write(&bucket, passage, now));
    }
    assert!(!write(&bucket, &ipv4(5), NOW + TICK), "all are believed");
    assert!(write(&bucket, &kinds[7], NOW + TICK), "over itself");
    assert!(write(&bucket, &ipv4(5), NOW + LIFE), "the first is stale");
    let believed: Vec<bool> = kinds.iter().map(|passage| believes(&bucket, passage, NOW + LIFE)).collect();
    assert_eq!(believed, [false, true, true, true, true, true, true, true]);
    assert!(believes(&bucket, &ipv4(5), NOW + LIFE));
}

/// The ticks of a note come again after a while, and it isn't believed then.
#[test]
fn a_note_is_not_believed_when_its_tick_comes_again() {
    const AGAIN: u64 = TICK << 12;
    for passage in [ipv4(1), ipv6(1)] {
        for now in [NOW, 7 * AGAIN, 8 * AGAIN - 1] {
            let bucket = Bucket::default();
            assert!(write(&bucket, &passage, now) && believes(&bucket, &passage, now));
            for rounds in 1..100 {
                for later in 0..LIFE / TICK {
                    assert!(
                        !believes(&bucket, &passage, now + rounds * AGAIN + later * TICK),
                        "{now}, {rounds}"
                    );
                }
            }
            assert!(write(&bucket, &passage, now + AGAIN), "it gives way to the next of its flow");
            assert!(
                bucket[1..].iter().all(|word| word.get() == 0) && believes(&bucket, &passage, now + AGAIN)
            );
        }
    }
}

#[test]
fn both_directions_of_many_flows_spread_over_the_buckets() {
    const BUCKETS: u32 = 1 << 10;
    let flows = (0..=u8::MAX).flat_map(|last| [ipv4(last), ipv6(last)]).map(|passage| passage.flow);
    let places: BTreeSet<u32> = flows
        .flat_map(|flow| [flow, flow.reversed()])
        .map(|flow| flow.tag(&seeds().flow).place(BUCKETS))
        .inspect(|place| assert!(*place < BUCKETS))
        .collect();
    // Of 1,024 thrown into as many, 647 are hit on average.
    assert!((600..700).contains(&places.len()), "{}", places.len());
}
