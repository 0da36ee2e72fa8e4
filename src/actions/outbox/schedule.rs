//! When an action is due, and when it is tried again.

use std::hash::BuildHasher;
use std::time::Duration;

use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp, ToSpan};
use rapidhash::quality::SeedableState;

use crate::config::runbook::{Action, After, Every};

/// After the first failed attempt, and twice as long after each one more, up to the longest.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// A receiver that says to come again later than this is asked after this time all the same.
const LONGEST_SAID: Duration = Duration::from_secs(3600);

/// More attempts than any configuration allows: where its retries are not known any more.
pub(super) const BACK_OFFS: u32 = 101;

/// The waits differ by as much as this, so that many messages that failed at once do not come back at once.
const JITTER: f64 = 0.25;

pub(super) fn due_at(after: After, at: Timestamp) -> Timestamp {
    match after {
        After::Delay(delay) => later(at, delay),
        After::NextDay { seconds, offset } => {
            let zone = Offset::from_seconds(offset).expect("at most 14 hours").to_time_zone();
            let midnight =
                at.to_zoned(zone).date().tomorrow().unwrap_or_else(|_| at.to_zoned(jiff::tz::TimeZone::UTC).date());
            let local = midnight.at(0, 0, 0, 0).saturating_add(i64::from(seconds).seconds());
            let zone = Offset::from_seconds(offset).expect("at most 14 hours");
            zone.to_timestamp(local).unwrap_or(at)
        }
    }
}

/// When the attempt after the one of this number is made. `after` is what the receiver said.
pub(super) fn next_attempt(key: &str, attempts: u32, after: Option<Duration>, now: Timestamp) -> Timestamp {
    let doubled = (SHORTEST * (1 << attempts.saturating_sub(1).min(16))).min(LONGEST);
    let hash = SeedableState::fixed().hash_one((key, attempts));
    let part = (hash >> 11) as f64 / (1_u64 << 53) as f64;
    let wait = doubled.mul_f64(1.0 + JITTER * part);
    later(now, wait.max(after.unwrap_or_default().min(LONGEST_SAID)))
}

/// When an action is due for the first time, or as one of those that come again.
pub(super) fn occurrence_at(action: &Action, at: Timestamp, occurrence: u32) -> Timestamp {
    let first = due_at(action.after, at);
    action.every.map_or(first, |every| later(first, every.interval.saturating_mul(occurrence)))
}

/// The next of those that come again, and when; what was missed is left out.
pub(super) fn next_occurrence(
    first: Timestamp,
    every: Every,
    occurrence: u32,
    now: Timestamp,
) -> Option<(u32, Timestamp)> {
    let due = |occurrence: u32| later(first, every.interval.saturating_mul(occurrence));
    (occurrence + 1..every.most).map(|occurrence| (occurrence, due(occurrence))).find(|(_, due)| *due > now)
}

fn later(at: Timestamp, delay: Duration) -> Timestamp {
    let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
    at.saturating_add(delay).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn the_next_day_begins_where_people_are() {
        let check = |hour: u32, offset: i32, from: &str, expected: &str| {
            let after = After::NextDay { seconds: hour * 3600, offset: offset * 3600 };
            assert_eq!(due_at(after, at(from)), at(expected), "{hour}:00 by {offset} from {from}");
        };
        check(9, 0, "2026-02-28T23:59:59Z", "2026-03-01T09:00:00Z");
        check(9, 2, "2026-02-28T21:59:59Z", "2026-03-01T07:00:00Z");
        check(9, 2, "2026-02-28T22:00:00Z", "2026-03-02T07:00:00Z");
        check(0, -8, "2026-12-31T07:00:00Z", "2026-12-31T08:00:00Z");
    }

    #[test]
    fn attempts_come_less_often_up_to_a_bound_and_not_all_at_once() {
        let now = at("2026-01-01T00:00:00Z");
        let wait = |key: &str, attempts| next_attempt(key, attempts, None, now).duration_since(now).as_secs_f64();
        for (attempts, least) in [(1, 1.0), (2, 2.0), (5, 16.0), (9, 256.0), (10, 300.0), (100, 300.0)] {
            let wait = wait("a", attempts);
            assert!((least..least * 1.25).contains(&wait), "{attempts}: {wait}");
        }
        assert_ne!(wait("a", 5), wait("b", 5));
        assert_eq!(wait("a", 5), wait("a", 5), "a restart changes nothing");
    }

    #[test]
    fn a_receiver_says_when_to_come_again_but_not_in_a_year() {
        let now = at("2026-01-01T00:00:00Z");
        let wait =
            |seconds| next_attempt("a", 1, Some(Duration::from_secs(seconds)), now).duration_since(now).as_secs();
        assert_eq!((wait(0), wait(90), wait(31_536_000)), (1, 90, 3600));
    }

    #[test]
    fn what_comes_again_leaves_out_what_was_missed_and_ends() {
        let every = Every { interval: Duration::from_secs(900), most: 4 };
        let first = at("2026-01-01T00:00:00Z");
        let next = |occurrence, now: &str| next_occurrence(first, every, occurrence, at(now));
        assert_eq!(next(0, "2026-01-01T00:00:01Z"), Some((1, at("2026-01-01T00:15:00Z"))));
        assert_eq!(next(0, "2026-01-01T00:31:00Z"), Some((3, at("2026-01-01T00:45:00Z"))));
        assert_eq!(next(3, "2026-01-01T00:45:01Z"), None);
    }
}
