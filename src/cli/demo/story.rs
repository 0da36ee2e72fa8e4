//! One release: the weight is raised step by step, green goes bad, and what comes of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use http::Method;
use serde_json::json;
use tokio::sync::broadcast::{self, error::TryRecvError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::backend::Backend;
use super::expected::{ANSWERED_AFTER, Ending};
use super::fault::Fault;
use super::load::Load;
use super::screen::{Progress, Screen, Tone};
use crate::cli::client::Admin;
use crate::control::event::{Event, Kind as EventKind};
use crate::control::status::{Rollback, Status};
use crate::gate::Kind;
use crate::gate::verdict::count;

/// Everything that plays a part.
pub struct Story<'a> {
    pub fault: Fault,
    pub screen: &'a Screen,
    pub load: &'a Load,
    pub green: Backend,
    pub admin: Admin,
    pub admin_address: SocketAddr,
    pub status: watch::Receiver<Arc<Status>>,
    pub events: broadcast::Receiver<Event>,
    /// When it has to be over.
    pub deadline: Instant,
    /// When green went bad.
    pub bad_since: Option<Instant>,
}

/// Green's percent, one step after the other.
pub const STEPS: [u8; 5] = [1, 5, 25, 50, 100];

/// The shortest time that a step holds.
pub const BAKE: Duration = Duration::from_secs(3);

/// The step in which green goes bad, and how long after its beginning.
const BAD_AT: (u8, Duration) = (25, Duration::from_millis(1500));

/// How a step came to its end.
enum Held {
    Passed,
    RolledBack(Rollback, Instant),
    Late,
}

impl Story<'_> {
    /// Plays the release to its end.
    pub async fn tell(&mut self) -> anyhow::Result<Ending> {
        while self.load.before().ended == 0 && self.is_in_time() {
            self.look().await?;
        }
        for (number, percent) in STEPS.into_iter().enumerate() {
            match self.step(number, percent).await? {
                Held::Passed => {}
                Held::RolledBack(rollback, at) => return self.rolled_back(&rollback, at).await,
                Held::Late => {
                    self.screen.say("the time is up", Tone::Bad);
                    let ending = Ending::new(&self.status.borrow(), self.load.before());
                    return Ok(Ending { green_was_bad: self.bad_since.is_some(), ..ending });
                }
            }
        }
        let ending = Ending::new(&self.status.borrow(), self.load.before());
        let (answers, failed) = (count(ending.before.ended), count(ending.before.failed));
        self.screen.print("", Tone::Plain);
        self.screen.print("Green has all the traffic, and the gate watches on.", Tone::Good);
        self.screen.print(&format!("  clients     got {answers} answers, {failed} of them failed"), Tone::Plain);
        Ok(ending)
    }

    /// Waits for the next status, which comes ten times in a second, and shows it.
    pub async fn look(&mut self) -> anyhow::Result<Arc<Status>> {
        if self.status.changed().await.is_err() {
            bail!("the proxy has ended by itself");
        }
        let status = self.status.borrow_and_update().clone();
        loop {
            match self.events.try_recv() {
                Ok(event) => {
                    let tone = if event.kind == EventKind::RolledBack { Tone::Bad } else { Tone::Plain };
                    let sentence = match event.kind {
                        EventKind::RolledBack => format!("ROLLED BACK: {}", event.sentence),
                        EventKind::Started | EventKind::WeightSet | EventKind::Notified => event.sentence,
                        EventKind::Paused | EventKind::Probing | EventKind::Frozen | EventKind::Thawed => {
                            format!("{}, green at {}: {}", event.kind.name(), event.weight, event.sentence)
                        }
                    };
                    self.screen.say(&sentence, tone);
                }
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        self.screen.figures(&status, self.load.before().plus(self.load.after()));
        Ok(status)
    }

    async fn step(&mut self, number: usize, percent: u8) -> anyhow::Result<Held> {
        let at_first = self.status.borrow().clone();
        let began = Instant::now();
        let mut raised = self.raise(percent, number).await;
        loop {
            let status = self.look().await?;
            let held = began.elapsed();
            let text = step_text(&at_first, &status);
            if let Some(rollback) = status.rollback.clone() {
                self.screen.step(number, percent, Progress::RolledBack, &format!("rolled back; {text}"));
                return Ok(Held::RolledBack(rollback, Instant::now()));
            }
            self.screen.step(number, percent, Progress::Baking(held), &text);
            if !self.is_in_time() {
                return Ok(Held::Late);
            }
            if raised.is_err() {
                // Frozen for a while, which only a passing common cause does.
                raised = self.raise(percent, number).await;
                continue;
            }
            let (bad_at, after) = BAD_AT;
            if self.fault != Fault::None && percent == bad_at {
                if held >= after && self.bad_since.is_none() {
                    self.bad_since = Some(Instant::now());
                    self.green.turn(self.fault);
                    self.screen.say(&format!("green goes bad: it {}", self.fault.deed()), Tone::Bad);
                }
            } else if held >= BAKE && status.verdict.kind == Kind::Pass {
                self.screen.step(number, percent, Progress::Held, &format!("held; {text}"));
                return Ok(Held::Passed);
            }
        }
    }

    async fn rolled_back(&mut self, rollback: &Rollback, at: Instant) -> anyhow::Result<Ending> {
        self.load.announce_rollback();
        let wish = *STEPS.last().expect("there are steps");
        let refusal = self.raise(wish, STEPS.len() - 1).await.err().map(|refusal| refusal.to_string());
        while self.is_in_time() && (self.load.after().ended < ANSWERED_AFTER || self.load.before().under_way() > 0) {
            self.look().await?;
        }
        // What ended last is in the status after the next one for certain.
        self.look().await?;
        let status = self.look().await?;
        let ending = Ending {
            green_was_bad: self.bad_since.is_some_and(|bad_since| bad_since < at),
            refusal,
            after: self.load.after(),
            reached_green: self.green.arrived(),
            ..Ending::new(&status, self.load.before())
        };
        self.summarise(rollback, at, &ending, &status);
        Ok(ending)
    }

    fn summarise(&self, rollback: &Rollback, at: Instant, ending: &Ending, status: &Status) {
        let print = |what: &str, text: &str| self.screen.print(&format!("  {what:<10}  {text}"), Tone::Plain);
        let Ending { before, after, .. } = ending;
        self.screen.print("", Tone::Plain);
        self.screen.print("The release was rolled back.", Tone::Bad);
        print("because", &format!("{} (trigger `{}`)", rollback.reason, rollback.trigger));
        print(
            "cost",
            &format!(
                "{} of {} requests failed and {} were slow, all begun before the flip; green is charged with {}",
                count(before.failed),
                count(before.ended),
                count(before.slow),
                count(status.green.counted.failures)
            ),
        );
        let reaction = match rollback.reaction_micros {
            Some(micros) => format!("{micros:.1} µs from the verdict to the new routing table"),
            None => "from the verdict to the new routing table was not seen".to_owned(),
        };
        let since = self.bad_since.map(|bad_since| format!("; {:.0} ms since green went bad", millis(at - bad_since)));
        print("reaction", &(reaction + &since.unwrap_or_default()));
        print(
            "since then",
            &format!(
                "{} requests: {} answered by blue, {} failed, {} reached green",
                count(after.ended),
                count(after.by_blue),
                count(after.failed),
                count(ending.reached_green)
            ),
        );
        let wish = STEPS.last().expect("there are steps");
        let answer = ending.refusal.as_deref().unwrap_or("it was granted");
        print("latched", &format!("asked for {wish} %: {answer}"));
    }

    async fn raise(&self, percent: u8, number: usize) -> anyhow::Result<()> {
        let reason = format!("step {} of {}", number + 1, STEPS.len());
        let body = json!({ "weight": percent, "reason": reason });
        self.admin.send(Method::PUT, "/v1/weight", Some(&body)).await.map(drop)
    }

    fn is_in_time(&self) -> bool {
        Instant::now() < self.deadline
    }
}

/// What was counted of each version since `at_first`.
fn step_text(at_first: &Status, status: &Status) -> String {
    let of_epoch = |count: u64| if at_first.epoch == status.epoch { count } else { 0 };
    let [green, blue] = [(&at_first.green, &status.green), (&at_first.blue, &status.blue)].map(|(first, last)| {
        let requests = last.counted.requests.saturating_sub(of_epoch(first.counted.requests));
        let failures = last.counted.failures.saturating_sub(of_epoch(first.counted.failures));
        format!("{} of {} failed", count(failures), count(requests))
    });
    format!("green {green}, blue {blue}")
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
