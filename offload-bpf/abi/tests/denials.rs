//! Notes of denials: what is believed, for how long, and which one gives way.

use std::cell::Cell;

use selvedge_abi::{Address, DENIAL_BITS, Denial, Flow, NoteSeeds, Passage, Seeds};

const EPOCH: u64 = 1 << DENIAL_BITS;
const NOW: u64 = 1_000 * EPOCH;
const RULE: u32 = 7;

type Bucket = [Cell<u64>; 8];

fn seeds() -> NoteSeeds {
    let terms =
        |first: u64| std::array::from_fn(|at| 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(first + 2 * at as u64));
    NoteSeeds {
        flow: Seeds { start: 0x0123_4567_89ab_cdef, terms: terms(3) },
        check: Seeds { start: 0xfedc_ba98_7654_3210, terms: terms(101) },
    }
}

fn ipv4(last: u8) -> Passage {
    let (source, destination) = (Address::from_ipv4([10, 0, 0, last]), Address::from_ipv4([10, 0, 1, 1]));
    let flow = Flow { source, destination, ports: 443, protocol: 6 };
    Passage { flow, ifindex: 3, ports: 2, generation: 7, slot: 1 }
}

fn ipv6(last: u8) -> Passage {
    let end = |low| Address::from_halves(0xfd00 << 48, low);
    let (source, destination, protocol) = (end(last.into()), end(1 << 8), 6 | Flow::IPV6);
    Passage { flow: Flow { source, destination, protocol, ..ipv4(last).flow }, ..ipv4(last) }
}

fn write(bucket: &Bucket, opening: &Passage, now: u64, rule: u32) {
    Denial::new(opening, now, &seeds()).write(rule, |at| bucket[at].get(), |at, word| bucket[at].set(word));
}

fn rule(bucket: &Bucket, opening: &Passage, now: u64) -> Option<u32> {
    Denial::new(opening, now, &seeds()).rule(|at| bucket[at].get())
}

#[test]
fn a_denial_is_believed_until_the_clock_comes_to_the_next_multiple_and_no_longer() {
    for opening in [ipv4(1), ipv6(1)] {
        let bucket = Bucket::default();
        assert_eq!(rule(&bucket, &opening, NOW), None, "of nothing");
        write(&bucket, &opening, NOW, RULE);
        for (now, expected) in
            [(NOW, Some(RULE)), (NOW + EPOCH - 1, Some(RULE)), (NOW + EPOCH, None), (NOW - 1, None)]
        {
            assert_eq!(rule(&bucket, &opening, now), expected, "at {now}");
        }
        write(&bucket, &opening, NOW + EPOCH, RULE + 1);
        assert_eq!(rule(&bucket, &opening, NOW + EPOCH), Some(RULE + 1), "over the old one");
        assert!(bucket[2..].iter().all(|word| word.get() == 0), "in its place");
    }
}

#[test]
fn a_denial_says_nothing_of_any_other_opening() {
    for opening in [ipv4(1), ipv6(1)] {
        let bucket = Bucket::default();
        write(&bucket, &opening, NOW, RULE);
        let flow = opening.flow;
        let others = [
            Passage { flow: Flow { source: flow.destination, ..flow }, ..opening },
            Passage { flow: Flow { destination: flow.source, ..flow }, ..opening },
            Passage { flow: Flow { ports: 444, ..flow }, ..opening },
            Passage { flow: Flow { protocol: flow.protocol ^ 6 ^ 132, ..flow }, ..opening },
            Passage { ifindex: 4, ..opening },
            Passage { ports: 1, ..opening },
            Passage { generation: 8, ..opening },
            Passage { slot: 0, ..opening },
        ];
        for other in others {
            assert_eq!(rule(&bucket, &other, NOW), None, "{other:?}");
        }
    }
}

#[test]
fn in_a_full_bucket_one_gives_way_and_the_others_stay() {
    let bucket = Bucket::default();
    let noted = [ipv4(1), ipv6(2), ipv4(3), ipv6(4)];
    for (opening, number) in noted.iter().zip(1..) {
        write(&bucket, opening, NOW, number);
    }
    let believed =
        |bucket: &Bucket| noted.iter().filter(|opening| rule(bucket, opening, NOW).is_some()).count();
    assert_eq!(believed(&bucket), 4);
    write(&bucket, &ipv4(5), NOW, 5);
    assert_eq!((rule(&bucket, &ipv4(5), NOW), believed(&bucket)), (Some(5), 3));
}

/// Two CPUs write one place: no mixture of their words is believed as anything.
#[test]
fn a_mixture_of_two_denials_is_never_believed() {
    let (one, other) = (Bucket::default(), Bucket::default());
    write(&one, &ipv4(1), NOW, 1);
    write(&other, &ipv4(2), NOW, 2);
    for (tag, check) in [(&one[0], &other[1]), (&other[0], &one[1])] {
        let mixed = Bucket::default();
        mixed[0].set(tag.get());
        mixed[1].set(check.get());
        for opening in [ipv4(1), ipv4(2)] {
            assert_eq!(rule(&mixed, &opening, NOW), None);
        }
    }
}
