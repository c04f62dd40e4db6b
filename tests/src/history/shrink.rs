//! Small histories out of long ones that fail.

use super::{Failure, History};

/// Leaves out of `history` all that it fails without; `run` says how a history ends.
pub fn shrink(history: &History, mut run: impl FnMut(&History) -> Result<(), Failure>) -> History {
    let mut small = history.clone();
    if let Err(Failure::Disagreement { step, .. }) = run(history) {
        small.steps.truncate(step + 1);
    }
    let mut fails = |history: &History| matches!(run(history), Err(Failure::Disagreement { .. }));
    let steps = |history: &History, steps: &[_]| History { steps: steps.to_vec(), ..history.clone() };
    small.steps = without(&small.steps, |rest| fails(&steps(&small, rest)));
    let odd = without(&documents(&small.odd), |rest| fails(&History { odd: rest.concat(), ..small.clone() }));
    small.odd = odd.concat();
    let even =
        without(&documents(&small.even), |rest| fails(&History { even: rest.concat(), ..small.clone() }));
    small.even = even.concat();
    small
}

/// The documents of a text, each from its `---` on.
fn documents(text: &str) -> Vec<String> {
    text.split_inclusive('\n').fold(Vec::new(), |mut parts: Vec<String>, line| {
        match parts.last_mut().filter(|_| line != "---\n") {
            Some(part) => part.push_str(line),
            None => parts.push(line.to_owned()),
        }
        parts
    })
}

/// `all` without runs that `fails` does not need, from long runs to single items.
fn without<T: Clone>(all: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut rest = all.to_vec();
    let mut length = rest.len().max(1);
    loop {
        let mut at = 0;
        while at < rest.len() {
            let end = (at + length).min(rest.len());
            let shorter = [&rest[..at], &rest[end..]].concat();
            if fails(&shorter) {
                rest = shorter;
            } else {
                at = end;
            }
        }
        if length == 1 {
            return rest;
        }
        length = length.div_ceil(2);
    }
}
