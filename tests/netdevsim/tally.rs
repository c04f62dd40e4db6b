//! Which checks hold.

use std::fmt;
use std::time::{Duration, Instant};

/// How long what is to come may take: the machine is emulated, and the agent retries with a growing delay.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked for.
const EVERY: Duration = Duration::from_millis(200);

/// Checks that were made, and those that hold.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    made: u32,
    hold: u32,
}

/// What is checked: `Err` says what is instead.
pub(crate) type Finding = Result<(), Instead>;

/// What is so in the place of what should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Instead {
    /// Something else.
    #[error("{0}")]
    Found(String),
    /// It can't be looked at.
    #[error(transparent)]
    Unseen(#[from] std::io::Error),
}

impl Instead {
    /// Something else, as its `Debug` form says it.
    pub(crate) fn found(other: impl fmt::Debug) -> Self {
        Self::Found(format!("{other:?}"))
    }
}

impl Tally {
    /// A check of what is so now.
    pub(crate) fn now(&mut self, what: &str, finding: Finding) {
        self.made += 1;
        match finding {
            Ok(()) => {
                self.hold += 1;
                println!("ok      {what}");
            }
            Err(instead) => println!("FAILED  {what}: {instead}"),
        }
    }

    /// A check of what will be so soon.
    pub(crate) fn soon(&mut self, what: &str, mut look: impl FnMut() -> Finding) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let finding = look();
            if finding.is_ok() || Instant::now() > deadline {
                return self.now(what, finding);
            }
            std::thread::sleep(EVERY);
        }
    }

    /// A check that could not be made.
    pub(crate) fn failed(&mut self) {
        self.made += 1;
    }

    /// Whether there were any, and none failed.
    pub(crate) fn all_hold(&self) -> bool {
        self.made > 0 && self.made == self.hold
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hold, self.made)
    }
}

/// A check of two values.
pub(crate) fn equal<T: PartialEq + fmt::Debug>(found: &T, expected: &T) -> Finding {
    if found == expected { Ok(()) } else { Err(Instead::Found(format!("{found:?}, not {expected:?}"))) }
}

/// A check that a text says something.
pub(crate) fn says(text: &str, words: &str) -> Finding {
    if text.contains(words) { Ok(()) } else { Err(Instead::Found(format!("`{text}`, without `{words}`"))) }
}
