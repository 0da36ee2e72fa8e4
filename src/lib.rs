//! Portcullis: a reverse proxy in front of two versions of one service that measures both on every request and sends
//! everything back to blue the moment green is bad.
//!
//! In reading order:
//!
//! - [`cli`]: one file a command; `run` starts a proxy, `demo` tells a whole release.
//! - [`config`]: the YAML file, with all its faults at once. Absent: defaults anywhere else.
//! - [`running`]: wires the parts below into one proxy, and drains it.
//! - [`listeners`]: the sockets that are accepted on: bound, or inherited.
//! - [`takeover`]: gives them and the journal to the process that comes after, and gets them from the one before.
//! - [`systemd`]: what systemd is told of the process.
//! - [`proxy`]: the way of a request, top to bottom. Absent: decisions, and locks that two workers share.
//! - [`routing`]: the one value that the workers share, and the only ways to change it. A rollback wins every merge.
//! - [`live`]: what it routes to: settings and endpoints, replaced whole.
//! - [`resolve`]: what the names among the endpoints stand for, followed on a thread of its own.
//! - [`measure`]: what a worker counts and the sliding windows over it.
//! - [`gate`]: is green worse than blue? Pure. Absent: I/O, clock, async, randomness, logs, metrics.
//! - [`release`]: what a release is and how it moves. Pure as well.
//! - [`course`]: one release after another: what can happen goes in, what must be done comes out. Pure, so that the journal
//!   can be replayed.
//! - [`replica`]: how many proxies act as one: what one knows of the state that they share, and does about it. Pure.
//! - [`control`]: the one task that owns the release: it ticks, judges and carries out.
//! - [`kubernetes`]: the custom resource that a proxy is run by, and what is followed there, on a thread of its own. Absent:
//!   anything on the way of a request, and anything that waits for the API server but a start.
//! - [`reload`]: reads the configuration again and has `control` go over to it, all or nothing.
//! - [`actions`]: what is done about releases outside of the proxy. Absent: anything that waits for it.
//! - [`journal`]: the durable record of releases, decisions and evidence. Absent: anything that waits for it.
//! - [`replay`]: what a policy decides on recorded evidence. Pure.
//! - [`report`]: what a release was, told in Markdown, HTML and JSON.
//! - [`admin`]: the API and the dashboard, on a thread of their own. Absent: any state of the release; what was answered under a
//!   key is kept, and what charts begin with.
//! - [`spans`]: what is told of sampled requests to a collector of traces. Absent: anything that waits for it.
//! - [`telemetry`]: every metric name and label, and the logs.
//! - [`uuid`](mod@uuid): names that nobody else has.
//!
//! The workers, `control` and the admin API never wait for each other, but that of replicas `control` puts down, and the API
//! picks up, what was counted under one lock. A worker hands its counts to `control` through a
//! queue of its own and reads one pointer; `control` publishes its status through a watch, and the names that it wants followed
//! through another, whose addresses come back through a queue; the admin API sends commands and waits for their answer.
//!
//! The promises are tests: each is named `promise_N_…`.

#![forbid(unsafe_code)]

pub mod actions;
pub mod admin;
pub mod cli;
pub mod config;
pub mod control;
pub mod course;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod gate;
pub mod journal;
pub mod kubernetes;
pub mod listeners;
pub mod live;
pub mod measure;
pub mod proxy;
pub mod release;
pub mod reload;
pub mod replay;
pub mod replica;
pub mod report;
pub mod resolve;
pub mod routing;
pub mod running;
pub mod spans;
pub mod systemd;
pub mod takeover;
pub mod telemetry;
pub mod uuid;
