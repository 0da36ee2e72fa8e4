//! How much blue takes while it takes green's traffic back: everything, unless it is shown to suffer from that.
//!
//! A flip turns requests away from green at once. A blue that had little to do until then, and was scaled down or is cold, may break
//! down under all of it, and then answers less than it could. So for the time of a ramp blue is held against what it was before: it
//! suffers when it has more requests waiting for an answer than it had then, and answers half of them in more than twice the time
//! (and [`LEAST_SLOWER`] more), or fails a tenth more of them, in two windows in a row. From then on it may have only so many requests
//! at a time: at first as many as it had before, and then by the rule of Netflix' concurrency-limits (`Gradient2Limit`), which is that of
//! Envoy's adaptive concurrency too: `limit ← limit × gradient + √limit`, where the gradient is the latency aimed at ([`AIM`] times that of before) over the
//! present one, from a half to one. As in the first of them a limit that nobody reaches does not rise.
//!
//! What was known of blue is the only measure: no bound is guessed, and a blue that carries everything never has one.

use std::time::Duration;

use super::evidence::Evidence;
use super::latency::Latency;
use super::trigger::Quantile;
use super::verdict::{count, duration, percent};

/// So many times its latency before shows that it suffers.
const TOLERANCE: f64 = 2.0;

/// Less than so much more is a hiccup, however quick blue was.
const LEAST_SLOWER: Duration = Duration::from_millis(25);

/// So many times it, and so much more at least, is what a limit aims at: the default of `Gradient2Limit`, and what is lost among
/// the hiccups of a quick blue.
const AIM: f64 = 1.5;
const LEAST_AIM: Duration = Duration::from_millis(5);

/// How much larger than before the share of failures has to be, and how many there are at least.
const FAILING: f64 = 0.1;
const LEAST_FAILURES: u64 = 5;

/// A window of fewer requests is waited for until there are as many: the half of so few says little.
const LEAST_REQUESTS: u64 = 20;

/// Windows in a row in which blue has to suffer.
const SUFFERS_FOR: u32 = 2;

/// A window is twice as long as an answer took, within these.
const WINDOWS: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];

/// As the `min_concurrency` of Envoy's controller: with fewer nothing would be learnt.
pub const LEAST_LIMIT: u64 = 3;

/// The least gradient, as in both.
const LEAST_GRADIENT: f64 = 0.5;

/// How long ago blue may have been as it is taken to have been before: the last one to two of these.
const PAST: Duration = Duration::from_secs(10);

/// What both versions did of late.
#[derive(Clone, Debug, Default)]
pub struct Past {
    older: Seen,
    newer: Seen,
    since: Duration,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    blue: Evidence,
    /// Requests that waited for an answer at a time, at most.
    most_of_blue: u64,
    most_of_green: u64,
}

/// What is seen at one tick.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Blue's requests that have ended since the last one.
    pub ended: &'a Evidence,
    /// How long blue's have waited that wait for an answer, and how many of each version do.
    pub waiting: &'a Latency,
    pub of_blue: u64,
    pub of_green: u64,
    /// That were not let to blue since the last one.
    pub refused: u64,
}

/// What blue was before.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Before {
    waiting: u64,
    /// None where too little was seen of it.
    latency: Option<Duration>,
    failures: f64,
}

/// One flip, and what blue makes of it.
#[derive(Clone, Debug)]
pub struct Ramp {
    length: Duration,
    until: Duration,
    before: Before,
    /// What green had.
    extra: u64,
    window: Window,
    /// The least latency of a window since the flip: where there was none before, blue was not slower than this.
    least: Option<Duration>,
    suffered: u32,
    limit: Option<f64>,
    /// From what blue suffered last.
    from: Option<Suffering>,
}

#[derive(Clone, Debug, Default)]
struct Window {
    since: Duration,
    ended: Evidence,
    refused: u64,
}

/// From what blue suffers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Suffering {
    Slow { half_within: Duration, before: Option<Duration> },
    Failing { failures: u64, requests: u64 },
}

impl Past {
    pub fn add(&mut self, look: &Look<'_>, now: Duration) {
        if now - self.since >= PAST {
            self.older = std::mem::take(&mut self.newer);
            self.since = now;
        }
        let Seen { blue, most_of_blue, most_of_green } = &mut self.newer;
        blue.add(look.ended);
        *most_of_blue = look.of_blue.max(*most_of_blue);
        *most_of_green = look.of_green.max(*most_of_green);
    }

    fn seen(&self) -> Seen {
        let mut seen = self.older.clone();
        seen.blue.add(&self.newer.blue);
        seen.most_of_blue = seen.most_of_blue.max(self.newer.most_of_blue);
        seen.most_of_green = seen.most_of_green.max(self.newer.most_of_green);
        seen
    }
}

impl Ramp {
    /// Traffic has come back to a blue with this past, which has `length` to take it.
    pub fn begin(past: &Past, length: Duration, now: Duration) -> Ramp {
        let Seen { blue, most_of_blue, most_of_green } = past.seen();
        let enough = blue.latency.len() >= LEAST_REQUESTS;
        let before = Before {
            waiting: most_of_blue,
            latency: half(&blue.latency).filter(|_| enough),
            failures: if blue.requests >= LEAST_REQUESTS { blue.error_rate() } else { 0.0 },
        };
        Ramp {
            length,
            until: now + length,
            before,
            extra: most_of_green,
            window: Window { since: now, ..Window::default() },
            least: None,
            suffered: 0,
            limit: None,
            from: None,
        }
    }

    /// More traffic has come back.
    pub fn begin_again(&mut self, now: Duration) {
        self.until = now + self.length;
    }

    /// None when it is over.
    pub fn left(&self, now: Duration) -> Option<Duration> {
        self.until.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// Requests of blue that may wait for an answer at a time; none while it takes everything.
    pub fn limit(&self) -> Option<u64> {
        self.limit.map(|limit| limit as u64)
    }

    /// From what blue suffered last; none if it never did.
    pub fn suffering(&self) -> Option<Suffering> {
        self.from
    }

    /// Takes in what is seen at a tick.
    pub fn look(&mut self, look: &Look<'_>, now: Duration) {
        self.window.ended.add(look.ended);
        self.window.refused += look.refused;
        let mut latency = self.window.ended.latency.clone();
        latency.add(look.waiting);
        if now - self.window.since < self.window_length() || latency.len() < LEAST_REQUESTS {
            return;
        }
        let Window { ended, refused, .. } =
            std::mem::replace(&mut self.window, Window { since: now, ..Window::default() });
        let half_within = half(&latency).expect("there are requests");
        let suffering = self.suffers(half_within, &ended);
        self.least = Some(self.least.map_or(half_within, |least| least.min(half_within)));
        match self.limit {
            Some(limit) => {
                let reached = refused > 0 || look.of_blue as f64 >= limit / 2.0;
                self.limit = Some(self.follow(limit, half_within, suffering, reached));
            }
            None if suffering.is_some() && look.of_blue > self.before.waiting => {
                self.suffered += 1;
                if self.suffered == SUFFERS_FOR {
                    self.limit = Some(self.least_limit());
                }
            }
            None => self.suffered = 0,
        }
        if self.limit.is_some() {
            self.from = suffering.or(self.from);
        }
    }

    fn suffers(&self, half_within: Duration, ended: &Evidence) -> Option<Suffering> {
        let Evidence { requests, failures, .. } = *ended;
        if failures >= LEAST_FAILURES && ended.error_rate() >= self.before.failures + FAILING {
            return Some(Suffering::Failing { failures, requests });
        }
        let is_slow = half_within > self.times(TOLERANCE, LEAST_SLOWER)?;
        is_slow.then_some(Suffering::Slow { half_within, before: self.before.latency })
    }

    /// So many times blue's usual latency, or so much more than it; none until something is known of blue.
    fn times(&self, factor: f64, least: Duration) -> Option<Duration> {
        let usual = self.before.latency.or(self.least)?;
        Some(usual.mul_f64(factor).max(usual + least))
    }

    /// The limit after a window that ended with this one.
    fn follow(&self, limit: f64, half_within: Duration, suffering: Option<Suffering>, reached: bool) -> f64 {
        let gradient = match (suffering, self.times(AIM, LEAST_AIM)) {
            (Some(Suffering::Failing { .. }), _) => LEAST_GRADIENT,
            (Some(Suffering::Slow { .. }) | None, Some(aim)) => {
                (aim.as_secs_f64() / half_within.as_secs_f64()).clamp(LEAST_GRADIENT, 1.0)
            }
            (Some(Suffering::Slow { .. }) | None, None) => 1.0,
        };
        // Also by so much that a large blue has it all at the end of the ramp.
        let share = self.window_length().as_secs_f64() / self.length.as_secs_f64();
        let step = limit.sqrt().max(self.extra as f64 * share);
        (limit * gradient + if reached { step } else { 0.0 }).max(self.least_limit())
    }

    fn least_limit(&self) -> f64 {
        self.before.waiting.max(LEAST_LIMIT) as f64
    }

    fn window_length(&self) -> Duration {
        let [shortest, longest] = WINDOWS;
        self.before.latency.or(self.least).map_or(shortest, |usual| (usual * 2).clamp(shortest, longest))
    }
}

impl Suffering {
    pub const REASONS: [&str; 2] = ["slow", "failing"];

    /// The label in metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Suffering::Slow { .. } => Suffering::REASONS[0],
            Suffering::Failing { .. } => Suffering::REASONS[1],
        }
    }

    pub fn sentence(self) -> String {
        match self {
            Suffering::Slow { half_within, before: Some(before) } => {
                format!("half of blue's answers take {}, {} before", millis(half_within), millis(before))
            }
            Suffering::Slow { half_within, before: None } => {
                format!("half of blue's answers take {}", millis(half_within))
            }
            Suffering::Failing { failures, requests } => {
                let share = percent(failures as f64 / requests as f64);
                format!("blue fails {} of {} requests ({share})", count(failures), count(requests))
            }
        }
    }
}

fn half(latency: &Latency) -> Option<Duration> {
    latency.quantile(Quantile::P50)
}

fn millis(time: Duration) -> String {
    duration(Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests;
