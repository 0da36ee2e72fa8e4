//! A histogram of latencies that costs what it holds and not what it could hold.
//!
//! Buckets and results are those of an hdrhistogram of 1 µs to [`LONGEST`] with two significant digits and 32-bit
//! counts. That one has 2,688 counts and walks all of them, while the requests of a tick or of a window lie in a few
//! hundred beside each other.

use std::time::Duration;

use super::trigger::Quantile;

/// The longest latency that is told apart; anything slower counts as this long. Above any sensible bound.
pub const LONGEST: Duration = Duration::from_secs(120);

/// Latencies from 1 µs to [`LONGEST`], kept to two significant digits: an edge lies within 0.8 % of any value.
///
/// Nothing is allocated before something is recorded. A factor of ten between the quickest and the slowest takes about
/// 2 KiB, and no latencies take more than 10.5 KiB. What was cleared keeps its memory.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    /// Whole stretches of buckets. The first and the last stretch hold something.
    counts: Vec<u32>,
    /// The bucket of the first count.
    first: usize,
    total: u64,
}

/// Buckets from the first bucket of a doubling to the next, as a power of two.
const HALF_BITS: u32 = 7;
const HALF: usize = 1 << HALF_BITS;

/// The last bucket is that of 134 s: a doubling is never cut.
const LAST: usize = (index_of(LONGEST.as_micros() as u64) / HALF + 1) * HALF - 1;

/// How many counts are added or left out at once: half a doubling, so that latencies make room for others like them.
const STRETCH: usize = HALF / 2;

/// How often the buckets that `micros` falls among have doubled their width of one microsecond.
const fn doubling_of(micros: u64) -> u32 {
    (micros | (2 * HALF as u64 - 1)).ilog2() - HALF_BITS
}

const fn index_of(micros: u64) -> usize {
    let doubling = doubling_of(micros);
    doubling as usize * HALF + (micros >> doubling) as usize
}

/// The last microsecond of a bucket up to [`LAST`].
const fn upper_edge(index: usize) -> u64 {
    let doubling = (index / HALF).saturating_sub(1);
    ((index - doubling * HALF + 1) as u64 * (1 << doubling)) - 1
}

fn micros_of(latency: Duration) -> u64 {
    u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)
}

impl Latency {
    pub fn record(&mut self, latency: Duration) {
        let index = index_of(micros_of(latency));
        self.count(if index > LAST { index_of(micros_of(LONGEST)) } else { index }, 1);
    }

    /// As [`Latency::record`], `count` times.
    pub fn record_many(&mut self, latency: Duration, count: u64) {
        if count > 0 {
            self.count(index_of(micros_of(latency.min(LONGEST))), u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub fn len(&self) -> u64 {
        self.total
    }

    pub fn clear(&mut self) {
        self.counts.clear();
        self.total = 0;
    }

    pub fn add(&mut self, other: &Latency) {
        if other.is_empty() {
            return;
        }
        let added = if self.is_empty() { other.total } else { other.counted() };
        self.cover(other.first, other.end());
        for (count, other) in self.counts[other.first - self.first..].iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*other);
        }
        self.total = self.total.saturating_add(added);
    }

    /// Takes out what was added before.
    pub fn subtract(&mut self, other: &Latency) {
        if other.is_empty() {
            return;
        }
        let covered = other.first.checked_sub(self.first).filter(|_| other.end() <= self.end());
        let skipped = covered.expect("only what was added is subtracted");
        let takes_an_end = self.ends().any(|index| other.at(index) > 0);
        for (count, other) in self.counts[skipped..].iter_mut().zip(&other.counts) {
            *count = count.checked_sub(*other).expect("only what was added is subtracted");
        }
        // Which of the two matters only after a count has reached its ceiling. An hdrhistogram does the same.
        self.total = if takes_an_end { self.counted() } else { self.total - other.counted() };
        self.trim();
    }

    /// How many were certainly slower than `bound`: those in buckets that lie wholly above it.
    pub fn slower_than(&self, bound: Duration) -> u64 {
        let above = index_of(micros_of(bound.min(LONGEST))) + 1;
        let quicker = above.saturating_sub(self.first).min(self.counts.len());
        sum(&self.counts[quicker..])
    }

    /// The upper edge of the bucket that holds the quantile; none without records.
    pub fn quantile(&self, quantile: Quantile) -> Option<Duration> {
        if self.is_empty() {
            return None;
        }
        let wanted = ((quantile.fraction() * self.total as f64).ceil() as u64).max(1);
        let mut reached = 0;
        let position = self.counts.iter().position(|count| {
            reached += u64::from(*count);
            reached >= wanted
        });
        Some(position.map_or(Duration::ZERO, |position| Duration::from_micros(upper_edge(self.first + position))))
    }

    /// The upper edge of the bucket that `latency` belongs to: the first at or above it.
    pub fn edge(&self, latency: Duration) -> Duration {
        let micros = u64::try_from(latency.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        Duration::from_micros(micros | ((1 << doubling_of(micros)) - 1))
    }

    /// Each bucket that holds something: its upper edge and how many.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let counts = (self.first..).zip(&self.counts).filter(|(_, count)| **count > 0);
        counts.map(|(index, count)| (Duration::from_micros(upper_edge(index)), u64::from(*count)))
    }

    fn count(&mut self, index: usize, times: u32) {
        if index.wrapping_sub(self.first) >= self.counts.len() {
            self.cover(index, index + 1);
        }
        let count = &mut self.counts[index - self.first];
        *count = count.saturating_add(times);
        self.total = self.total.saturating_add(u64::from(times));
    }

    /// One more than the last bucket that has a count.
    fn end(&self) -> usize {
        self.first + self.counts.len()
    }

    fn at(&self, index: usize) -> u32 {
        index.checked_sub(self.first).and_then(|position| self.counts.get(position)).copied().unwrap_or(0)
    }

    /// How many the counts hold, which is fewer than the total after one of them has reached its ceiling.
    fn counted(&self) -> u64 {
        sum(&self.counts)
    }

    /// The first and the last bucket that hold something.
    fn ends(&self) -> impl Iterator<Item = usize> {
        let holds = |count: &u32| *count > 0;
        let (first, last) = (self.counts.iter().position(holds), self.counts.iter().rposition(holds));
        first.into_iter().chain(last).map(|position| self.first + position)
    }

    /// Makes room for the buckets from `start` to before `end`, which must come to hold something.
    fn cover(&mut self, start: usize, end: usize) {
        let (mut start, mut end) = (start / STRETCH * STRETCH, end.next_multiple_of(STRETCH));
        if self.counts.is_empty() {
            self.first = start;
        } else {
            (start, end) = (start.min(self.first), end.max(self.end()));
        }
        // Exact, because doubling what is there could take twice of what all buckets need.
        self.counts.reserve_exact(end - start - self.counts.len());
        self.counts.resize(end - start, 0);
        self.counts.rotate_right(self.first - start);
        self.first = start;
    }

    /// Leaves out the stretches at both ends that hold nothing.
    fn trim(&mut self) {
        let holds_nothing = |stretch: &&[u32]| stretch.iter().all(|count| *count == 0);
        let back = self.counts.rchunks(STRETCH).take_while(holds_nothing).count() * STRETCH;
        self.counts.truncate(self.counts.len() - back);
        let front = self.counts.chunks(STRETCH).take_while(holds_nothing).count() * STRETCH;
        self.counts.drain(..front);
        self.first += front;
    }
}

fn sum(counts: &[u32]) -> u64 {
    counts.iter().copied().map(u64::from).sum()
}

#[cfg(test)]
mod tests;
