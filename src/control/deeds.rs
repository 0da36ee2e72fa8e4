//! What is done about the release outside of the proxy: which moments come, and what becomes of their actions.
//!
//! Nothing here is waited for. An attempt is handed to a thread of its own once the journal has the decision that it is about,
//! and what becomes of it comes back as any other input.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;

use super::event::{Event, Place};
use super::status::PlanStatus;
use super::{Control, PROXY};
use crate::actions::facts::{Facts, Measured};
use crate::actions::outbox::Outbox;
use crate::actions::runner::{Ended, Runner};
use crate::config::runbook::Moment;
use crate::gate::Version;
use crate::journal::{ActionRecord, ActionResult, DecisionRecord, Durable, ReleaseHeader};
use crate::release::{Kind, State};

/// The actions, and who carries them out.
pub(super) struct Deeds {
    pub(super) outbox: Outbox,
    pub(super) runner: Runner,
    /// The release of this epoch began then.
    began: Option<(u32, Timestamp)>,
    /// One has begun whose first event is yet to come.
    pub(super) begins: bool,
    /// The triggers that try something before they roll back, whose events are yet to come.
    pub(super) tries: VecDeque<String>,
}

/// What stands open, as `GET /v1/status` has it. At most [`MOST_SHOWN`] of each, the newest.
#[derive(Clone, Debug, Default, JsonSchema, Serialize)]
pub struct DeedsStatus {
    /// Not done yet, or tried in vain and about to be tried again.
    pub pending: Vec<DeedStatus>,
    /// Given up.
    pub failed: Vec<DeedStatus>,
    /// What people have to do.
    pub tasks: Vec<DeedStatus>,
}

/// One action.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeedStatus {
    pub name: String,
    pub kind: String,
    pub moment: String,
    pub epoch: u32,
    pub attempts: u32,
    /// When it is tried next, or was tried last.
    pub due: Timestamp,
    /// What was done, or why not; empty before the first attempt.
    pub sentence: String,
}

const MOST_SHOWN: usize = 50;

/// How long the journal's closing waits for attempts that are under way; what has not ended by then is broken off and made
/// again. Shorter than whoever closes it waits.
const REST: Duration = Duration::from_millis(700);

impl Deeds {
    pub(super) fn new(outbox: Outbox, runner: Runner) -> Deeds {
        Deeds { outbox, runner, began: None, begins: false, tries: VecDeque::new() }
    }

    /// A release of this epoch has begun.
    pub(super) fn begin(&mut self, epoch: u32) {
        self.began_at(epoch, Timestamp::now());
        self.begins = true;
    }

    /// As another replica says.
    pub(super) fn began_at(&mut self, epoch: u32, at: Timestamp) {
        self.began = Some((epoch, at));
    }

    pub(super) fn began(&self, epoch: u32) -> Option<Timestamp> {
        self.began.filter(|(of, _)| *of == epoch).map(|(_, at)| at)
    }
}

/// The moment that a decision of this kind is.
fn moment_of(kind: Kind, is_found_bad: bool) -> Option<Moment> {
    match kind {
        Kind::Paused | Kind::Frozen | Kind::Irreversible | Kind::AwaitingApproval | Kind::GateRefused => {
            Some(Moment::Paused)
        }
        Kind::Recovered => Some(Moment::Recovered),
        Kind::NotRecovered => Some(Moment::NotRecovered),
        Kind::Trying => Some(Moment::First),
        // Nobody is to be called because a newer green has taken the place of this one.
        Kind::RolledBack => is_found_bad.then_some(Moment::RolledBack),
        Kind::Completed => Some(Moment::Promoted),
        _ => None,
    }
}

impl Control {
    /// Enters what is to be done about these events, for the write that records them.
    pub(super) fn happen(&mut self, events: &[Event]) {
        let begins = std::mem::take(&mut self.deeds.begins);
        let now = Timestamp::now();
        let first = events.first().filter(|_| begins).map(|event| (Moment::Started, event));
        let is_found_bad = self.course.state().is_found_bad();
        let others = events.iter().filter_map(|event| Some((moment_of(event.kind, is_found_bad)?, event)));
        let mut come = Vec::new();
        for (moment, event) in first.into_iter().chain(others) {
            if moment == Moment::First {
                self.try_first(event, now);
                continue;
            }
            // Two decisions at once are one moment.
            if come.contains(&moment) {
                continue;
            }
            come.push(moment);
            if self.deeds.outbox.runbook().at(moment).next().is_none() && moment != Moment::Recovered {
                continue;
            }
            let facts = self.facts(moment, event);
            if moment == Moment::RolledBack && !self.inputs.together.is_alone() {
                let all: Vec<String> = self.deeds.outbox.runbook().names_at(moment);
                self.deeds.outbox.happen_once(&facts, &all, now);
            } else {
                self.deeds.outbox.happen(&facts, now);
            }
        }
        let changes = self.deeds.outbox.changes();
        self.inputs.ledger.carry(changes.doing);
        self.report_deeds(changes.ended);
    }

    /// Enters what its trigger tries before it rolls back.
    fn try_first(&mut self, event: &Event, now: Timestamp) {
        let Some(trigger) = self.deeds.tries.pop_front() else { return };
        let facts = Facts { trigger: trigger.clone(), ..self.facts(Moment::First, event) };
        let first = self.config.policy.first.iter().find(|first| first.trigger == trigger);
        let names = first.map(|first| first.run.clone()).unwrap_or_default();
        self.deeds.outbox.happen_only(&facts, &names, now);
    }

    /// What is known of the release as of `event`.
    pub(super) fn facts(&self, moment: Moment, event: &Event) -> Facts {
        let epoch = event.epoch.number();
        let header = self.inputs.ledger.header().filter(|header| header.epoch == epoch).cloned();
        let header = header.unwrap_or_else(|| {
            let (blue, green) = (self.name(Version::Blue).to_owned(), self.name(Version::Green).to_owned());
            let began = self.deeds.began(epoch).unwrap_or(event.at);
            let id = ReleaseHeader::id_of(&green, epoch);
            ReleaseHeader {
                epoch,
                id,
                blue,
                green,
                started: began,
                ended: None,
                outcome: crate::journal::Outcome::Open,
            }
        });
        let basis = self.course.basis();
        let plan = PlanStatus::new(self.course.planned());
        let (run, link) = (self.course.state().run(), self.deeds.outbox.runbook().link.clone());
        Facts {
            service: self.config.service.clone(),
            report: link.map(|link| format!("{link}/v1/releases/{}/report", escaped(&header.id))).unwrap_or_default(),
            release: header.id,
            epoch,
            blue: header.blue,
            green: header.green,
            moment,
            event: event.kind.name().to_owned(),
            state: event.state.to_owned(),
            weight: event.weight.percent(),
            step: run.and_then(|run| run.step_number(self.course.plan())),
            steps: plan.as_ref().map(|plan| plan.steps.len()),
            reason: event.sentence.clone(),
            trigger: match self.course.state() {
                State::RolledBack { cause, .. } => cause.trigger.clone(),
                State::Idle { .. } | State::Open(_) | State::Completed { .. } => String::new(),
            },
            actor: event.actor.clone(),
            at: event.at,
            started: self.deeds.began(epoch).unwrap_or(header.started),
            irreversible: plan.and_then(|plan| plan.irreversible),
            measured: Measured { window: basis.window, blue: basis.counts.blue, green: basis.counts.green },
        }
    }

    /// An attempt has ended.
    pub(super) fn attempted(&mut self, Ended { epoch, number, attempt }: Ended) {
        match attempt {
            Some(attempt) => self.deeds.outbox.ended(epoch, number, attempt, Timestamp::now()),
            None => self.deeds.outbox.interrupted(epoch, number),
        }
        self.keep_deeds();
    }

    /// Hands out what is due, unless the journal does not know yet what it is about.
    pub(super) fn do_what_is_due(&mut self) {
        let state = self.course.state();
        self.deeds.outbox.observe(state.epoch().number(), state.name());
        if !self.inputs.ledger.is_reporting() {
            let room = self.deeds.runner.room();
            for order in self.deeds.outbox.due(room, Timestamp::now()) {
                let (epoch, number) = (order.epoch, order.number);
                if !self.deeds.runner.order(order) {
                    self.deeds.outbox.interrupted(epoch, number);
                }
            }
        }
        self.keep_deeds();
    }

    /// Has the journal keep what has changed, and tells what has ended.
    pub(super) fn keep_deeds(&mut self) {
        let changes = self.deeds.outbox.changes();
        if changes.is_empty() {
            return;
        }
        self.inputs.ledger.carry(changes.doing);
        if changes.ended.is_empty() {
            let state = self.state_record();
            if let Err(error) = self.inputs.ledger.keep(state, Durable::Later) {
                self.journal_failed(&error);
            }
        }
        self.report_deeds(changes.ended);
    }

    fn report_deeds(&mut self, ended: Vec<ActionRecord>) {
        for record in ended {
            self.inputs.telemetry.acted(&record.name, record.result.name());
            self.report_deed(&record);
        }
    }

    /// Tells how an action ended. Of the release of now that is a line of its record; an earlier one has its action alone.
    fn report_deed(&mut self, record: &ActionRecord) {
        let ActionRecord { name, kind, moment, result, sentence, .. } = record;
        let told = match result {
            ActionResult::Pending => return,
            ActionResult::Done => Kind::ActionDone,
            ActionResult::Failed => Kind::ActionFailed,
            ActionResult::Skipped => Kind::ActionSkipped,
            ActionResult::Task => Kind::ActionForPeople,
        };
        let sentence = format!("{name} ({kind}, {moment}): {sentence}");
        let mut event = Event::new(told, PROXY.to_owned(), sentence, self.course.state());
        let now = self.clock.now();
        let is_of_now = event.epoch.number() == record.epoch;
        let decision = is_of_now.then(|| self.inputs.ledger.number(now)).flatten().map(|(seq, after)| DecisionRecord {
            epoch: record.epoch,
            seq,
            at: event.at,
            after,
            kind: told.name().to_owned(),
            actor: PROXY.to_owned(),
            sentence: event.sentence.clone(),
            state: event.state.to_owned(),
            weight: event.weight.basis_points(),
            evidence: json!({ "action": name, "key": record.key }),
        });
        event.recorded = decision.as_ref().map(|decision| Place { epoch: decision.epoch, seq: decision.seq });
        let (state, status) = (self.state_record(), self.status());
        let decisions = decision.into_iter().collect();
        if let Err(error) = self.inputs.ledger.decide(state, None, decisions, vec![event], None, status) {
            self.journal_failed(&error);
        }
    }

    /// Waits for what is under way, so that no two processes do the same.
    pub(super) async fn rest_from_deeds(&mut self) {
        let resting = async {
            while self.deeds.outbox.is_busy() {
                let ended = self.deeds.runner.ended().await;
                self.attempted(ended);
            }
        };
        if timeout(REST, resting).await.is_ok() {
            return;
        }
        self.deeds.runner.break_off();
        let broken_off = async {
            while self.deeds.outbox.is_busy() {
                let ended = self.deeds.runner.ended().await;
                self.attempted(ended);
            }
        };
        if timeout(REST, broken_off).await.is_err() {
            tracing::error!("actions are still under way; another process may do them as well");
        }
    }

    pub(super) fn deeds_status(&self) -> DeedsStatus {
        let newest = self.course.epoch().number();
        let of = |result: ActionResult| {
            let wanted = |record: &&ActionRecord| {
                record.result == result && (result == ActionResult::Pending || record.epoch == newest)
            };
            let all: Vec<DeedStatus> = self.deeds.outbox.records().filter(wanted).map(DeedStatus::of).collect();
            let surplus = all.len().saturating_sub(MOST_SHOWN);
            all[surplus..].to_vec()
        };
        DeedsStatus {
            pending: of(ActionResult::Pending),
            failed: of(ActionResult::Failed),
            tasks: of(ActionResult::Task),
        }
    }
}

impl DeedStatus {
    fn of(record: &ActionRecord) -> DeedStatus {
        let ActionRecord { name, kind, moment, epoch, attempts, due, sentence, .. } = record.clone();
        DeedStatus { name, kind, moment, epoch, attempts, due, sentence }
    }
}

/// A release's id as a segment of a path.
fn escaped(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}
