//! Another date: the clocks of agents and controllers jump while they run, each by its own.
//!
//! The date of this machine is not ours to set. So programs are started with a library before libc's that adds to what the kernel says
//! (`clock.c`, compiled by whatever links these tests): to the date, and not to the clock that counts from boot.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use selvedge_proto::wire::NodeState;

use super::scene::{Scene, every};
use crate::live::fabric::AGENTS;
use crate::live::lab::built;

const DAY: i64 = 24 * 60 * 60;
/// Nobody means such a date, so a log that has it shows that the clock did jump.
const CENTURY: i64 = 100 * 365 * DAY;

/// By how much agents' clocks, and the controller's, are ahead; one after the other.
const JUMPS: [[i64; 2]; 4] = [[DAY, 0], [-DAY, DAY], [CENTURY, DAY], [0, 0]];

/// A date that jumps.
struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    fn make(folder: &Path, name: &str) -> Self {
        let (file, library) = (folder.join(name), folder.join("clock.so"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/clock.c");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-Wall", "-Werror", "-O1", "-o"]).arg(&library).arg(source);
        let made = compile.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::write(&file, 0_i64.to_ne_bytes()).unwrap();
        Self { file, library }
    }

    fn jump(&self, ahead: i64) {
        // In place: programs have the file mapped.
        let file = File::options().write(true).open(&self.file).unwrap();
        file.write_all_at(&ahead.to_ne_bytes(), 0).unwrap();
    }

    /// A program that goes by this clock, as a command.
    fn command(&self, program: &str) -> Vec<String> {
        let preload = format!("LD_PRELOAD={}", self.library.display());
        let file = format!("SELVEDGE_TEST_CLOCK={}", self.file.display());
        vec!["/usr/bin/env".to_owned(), preload, file, built(program).display().to_string()]
    }
}

pub(super) async fn jump_clocks(scene: &mut Scene<'_>) {
    let folder = scene.site.lab.folder().to_owned();
    let [agents, controller] = ["agents", "controller"].map(|name| Clock::make(&folder, name));
    scene.site.stop_controller(scene.seat);
    scene.site.start_controller_as(scene.seat, &controller.command("selvedge-controller"));
    for node in AGENTS {
        scene.site.kill_agent(node);
        scene.site.start_agent_as(node, &agents.command("selvedge-agent"));
    }
    scene.change().await;
    for [of_agents, of_controller] in JUMPS {
        agents.jump(of_agents);
        controller.jump(of_controller);
        scene.change().await;
        scene.told("every node is in force", |status| every(status, NodeState::InForce)).await;
    }
    // By the controller's date all certificates have ended: nobody changes anything, until it has the right one again.
    controller.jump(CENTURY);
    let set = scene.leave();
    let refused = scene.try_apply(scene.seat, set).await;
    assert!(refused.is_err(), "a controller believes certificates that have ended: {refused:?}");
    controller.jump(0);
    scene.converge().await;
    let jumped = scene.site.lab.lines_with(&next_century());
    assert!(!jumped.is_empty(), "no clock jumped");
    // Back to programs that know no other date.
    for node in AGENTS {
        scene.site.kill_agent(node);
        scene.site.start_agent(node);
    }
    scene.site.stop_controller(scene.seat);
    scene.site.start_controller(scene.seat);
    scene.change().await;
}

/// How a log's line begins then, but for the last digit of the year.
fn next_century() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let year = 1970 + (now + CENTURY as u64) / (365 * DAY + DAY / 4) as u64;
    format!("{}", year / 10)
}
