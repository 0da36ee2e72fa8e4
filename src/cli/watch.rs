//! `portcullis watch`: a release as it goes, until it has ended.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::client::{Admin, runtime};
use super::status::{self, text};
use bars::Bars;

mod bars;

/// Follow a release until it has ended; where none is open, the next one
#[derive(Debug, clap::Args)]
pub(super) struct Watch {
    /// Print the status and each event as JSON, one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: Admin,
}

/// Between two looks at the status.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long the events of a release that has ended are waited for.
const LAST_EVENTS: Duration = Duration::from_millis(500);

/// Events that wait to be shown; the stream waits when there are more.
const WAITING: usize = 64;

/// Where what is seen goes.
enum Screen {
    Json,
    Plain,
    Live(Box<Bars>),
}

impl Watch {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let screen = match (self.json, std::io::stdout().is_terminal()) {
            (true, _) => Screen::Json,
            (false, true) => Screen::Live(Box::new(Bars::new())),
            (false, false) => Screen::Plain,
        };
        runtime()?.block_on(self.follow(screen))
    }

    async fn follow(&self, mut screen: Screen) -> anyhow::Result<()> {
        let (heard, mut events) = mpsc::channel(WAITING);
        let each = |line: &[u8]| {
            // What does not fit is missed, as the proxy does with a listener that is too slow.
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
                if let Err(error) = self.admin.lines("/v1/events", each).await {
                    break error;
                }
            }
        };
        tokio::pin!(listening);
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut first = true;
        let mut release = None;
        loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => screen.event(&event),
                error = &mut listening => return Err(error),
                _ = look.tick() => {
                    let status = self.admin.send(Method::GET, "/v1/status", None).await?;
                    screen.status(&status, first);
                    first = false;
                    let open = matches!(text(&status["state"]), "stepping" | "paused" | "promoted");
                    let epoch = status["epoch"].as_u64();
                    if release.is_some_and(|release| !open || Some(release) != epoch) {
                        // The last events are on their way.
                        let last = async {
                            loop {
                                tokio::select! {
                                    biased;
                                    Some(event) = events.recv() => screen.event(&event),
                                    _ = &mut listening => break,
                                }
                            }
                        };
                        tokio::time::timeout(LAST_EVENTS, last).await.ok();
                        screen.end(&status);
                        return Ok(());
                    }
                    if open {
                        release = epoch;
                    }
                }
            }
        }
    }
}

impl Screen {
    fn event(&self, event: &Value) {
        let line = || {
            let weight = event["weight"].as_f64().unwrap_or_default();
            let [at, kind, sentence] = ["at", "kind", "sentence"].map(|field| text(&event[field]));
            format!("{}  {kind}, green at {weight} %: {sentence}", status::second(at))
        };
        match self {
            Screen::Json => anstream::println!("{}", json!({ "event": event })),
            Screen::Plain => anstream::println!("{}", line()),
            Screen::Live(bars) => bars.say(&line(), text(&event["kind"])),
        }
    }

    fn status(&mut self, status: &Value, first: bool) {
        match self {
            Screen::Json if first => anstream::println!("{}", json!({ "status": status })),
            Screen::Plain if first => status::print(status),
            Screen::Json | Screen::Plain => {}
            Screen::Live(bars) => bars.show(status),
        }
    }

    fn end(&self, status: &Value) {
        match self {
            Screen::Json => anstream::println!("{}", json!({ "status": status })),
            Screen::Plain => status::print(status),
            Screen::Live(bars) => bars.end(),
        }
    }
}
