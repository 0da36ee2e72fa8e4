//! One release: the weight is raised step by step, green goes bad, and what comes of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use http::{Method, StatusCode};
use serde_json::json;
use tokio::sync::broadcast::{self, error::TryRecvError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::backend::Backend;
use super::expected::{ANSWERED_AFTER, Ending};
use super::fault::Fault;
use super::load::Load;
use super::screen::{Progress, Screen, Tone};
use crate::cli::client::{Admin, Refused};
use crate::control::event::Event;
use crate::control::status::{Rollback, Status};
use crate::gate::Kind;
use crate::gate::verdict::{count, duration};
use crate::release::Kind as EventKind;

/// Everything that plays a part.
pub(super) struct Story<'a> {
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
pub(super) const STEPS: [u8; 5] = [2, 10, 25, 50, 100];

/// The shortest time that a step holds.
pub(super) const BAKE: Duration = Duration::from_secs(3);

/// The step in which green goes bad, and how long after its beginning.
const BAD_AT: (u8, Duration) = (25, Duration::from_millis(1500));

/// How a step came to its end.
enum Held {
    Passed,
    RolledBack(RolledBack),
    Late,
}

/// What the proxy made of the wish for a weight.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Raise {
    Granted,
    Refused,
}

/// The step that ended in a rollback.
struct RolledBack {
    number: usize,
    /// The status at the step's beginning.
    at_first: Arc<Status>,
    rollback: Rollback,
    seen_at: Instant,
}

impl Story<'_> {
    /// Plays the release to its end.
    pub(super) async fn tell(&mut self) -> anyhow::Result<Ending> {
        while self.load.before().ended == 0 && self.is_in_time() {
            self.look().await?;
        }
        for (number, percent) in STEPS.into_iter().enumerate() {
            match self.step(number, percent).await? {
                Held::Passed => {}
                Held::RolledBack(rolled_back) => return self.rolled_back(&rolled_back).await,
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
    pub(super) async fn look(&mut self) -> anyhow::Result<Arc<Status>> {
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
                        kind => format!("{}, green at {}: {}", kind.name(), event.weight, event.sentence),
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
        let mut raise = self.raise(number).await?;
        loop {
            let status = self.look().await?;
            let held = began.elapsed();
            if let Some(rollback) = status.rollback.clone() {
                return Ok(Held::RolledBack(RolledBack { number, at_first, rollback, seen_at: Instant::now() }));
            }
            let text = step_text(&at_first, &status);
            self.screen.step(number, percent, Progress::Baking(held), &text);
            if !self.is_in_time() {
                return Ok(Held::Late);
            }
            if raise == Raise::Refused {
                // A common cause freezes the weight until it has passed.
                raise = self.raise(number).await?;
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

    async fn rolled_back(&mut self, rolled_back: &RolledBack) -> anyhow::Result<Ending> {
        self.load.announce_rollback();
        let RolledBack { number, at_first, seen_at, .. } = rolled_back;
        let raise = self.raise(*number).await?;
        while self.is_in_time() && (self.load.after().ended < ANSWERED_AFTER || self.load.before().under_way() > 0) {
            self.look().await?;
        }
        // What ended last is in the status after the next one for certain.
        self.look().await?;
        let status = self.look().await?;
        let text = format!("rolled back; {}", step_text(at_first, &status));
        self.screen.step(*number, STEPS[*number], Progress::RolledBack, &text);
        let ending = Ending {
            green_was_bad: self.bad_since.is_some_and(|bad_since| bad_since < *seen_at),
            refused: raise == Raise::Refused,
            after: self.load.after(),
            reached_green: self.green.arrived(),
            ..Ending::new(&status, self.load.before())
        };
        self.summarise(rolled_back, &ending, &status);
        Ok(ending)
    }

    fn summarise(&self, rolled_back: &RolledBack, ending: &Ending, status: &Status) {
        let RolledBack { number, rollback, seen_at, .. } = rolled_back;
        let Ending { before, after, .. } = ending;
        let print = |what: &str, text: &str| self.screen.print(&format!("  {what:<10}  {text}"), Tone::Plain);
        self.screen.print("", Tone::Plain);
        self.screen.print("The release was rolled back.", Tone::Bad);
        print("because", &rollback.reason);
        print("trigger", &rollback.trigger);
        let [failed, ended, slow] = [before.failed, before.ended, before.slow].map(count);
        print("cost", &format!("{failed} of {ended} requests failed and {slow} were slow, all begun before the flip"));
        print("", &format!("green is charged with {} failures", count(status.green.counted.failures)));
        let reaction = match rollback.reaction_micros {
            Some(micros) => format!("{micros:.1} µs from the verdict to the new routing table"),
            None => "the time from the verdict to the new routing table was not seen".to_owned(),
        };
        print("reaction", &reaction);
        if let Some(bad_since) = self.bad_since {
            print("", &format!("{} from green going bad to the rollback", duration(*seen_at - bad_since)));
        }
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
        let answer = if ending.refused { "refused" } else { "granted" };
        print("latched", &format!("{} % was asked for again and {answer}", STEPS[*number]));
    }

    /// Asks for the weight of step `number`.
    async fn raise(&self, number: usize) -> anyhow::Result<Raise> {
        let reason = format!("step {} of {}", number + 1, STEPS.len());
        let body = json!({ "weight": STEPS[number], "reason": reason });
        match self.admin.send(Method::PUT, "/v1/weight", Some(&body)).await {
            Ok(_) => Ok(Raise::Granted),
            Err(error) if error.downcast_ref::<Refused>().is_some_and(|it| it.status == StatusCode::CONFLICT) => {
                Ok(Raise::Refused)
            }
            Err(error) => Err(error),
        }
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
        format!("{} of {}", count(failures), count(requests))
    });
    format!("green failed {green}, blue {blue}")
}
