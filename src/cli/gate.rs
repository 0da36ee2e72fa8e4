//! `portcullis gate`: what has become of the release, as an exit code for pipelines.

use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::time::Instant;

use super::client::{Admin, Refused, runtime};
use super::output::Output;
use crate::config;
use crate::gate::verdict::duration;

/// Tell what has become of the release: exit 0 promoted, 1 rolled back, 2 undecided or timed out, 3 not answered
#[derive(Debug, clap::Args)]
pub(super) struct Gate {
    /// Wait until the release has ended
    #[arg(long)]
    wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "DURATION", default_value = "30m", requires = "wait", value_parser = timeout)]
    timeout: Duration,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    admin: Admin,
}

const PROMOTED: u8 = 0;
const ROLLED_BACK: u8 = 1;
const UNDECIDED: u8 = 2;
/// The question could not be put: the token is refused, or nobody is there who understands it.
const UNANSWERED: u8 = 3;

const LONGEST_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long the proxy is asked to hold back one answer.
const HELD_BACK: Duration = Duration::from_secs(30);

/// How long the answer to that may take beyond it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two attempts at a proxy that is away for a moment.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

fn timeout(text: &str) -> Result<Duration, String> {
    config::duration(text, Duration::ZERO..=LONGEST_TIMEOUT)
}

impl Gate {
    pub(super) fn run(&self) -> ExitCode {
        let answered = match (self.admin.authority(), runtime()) {
            (Ok(_), Ok(runtime)) => runtime.block_on(self.ask()),
            (Err(error), _) => Err(error),
            (_, Err(error)) => Err(error.into()),
        };
        ExitCode::from(match answered {
            Ok(code) => code,
            Err(error) => {
                anstream::eprintln!("error: {error:#}");
                UNANSWERED
            }
        })
    }

    async fn ask(&self) -> anyhow::Result<u8> {
        let deadline = Instant::now() + if self.wait { self.timeout } else { Duration::ZERO };
        // The release that is waited for, once one is known: a later one is not its fate.
        let mut epoch: Option<u64> = None;
        let (mut asked, mut away) = (false, None);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // A proxy that ends before its first answer would leave it unknown which release was meant.
            let wait = if asked { left.min(HELD_BACK) } else { Duration::ZERO };
            let of = epoch.map(|epoch| format!("&epoch={epoch}")).unwrap_or_default();
            let path = format!("/v1/gate?wait={}ms{of}", wait.as_millis());
            match self.admin.send_within(wait + PATIENCE, Method::GET, &path, None).await {
                Ok(answer) => {
                    (asked, away) = (true, None);
                    let under_way = !matches!(answer["state"].as_str(), Some("idle"));
                    let over = epoch.is_some() && (!under_way || answer["epoch"].as_u64() != epoch);
                    if under_way {
                        epoch = epoch.or(answer["epoch"].as_u64());
                    }
                    let code = code(&answer);
                    if code != UNDECIDED || over || Instant::now() >= deadline {
                        self.show(&answer)?;
                        return Ok(code);
                    }
                }
                Err(error) if self.wait && is_momentary(&error) => {
                    if Instant::now() >= deadline {
                        anstream::eprintln!("undecided: no answer within {}: {error:#}", duration(self.timeout));
                        return Ok(UNDECIDED);
                    }
                    if away.is_none() {
                        anstream::eprintln!("the proxy is away, trying again: {error:#}");
                    }
                    away = Some(error);
                    tokio::time::sleep_until(deadline.min(Instant::now() + AGAIN_AFTER)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn show(&self, answer: &Value) -> anyhow::Result<()> {
        if self.output.is_json() {
            anstream::println!("{}", serde_json::to_string_pretty(answer)?);
            return Ok(());
        }
        let text = |field: &str| answer[field].as_str().unwrap_or("unknown").to_owned();
        let outcome = match text("outcome").as_str() {
            "promoted" => "promoted",
            "rolledBack" => "rolled back",
            _ => "undecided",
        };
        anstream::println!("{outcome} (epoch {}, {}): {}", answer["epoch"], text("state"), text("sentence"));
        Ok(())
    }
}

fn code(answer: &Value) -> u8 {
    match answer["outcome"].as_str() {
        Some("promoted") => PROMOTED,
        Some("rolledBack") => ROLLED_BACK,
        Some(_) | None => UNDECIDED,
    }
}

/// What may pass by itself: a proxy that restarts, and what stands between.
fn is_momentary(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_none_or(|refused| refused.status.is_server_error())
}
