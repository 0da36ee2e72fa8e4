//! The evidence for a replay: every input of the deciding core, in order, in a compact form of its own.
//!
//! A slot is a time and one input. Slots are collected in a [`Chunk`], which is compressed whole and stands for itself.
//!
//! What an hour takes, with both latencies of both versions in ticks of 100 ms, all of them busy; a test holds these to
//! 5 %:
//!
//! | requests/s | packed | on the disk | 256 MiB hold |
//! |---|---|---|---|
//! | 100 | 1.3 MB | 1.5 MB | 7 days |
//! | 1,000 | 6.5 MB | 8.8 MB | 30 hours |
//! | 10,000 | 24 MB | 42 MB | 6 hours |
//!
//! zlib was chosen over zstd: zstd's quickest levels save nothing here, its slowest 6 to 14 %, and it is written in C.

mod buckets;
mod code;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::buckets::Buckets;
#[cfg(feature = "fuzzing")]
pub(super) use self::code::read;
pub(super) use self::code::unpack;

use super::record::nanos;

/// One input of the deciding core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slot {
    /// Since the release started; kept to the nanosecond, because what is decided depends on it.
    #[serde(rename = "afterNanos", with = "nanos")]
    pub after: Duration,
    pub input: Input,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Input {
    Tick(Box<Tick>),
    /// A command, a signal, a streak: rare, and whatever its sender makes of it.
    Other(Value),
}

/// What came in since the last tick.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    pub blue: Counted,
    pub green: Counted,
    /// None in most ticks of low traffic, and in journals of versions that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
    /// The same once more by route, of those that had any. Empty without routes, and in journals of versions that knew none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<OnRoute>,
}

/// What came in on one route of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OnRoute {
    /// Its place in the configuration; behind the last is what was on none.
    pub number: u8,
    pub blue: Counted,
    pub green: Counted,
}

/// What is told apart beside that.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Beside {
    /// Of requests that were routed before the weight last changed.
    pub late_blue: Counted,
    pub late_green: Counted,
    /// The part of blue's that is drawn to stand in for green.
    pub arm: Counted,
    /// Failures of green that are held back until it is known whose they are.
    pub held: u64,
}

/// What came in of one version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    pub requests: u64,
    pub failures: u64,
    /// Latencies to the response head.
    pub head: Buckets,
    /// Latencies to the end of the body; none when no trigger looks at them.
    pub whole: Option<Buckets>,
    /// Ages of the requests that still wait for a head.
    pub waiting: Buckets,
    pub clients: Option<u64>,
    /// None without health checks.
    pub health: Option<Health>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub endpoints: u64,
    /// Checks in a row that every endpoint has failed.
    pub failing: u64,
    /// Endpoints that get no requests.
    #[serde(default)]
    pub unhealthy: u64,
}

/// Some slots of one release, in order.
#[derive(Clone, Debug)]
pub struct Chunk {
    epoch: u32,
    number: u32,
    at: Timestamp,
    /// As `code` writes them, not yet compressed: the writer's thread has time for that.
    slots: Vec<u8>,
}

/// The chunk that is being filled.
#[derive(Debug)]
pub struct OpenChunk {
    epoch: u32,
    number: u32,
    /// Of the last slot.
    after: Duration,
    slots: Vec<u8>,
}

/// A chunk with so many bytes is full: large enough to compress well, small enough to be read and held whole. Packed it is
/// a third to a half of this, so that it fills most of the 32 KiB that redb gives it.
const FULL: usize = 56 << 10;

impl OpenChunk {
    /// Goes on with a release from this chunk.
    pub fn new(epoch: u32, number: u32) -> OpenChunk {
        OpenChunk { epoch, number, after: Duration::ZERO, slots: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.slots.len() >= FULL
    }

    /// Slots come in the order of their times.
    pub fn push(&mut self, slot: &Slot) {
        code::write(slot, self.after, &mut self.slots);
        self.after = slot.after;
    }

    /// What has been collected, as far as that is; more slots may follow, and the chunk be sent again.
    pub fn so_far(&self, at: Timestamp) -> Chunk {
        Chunk { epoch: self.epoch, number: self.number, at, slots: self.slots.clone() }
    }

    /// Ends this chunk and begins the next.
    pub fn take(&mut self, at: Timestamp) -> Chunk {
        let next = OpenChunk::new(self.epoch, self.number + 1);
        let OpenChunk { epoch, number, slots, .. } = std::mem::replace(self, next);
        Chunk { epoch, number, at, slots }
    }
}

impl Chunk {
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    pub const fn number(&self) -> u32 {
        self.number
    }

    pub(super) const fn at(&self) -> Timestamp {
        self.at
    }

    pub(super) fn pack(&self) -> Vec<u8> {
        code::pack(&self.slots)
    }
}

/// Some slots as bytes, for those who keep or send them by themselves.
pub fn plain(slots: &[Slot]) -> Vec<u8> {
    let (mut bytes, mut before) = (Vec::new(), Duration::ZERO);
    for slot in slots {
        code::write(slot, before, &mut bytes);
        before = slot.after;
    }
    bytes
}

/// None where the bytes are not what [`plain`] makes of so many slots at most.
pub fn of_plain(bytes: &[u8], most: usize) -> Option<Vec<Slot>> {
    code::read_up_to(bytes, most)
}

#[cfg(test)]
mod tests;
