//! The documents that are applied, and what is edited in them.

use std::fmt::{self, Write};
use std::fs;
use std::io;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv6Net;
use tempfile::TempDir;

/// What the policy of the documents allows, and what its edit does in its place.
pub(crate) const POLICIES: [u16; 2] = [8080, 9090];

/// A rule of the documents, as it is and as it is stateless.
const ALLOWS: &str = "    - action: allow\n";
const STATELESSLY: &str = "    - action: allow\n      stateless: true\n";
/// What a connection would let pass.
const ANSWERS: &str = "\
---
apiVersion: selvedge/v1
kind: SegmentationPolicy
metadata: {name: app-answers}
spec:
  tier: application
  selector: {matchLabels: {role: app}}
  egress:
    - action: allow
      stateless: true
      to: [{selector: {matchLabels: {role: web}}}]
      ports: [{protocol: UDP, port: any}]
";

/// The documents as they are now.
pub(crate) struct Documents {
    original: PathBuf,
    folder: TempDir,
    edits: usize,
    rules: Rules,
}

/// What the rules of the documents ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// That connections are tracked.
    Stateful,
    /// That each packet is judged by itself; answers are allowed by a rule of their own.
    Stateless,
}

impl Documents {
    pub(crate) fn of(original: &Path) -> io::Result<Self> {
        let documents = Self {
            original: original.to_owned(),
            folder: tempfile::tempdir()?,
            edits: 0,
            rules: Rules::Stateful,
        };
        documents.write()?;
        Ok(documents)
    }

    /// Where they are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Allows the other port in place of the one that is allowed.
    pub(crate) fn edit(&mut self) -> io::Result<()> {
        self.edits += 1;
        self.write()
    }

    /// Has all rules ask for something else.
    pub(crate) fn ask_for(&mut self, rules: Rules) -> io::Result<()> {
        self.rules = rules;
        self.write()
    }

    /// The port that is allowed now, and the one that is not.
    pub(crate) fn policy(&self) -> (u16, u16) {
        (POLICIES[self.edits % 2], POLICIES[(self.edits + 1) % 2])
    }

    fn write(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.original)? {
            let entry = entry?;
            let text = fs::read_to_string(entry.path())?;
            let text = text.replace(&POLICIES[0].to_string(), &self.policy().0.to_string());
            let text = match self.rules {
                Rules::Stateful => text,
                Rules::Stateless => text.replace(ALLOWS, STATELESSLY) + ANSWERS,
            };
            fs::write(self.folder().join(entry.file_name()), text)?;
        }
        Ok(())
    }

    /// Allows one more port, from networks within networks: every second one is excepted again. A program that tells them apart
    /// by comparing takes more steps than one with a map for each length.
    pub(crate) fn crowd(&self) -> io::Result<()> {
        fs::write(self.folder().join("crowd.yaml"), crowd())
    }
}

/// Networks of 16 to 54 bits, each in the middle of the one around it: two to a length, as many as a map of a simulated card takes,
/// and more than 64 ranges of addresses.
fn crowd() -> String {
    let mut text = "\
apiVersion: selvedge/v1
kind: SegmentationPolicy
metadata: {name: app-from-outside}
spec:
  tier: application
  selector: {matchLabels: {role: app}}
  ingress:
    - action: allow
      ports: [{protocol: UDP, port: 7070}]
      from:
"
    .to_owned();
    for first in [0x24, 0x26_u128] {
        // Bits that take turns, so that no network begins where the one around it does.
        let within = Ipv6Addr::from_bits(first << 120 | (u128::MAX / 3) >> 8);
        let network = |length| Ipv6Net::new_assert(within, length).trunc();
        for length in (16..56).step_by(4) {
            let (cidr, except) = (network(length), network(length + 2));
            let _: fmt::Result = writeln!(text, "        - {{cidr: '{cidr}', except: ['{except}']}}");
        }
    }
    text
}
