//! `portcullis leave`: a proxy hears that it will be told to end.

use std::io;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

/// Tell a proxy that it will be told to end: readiness goes off and answers ask clients to reconnect, but it serves until then. For
/// `preStop` of a sidecar, which is told to end only after the app has
#[derive(Debug, clap::Args)]
pub(super) struct Leave {
    /// The process; unless said the first one, which it is in a container of its own
    #[arg(long, value_name = "ID", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
}

impl Leave {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.pid).expect("the range has no 0");
        kill_process(pid, Signal::USR1)
            .map_err(io::Error::from)
            .with_context(|| format!("process {} cannot be told", self.pid))
    }
}
