//! Blue's latencies of the last ten minutes, and of longer while there are few. They say where blue's tail begins.

use std::collections::VecDeque;
use std::time::Duration;

use crate::gate::Latency;

#[derive(Clone, Debug)]
pub struct Recent {
    /// Oldest first, each with the time when it ended or will end. At most `PARTS`, of at most 10.5 KiB each.
    parts: VecDeque<(Duration, Latency)>,
    units: u64,
}

const LENGTH: Duration = Duration::from_secs(600);
const PART: Duration = Duration::from_secs(60);
const PARTS: usize = 16;

/// The most units that anybody asks for; older ones are kept until there are so many.
const WANTED: u64 = 1_000;

impl Recent {
    /// `history` is of the time before `now`.
    pub fn new(history: &Latency, now: Duration) -> Recent {
        Recent { parts: VecDeque::from([(now, history.clone())]), units: history.len() }
    }

    pub fn add(&mut self, latency: &Latency, now: Duration) {
        if latency.is_empty() {
            return;
        }
        self.units += latency.len();
        match self.parts.back_mut() {
            Some((end, part)) if now < *end => part.add(latency),
            _ => self.parts.push_back((now + PART, latency.clone())),
        }
        self.expire(now);
    }

    /// All that is recent, and older units too where those are fewer than `units`; none when there are fewer in all.
    pub fn at_least(&self, units: u64, now: Duration) -> Option<Latency> {
        if self.units < units {
            return None;
        }
        let mut sum = Latency::default();
        for (end, part) in self.parts.iter().rev() {
            if now - (*end).min(now) > LENGTH && sum.len() >= units {
                break;
            }
            sum.add(part);
        }
        Some(sum)
    }

    fn expire(&mut self, now: Duration) {
        while let Some((end, part)) = self.parts.front() {
            let is_old = now - (*end).min(now) > LENGTH;
            if !is_old || self.units - part.len() < WANTED {
                break;
            }
            self.units -= part.len();
            self.parts.pop_front();
        }
        // Parts older than ten minutes are left only while there are few units, so a sum of two cannot overflow.
        if self.parts.len() > PARTS
            && let Some((_, oldest)) = self.parts.pop_front()
            && let Some((_, next)) = self.parts.front_mut()
        {
            next.add(&oldest);
        }
    }
}
