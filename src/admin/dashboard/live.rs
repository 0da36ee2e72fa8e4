//! The stream that keeps a page up to date: the status when it changes in what matters, and once a second otherwise; points of the
//! charts and events as they come.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event as SentEvent, Sse};
use futures_util::{Stream, StreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use crate::admin::Context;
use crate::admin::access::Actor;
use crate::admin::problem::Problem;
use crate::config::Role;
use crate::control::drawn::Drawn;
use crate::control::event::Event;
use crate::control::series::Point;
use crate::control::status::Status;
use crate::gate::compare::Summary;
use crate::proxy::Phase;

/// Who looks, and at what. The first that is sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hello {
    actor: String,
    /// `viewer` or `operator`.
    role: &'static str,
    /// Of the program.
    version: &'static str,
    now: Timestamp,
    /// Whether releases are recorded.
    journal: bool,
}

/// The status, with what is drawn beside it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Picture<'s> {
    at: Timestamp,
    /// For `If-Match`.
    etag: String,
    #[serde(flatten)]
    status: &'s Status,
    comparison: Option<&'s Summary>,
    #[serde(flatten)]
    drawn: &'s Drawn,
}

/// Numbers that change all the time are shown this often. A page that hears nothing for much longer has lost its connection.
const EVERY: Duration = Duration::from_secs(1);

struct Live {
    hello: Option<Hello>,
    status: watch::Receiver<Arc<Status>>,
    points: broadcast::Receiver<Arc<Point>>,
    events: broadcast::Receiver<Event>,
    shown: Option<(Arc<Status>, Instant)>,
    _seat: OwnedSemaphorePermit,
}

pub(in crate::admin) async fn live(
    State(context): State<Context>,
    Extension(Actor(actor)): Extension<Actor>,
    Extension(role): Extension<Role>,
) -> Result<Sse<impl Stream<Item = Result<SentEvent, Infallible>>>, Problem> {
    let seat = context.seat()?;
    let hello = Hello {
        actor,
        role: match role {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
        },
        version: env!("CARGO_PKG_VERSION"),
        now: Timestamp::now(),
        journal: context.archive.is_some(),
    };
    let live = Live {
        hello: Some(hello),
        status: context.status.clone(),
        points: context.series.listen(),
        events: context.events.listen(),
        shown: None,
        _seat: seat,
    };
    let mut lifecycle = context.lifecycle.clone();
    // A page connects anew then, to the process that serves.
    let relieved = async move { lifecycle.wait_for(|phase| *phase == Phase::Relieved).await.is_ok() };
    let sent = stream::unfold(live, async |mut live| live.next().await.map(|sent| (Ok(sent), live)));
    Ok(Sse::new(sent.take_until(relieved)))
}

impl Live {
    /// None when nobody decides here any more.
    async fn next(&mut self) -> Option<SentEvent> {
        if let Some(hello) = self.hello.take() {
            return Some(named("hello", &hello));
        }
        if self.shown.is_none() {
            return Some(self.picture());
        }
        loop {
            tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Ok(event) => return Some(named("event", &event)),
                    Err(RecvError::Lagged(missed)) => return Some(named("missed", &missed)),
                    Err(RecvError::Closed) => return None,
                },
                changed = self.status.changed() => {
                    changed.ok()?;
                    if self.is_to_show() {
                        return Some(self.picture());
                    }
                }
                point = self.points.recv() => match point {
                    Ok(point) => return Some(named("point", &*point)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }

    fn is_to_show(&self) -> bool {
        let Some((shown, at)) = &self.shown else { return true };
        at.elapsed() >= EVERY || differs(shown, &self.status.borrow())
    }

    fn picture(&mut self) -> SentEvent {
        let status = self.status.borrow_and_update().clone();
        let etag = format!("\"{}.live\"", status.revision);
        let (comparison, drawn) = (status.comparison.as_ref(), &status.drawn);
        let sent = named("status", &Picture { at: Timestamp::now(), etag, status: &status, comparison, drawn });
        self.shown = Some((status, Instant::now()));
        sent
    }
}

/// Whether the two differ in what somebody may have to act on.
fn differs(shown: &Status, status: &Status) -> bool {
    let of = |status: &Status| {
        let Status { epoch, state, weight, step, verdict, .. } = status;
        (*epoch, *state, *weight, *step, verdict.kind, status.rollback.is_some())
    };
    of(shown) != of(status) || shown.pause != status.pause
}

fn named(name: &str, data: &impl Serialize) -> SentEvent {
    SentEvent::default().event(name).data(serde_json::to_string(data).expect("what is told is plain data"))
}
