//! How much memory the process has and may have. What is looked at is what it has itself: of a control group, others may have
//! the rest, and shedding requests would not help them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::Control;
use crate::config::MemoryBound;
use crate::live::{Live, Stage};

pub(super) struct Memory {
    /// Kept open: a look at it is then one call to the system. None where there is none, as outside of Linux.
    statm: Option<File>,
    bound: Option<u64>,
}

/// Percent of the control group's limit: the rest is for what the kernel holds for the process, most of it for sockets.
const OF_CGROUP: u64 = 90;

const CGROUPS: &str = "/sys/fs/cgroup";

/// The kernel counts in pages. There are larger ones on some machines with arm64, where its number is not to be had without
/// unsafe code; there a bound holds later.
const PAGE_BYTES: u64 = 4096;

impl Memory {
    pub(super) fn new(bound: MemoryBound) -> Memory {
        let statm = File::open("/proc/self/statm");
        if let Err(error) = &statm {
            tracing::warn!(%error, "there is no bound on memory: how much the process has cannot be read");
        }
        let mut memory = Memory { statm: statm.ok(), bound: None };
        memory.bound_by(bound);
        memory
    }

    pub(super) fn bound_by(&mut self, bound: MemoryBound) {
        self.bound = match bound {
            MemoryBound::Off => None,
            MemoryBound::Bytes(bytes) => Some(bytes),
            MemoryBound::OfCgroup => cgroup_limit().map(|limit| limit / 100 * OF_CGROUP),
        };
    }

    fn used(&self) -> io::Result<u64> {
        let Some(statm) = &self.statm else { return Ok(0) };
        let mut text = [0; 256];
        let read = statm.read_at(&mut text, 0)?;
        anonymous(&String::from_utf8_lossy(&text[..read])).ok_or(io::ErrorKind::InvalidData.into())
    }
}

impl Control {
    /// Looks at the memory, and has the workers do what is to be done.
    pub(super) fn look_at_memory(&mut self) {
        let used = match self.memory.used() {
            Ok(used) => used,
            Err(error) => return tracing::debug!(%error, "how much memory the process has cannot be read"),
        };
        let live = self.inputs.routing.live();
        let (bound, before) = (self.memory.bound, live.stage());
        let stage = before.after(used, bound);
        self.inputs.telemetry.memory(used, bound, stage);
        if stage == before {
            return;
        }
        self.inputs.routing.serve(&Arc::new(Live::clone(&live).in_stage(stage)));
        let bound = bound.unwrap_or(u64::MAX);
        match stage {
            Stage::Calm => tracing::info!(used, bound, "memory is enough again"),
            Stage::Saving => tracing::warn!(used, bound, "memory runs short: connections end with their requests"),
            Stage::Refusing => tracing::warn!(used, bound, "memory runs out: requests are refused"),
        }
    }
}

/// Of the line of `/proc/self/statm`, in pages: what is resident, without what is mapped from files or shared.
fn anonymous(statm: &str) -> Option<u64> {
    let mut pages = statm.split_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
    Some(resident.saturating_sub(shared) * PAGE_BYTES)
}

/// The least limit of the control group (version 2) of this process and of those that it is in; none without one.
fn cgroup_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    limit_of(Path::new(CGROUPS), group)
}

fn limit_of(root: &Path, group: &str) -> Option<u64> {
    let own = root.join(group);
    let limits = own.ancestors().take_while(|above| above.starts_with(root)).filter_map(|above| {
        // Of one without a limit it says `max`; the outermost has no such file outside of a namespace.
        fs::read_to_string(above.join("memory.max")).ok()?.trim().parse().ok()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_or_mapped_from_files_is_not_counted() {
        assert_eq!(anonymous("72345 5000 3000 800 0 9000 0\n"), Some(2_000 * 4096));
        assert_eq!(anonymous("1 2 3"), Some(0));
        assert_eq!(anonymous("1 2"), None);
        let memory = Memory::new(MemoryBound::Off);
        let mut held = vec![0_u8; 64 << 20];
        let before = memory.used().expect("it can be read");
        held.iter_mut().step_by(4096).for_each(|page| *page = 1);
        let after = memory.used().expect("it can be read");
        assert!(held.len() > 1 && after > before + (32 << 20), "{before} {after}");
    }

    #[test]
    fn the_limit_is_the_least_of_the_control_group_and_those_around_it() {
        let root = tempfile::tempdir().expect("a folder can be made");
        let group = root.path().join("slice/unit");
        fs::create_dir_all(&group).expect("the folder is writable");
        let limit = || limit_of(root.path(), "slice/unit");
        let write = |folder: &Path, text: &str| fs::write(folder.join("memory.max"), text).expect("it is writable");
        assert_eq!(limit(), None);
        write(&group, "max\n");
        assert_eq!(limit(), None);
        write(root.path(), "536870912\n");
        assert_eq!(limit(), Some(512 << 20), "of a namespace");
        write(&group, "1073741824\n");
        assert_eq!(limit(), Some(512 << 20));
        write(&group, "67108864\n");
        assert_eq!(limit(), Some(64 << 20));
        assert_eq!(limit_of(root.path(), ""), Some(512 << 20));
    }
}
