//! Is green worse than blue? A sequential test that may be looked at after every tick: the chance of ever convicting a
//! green that is within limits is at most `false_alarm` for the whole release. README.md beside this file holds the
//! formulas' sources, the guarantees and the measured tables.
//!
//! Reading order: [`block`] collects units of the same moments, [`projection`] is the null and its nearest point,
//! [`baseline`] what is expected of blue, [`mixture`] the e-process with late starts, [`relative`] one metric from these
//! four, [`tail`] the metrics of latency with [`recent`] for their bounds, [`contrast`] all three metrics together, [`arm`] blue
//! against itself, [`by_route`] green against blue once more on each route, [`absolute`] one version against a bound, [`standing`] the way from suspicion to blame, [`pass`] what clears green, [`silence`] missing data, [`sentence`] the
//! words. Absent: the user's triggers, and the time that a step must hold.

pub mod absolute;
mod arm;
pub mod baseline;
pub mod block;
mod by_route;
mod contrast;
pub mod mixture;
pub mod numbers;
pub mod pass;
pub mod projection;
pub mod recent;
pub mod relative;
mod sentence;
mod silence;
pub mod standing;
mod summary;
pub mod tail;

#[cfg(test)]
mod tests;

use std::time::Duration;

use absolute::Absolute;
use arm::Arm;
use by_route::ByRoute;
pub use by_route::RoutePast;
use contrast::{Contrast, failures};
use mixture::Since;
use numbers::ln;
use pass::Pass;
use recent::Recent;
use silence::Silence;
use standing::{Conviction, HOLDS, Look, Standing, Turn};
pub use summary::{Difference, Measured, RouteSummary, Summary};

use super::crossing::Tally;
use super::route::{NamedRoute, on_route};
use super::{ByVersion, Evidence, Latency, RouteNumber, Version};
use crate::release::Weight;

/// What is acceptable, and how sure a conviction must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The chance of ever convicting an acceptable green in one release.
    pub false_alarm: f64,
    /// Green may fail this many times as often as blue, ...
    pub ratio: f64,
    /// ... plus this share of the requests.
    pub margin: f64,
    /// Green's P50 and P99 may lie above blue's by this share, ...
    pub slower: f64,
    /// ... and by this much in any case: below it differences belong to the machines and not to the version.
    pub slower_by: Duration,
    /// To be promoted green has to show that it fails less than this, whatever blue does.
    pub unacceptable: f64,
    /// The time between two ticks, nominally.
    pub tick: Duration,
}

/// What one version did in one tick.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    pub evidence: &'a Evidence,
    /// The ages of the requests that are still without a head, now.
    pub waiting: &'a Latency,
    /// The distinct clients among the tick's requests, where clients stick to a version; none where every request is
    /// drawn for itself. A client that was among those of the last ticks is better not counted again: what one client
    /// meets, it meets again.
    pub clients: Option<u64>,
}

/// The comparison of one release.
#[derive(Clone, Debug)]
pub struct Comparison {
    settings: Settings,
    /// Green against blue.
    contrast: Contrast,
    /// The same on each route.
    routes: ByRoute,
    arm: Arm,
    /// Blue's latencies, for the bounds of the tails.
    recent: Recent,
    absolute: ByVersion<Absolute>,
    pass: Pass,
    silence: Silence,
    standing: Standing,
    /// How many ticks are expected.
    planned: f64,
}

/// What the comparison says after a tick. The first of these, from the top, that holds is the finding.
///
/// A finding is returned for as long as it holds, but for `Acquitted`, which is returned once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Green is worse than acceptable, by at least 1/`false_alarm`: roll back. Stays for the rest of the release, or until the
    /// route that shows it best is left out; none where it is the whole that shows it.
    Convict { route: Option<String>, sentence: String },
    /// Blue differs from itself (M ≥ 20): what is measured is not to be believed, and nobody is convicted or suspected. Ends
    /// when M is down to 1, and what was gathered of green begins anew then.
    Untrusted { sentence: String },
    /// Both versions are over the bound of §1.4: freeze and call people, blame nobody. Ends with `Acquitted`, with
    /// `Convict`, or in suspicion again when blue alone recovers.
    External { sentence: String },
    /// Green is within the bound again after a suspicion: give it the step's weight back.
    Acquitted { sentence: String },
    /// Fifteen minutes of suspicion have proved nothing: weight 0, without blame. Stays until somebody sends green
    /// traffic again, which begins anew.
    Unresolved { sentence: String },
    /// Green is over the bound of §1.4, at a weight above 10 % when that began: lower the weight to 10 % if it is above.
    Probe { sentence: String },
    /// Green may not go on: it looks worse than blue (M ≥ 20), or is over the bound of §1.4 at 10 % or less.
    Hold { sentence: String },
    /// A version that should have traffic at this weight has had none for a minute, or longer where ten requests take
    /// longer. Never a pass, never a fault of green's.
    NoData { sentence: String },
    /// Nothing speaks against green, and it has shown at this weight that it fails less than `unacceptable`.
    Clear { sentence: String },
    /// Nothing speaks against green, and not enough for it.
    Undecided { sentence: String },
}

/// Which metrics show a difference (M ≥ 20), for triggers that ask to be confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suspicion {
    pub errors: bool,
    pub p99: bool,
    pub p50: bool,
}

/// The late starts are spread over at least so long.
const SHORTEST: Duration = Duration::from_secs(600);

/// Green is suspected above this rate or above so many times blue's, whichever is more.
const SUSPICIOUS: f64 = 0.01;
const SUSPICIOUS_TIMES: f64 = 3.0;

impl Default for Settings {
    fn default() -> Self {
        Settings {
            false_alarm: 0.001,
            ratio: 1.5,
            margin: 0.001,
            slower: 0.25,
            slower_by: Duration::from_millis(2),
            unacceptable: 0.05,
            tick: Duration::from_millis(100),
        }
    }
}

impl Comparison {
    /// Begins with green's first request. `history` is what blue did in the ten minutes before, `planned` the sum of all
    /// bakes. Make a new one for every release.
    pub fn new(settings: Settings, history: &Evidence, planned: Duration, now: Duration) -> Comparison {
        let planned = planned.max(SHORTEST).as_secs_f64() / settings.tick.as_secs_f64();
        let of_blue = Tally { bad: history.failures, units: history.requests };
        let recent = Recent::new(&history.latency, now);
        let contrast = Contrast::new(&settings, of_blue, &recent, planned, now);
        let expected = contrast.errors.expected();
        Comparison {
            arm: Arm::new(&settings, of_blue, &recent, planned, now),
            absolute: ByVersion::build(|version| Absolute::new(version, suspicious(expected), planned)),
            pass: Pass::new(settings.unacceptable, planned),
            silence: Silence::new(of_blue.units, now),
            standing: Standing::Calm,
            routes: ByRoute::default(),
            settings,
            contrast,
            recent,
            planned,
        }
    }

    /// Convicts with at most this chance of a false alarm from here on; what is known stays.
    pub const fn judge_at(&mut self, false_alarm: f64) {
        self.settings.false_alarm = false_alarm;
    }

    /// Compares these routes by themselves as well, from nothing.
    pub fn follow_routes<'a>(&mut self, routes: impl IntoIterator<Item = RoutePast<'a>>, now: Duration) {
        self.routes = ByRoute::new(&self.settings, routes, self.planned, now);
    }

    /// Compares this route no more, of which nothing is evidence from here on, and the whole from nothing: what it was found
    /// by is in that as well. A green that is within limits comes here with at most the probability of a false alarm, and the
    /// others keep their shares of it.
    pub fn leave_out(&mut self, route: &str) {
        self.routes.leave_out(route);
        self.contrast.restart();
        self.absolute.green.restart();
        self.absolute.blue.restart();
        self.pass.restart();
        self.standing = Standing::Calm;
    }

    /// Adds what one tick counted on every route. Call it right before [`Comparison::tick`].
    pub fn tick_routes<'a>(&mut self, counted: impl Fn(RouteNumber) -> ByVersion<Counted<'a>>, now: Duration) {
        self.routes.tick(counted, now);
    }

    /// Adds one tick of both versions. Call it every tick, with empty evidence too. `arm` is the part of blue's that is drawn
    /// to stand in for green; none while green gets nothing.
    pub fn tick(
        &mut self,
        counted: ByVersion<Counted<'_>>,
        arm: Option<Counted<'_>>,
        weight: Weight,
        now: Duration,
    ) -> Finding {
        let counts = ByVersion::build(|version| failures(counted.of(version)));
        let tallies = ByVersion { blue: counts.blue.tally, green: counts.green.tally };
        // Whatever is expected of this tick comes from the ticks before it.
        let expected = self.contrast.errors.expected();
        self.pass.take(counts.green, expected);
        for version in Version::BOTH {
            let absolute = self.absolute.of_mut(version);
            if matches!(self.standing, Standing::Calm) {
                absolute.set_bound(suspicious(expected));
            }
            absolute.take(*counts.of(version), now);
        }
        self.contrast.tick(&counted, &self.recent, now);
        let turn = arm.map(|drawn| self.arm.tick(counted.blue, drawn, &self.recent, now));
        if turn == Some(arm::Turn::CalmAgain) {
            self.contrast.restart();
            self.routes.restart();
            self.absolute.green.restart();
            self.absolute.blue.restart();
            self.pass.restart();
        }
        self.recent.add(&counted.blue.evidence.latency, now);
        self.silence.tick(tallies, now);
        let turn = if self.arm.is_trusted() { self.step(tallies, weight, now) } else { Turn::Stays };
        self.finding(turn, weight, now)
    }

    /// Green's share of new requests is another from `now` on, for whatever reason.
    pub fn weight_changed(&mut self, now: Duration) {
        self.contrast.cut(&self.recent, now);
        self.routes.cut(now);
        self.arm.cut(&self.recent, now);
        self.pass.restart();
        self.silence.weight_changed(now);
    }

    pub fn suspicion(&self) -> Suspicion {
        let holds = |ln_evidence: f64| self.arm.is_trusted() && ln_evidence >= ln(HOLDS);
        let Contrast { errors, p99, p50 } = &self.contrast;
        Suspicion { errors: holds(errors.ln()), p99: holds(p99.ln()), p50: holds(p50.ln()) }
    }

    /// The numbers behind the finding, exact: two runs over the same ticks give the same bits.
    pub fn evidence(&self) -> Summary {
        Summary {
            ln_evidence: self.ln(),
            errors: Measured::of(&self.contrast.errors, None),
            p99: Measured::of(self.contrast.p99.relative(), self.contrast.p99.bounds()),
            p50: Measured::of(self.contrast.p50.relative(), self.contrast.p50.bounds()),
            ln_arm: self.arm.ln(),
            ln_pass: self.pass.ln(),
            suspicious: self.absolute.green.bound(),
            ln_green: self.absolute.green.ln(),
            ln_blue: self.absolute.blue.ln(),
            standing: self.standing.name(),
        }
    }

    fn step(&mut self, counted: ByVersion<Tally>, weight: Weight, now: Duration) -> Turn {
        let look = Look {
            ln_evidence: self.ln(),
            ln_absolute: ByVersion::build(|version| self.absolute.of(version).ln()),
            bound: self.absolute.green.bound(),
            counted,
            weight,
        };
        let mut standing = std::mem::replace(&mut self.standing, Standing::Calm);
        if look.ln_evidence >= -ln(self.settings.false_alarm) && !matches!(standing, Standing::Convicted(_)) {
            let route = self.best().0.map(|route| route.name.clone());
            standing = Standing::Convicted(Conviction { route, sentence: self.difference(now) });
        }
        let (standing, turn) = standing.step(&look, now);
        self.standing = standing;
        if turn != Turn::Stays {
            self.absolute.green.restart();
            self.absolute.blue.restart();
        }
        turn
    }

    fn finding(&self, turn: Turn, weight: Weight, now: Duration) -> Finding {
        let bound = self.absolute.green.bound();
        let absolute = || ByVersion {
            blue: self.absolute.blue.since().counted.blue,
            green: self.absolute.green.since().counted.green,
        };
        if let Turn::Acquitted(window) = turn {
            return Finding::Acquitted { sentence: sentence::acquitted(window, bound) };
        }
        match (&self.standing, self.arm.distrust()) {
            (Standing::Convicted(_) | Standing::Withdrawn { .. }, _) | (_, None) => {}
            (_, Some(sentence)) => return Finding::Untrusted { sentence },
        }
        match &self.standing {
            Standing::Convicted(Conviction { route, sentence }) => {
                Finding::Convict { route: route.clone(), sentence: sentence.clone() }
            }
            Standing::Common(_) => Finding::External { sentence: sentence::common(absolute()) },
            Standing::Withdrawn { .. } => Finding::Unresolved { sentence: sentence::unresolved(absolute()) },
            Standing::Suspected(episode) => {
                let sentence = sentence::suspected(absolute().green, bound);
                if episode.from > Weight::PROBE { Finding::Probe { sentence } } else { Finding::Hold { sentence } }
            }
            Standing::Calm if self.ln() >= ln(HOLDS) => Finding::Hold { sentence: self.difference(now) },
            Standing::Calm => self.unsuspected(weight, now),
        }
    }

    fn unsuspected(&self, weight: Weight, now: Duration) -> Finding {
        if let Some((version, time)) = self.silence.find(weight, now) {
            return Finding::NoData { sentence: sentence::no_data(version, time) };
        }
        if self.pass.is_enough() {
            return Finding::Clear { sentence: sentence::clear(&self.pass) };
        }
        Finding::Undecided { sentence: sentence::undecided(&self.pass, self.contrast.errors.expected()) }
    }

    /// ln M of the whole and of every route together.
    fn ln(&self) -> f64 {
        self.routes.ln_with(self.contrast.ln())
    }

    /// Where the difference shows best, by which metric, and what that rests on.
    fn best(&self) -> (Option<&NamedRoute>, sentence::Measure, Since) {
        match self.routes.better_than(&self.contrast) {
            Some((route, measure, since)) => (Some(route), measure, since),
            None => {
                let (measure, since) = self.contrast.heaviest();
                (None, measure, since)
            }
        }
    }

    /// What every route that is compared by itself has come to.
    pub fn routes(&self) -> impl Iterator<Item = RouteSummary> {
        self.routes.summaries()
    }

    /// The numbers behind a conviction or a hold: of the route and the metric that weigh most.
    pub fn heaviest(&self) -> Difference {
        let (route, measure, since) = self.best();
        let slower_than = match measure {
            sentence::Measure::Errors => None,
            sentence::Measure::Slow { bounds, .. } => Some(bounds),
        };
        let route = route.map(|route| route.name.clone());
        Difference { route, slower_than, counted: since.counted, ln_evidence: self.ln() }
    }

    /// The same in words.
    fn difference(&self, now: Duration) -> String {
        let (route, measure, since) = self.best();
        let healthy = self.absolute.green.bound();
        let sentence = sentence::difference(measure, &since, self.ln(), &self.settings, healthy, now);
        on_route(route, sentence)
    }
}

/// The rate from which on a version is suspected, beside what is expected of blue.
fn suspicious(expected: f64) -> f64 {
    (SUSPICIOUS_TIMES * expected).max(SUSPICIOUS)
}
