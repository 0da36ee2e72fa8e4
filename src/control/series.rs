//! What both versions did over time, for charts: one [`Point`] after another, as each stretch of time ends.
//!
//! Whoever wants more than the last point keeps them. Absent: what is decided, which never looks at these.

use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, Unit};
use serde::Serialize;
use tokio::sync::broadcast;

use super::Control;
use crate::course::Input;
use crate::course::evidence::Counted;
use crate::gate::compare::Summary;
use crate::gate::{ByVersion, Evidence};
use crate::release::{Epoch, State, Weight};

/// How closely time is looked at, and how far back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// What one point is of.
    pub every: Duration,
    /// Points that are worth keeping.
    pub kept: usize,
}

/// Five minutes by the second, and two hours by the quarter of a minute: 780 points of 200 bytes.
pub const RESOLUTIONS: [Resolution; 2] =
    [Resolution { every: Duration::from_secs(1), kept: 300 }, Resolution { every: Duration::from_secs(15), kept: 480 }];

/// What both versions did in one stretch of time, with the times that clients saw.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// Seconds that it is of.
    pub every: u64,
    /// Rises from point to point.
    pub number: u64,
    /// Its end.
    pub at: Timestamp,
    pub epoch: Epoch,
    pub state: &'static str,
    /// Percent, at its end.
    pub weight: Weight,
    pub blue: Counted,
    pub green: Counted,
    /// The natural logarithm of the evidence that green is worse, at its end; null where nothing is compared.
    pub ln_evidence: Option<f64>,
    /// The same of blue against itself.
    pub ln_arm: Option<f64>,
}

/// Points that a slow listener may lag behind before it loses the oldest.
const WAITING: usize = 64;

/// Where points are sent. Nobody has to listen.
#[derive(Clone, Debug)]
pub struct Series(broadcast::Sender<Arc<Point>>);

/// The stretches that have not ended yet.
#[derive(Debug)]
pub(super) struct Charting([Stretch; RESOLUTIONS.len()]);

#[derive(Debug)]
struct Stretch {
    every: Duration,
    number: u64,
    shown: ByVersion<Evidence>,
    /// What a release came to that ended in it.
    ended: Option<Summary>,
}

impl Default for Series {
    fn default() -> Series {
        Series(broadcast::Sender::new(WAITING))
    }
}

impl Series {
    pub fn listen(&self) -> broadcast::Receiver<Arc<Point>> {
        self.0.subscribe()
    }

    fn send(&self, point: Point) {
        if self.0.send(Arc::new(point)).is_err() {
            tracing::trace!("nobody listens to the series");
        }
    }
}

impl Charting {
    pub(super) fn new(now: Duration) -> Charting {
        Charting(RESOLUTIONS.map(|Resolution { every, .. }| Stretch {
            every,
            number: number(now, every),
            shown: ByVersion::default(),
            ended: None,
        }))
    }

    /// Adds what was counted, as the windows that people are shown do.
    pub(super) fn count(&mut self, shown: &ByVersion<Evidence>, state: &State) {
        for Stretch { shown: sum, .. } in &mut self.0 {
            sum.blue.add(&shown.blue);
            // What was green when it was routed is blue once the release has completed.
            let green = if matches!(state, State::Completed { .. }) { &mut sum.blue } else { &mut sum.green };
            green.add(&shown.green);
        }
    }

    /// A release has ended on this.
    pub(super) fn release_ended(&mut self, compared: Option<&Summary>) {
        self.0.iter_mut().for_each(|stretch| stretch.ended = compared.copied());
    }

    /// The stretches that have ended by `now`. Those in which the process stood still are left out.
    fn ended(&mut self, now: Duration) -> impl Iterator<Item = Stretch> {
        self.0.iter_mut().filter_map(move |stretch| {
            let next = number(now, stretch.every);
            let begun = Stretch { every: stretch.every, number: next, shown: ByVersion::default(), ended: None };
            (next > stretch.number).then(|| std::mem::replace(stretch, begun))
        })
    }
}

fn number(now: Duration, every: Duration) -> u64 {
    now.as_secs() / every.as_secs()
}

impl Control {
    /// Takes what an input brought that the deciding core has just taken.
    pub(super) fn count_for_charts(&mut self, input: &Input<'_>, was_open: bool) {
        if let Input::Tick { counted, .. } | Input::Counted(counted) = input {
            self.charting.count(&counted.shown, self.course.state());
        }
        if was_open && self.course.state().run().is_none() {
            self.charting.release_ended(self.course.compared().as_ref());
        }
    }

    /// Sends the points that are complete. Call it once a tick, after everything was counted.
    pub(super) fn chart(&mut self) {
        let now = self.clock.now();
        let at = Timestamp::now().round(Unit::Millisecond).expect("a time in this age");
        for Stretch { every, number, shown, ended } in self.charting.ended(now) {
            let of_open = self.course.compared().filter(|_| self.course.state().run().is_some());
            let compared = of_open.or(ended);
            self.outputs.series.send(Point {
                every: every.as_secs(),
                number,
                at,
                epoch: self.course.epoch(),
                state: self.course.state().name(),
                weight: self.inputs.routing.table().weight(),
                blue: Counted::new(&shown.blue),
                green: Counted::new(&shown.green),
                ln_evidence: compared.map(|compared| compared.ln_evidence),
                ln_arm: compared.map(|compared| compared.ln_arm),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Charge;
    use crate::release::Cause;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn shown(blue: u64, green: u64) -> ByVersion<Evidence> {
        let of = |requests| {
            let mut evidence = Evidence::default();
            (0..requests).for_each(|_| evidence.record(Charge::Served, Some(at(1))));
            evidence
        };
        ByVersion { blue: of(blue), green: of(green) }
    }

    fn requests(charting: &mut Charting, now: Duration) -> Vec<(u64, u64, u64, u64)> {
        let of = |Stretch { every, number, shown, .. }: Stretch| {
            (every.as_secs(), number, shown.blue.requests, shown.green.requests)
        };
        charting.ended(now).map(of).collect()
    }

    #[test]
    fn a_stretch_is_told_when_it_has_ended_and_holds_what_came_in_it_and_nothing_else() {
        let idle = State::Idle { epoch: Epoch::default() };
        let mut charting = Charting::new(at(14_200));
        charting.count(&shown(3, 1), &idle);
        assert_eq!(requests(&mut charting, at(14_900)), []);
        charting.count(&shown(2, 0), &idle);
        assert_eq!(requests(&mut charting, at(15_000)), [(1, 14, 5, 1), (15, 0, 5, 1)]);
        charting.count(&shown(7, 7), &idle);
        assert_eq!(requests(&mut charting, at(16_050)), [(1, 15, 7, 7)]);
        assert_eq!(requests(&mut charting, at(19_000)), [(1, 16, 0, 0)], "and none of what was slept through");
    }

    #[test]
    fn what_was_green_counts_for_blue_once_its_release_has_completed_and_for_green_after_a_rollback() {
        let epoch = Epoch::default();
        let cause = Cause { trigger: "dead".to_owned(), reason: String::new(), actor: "gate".to_owned() };
        for (state, expected) in
            [(State::Completed { epoch }, (1, 0, 9, 0)), (State::RolledBack { epoch, cause }, (1, 0, 5, 4))]
        {
            let mut charting = Charting::new(at(0));
            charting.count(&shown(5, 4), &state);
            assert_eq!(requests(&mut charting, at(1_000)), [expected], "{}", state.name());
        }
    }
}
