//! Changes that are sent again under one `Idempotency-Key` are done once, and answered alike.
//!
//! In memory: what another process has answered is not known here.

use std::collections::{HashMap, VecDeque};
#[expect(clippy::disallowed_types, reason = "the thread of the API alone holds it, to look for one key")]
use std::sync::Mutex;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::sync::watch;
use tokio::time::Instant;

use super::changes::{LONGEST_WAIT, REPLAYED};
use super::problem::Problem;

/// Told by what was asked for, whole.
pub(super) type Fingerprint = [u8; 32];

/// Of each actor; the oldest goes first. Whoever sends something again does so within minutes.
const KEPT: usize = 128;

const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// No answer to a change is longer.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// The keys of each actor, oldest first.
#[derive(Clone, Default)]
#[expect(clippy::disallowed_types, reason = "as above")]
pub(super) struct Once(Arc<Mutex<HashMap<String, VecDeque<Kept>>>>);

struct Kept {
    key: String,
    request: Fingerprint,
    since: Instant,
    answer: watch::Receiver<Option<Answered>>,
}

/// Whose turn it is.
pub(super) enum Turn {
    /// Of whoever has to do it, and to say how it ended.
    First(First),
    /// Of whoever gets the same answer.
    Again(Again),
}

pub(super) struct First {
    once: Once,
    actor: String,
    key: String,
    tell: watch::Sender<Option<Answered>>,
}

pub(super) struct Again(watch::Receiver<Option<Answered>>);

/// An answer that can be given more than once.
#[derive(Clone)]
pub(super) struct Answered {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Once {
    pub(super) fn turn(&self, actor: &str, key: &str, request: Fingerprint) -> Result<Turn, Problem> {
        let now = Instant::now();
        let mut actors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        actors.retain(|_, kept| {
            while kept.front().is_some_and(|kept| now - kept.since > KEPT_FOR) {
                kept.pop_front();
            }
            !kept.is_empty()
        });
        let kept = actors.entry(actor.to_owned()).or_default();
        if let Some(known) = kept.iter().find(|known| known.key == key) {
            return if known.request == request {
                Ok(Turn::Again(Again(known.answer.clone())))
            } else {
                Err(Problem::KeyReused(key.to_owned()))
            };
        }
        if kept.len() == KEPT {
            // What is not answered yet must not be done twice.
            let answered = kept.iter().position(|kept| kept.answer.borrow().is_some()).ok_or(Problem::TooMany)?;
            kept.remove(answered);
        }
        let (tell, answer) = watch::channel(None);
        kept.push_back(Kept { key: key.to_owned(), request, since: now, answer });
        Ok(Turn::First(First { once: self.clone(), actor: actor.to_owned(), key: key.to_owned(), tell }))
    }
}

impl First {
    /// Keeps the answer for those who ask again, unless it is ours to blame: then they may try.
    pub(super) fn answer(self, answer: Answered) -> Answered {
        self.tell.send_replace(Some(answer.clone()));
        if answer.status.is_server_error() {
            self.forget();
        }
        answer
    }

    fn forget(&self) {
        let mut actors = self.once.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = actors.get_mut(&self.actor) {
            kept.retain(|kept| kept.key != self.key);
        }
    }
}

/// A panic has kept it from an answer.
impl Drop for First {
    fn drop(&mut self) {
        if self.tell.borrow().is_none() {
            self.forget();
        }
    }
}

impl Again {
    pub(super) async fn wait(mut self) -> Result<Answered, Problem> {
        let answered = tokio::time::timeout(LONGEST_WAIT, self.0.wait_for(Option::is_some)).await;
        match answered.map(|answer| answer.map(|answer| answer.clone())) {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(_) | Err(_) => Err(Problem::Internal),
        }
    }
}

impl Answered {
    pub(super) async fn of(response: Response) -> Answered {
        let (parts, body) = response.into_parts();
        let names = [header::CONTENT_TYPE, header::ETAG];
        let headers = names.into_iter().filter_map(|name| Some((name.clone(), parts.headers.get(name)?.clone())));
        let headers = headers.collect();
        match axum::body::to_bytes(body, ANSWER_BYTES).await {
            Ok(body) => Answered { status: parts.status, headers, body },
            Err(_) => Answered { status: StatusCode::INTERNAL_SERVER_ERROR, headers, body: Bytes::new() },
        }
    }

    pub(super) fn first(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().extend(self.headers);
        response
    }

    pub(super) fn again(self) -> Response {
        let mut response = self.first();
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(once: &Once, actor: &str, key: usize) -> Option<First> {
        match once.turn(actor, &key.to_string(), [0; 32]).expect("there is room, and it is the same request") {
            Turn::First(first) => Some(first),
            Turn::Again(_) => None,
        }
    }

    fn answered(status: StatusCode) -> Answered {
        Answered { status, headers: Vec::new(), body: Bytes::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_answer_gives_way_to_a_new_one_and_none_is_kept_for_longer_than_a_day() {
        let once = Once::default();
        for key in 0..KEPT {
            begin(&once, "olga", key).expect("a new key").answer(answered(StatusCode::OK));
        }
        assert!(begin(&once, "olga", 0).is_none());
        assert!(begin(&once, "otto", 0).is_some(), "the key is another's");
        begin(&once, "olga", KEPT).expect("a new key").answer(answered(StatusCode::CONFLICT));
        assert!(begin(&once, "olga", 1).is_none() && begin(&once, "olga", KEPT).is_none());
        assert!(begin(&once, "olga", 0).is_some(), "it has given way");
        tokio::time::advance(KEPT_FOR + Duration::from_secs(1)).await;
        assert!(begin(&once, "olga", KEPT).is_some());
    }

    #[tokio::test]
    async fn what_is_not_answered_yet_gives_way_to_nothing_and_what_we_failed_is_forgotten() {
        let once = Once::default();
        let mut begun: Vec<First> = (0..KEPT).map(|key| begin(&once, "olga", key).expect("a new key")).collect();
        assert!(matches!(once.turn("olga", "more", [0; 32]), Err(Problem::TooMany)));
        let Ok(Turn::Again(again)) = once.turn("olga", "0", [0; 32]) else { panic!("it was begun") };
        begun.remove(0).answer(answered(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(again.wait().await.map(|answer| answer.status).ok(), Some(StatusCode::SERVICE_UNAVAILABLE));
        assert!(begin(&once, "olga", 0).is_some());
        // A panic answers nothing.
        drop(begun);
        assert!(begin(&once, "olga", 1).is_some());
    }
}
