//! A program with a clean environment, for a bounded time, with all that it starts.

use std::collections::BTreeMap;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::actions::context::Context;
use crate::actions::{Attempt, End, Said};
use crate::config::runbook::kind::Exec;
use crate::config::runbook::kind::exec::PATH;
use crate::config::runbook::{Text, Unrendered};

/// Of what a program says, on each of its two ways; the rest is read and forgotten, so that it never waits.
const MOST_OUTPUT: usize = 64 * 1024;

/// Of its last line, in sentences.
const MOST_SAID: usize = 200;

/// How long the rest of its output may take after its end.
const REST: Duration = Duration::from_secs(1);

/// The variable that tells a program what it is run for.
const KEY: &str = "PORTCULLIS_IDEMPOTENCY_KEY";

pub(super) async fn run(exec: &Exec, context: &Context) -> Result<Attempt, Unrendered> {
    let arguments = arguments(exec, context)?;
    let Some((program, arguments)) = arguments.split_first() else {
        return Err(Unrendered::new("its command is empty"));
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).env(KEY, &context.now.key);
    for (name, value) in &exec.environment {
        command.env(name, context.fill(value)?);
    }
    if let Some(folder) = &exec.folder {
        command.current_dir(folder);
    }
    // A group of its own, so that what it has started ends with it.
    command.process_group(0).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ok(End::Failed { why: format!("{program} cannot be started: {error}") }.into()),
    };
    let mut group = Group::of(child);
    let (out, err) = (group.child.stdout.take(), group.child.stderr.take());
    let (mut said_out, mut said_err) = (Vec::new(), Vec::new());
    let status = {
        let reading = async { tokio::join!(read(out, &mut said_out), read(err, &mut said_err)) };
        tokio::pin!(reading);
        tokio::select! {
            status = group.child.wait() => {
                // What it has left behind may hold the other end for ever.
                group.end();
                tokio::time::timeout(REST, &mut reading).await.ok();
                status
            }
            _ = &mut reading => group.child.wait().await,
        }
    };
    let (out, err) = (said_out, said_err);
    let said = Said::Exit(status.as_ref().ok().and_then(ExitStatus::code));
    let end = match status {
        Ok(status) if status.success() => {
            let remembered = BTreeMap::from([("output".to_owned(), last_line(&out))]);
            End::Delivered { sentence: ended(program, status, &out), remembered }
        }
        Ok(status) => {
            let told = if last_line(&err).is_empty() { &out } else { &err };
            End::Retry { why: ended(program, status, told), after: None }
        }
        Err(error) => End::Retry { why: format!("{program}: {error}"), after: None },
    };
    Ok(Attempt { end, said })
}

pub(super) fn preview(exec: &Exec, context: &Context) -> Result<String, Unrendered> {
    let variable = |(name, value): &(String, Text)| Ok(format!("{name}={}\n", context.fill(value)?));
    let environment = exec.environment.iter().map(variable).collect::<Result<String, Unrendered>>()?;
    let shown = format!("{:?}\n{environment}", arguments(exec, context)?);
    Ok(context.masked(&shown))
}

fn arguments(exec: &Exec, context: &Context) -> Result<Vec<String>, Unrendered> {
    exec.command.iter().map(|argument| context.render(argument)).collect()
}

/// A program and all that it has started, which end when this is dropped.
struct Group {
    child: Child,
    leader: Option<Pid>,
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

impl Group {
    fn of(child: Child) -> Group {
        let leader = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Group { child, leader }
    }

    fn end(&mut self) {
        if let Some(leader) = self.leader.take()
            && let Err(error) = kill_process_group(leader, Signal::KILL)
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!(%error, "a program of an action could not be ended");
        }
    }
}

async fn read(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                kept.extend_from_slice(&buffer[..count]);
                let surplus = kept.len().saturating_sub(MOST_OUTPUT);
                kept.drain(..surplus);
            }
        }
    }
}

fn ended(program: &str, status: ExitStatus, output: &[u8]) -> String {
    let said = last_line(output);
    let how = status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"));
    if said.is_empty() { format!("{program} ended with {how}") } else { format!("{program} ended with {how}: {said}") }
}

/// The last line that is not empty.
fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().chars().filter(|letter| !letter.is_control()).take(MOST_SAID).collect()
}
