//! The resource as the API server has it, followed by list and watch: after a gap, or where the API server has forgotten the
//! version that was seen last (410), it is listed anew. What was seen last holds while nobody answers.

use std::fmt::Debug;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Seen;
use super::resource::GatedRollout;

/// A watch that the API server has not ended after so long is begun anew, so that one which is silently gone is noticed.
const LONGEST_WATCH_SECONDS: u32 = 60;

/// Between two attempts, at first and at most. An API server that is back is asked within the longest.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// After a failure for so long without another the next one is the first again. Longer than the longest wait.
const CALM: Duration = Duration::from_secs(30);

/// Follows the resource with this name from here on.
pub(super) fn follow(api: Api<GatedRollout>, name: &str) -> Seen {
    let (publish, seen) = watch::channel(None);
    let wanted = settings().fields(&format!("metadata.name={name}"));
    tokio::task::spawn_local(async move {
        let mut changes = std::pin::pin!(changes(api, wanted, "gatedrollout"));
        let mut listed = None;
        while let Some(change) = changes.next().await {
            match change {
                Event::Init => listed = None,
                Event::InitApply(resource) => listed = Some(Arc::new(resource)),
                Event::InitDone => _ = publish.send_replace(listed.take()),
                Event::Apply(resource) => _ = publish.send_replace(Some(Arc::new(resource))),
                Event::Delete(_) => {
                    tracing::warn!("the resource was deleted: everything is as it was");
                    publish.send_replace(None);
                }
            }
        }
    });
    seen
}

/// How things are watched.
pub(super) fn settings() -> watcher::Config {
    watcher::Config::default().timeout(LONGEST_WATCH_SECONDS)
}

/// What becomes of the objects that are `wanted`, with the failures in between told and passed over.
pub(super) fn changes<K>(
    api: Api<K>,
    wanted: watcher::Config,
    kind: &'static str,
) -> impl Stream<Item = Event<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    told(watcher::watcher(api, wanted).backoff(Waits::default()), kind)
}

/// Says when the API server goes away, and when it is back.
fn told<K>(
    changes: impl Stream<Item = watcher::Result<Event<K>>> + Send,
    kind: &'static str,
) -> impl Stream<Item = Event<K>> + Send
where
    K: Send,
{
    let mut is_away = false;
    changes.filter_map(move |change| {
        let change = match change {
            // That a list begins says nothing.
            Ok(Event::Init) => Some(Event::Init),
            Ok(change) => {
                if std::mem::take(&mut is_away) {
                    tracing::info!(kind, "followed again");
                }
                Some(change)
            }
            Err(error) => {
                // That it has forgotten what was seen last is the way of watches, and listed anew.
                let is_gone = matches!(&error, watcher::Error::WatchError(status) if status.code == GONE);
                if is_gone || std::mem::replace(&mut is_away, true) {
                    tracing::debug!(kind, %error, "still not followed");
                } else {
                    tracing::warn!(kind, %error, "not followed: what was seen last holds");
                }
                None
            }
        };
        ready(change)
    })
}

/// HTTP's 410.
const GONE: u16 = 410;

/// How long to wait before the next attempt.
#[derive(Default)]
struct Waits {
    failed: u32,
    last: Option<Instant>,
}

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let is_calm = self.last.replace(now).is_none_or(|last| now - last > CALM);
        self.failed = if is_calm { 0 } else { self.failed + 1 };
        Some(LONGEST_WAIT.min(SHORTEST_WAIT * (1 << self.failed.min(8))))
    }
}

impl Backoff for Waits {
    /// It is called for whatever comes, also when an attempt begins.
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempts_come_less_often_up_to_a_bound_and_at_once_again_after_a_calm_time() {
        let mut waits = Waits::default();
        let next = |waits: &mut Waits| {
            waits.reset();
            waits.next().expect("there is always another attempt").as_millis()
        };
        let first: Vec<u128> = (0..7).map(|_| next(&mut waits)).collect();
        assert_eq!(first, [200, 400, 800, 1600, 3200, 5000, 5000]);
        tokio::time::advance(CALM).await;
        assert_eq!(next(&mut waits), 5000);
        tokio::time::advance(CALM + Duration::from_millis(1)).await;
        assert_eq!(next(&mut waits), 200);
    }
}
