//! The lab's own bpffs, and what is mounted below a directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Mounts a bpffs at `directory`, which it makes. Agents pin their maps and links there; unmounting it frees them.
pub fn bpffs(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("bpf"), directory, Some("bpf"), flags, Some("mode=0700"))?)
}

/// Unmounts everything at and below `directory`, deepest first; says what.
pub fn unmount_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    // Fifth field: the mount point (proc_pid_mountinfo(5)). Later mounts come later.
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut below: Vec<PathBuf> = points.filter(|point| point.starts_with(directory)).collect();
    below.reverse();
    for point in &below {
        umount2(point, MntFlags::MNT_DETACH)?;
    }
    Ok(below)
}
