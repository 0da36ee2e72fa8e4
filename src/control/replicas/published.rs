//! What this proxy has counted, kept for the replica that adds it up.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
#[expect(clippy::disallowed_types, reason = "`control` and the API hold it for one push or one look")]
use std::sync::Mutex;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::packed;
use crate::gate::route::MOST_ROUTES;
use crate::measure::replicas::{Counted, Split};
use crate::release::{Epoch, Weight};
use crate::uuid::uuid;

/// What this replica has counted since a tick that the other knows.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
#[schemars(rename = "ReplicaEvidence")]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// How ticks are packed. Replicas that do not know each other's format leave each other out.
    pub format: u32,
    /// Of this run of the process: with another one numbers begin anew.
    pub session: String,
    /// The number of the newest tick; 0 before the first.
    pub newest: u64,
    /// The routes that are told apart in the ticks, by number.
    #[serde(deserialize_with = "at_most::<_, String, _, { MOST_ROUTES + 1 }>")]
    pub routes: Arc<[String]>,
    #[serde(deserialize_with = "at_most::<_, TickTold, _, MOST_TOLD>")]
    pub ticks: Vec<TickTold>,
}

/// What came in since the tick before.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
#[schemars(rename = "ReplicaTick")]
#[serde(rename_all = "camelCase")]
pub struct TickTold {
    /// Rises by one from tick to tick.
    pub number: u64,
    /// How long ago it ended.
    pub age_millis: u64,
    pub epoch: Epoch,
    /// Percent.
    pub weight: Weight,
    /// How many routes went to blue alone.
    pub taken_back: usize,
    /// The counts in the exact form of the journal, in base64.
    pub packed: String,
}

/// The last ticks. `control` adds one and others read them: each holds the lock for no longer than that takes.
#[derive(Clone, Debug)]
#[expect(clippy::disallowed_types, reason = "as above")]
pub struct Published {
    session: Arc<str>,
    ring: Arc<Mutex<Ring>>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    routes: Arc<[String]>,
    ticks: VecDeque<Arc<Tick>>,
    bytes: usize,
}

#[derive(Debug)]
struct Tick {
    number: u64,
    ended: Instant,
    split: Split,
    packed: Vec<u8>,
}

/// A minute of them: who was away for longer takes nothing of that as evidence anyway.
const MOST_TICKS: usize = 600;

/// A tick has some hundred bytes, and some ten thousand where thousands of sticky clients come in it.
const MOST_BYTES: usize = 4 << 20;

/// What is told at once: enough to catch up with a minute in a few answers.
pub const MOST_TOLD: usize = 200;

/// An answer is not held back for longer, so that whoever waits for it knows that this replica lives.
pub const LONGEST_WAIT: Duration = Duration::from_secs(1);

impl Default for Published {
    fn default() -> Published {
        let session = uuid(fastrand::u128(..)).into();
        Published { session, ring: Arc::default(), newest: watch::Sender::new(0) }
    }
}

impl Published {
    pub(super) fn push(&self, counted: &Counted, routes: &Arc<[String]>) {
        let packed = packed::pack(&counted.tick, &counted.drawers);
        let number = *self.newest.borrow() + 1;
        let tick = Tick { number, ended: Instant::now(), split: counted.split, packed };
        let mut ring = self.ring();
        if ring.routes != *routes {
            // Numbers mean other routes from here on.
            *ring = Ring { routes: Arc::clone(routes), ..Ring::default() };
        }
        ring.bytes += tick.packed.len();
        ring.ticks.push_back(Arc::new(tick));
        while ring.ticks.len() > MOST_TICKS || ring.bytes > MOST_BYTES {
            let oldest = ring.ticks.pop_front().expect("one has just been added");
            ring.bytes -= oldest.packed.len();
        }
        drop(ring);
        self.newest.send_replace(number);
    }

    /// Whether there are others to tell.
    pub fn is_published(&self) -> bool {
        *self.newest.borrow() > 0
    }

    /// What is newer than `after`, which may be of another session; without it the newest alone. Where there is nothing it waits
    /// for a moment.
    pub async fn told(&self, after: Option<u64>) -> Told {
        let mut newest = self.newest.subscribe();
        let known = after.unwrap_or_default();
        let is_news = |newest: &u64| *newest != known;
        let waited = tokio::time::timeout(LONGEST_WAIT, newest.wait_for(is_news)).await;
        // A moment without news is an answer as well.
        drop(waited);
        self.now(after)
    }

    fn now(&self, after: Option<u64>) -> Told {
        let newest = *self.newest.borrow();
        let ring = self.ring();
        let since = match after {
            Some(after) if after <= newest => after,
            Some(_) | None => newest.saturating_sub(1),
        };
        let ticks: Vec<_> = ring.ticks.iter().filter(|tick| tick.number > since).take(MOST_TOLD).cloned().collect();
        let routes = Arc::clone(&ring.routes);
        drop(ring);
        let ticks = ticks.iter().map(|tick| tick.told()).collect();
        Told { format: packed::FORMAT, session: self.session.to_string(), newest, routes, ticks }
    }

    /// Whoever panicked with it has left it whole.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tick {
    fn told(&self) -> TickTold {
        let Split { epoch, weight, taken_back } = self.split;
        TickTold {
            number: self.number,
            age_millis: u64::try_from(self.ended.elapsed().as_millis()).unwrap_or(u64::MAX),
            epoch,
            weight,
            taken_back,
            packed: data_encoding::BASE64.encode(&self.packed),
        }
    }
}

impl TickTold {
    /// What it holds, where `routes` are told apart; none where it cannot have been counted.
    pub fn counted(&self, routes: usize) -> Option<Counted> {
        if self.packed.len() > packed::LONGEST.div_ceil(3) * 4 {
            return None;
        }
        let packed = data_encoding::BASE64.decode(self.packed.as_bytes()).ok()?;
        let (tick, drawers) = packed::unpack(&packed, routes, self.epoch)?;
        let split = Split { epoch: self.epoch, weight: self.weight, taken_back: self.taken_back };
        Some(Counted { split, tick, drawers })
    }
}

/// A list, which is refused before it is held where it has more elements.
fn at_most<'de, D, T, L, const MOST: usize>(deserializer: D) -> Result<L, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
    L: From<Vec<T>>,
{
    deserializer.deserialize_seq(AtMost::<T, MOST>(PhantomData)).map(L::from)
}

struct AtMost<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for AtMost<T, MOST> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MOST}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            if elements.len() == MOST {
                return Err(A::Error::custom(format_args!("it has more than {MOST} elements")));
            }
            elements.push(element);
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests;
