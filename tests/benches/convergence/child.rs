//! The agents in a process of their own, so that what they take can be told from what the controller and etcd do.

use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};
use selvedge_tests::process::{Usage, usage};
use selvedge_topology::plan::Generation;
use tokio::io::AsyncBufReadExt;
use tokio::sync::mpsc;

use crate::arguments::Agents;
use crate::scale::agent::Mark;
use crate::scale::clock::Moment;
use crate::scale::crew::{Crew, Muster};

/// The line that restarts all agents.
const RESTART: &str = "restart";

/// Agents of one process: each has two connections, and a process may have some ten thousand files open.
const AGENTS: usize = 4_000;

/// The agents, in as many processes as they need.
pub(crate) struct Crews(Vec<CrewProcess>);

/// A process of agents, which ends with the value: it reads the end of its input then.
struct CrewProcess {
    child: Child,
    commands: Option<ChildStdin>,
}

impl Crews {
    /// Starts them; what they have in force is told to `marks`.
    pub(crate) fn start(muster: &Muster, marks: &mpsc::UnboundedSender<Mark>) -> Result<Self> {
        let Range { start, end } = muster.nodes;
        let parts = (start..end).step_by(AGENTS).map(|first| first..end.min(first + AGENTS));
        let crews = parts.map(|nodes| CrewProcess::start(&Muster { nodes, ..muster.clone() }, marks.clone()));
        Ok(Self(crews.collect::<Result<_>>()?))
    }

    /// Restarts all agents at once.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.0.iter_mut().try_for_each(|crew| {
            let commands = crew.commands.as_mut().context("its input is piped")?;
            Ok(writeln!(commands, "{RESTART}")?)
        })
    }

    /// What they take, all together.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let all = self.0.iter().map(|crew| usage(crew.child.id()));
        Ok(all.sum::<std::io::Result<Usage>>()?)
    }
}

impl CrewProcess {
    fn start(muster: &Muster, marks: mpsc::UnboundedSender<Mark>) -> Result<Self> {
        let Muster { etcd, nodes, anchor, states } = muster;
        let (first, count) = (nodes.start.to_string(), nodes.len().to_string());
        let mut child = Command::new(std::env::current_exe()?)
            .args(["agents", "--etcd", &etcd.join(","), "--first", &first, "--nodes", &count, "--anchor"])
            .arg(anchor)
            .arg("--states")
            .arg(states)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (commands, told) = (child.stdin.take(), child.stdout.take().context("its output is piped")?);
        std::thread::spawn(move || {
            for line in BufReader::new(told).lines().map_while(Result::ok) {
                let listened = parse(&line).map(|mark| marks.send(mark));
                if !matches!(listened, Some(Ok(()))) {
                    return;
                }
            }
        });
        Ok(Self { child, commands })
    }
}

impl Drop for CrewProcess {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A mark as a line: node, generation, when it was in force, when that was acknowledged.
fn print(Mark { node, generation, flipped, acknowledged }: Mark) -> String {
    format!("{node} {generation} {} {}", flipped.0, acknowledged.0)
}

fn parse(line: &str) -> Option<Mark> {
    let mut numbers = line.split(' ').map(|word| word.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let (node, generation) = (next()? as usize, Generation(next()?));
    Some(Mark { node, generation, flipped: Moment(next()?), acknowledged: Moment(next()?) })
}

/// What the process does.
pub(crate) fn agents(Agents { etcd, first, nodes, anchor, states }: Agents) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let nodes = first..first + nodes;
    let done = runtime.block_on(obey(&Muster { etcd, nodes, anchor, states }));
    // Agents never end by themselves.
    runtime.shutdown_background();
    done
}

async fn obey(muster: &Muster) -> Result<()> {
    let (marks, mut told) = mpsc::unbounded_channel();
    let mut crew = Crew::start(muster, marks)?;
    let mut commands = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    let mut out = std::io::stdout().lock();
    loop {
        tokio::select! {
            Some(mark) = told.recv() => {
                writeln!(out, "{}", print(mark))?;
                while let Ok(mark) = told.try_recv() {
                    writeln!(out, "{}", print(mark))?;
                }
                out.flush()?;
            }
            line = commands.next_line() => match line?.as_deref() {
                Some(RESTART) => crew.restart().await?,
                _ => return Ok(()),
            },
        }
    }
}

/// A folder for agents' states, in memory: the disks of a thousand machines are not one disk.
pub(crate) fn states() -> Result<tempfile::TempDir> {
    Ok(tempfile::tempdir_in(Path::new("/dev/shm"))?)
}
