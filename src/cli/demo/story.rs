//! One release: its plan raises the weight step by step, green goes bad, and what comes of it.

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
use super::setup::GREEN;
use crate::cli::client::{Admin, Refused};
use crate::control::event::Event;
use crate::control::status::{Rollback, Status};
use crate::gate::verdict::{count, duration, percent};
use crate::release::{Kind as EventKind, Weight};

/// Everything that plays a part.
pub(super) struct Story<'a> {
    pub fault: Fault,
    pub screen: &'a Screen,
    pub load: &'a Load,
    pub green: Backend,
    pub admin: Admin,
    pub admin_address: SocketAddr,
    /// The weights of the plan.
    pub steps: Vec<Weight>,
    pub status: watch::Receiver<Arc<Status>>,
    pub events: broadcast::Receiver<Event>,
    /// When it has to be over.
    pub deadline: Instant,
    /// When green went bad.
    pub bad_since: Option<Instant>,
}

/// The step in which green goes bad, from 0, and how long after its beginning.
const BAD_AT: (usize, Duration) = (2, Duration::from_millis(1500));

/// A step of the plan that bakes.
struct Baking {
    number: usize,
    at_first: Arc<Status>,
    at_last: Arc<Status>,
}

impl Story<'_> {
    /// Plays the release to its end.
    pub(super) async fn tell(&mut self) -> anyhow::Result<Ending> {
        while self.load.before().ended == 0 && self.is_in_time() {
            self.look().await?;
        }
        let start = json!({ "reason": format!("{GREEN} is here") });
        self.admin.send(Method::POST, "/v1/release", Some(&start)).await?;
        let mut step = None;
        loop {
            let (status, events) = self.next().await?;
            step = self.follow(step, &status);
            self.announce(events);
            if let Some((step, rollback)) = step.as_ref().zip(status.rollback.as_ref()) {
                return self.rolled_back(step, rollback).await;
            }
            if status.state == "completed" {
                return Ok(self.completed(&status));
            }
            if !self.is_in_time() {
                self.screen.say("the time is up", Tone::Bad);
                let ending = Ending::new(&status, self.load.before());
                return Ok(Ending { green_was_bad: self.bad_since.is_some(), ..ending });
            }
            if let Some(step) = &step {
                self.spoil(step);
            }
        }
    }

    /// Waits for the next status, which comes ten times in a second, and shows it.
    pub(super) async fn look(&mut self) -> anyhow::Result<Arc<Status>> {
        let (status, events) = self.next().await?;
        self.announce(events);
        Ok(status)
    }

    /// The next status, with all events that came before it.
    async fn next(&mut self) -> anyhow::Result<(Arc<Status>, Vec<Event>)> {
        if self.status.changed().await.is_err() {
            bail!("the proxy has ended by itself");
        }
        let mut events = Vec::new();
        loop {
            match self.events.try_recv() {
                Ok(event) => events.push(event),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let status = self.status.borrow_and_update().clone();
        self.screen.figures(&status, self.load.before().plus(self.load.after()));
        Ok((status, events))
    }

    fn announce(&self, events: Vec<Event>) {
        for event in events {
            let (sentence, tone) = match event.kind {
                EventKind::RolledBack => (format!("ROLLED BACK: {}", event.sentence), Tone::Bad),
                EventKind::Started | EventKind::Stepped | EventKind::Promoted | EventKind::Completed => {
                    (event.sentence, Tone::Plain)
                }
                kind => (format!("{}, green at {}: {}", kind.name(), event.weight, event.sentence), Tone::Plain),
            };
            self.screen.say(&sentence, tone);
        }
    }

    /// Shows where the plan is, and says of a step that has ended what it came to.
    fn follow(&self, step: Option<Baking>, status: &Arc<Status>) -> Option<Baking> {
        let number = match status.step {
            Some(number) => number - 1,
            None if status.state == "completed" => self.steps.len(),
            None => return step,
        };
        let step = match step {
            Some(step) if step.number == number => Baking { at_last: status.clone(), ..step },
            ended => {
                if let Some(Baking { number, at_first, at_last }) = ended {
                    let text = format!("held; {}", step_text(&at_first, &at_last));
                    self.screen.step(number, self.steps[number], Progress::Held, &text);
                }
                Baking { number, at_first: status.clone(), at_last: status.clone() }
            }
        };
        if let Some(weight) = self.steps.get(number) {
            let baked = Duration::try_from_secs_f64(status.baked.unwrap_or_default()).unwrap_or_default();
            self.screen.step(number, *weight, Progress::Baking(baked), &step_text(&step.at_first, status));
        }
        Some(step)
    }

    /// Lets green go bad, once its time has come.
    fn spoil(&mut self, step: &Baking) {
        let baked = step.at_last.baked.unwrap_or_default();
        let (bad_at, after) = BAD_AT;
        if self.fault != Fault::None
            && self.bad_since.is_none()
            && step.number == bad_at
            && baked >= after.as_secs_f64()
        {
            self.bad_since = Some(Instant::now());
            self.green.turn(self.fault);
            self.screen.say(&format!("green goes bad: it {}", self.fault.deed()), Tone::Bad);
        }
    }

    fn completed(&self, status: &Status) -> Ending {
        let ending = Ending::new(status, self.load.before());
        let (answers, failed) = (count(ending.before.ended), count(ending.before.failed));
        self.screen.print("", Tone::Plain);
        self.screen.print(&format!("The release has completed: {} is the new blue.", status.blue.version), Tone::Good);
        self.screen.print(&format!("  clients     got {answers} answers, {failed} of them failed"), Tone::Plain);
        ending
    }

    async fn rolled_back(&mut self, step: &Baking, rollback: &Rollback) -> anyhow::Result<Ending> {
        let seen_at = Instant::now();
        self.load.announce_rollback();
        let weight = self.steps[step.number];
        let refused = self.is_refused(weight).await?;
        while self.is_in_time() && (self.load.after().ended < ANSWERED_AFTER || self.load.before().under_way() > 0) {
            self.look().await?;
        }
        // What ended last is in the status after the next one for certain.
        self.look().await?;
        let status = self.look().await?;
        let text = format!("rolled back; {}", step_text(&step.at_first, &status));
        self.screen.step(step.number, weight, Progress::RolledBack, &text);
        let ending = Ending {
            green_was_bad: self.bad_since.is_some_and(|bad_since| bad_since < seen_at),
            refused,
            after: self.load.after(),
            reached_green: self.green.arrived(),
            ..Ending::new(&status, self.load.before())
        };
        self.summarise(rollback, seen_at, &ending, &status);
        let answer = if refused { "refused" } else { "granted" };
        self.screen.print(&format!("  latched     {weight} was asked for again and {answer}"), Tone::Plain);
        Ok(ending)
    }

    fn summarise(&self, rollback: &Rollback, seen_at: Instant, ending: &Ending, status: &Status) {
        let Ending { before, after, .. } = ending;
        let print = |what: &str, text: &str| self.screen.print(&format!("  {what:<10}  {text}"), Tone::Plain);
        self.screen.print("", Tone::Plain);
        self.screen.print("The release was rolled back.", Tone::Bad);
        print("because", &rollback.reason);
        print("trigger", &rollback.trigger);
        let [failed, ended, slow] = [before.failed, before.ended, before.slow].map(count);
        print("cost", &format!("{failed} of {ended} requests failed and {slow} were slow, all begun before the flip"));
        print("", &format!("green is charged with {} failures", count(status.green.counted.failures)));
        print("shield", &format!("{} of them blue answered in its place", count(status.green.shielded)));
        let [green, clients] = [status.green.success_rate, status.green.effective_success_rate]
            .map(|rate| percent(rate.unwrap_or_default()));
        print("", &format!("so {clients} of green's requests succeeded for their clients, and {green} at green"));
        let reaction = match rollback.reaction_micros {
            Some(micros) => format!("{micros:.1} µs from the verdict to the new routing table"),
            None => "the time from the verdict to the new routing table was not seen".to_owned(),
        };
        print("reaction", &reaction);
        if let Some(bad_since) = self.bad_since {
            print("", &format!("{} from green going bad to the rollback", duration(seen_at - bad_since)));
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
    }

    /// Whether a weight for green is refused.
    async fn is_refused(&self, weight: Weight) -> anyhow::Result<bool> {
        match self.admin.send(Method::PUT, "/v1/weight", Some(&json!({ "weight": weight }))).await {
            Ok(_) => Ok(false),
            Err(error) if error.downcast_ref::<Refused>().is_some_and(|it| it.status == StatusCode::CONFLICT) => {
                Ok(true)
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
