//! `GET /v1/events`: what happens, as it happens, and what has happened since somebody last heard of it.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::extract::State;
use axum::response::sse::{Event as Line, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Context;
use super::problem::Problem;
use super::releases::read;
use crate::control::event::{Event, Heard, Place};
use crate::journal::DecisionRecord;
use crate::proxy::Phase;
use crate::release::Weight;

/// Decisions that are read from the journal at a time.
const PAGE: usize = 128;

const LAST_EVENT_ID: &str = "last-event-id";

/// A decision of the journal, as the event that it was.
#[derive(Serialize)]
struct Recorded<'a> {
    at: jiff::Timestamp,
    kind: &'a str,
    actor: &'a str,
    sentence: &'a str,
    epoch: u32,
    state: &'a str,
    weight: Weight,
}

/// Told in the place of events that are not known any more.
#[derive(Serialize)]
struct Missed {
    sentence: &'static str,
}

/// One listener.
struct Following {
    context: Context,
    heard: Heard,
    /// Whether decisions after what was heard are to be read from the journal.
    behind: Behind,
    queue: VecDeque<Line>,
    /// Of what is kept in memory, what comes after those.
    kept: VecDeque<Event>,
    receiver: Receiver<Event>,
    _seat: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Journal,
    Nothing,
}

/// Each event as it happens, named by its kind. Whoever names the last that it heard of gets those after it first.
pub(super) async fn events(
    State(context): State<Context>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Line, Infallible>>>, Problem> {
    let seat = context.seat()?;
    let mut lifecycle = context.lifecycle.clone();
    // What happens from then on, another process tells.
    let relieved = async move { lifecycle.wait_for(|phase| *phase == Phase::Relieved).await.is_ok() };
    let following = match headers.get(LAST_EVENT_ID) {
        None => Following::new(context, seat),
        Some(id) => Following::after(id, context, seat),
    };
    let lines = stream::unfold(following, |mut following| async {
        let line = following.next().await?;
        Some((Ok(line), following))
    });
    Ok(Sse::new(lines.take_until(relieved)).keep_alive(KeepAlive::default()))
}

impl Following {
    fn new(context: Context, seat: OwnedSemaphorePermit) -> Following {
        let (heard, receiver) = (context.events.heard(), context.events.listen());
        let (behind, queue, kept) = (Behind::Nothing, VecDeque::new(), VecDeque::new());
        Following { context, heard, behind, queue, kept, receiver, _seat: seat }
    }

    /// Of somebody who was here before and has heard of the event `id`; what is none is that of nobody knows when.
    fn after(id: &HeaderValue, context: Context, seat: OwnedSemaphorePermit) -> Following {
        let mut following = Following::new(context, seat);
        match id.to_str().ok().and_then(|id| id.trim().parse().ok()) {
            Some(heard) => following.catch_up(heard),
            None => following.miss(),
        }
        following
    }

    /// Goes back to what was told after `heard`.
    fn catch_up(&mut self, heard: Heard) {
        let since = self.context.events.listen_since(heard);
        self.heard = heard;
        (self.kept, self.receiver) = (since.kept.into(), since.receiver);
        if since.is_whole {
            return;
        }
        match (&self.context.archive, heard.recorded) {
            (Some(_), Some(_)) => self.behind = Behind::Journal,
            (_, None) | (None, _) => self.miss(),
        }
    }

    fn miss(&mut self) {
        let sentence = "what happened since the last event that you name is not known any more; look at GET /v1/status";
        self.queue.push_back(line("missed", &Missed { sentence }, self.heard));
    }

    async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.queue.pop_front() {
                return Some(line);
            }
            if self.behind == Behind::Journal {
                self.read_on().await;
                continue;
            }
            let event = match self.kept.pop_front() {
                Some(event) => event,
                None => match self.receiver.recv().await {
                    Ok(event) => event,
                    Err(RecvError::Lagged(_)) => {
                        self.catch_up(self.heard);
                        continue;
                    }
                    Err(RecvError::Closed) => return None,
                },
            };
            if event.recorded.is_none_or(|place| self.heard.recorded.is_none_or(|heard| place > heard)) {
                self.heard = self.heard.and(&self.context.events, &event);
                return Some(line(event.kind.name(), &event, self.heard));
            }
        }
    }

    /// Reads more decisions of the journal, or finds that there are none.
    async fn read_on(&mut self) {
        let Some(Place { epoch, seq }) = self.heard.recorded else { return self.behind = Behind::Nothing };
        let decisions = read(&self.context, move |archive| archive.decisions_after(epoch, seq, PAGE)).await;
        let decisions = decisions.unwrap_or_else(|error| {
            tracing::warn!(%error, "a listener was away, and what it missed cannot be read");
            self.miss();
            Vec::new()
        });
        if decisions.len() < PAGE {
            self.behind = Behind::Nothing;
        }
        for decision in decisions {
            self.heard = self.heard.and_recorded(Place { epoch: decision.epoch, seq: decision.seq });
            self.queue.push_back(line(&decision.kind, &Recorded::of(&decision), self.heard));
        }
    }
}

impl<'a> Recorded<'a> {
    fn of(decision: &'a DecisionRecord) -> Recorded<'a> {
        let DecisionRecord { epoch, at, kind, actor, sentence, state, weight, .. } = decision;
        let weight = Weight::from_basis_points(*weight).unwrap_or(Weight::FULL);
        Recorded { at: *at, kind, actor, sentence, epoch: *epoch, state, weight }
    }
}

fn line(kind: &str, data: &impl Serialize, heard: Heard) -> Line {
    Line::default().id(heard.to_string()).event(kind).data(serde_json::to_string(data).expect("an event is plain data"))
}
