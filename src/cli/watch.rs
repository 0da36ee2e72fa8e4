//! `portcullis watch`: a release as it goes, until it has ended. On a terminal it is a picture that [`picture`] makes of what was
//! [`seen`] and [`terminal`] shows; elsewhere a line for each event.

use std::cell::Cell;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::client::{Admin, Refused, runtime};
use super::output::{Output, harmless};
use super::status::{self, text};
use seen::{Heard, Seen};
use terminal::Terminal;

mod picture;
mod seen;
mod shapes;
mod terminal;

/// Follow a release until it has ended; where none is open, the next one
#[derive(Debug, clap::Args)]
pub(super) struct Watch {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    admin: Admin,
}

/// Between two looks at the status, and between two pictures.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long the events of a release that has ended are waited for.
const LAST_EVENTS: Duration = Duration::from_millis(500);

/// Messages that wait to be shown; what does not fit is missed, as the proxy does with a listener that is too slow.
const WAITING: usize = 64;

/// Between two attempts at a proxy that is away.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Whoever reads lines is told that the proxy is away, and after so long that it does not come back. People decide themselves.
const AWAY: Duration = Duration::from_secs(60);

/// A stream that tells something every second has broken off unseen after this.
const SILENCE: Duration = Duration::from_secs(10);

/// What a shell makes of a program that a signal has ended.
const BY_SIGNAL: u8 = 128;

/// The release that is followed, once there is one.
#[derive(Default)]
struct Followed(Option<u64>);

impl Watch {
    pub(super) fn run(&self) -> ExitCode {
        let shown = runtime().map_err(Into::into).and_then(|runtime| runtime.block_on(self.follow()));
        shown.unwrap_or_else(|error| super::failed(&error))
    }

    async fn follow(&self) -> anyhow::Result<ExitCode> {
        let on_screen = std::io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        match (self.output.is_json(), on_screen) {
            (false, true) => self.picture().await,
            (true, _) => self.lines(&Lines::Json).await,
            (false, false) => self.lines(&Lines::Plain).await,
        }
    }

    async fn picture(&self) -> anyhow::Result<ExitCode> {
        let mut seen = Seen::new();
        seen.recall(&self.admin.send(Method::GET, "/v1/series", None).await?);
        let (tell, mut told) = mpsc::channel(WAITING);
        let listening = self.listen(tell);
        tokio::pin!(listening);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut redraw = tokio::time::interval(LOOK_EVERY);
        redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut followed, mut heard_at, mut since) = (Followed::default(), Instant::now(), Vec::new());
        let mut ended: Option<Instant> = None;
        let terminal = Terminal::enter()?;
        let ending = loop {
            tokio::select! {
                biased;
                _ = interrupt.recv() => break Ok(BY_SIGNAL + 2),
                _ = terminate.recv() => break Ok(BY_SIGNAL + 15),
                _ = hangup.recv() => break Ok(BY_SIGNAL + 1),
                Some(heard) = told.recv() => {
                    if !matches!(heard, Heard::Lost(_)) {
                        heard_at = Instant::now();
                    }
                    match &heard {
                        // What happened in between is known there.
                        Heard::Hello => match self.admin.send(Method::GET, "/v1/series", None).await {
                            Ok(series) => seen.recall(&series),
                            Err(error) => tracing::debug!(%error, "what was before is not known"),
                        },
                        Heard::Event(event) => since.push(event.clone()),
                        Heard::Status(status) if followed.has_ended(status) => _ = ended.get_or_insert(Instant::now()),
                        Heard::Status(_) | Heard::Point(_) | Heard::Lost(_) => {}
                    }
                    seen.take(heard, Instant::now());
                }
                error = &mut listening => break Err(error),
                _ = redraw.tick() => {
                    if ended.is_some_and(|ended| ended.elapsed() >= LAST_EVENTS) {
                        break Ok(0);
                    }
                    if !seen.status.is_null() {
                        terminal.show(&picture::lines(&seen, heard_at, terminal.size(), Instant::now()))?;
                    }
                }
            }
        };
        drop(terminal);
        let code = ending?;
        // What was on the screen is gone, and this stays.
        since.iter().for_each(|event| anstream::println!("{}", event_line(event)));
        status::print(&seen.status);
        Ok(ExitCode::from(code))
    }

    /// Listens until the proxy refuses that.
    async fn listen(&self, tell: mpsc::Sender<Heard>) -> anyhow::Error {
        let say = |heard: Heard| {
            if tell.try_send(heard).is_err() {
                tracing::debug!("something was not shown");
            }
        };
        loop {
            let (last, name) = (Cell::new(Instant::now()), Cell::new(Vec::new()));
            let each = |line: &[u8]| {
                last.set(Instant::now());
                if let Some(event) = line.strip_prefix(b"event:") {
                    name.set(event.trim_ascii().to_vec());
                } else if let Some(data) = line.strip_prefix(b"data:")
                    && let Some(heard) = Seen::parse(&name.take(), data)
                {
                    say(heard);
                }
                Ok(ControlFlow::Continue(()))
            };
            let silent = async {
                while last.get().elapsed() < SILENCE {
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            };
            let heard = tokio::select! {
                heard = self.admin.lines("/v1/live", each) => heard,
                () = silent => Err(anyhow::anyhow!("nothing was heard for {} s", SILENCE.as_secs())),
            };
            match heard {
                // The process that comes after it answers at once.
                Ok(()) => {}
                Err(error) if error.is::<Refused>() => return error,
                Err(error) => {
                    say(Heard::Lost(format!("{error:#}")));
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        }
    }

    async fn lines(&self, lines: &Lines) -> anyhow::Result<ExitCode> {
        let (heard, mut events) = mpsc::channel(WAITING);
        let each = |line: &[u8]| {
            if let Some(data) = line.strip_prefix(b"data:")
                && let Ok(event) = serde_json::from_slice::<Value>(data)
                && heard.try_send(event).is_err()
            {
                tracing::debug!("an event was not shown");
            }
            Ok(ControlFlow::Continue(()))
        };
        let listening = async {
            // The stream ends when another process has taken over, which goes on with it.
            loop {
                match self.admin.lines("/v1/events", each).await {
                    Ok(()) => {}
                    Err(error) if error.is::<Refused>() => break error,
                    // Whether it is away is seen from its status.
                    Err(_) => tokio::time::sleep(AGAIN_AFTER).await,
                }
            }
        };
        tokio::pin!(listening);
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut followed, mut first, mut lost) = (Followed::default(), true, None);
        loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => lines.event(&event),
                error = &mut listening => return Err(error),
                _ = look.tick() => {
                    let status = match self.admin.send(Method::GET, "/v1/status", None).await {
                        Ok(status) => status,
                        Err(error) if first || error.is::<Refused>() => return Err(error),
                        Err(error) => {
                            let since = *lost.get_or_insert_with(|| {
                                lines.link(&format!("connection lost: {error:#}"));
                                Instant::now()
                            });
                            if since.elapsed() > AWAY {
                                return Err(error);
                            }
                            continue;
                        }
                    };
                    if lost.take().is_some() {
                        lines.link("connected again");
                    }
                    if first {
                        lines.status(&status);
                        first = false;
                    }
                    if followed.has_ended(&status) {
                        // The last events are on their way.
                        let last = async {
                            loop {
                                tokio::select! {
                                    biased;
                                    Some(event) = events.recv() => lines.event(&event),
                                    _ = &mut listening => break,
                                }
                            }
                        };
                        tokio::time::timeout(LAST_EVENTS, last).await.ok();
                        lines.status(&status);
                        return Ok(ExitCode::SUCCESS);
                    }
                }
            }
        }
    }
}

impl Followed {
    /// Whether the release that was open is no longer.
    fn has_ended(&mut self, status: &Value) -> bool {
        let open = matches!(text(&status["state"]), "stepping" | "paused" | "promoted");
        let epoch = status["epoch"].as_u64();
        let ended = self.0.is_some_and(|release| !open || Some(release) != epoch);
        if open && !ended {
            self.0 = epoch;
        }
        ended
    }
}

/// Where lines go that stay.
enum Lines {
    Plain,
    Json,
}

impl Lines {
    fn event(&self, event: &Value) {
        match self {
            Lines::Json => anstream::println!("{}", json!({ "event": event })),
            Lines::Plain => anstream::println!("{}", event_line(event)),
        }
    }

    fn status(&self, status: &Value) {
        match self {
            Lines::Json => anstream::println!("{}", json!({ "status": status })),
            Lines::Plain => status::print(status),
        }
    }

    fn link(&self, said: &str) {
        match self {
            Lines::Json => anstream::println!("{}", json!({ "connection": said })),
            Lines::Plain => anstream::println!("{said}"),
        }
    }
}

fn event_line(event: &Value) -> String {
    let weight = event["weight"].as_f64().unwrap_or_default();
    let [at, kind, sentence] = ["at", "kind", "sentence"].map(|field| harmless(text(&event[field])));
    let line = format!("{}  {kind}, green at {weight} %: {sentence}", status::second(&at));
    picture::tone(&kind).apply_to(line).to_string()
}
