//! Standard output.

use std::fmt::Display;
use std::io::{self, Write};

/// Prints a line. Who reads may stop reading (`| head`): that is no error, and says nothing about the answer.
pub(super) fn say(line: impl Display) -> io::Result<()> {
    match writeln!(anstream::stdout(), "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}
