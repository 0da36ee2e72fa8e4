//! What has been heard of a proxy: the last status, the minutes before it, the last events, and whether anything is heard still.

use std::collections::VecDeque;

use serde_json::Value;
use tokio::time::Instant;

/// See the module. Every value is as the API tells it.
pub(super) struct Seen {
    /// Null until the first is heard.
    pub status: Value,
    /// One a second, oldest first.
    pub points: VecDeque<Value>,
    pub events: VecDeque<Value>,
    pub link: Link,
}

/// Whether the proxy is heard.
pub(super) enum Link {
    Up,
    Lost { since: Instant, why: String },
}

/// One thing that was heard, or that nothing is.
pub(super) enum Heard {
    /// The connection stands.
    Hello,
    Status(Value),
    Point(Value),
    Event(Value),
    Lost(String),
}

/// As many as the widest terminal has cells for, and more than any has lines.
const POINTS: usize = 300;
const EVENTS: usize = 100;

impl Seen {
    pub(super) fn new() -> Seen {
        Seen { status: Value::Null, points: VecDeque::new(), events: VecDeque::new(), link: Link::Up }
    }

    /// One message of the stream; what is of no use here is none.
    pub(super) fn parse(name: &[u8], data: &[u8]) -> Option<Heard> {
        let value = serde_json::from_slice(data).ok()?;
        match name {
            b"hello" => Some(Heard::Hello),
            b"status" => Some(Heard::Status(value)),
            b"point" => Some(Heard::Point(value)),
            b"event" => Some(Heard::Event(value)),
            _ => None,
        }
    }

    pub(super) fn take(&mut self, heard: Heard, now: Instant) {
        if !matches!(heard, Heard::Lost(_)) {
            self.link = Link::Up;
        }
        match heard {
            Heard::Hello => {}
            Heard::Status(status) => self.status = status,
            Heard::Point(point) => {
                // Those that were there before are told in a stream that is new.
                let last = self.points.back().and_then(|last| last["number"].as_u64());
                if point["every"] == 1 && point["number"].as_u64() > last {
                    keep(&mut self.points, point, POINTS);
                }
            }
            Heard::Event(event) => keep(&mut self.events, event, EVENTS),
            Heard::Lost(why) => {
                let since = match self.link {
                    Link::Lost { since, .. } => since,
                    Link::Up => now,
                };
                self.link = Link::Lost { since, why };
            }
        }
    }

    /// What was before: the answer of `GET /v1/series`.
    pub(super) fn recall(&mut self, series: &Value) {
        let by_second = series["resolutions"].as_array().into_iter().flatten().find(|known| known["every"] == 1);
        let points = by_second.and_then(|known| known["points"].as_array());
        self.points = points.into_iter().flatten().cloned().collect();
        self.events = series["events"].as_array().into_iter().flatten().cloned().collect();
    }
}

fn keep(kept: &mut VecDeque<Value>, newest: Value, most: usize) {
    if kept.len() >= most {
        kept.pop_front();
    }
    kept.push_back(newest);
}
