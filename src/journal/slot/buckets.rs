//! A sparse histogram of latencies.

use serde::{Deserialize, Serialize};

/// How many latencies fell into each bucket, by the bucket's upper edge in microseconds.
///
/// The buckets are those of an hdrhistogram with two significant digits and a lowest value of 1, which is what `gate`
/// counts in: 256 of one microsecond, then 128 for every doubling. So recording an edge as often as its count says
/// brings back the histogram that the buckets came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Buckets(Vec<(u16, u64)>);

/// Buckets from the first bucket of a doubling to the next, as a power of two.
const HALF_BITS: u32 = 7;
const HALF: u64 = 1 << HALF_BITS;

/// The index of the last bucket that a 64-bit number of microseconds can fall into.
const LAST: u16 = index_of(u64::MAX);

const fn index_of(micros: u64) -> u16 {
    let doubling = (micros | (2 * HALF - 1)).ilog2() - HALF_BITS;
    (doubling as u64 * HALF + (micros >> doubling)) as u16
}

const fn upper_edge(index: u16) -> u64 {
    let index = index as u64;
    let doubling = (index / HALF).saturating_sub(1);
    let sub = index - doubling * HALF;
    // In this order the last edge does not overflow.
    (sub << doubling) + ((1 << doubling) - 1)
}

impl FromIterator<(u64, u64)> for Buckets {
    /// From values in microseconds and how often each occurred.
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(counts: I) -> Buckets {
        let mut buckets: Vec<(u16, u64)> = Vec::new();
        for (micros, count) in counts {
            let index = index_of(micros);
            match buckets.last_mut() {
                Some((last, total)) if *last == index => *total = total.saturating_add(count),
                _ => buckets.push((index, count)),
            }
        }
        buckets.sort_by_key(|(index, _)| *index);
        buckets.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(later.1);
            }
            same
        });
        Buckets(buckets)
    }
}

impl Buckets {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The buckets in rising order: the upper edge in microseconds and the count.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(index, count)| (upper_edge(*index), *count))
    }

    /// The buckets in rising order, by index.
    pub(super) fn indexed(&self) -> &[(u16, u64)] {
        &self.0
    }

    /// None unless the indices rise and exist.
    pub(super) fn from_indexed(buckets: Vec<(u16, u64)>) -> Option<Buckets> {
        let rise = buckets.is_sorted_by(|one, next| one.0 < next.0);
        let exist = buckets.last().is_none_or(|(last, _)| *last <= LAST);
        (rise && exist).then_some(Buckets(buckets))
    }
}

impl From<Vec<(u64, u64)>> for Buckets {
    fn from(counts: Vec<(u64, u64)>) -> Buckets {
        counts.into_iter().collect()
    }
}

impl From<Buckets> for Vec<(u64, u64)> {
    fn from(buckets: Buckets) -> Vec<(u64, u64)> {
        buckets.iter().collect()
    }
}
