//! What `control` tells the journal, and what waits for its answers.
//!
//! A flip never waits for the disk. Its report does: whoever hears of a decision, in an event, a status or an answer,
//! may rely on it after a crash. A disk that does not answer in time delays a report by [`PATIENCE`] and no longer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::command::Reply;
use super::event::Event;
use super::slots;
use super::status::Status;
use crate::course::{Course, Input};
use crate::journal::slot::OpenChunk;
use crate::journal::{
    ActionRecord, Answer, Archive, Chunk, DecisionRecord, Doing, Durable, Journal, Lent, OccasionRecord, Outcome,
    ReleaseHeader, ReleaseRecord, Restored, StateRecord, Write, WriteError,
};
use crate::release::Epoch;

/// The journal, the release that is recorded in it, and the reports that wait for it.
pub struct Ledger {
    journal: Option<Journal>,
    /// The configuration's text, which a replay reads again.
    configuration: Arc<str>,
    release: Option<Recording>,
    next_write: u64,
    reports: VecDeque<Report>,
    flushed: Instant,
    /// After a failure: a write with this number, or a later one, brings everything to the disk.
    owed: Option<u64>,
    /// What is new of actions, for the next write.
    doing: Doing,
    /// What the journal said is still to be done.
    to_do: (Vec<OccasionRecord>, Vec<ActionRecord>),
}

/// The release that is recorded, or was the last to be.
struct Recording {
    inputs: Inputs,
    record: ReleaseRecord,
    /// On the clock of the deciding core.
    began: Duration,
    next_decision: u32,
    chunk: OpenChunk,
    full: Vec<Chunk>,
}

/// Whether the inputs of the deciding core are evidence of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inputs {
    Kept,
    /// The release was rolled back, and for so long after its beginning it is kept how that went on.
    Shown {
        until: Duration,
    },
    /// The release has ended.
    Passed,
}

/// What is told once the journal has it.
pub struct Report {
    write: u64,
    sent: Instant,
    pub events: Vec<Event>,
    pub reply: Option<Reply>,
    /// As it was after the decision: what was decided since may not be on the disk yet.
    pub status: Arc<Status>,
}

/// How long a report waits for the disk; shorter than whoever asks waits for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);

/// What of the evidence a crash may cost, beyond the last decision.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

impl Ledger {
    /// Without a journal nothing is recorded, and every report is told at once.
    pub fn new(journal: Option<Journal>, configuration: &Arc<str>, restored: Restored, began: Duration) -> Ledger {
        let Restored { release, next_decision, next_chunk, occasions, actions, .. } = restored;
        let recording = release.map(|record| {
            let inputs = if record.header.ended.is_none() { Inputs::Kept } else { Inputs::Passed };
            let chunk = OpenChunk::new(record.header.epoch, next_chunk);
            Recording { inputs, record, began, next_decision, chunk, full: Vec::new() }
        });
        Ledger {
            journal,
            configuration: Arc::clone(configuration),
            release: recording,
            next_write: 0,
            reports: VecDeque::new(),
            flushed: Instant::now(),
            owed: None,
            doing: Doing::default(),
            to_do: (occasions, actions),
        }
    }

    pub fn archive(&self) -> Option<Archive> {
        self.journal.as_ref().map(Journal::archive)
    }

    /// When the release began that is being recorded.
    pub fn began(&self) -> Option<Duration> {
        self.release.as_ref().map(|release| release.began)
    }

    /// What was still to be done when the journal was opened, once.
    pub fn take_to_do(&mut self) -> (Vec<OccasionRecord>, Vec<ActionRecord>) {
        std::mem::take(&mut self.to_do)
    }

    /// The release that is recorded, or was the last to be.
    pub fn header(&self) -> Option<&ReleaseHeader> {
        self.release.as_ref().map(|release| &release.record.header)
    }

    /// Has the next write bring this along.
    pub fn carry(&mut self, doing: Doing) {
        if self.journal.is_some() {
            self.doing.actions.extend(doing.actions);
            self.doing.occasions.extend(doing.occasions);
            self.doing.passed.extend(doing.passed);
        }
    }

    /// Writes the state, and what it was to bring along.
    pub fn keep(&mut self, state: StateRecord, durable: Durable) -> Result<(), WriteError> {
        self.write(state, None, Vec::new(), durable)
    }

    /// The configuration from here on.
    pub fn configured(&mut self, text: &Arc<str>) {
        self.configuration = Arc::clone(text);
    }

    /// Records the release that has begun in `course`.
    pub fn begin(&mut self, header: ReleaseHeader, plan: Value, course: &Course, now: Duration) {
        if self.journal.is_none() {
            return;
        }
        let mut chunk = OpenChunk::new(header.epoch, 0);
        chunk.push(&slots::opening(course, now));
        let record = ReleaseRecord { header, policy: self.configuration.to_string(), plan, clients: Value::Null };
        self.release =
            Some(Recording { inputs: Inputs::Kept, record, began: now, next_decision: 0, chunk, full: Vec::new() });
    }

    /// Records one input of the deciding core, for a replay.
    pub fn input(&mut self, input: &Input<'_>, now: Duration) {
        let Some(release) = &mut self.release else { return };
        let after = now - release.began;
        match (release.inputs, input) {
            (Inputs::Kept, input) => {
                let changed = (*self.configuration != release.record.policy).then_some(&*self.configuration);
                release.chunk.push(&slots::slot(input, changed, after));
            }
            (Inputs::Shown { until }, _) if after > until => release.inputs = Inputs::Passed,
            (Inputs::Shown { .. }, Input::Tick { counted, .. }) => {
                release.chunk.push(&slots::aftermath(counted, after));
            }
            (Inputs::Shown { .. } | Inputs::Passed, _) => return,
        }
        if release.chunk.is_full() {
            release.full.push(release.chunk.take(Timestamp::now()));
        }
    }

    /// Writes the state with the decisions that led to it, and tells `events` and `reply` when that is on the disk.
    pub fn decide(
        &mut self,
        state: StateRecord,
        ended: Option<(Timestamp, Outcome)>,
        decisions: Vec<DecisionRecord>,
        events: Vec<Event>,
        reply: Option<Reply>,
        status: Arc<Status>,
    ) -> Result<(), WriteError> {
        let write = self.next_write;
        self.reports.push_back(Report { write, sent: Instant::now(), events, reply, status });
        let mut kept = None;
        if let Some(release) = &mut self.release {
            if let Some((at, outcome)) = ended {
                release.record.header.ended.get_or_insert(at);
                release.record.header.outcome = outcome;
            }
            kept = Some(release.record.clone());
        }
        let decided = decisions.last().map(|decision| decision.after);
        let result = self.write(state, kept, decisions, Durable::Now);
        if let (Some(release), Some((_, outcome))) = (&mut self.release, ended) {
            release.inputs = match (release.inputs, outcome, decided) {
                (Inputs::Kept, Outcome::RolledBack, Some(after)) => Inputs::Shown { until: after + slots::AFTERMATH },
                (shown @ Inputs::Shown { .. }, _, _) => shown,
                (Inputs::Kept | Inputs::Passed, _, _) => Inputs::Passed,
            };
        }
        result
    }

    /// Keeps what the clients of the release of `epoch` felt, which has ended.
    pub fn settle_clients(&mut self, epoch: Epoch, clients: Value, state: StateRecord) -> Result<(), WriteError> {
        let of_epoch = |release: &&mut Recording| release.record.header.epoch == epoch.number();
        let Some(release) = self.release.as_mut().filter(of_epoch) else { return Ok(()) };
        release.record.clients = clients;
        let record = release.record.clone();
        self.write(state, Some(record), Vec::new(), Durable::Later)
    }

    /// Numbers a decision of the last release: its place in it, and the time since it began. None before the first.
    pub fn number(&mut self, now: Duration) -> Option<(u32, Duration)> {
        let release = self.release.as_mut()?;
        let number = release.next_decision;
        release.next_decision += 1;
        Some((number, now - release.began))
    }

    /// Whether it is time for [`Ledger::flush`].
    pub fn is_to_flush(&self) -> bool {
        let kept = self.release.as_ref().is_some_and(|release| release.inputs != Inputs::Passed);
        (kept || self.owed.is_some()) && self.flushed.elapsed() >= FLUSH_EVERY
    }

    /// Hands the evidence over that has come together, now and then. After a failure the state goes with it until that is
    /// on the disk: a latch must not wait there for the next decision.
    pub fn flush(&mut self, state: StateRecord) -> Result<(), WriteError> {
        self.write(state, None, Vec::new(), Durable::Later)
    }

    /// Writes the state and all evidence at once, and returns the number of that write.
    pub fn settle(&mut self, state: StateRecord) -> Result<u64, WriteError> {
        let number = self.next_write;
        self.write(state, None, Vec::new(), Durable::Now)?;
        Ok(number)
    }

    /// Gives the journal away. Nothing is recorded from here on.
    pub fn lend(&mut self) -> Option<Lent> {
        self.journal.take().and_then(Journal::lend)
    }

    /// Records again. Whoever had the journal may have written: the next write brings everything.
    pub fn take_back(&mut self, journal: Journal) {
        self.journal = Some(journal);
        self.owed = Some(self.next_write);
    }

    /// The reports that need not wait any longer, and what is wrong with the journal if they did in vain.
    pub fn due(&mut self) -> (Vec<Report>, Option<WriteError>) {
        let waits = |report: &Report| self.journal.is_some() && report.sent.elapsed() < PATIENCE;
        let due = self.reports.iter().take_while(|report| !waits(report)).count();
        let late = (self.journal.is_some() && due > 0).then_some(WriteError::Late(PATIENCE));
        (self.reports.drain(..due).collect(), late)
    }

    /// Takes the journal's answer, and returns the reports that waited for it.
    pub fn answered(&mut self, answer: &Answer) -> Vec<Report> {
        match (&answer.result, self.owed) {
            (Err(_), _) => self.owed = Some(self.next_write),
            (Ok(()), Some(owed)) if answer.number >= owed => {
                self.owed = None;
                tracing::info!("the journal is written again");
            }
            (Ok(()), Some(_) | None) => {}
        }
        let due = self.reports.iter().take_while(|report| report.write <= answer.number).count();
        self.reports.drain(..due).collect()
    }

    /// Whether something has been decided that nobody may hear of yet.
    pub fn is_reporting(&self) -> bool {
        !self.reports.is_empty()
    }

    /// The journal's next answer; never, without a journal.
    pub async fn answer(&mut self) -> Answer {
        match &mut self.journal {
            Some(journal) => journal.answer().await,
            None => std::future::pending().await,
        }
    }

    /// Writes what is queued and closes the journal.
    pub fn close(&mut self) {
        if let Some(journal) = self.journal.take() {
            journal.close();
        }
    }

    fn write(
        &mut self,
        state: StateRecord,
        release: Option<ReleaseRecord>,
        decisions: Vec<DecisionRecord>,
        durable: Durable,
    ) -> Result<(), WriteError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let durable = if self.owed.is_some() { Durable::Now } else { durable };
        self.flushed = Instant::now();
        let at = Timestamp::now();
        let mut evidence = Vec::new();
        if let Some(recording) = &mut self.release {
            evidence.append(&mut recording.full);
            if !recording.chunk.is_empty() {
                evidence.push(recording.chunk.so_far(at));
            }
        }
        let number = self.next_write;
        self.next_write += 1;
        let doing = std::mem::take(&mut self.doing);
        let carried = (doing != Doing::default()).then(|| doing.clone());
        let write = Write { number, at, state, release, decisions, evidence, doing, durable };
        journal.send(write).map_err(|answer| {
            self.owed = Some(self.next_write);
            // An action that nobody knows of is lost; a decision that is missing is only not told.
            self.doing = carried.unwrap_or_default();
            answer.result.expect_err("what was not sent has failed")
        })
    }
}
