//! Traffic that comes back to blue: seen to, for as long as `blue.ramp` says, and held back where blue suffers from it.
//!
//! It decides nothing about the release, so that neither the deciding core nor a replay knows of it. A restart ends it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::event::Event;
use super::{Control, PROXY};
use crate::gate::Version;
use crate::gate::ramp::{LEAST_LIMIT, Look, Past, Ramp, Suffering};
use crate::gate::verdict::{count, duration};
use crate::live::{Cap, Live};
use crate::measure::Tick;
use crate::release::Kind;
use crate::routing::Table;

/// The member of a decision's evidence that says what was refused, beside what it was decided on.
pub const RAMP: &str = "ramp";

#[derive(Default)]
pub(super) struct Ramping {
    past: Past,
    /// As of the last look.
    table: Table,
    ramp: Option<Ramp>,
    capped: Option<Capped>,
    /// Since the last look.
    pub(super) counted: u64,
    /// Since the traffic came back.
    refused: u64,
}

/// Blue may have only so many.
struct Capped {
    cap: Arc<Cap>,
    /// Requests that wait, and that began before there was a cap.
    uncounted: u64,
}

/// In `GET /v1/status`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RampStatus {
    /// Seconds; 0 when it is over.
    pub left: f64,
    /// Requests of blue that may wait for an answer at a time; null while it takes everything.
    pub limit: Option<u64>,
    /// Requests that were refused.
    pub refused: u64,
    /// From what blue suffered last; null if it did not.
    pub suffering: Option<String>,
}

/// Blue's share grows by this much of it at least. Less is within what it has from one minute to the next.
const GROWS_PERCENT: u32 = 25;

/// Everything, in basis points.
const WHOLE: u32 = 10_000;

impl Ramping {
    /// A release has begun, and what is refused from here on is its own.
    pub(super) fn begin(&mut self) {
        self.refused = 0;
    }
}

impl Control {
    /// Notices that traffic has come back to blue, sees how blue takes it, and bounds that or no longer.
    pub(super) fn look_at_ramp(&mut self, tick: &Tick) {
        let now = self.clock.now();
        let table = self.inputs.routing.table();
        let before = std::mem::replace(&mut self.ramping.table, table);
        let refused = std::mem::take(&mut self.ramping.counted);
        let Some(length) = self.config.versions.blue.ramp else {
            self.end_ramp();
            self.ramping.past = Past::default();
            return;
        };
        let look = Look {
            ended: &tick.shown.blue,
            waiting: &tick.waiting.blue,
            of_blue: u64::from(tick.gauges.waiting.blue),
            of_green: u64::from(tick.gauges.waiting.green),
            refused,
        };
        let Ramping { past, ramp, refused: all, .. } = &mut self.ramping;
        if before.roles != table.roles {
            // What was blue until then is another version.
            *past = Past::default();
        }
        if comes_back(before, table) {
            match ramp {
                Some(ramp) if ramp.left(now).is_some() => ramp.begin_again(now),
                Some(_) | None => {
                    *ramp = Some(Ramp::begin(past, length, now));
                    *all = 0;
                }
            }
        }
        match ramp {
            Some(ramp) if ramp.left(now).is_some() => {
                *all += refused;
                ramp.look(&look, now);
                let (limit, suffering) = (ramp.limit(), ramp.suffering());
                self.inputs.telemetry.ramp(refused, suffering, limit);
                if let Some(limit) = limit {
                    self.hold_blue_to(limit, look.of_blue);
                }
            }
            Some(_) | None => {
                *all += refused;
                let suffering = ramp.as_ref().and_then(Ramp::suffering);
                past.add(&look, now);
                self.inputs.telemetry.ramp(refused, suffering, None);
                self.end_ramp();
            }
        }
    }

    fn hold_blue_to(&mut self, limit: u64, waiting: u64) {
        let begins = self.ramping.capped.is_none();
        let Capped { cap, uncounted } =
            self.ramping.capped.get_or_insert_with(|| Capped { cap: Arc::new(Cap::default()), uncounted: waiting });
        // They only ever end.
        *uncounted = waiting.saturating_sub(cap.out() as u64).min(*uncounted);
        // However many of them hang: else nothing would be learnt.
        let most = limit.saturating_sub(*uncounted).max(LEAST_LIMIT);
        cap.set(usize::try_from(most).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MAX));
        if begins {
            let cap = Arc::clone(cap);
            self.serve_capped(Some(cap));
            let sentence = self.shedding(limit, waiting);
            self.tell_of_ramp(Kind::Shedding, sentence);
        }
    }

    fn end_ramp(&mut self) {
        if self.ramping.capped.take().is_none() {
            return;
        }
        self.serve_capped(None);
        let refused = count(self.ramping.refused);
        self.tell_of_ramp(
            Kind::Ramped,
            format!("blue takes everything again: {refused} requests were refused in the ramp"),
        );
    }

    fn serve_capped(&self, cap: Option<Arc<Cap>>) {
        let live = Live::clone(&self.inputs.routing.live()).capped(cap);
        self.inputs.routing.serve(&Arc::new(live));
    }

    fn shedding(&self, limit: u64, waiting: u64) -> String {
        let ramp = self.ramping.ramp.as_ref().expect("it has just been looked at");
        let suffers = ramp.suffering().expect("what bounds it").sentence();
        let left = duration(Duration::from_secs(ramp.left(self.clock.now()).unwrap_or_default().as_secs()));
        format!(
            "blue suffers from the traffic that came back to it: {suffers}, and {} requests wait; more than {} at a time are \
             refused with 503, ever fewer of them as it recovers, for at most {left}",
            count(waiting),
            count(limit)
        )
    }

    fn tell_of_ramp(&mut self, kind: Kind, sentence: String) {
        let event = Event::new(kind, PROXY.to_owned(), sentence, self.course.state());
        self.record(vec![event], None, None, self.clock.now());
    }

    /// None until traffic has come back.
    pub(super) fn ramp_status(&self) -> Option<RampStatus> {
        let ramp = self.ramping.ramp.as_ref()?;
        let left = ramp.left(self.clock.now());
        Some(RampStatus {
            left: left.unwrap_or_default().as_secs_f64(),
            limit: ramp.limit().filter(|_| left.is_some()),
            refused: self.ramping.refused,
            suffering: ramp.suffering().map(Suffering::sentence),
        })
    }

    /// What was refused since traffic came back; none where nothing was.
    pub(super) fn refused_in_ramp(&self) -> Option<u64> {
        Some(self.ramping.refused).filter(|refused| *refused > 0)
    }
}

/// Whether the version that is blue has so much more to do from one table to the next that it could suffer.
fn comes_back(before: Table, after: Table) -> bool {
    let blue = after.roles.section(Version::Blue);
    let of = |table: Table| {
        let green = u32::from(table.weight().basis_points());
        if table.roles.section(Version::Blue) == blue { WHOLE - green } else { green }
    };
    let (had, has) = (of(before), of(after));
    has > had && (has - had) * 100 >= had * GROWS_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Weight;
    use crate::routing::{Roles, Route};

    fn table(percent: f64) -> Table {
        let weight = Weight::from_percent(percent).expect("a weight");
        Table { route: Route::Split(weight), ..Table::default() }
    }

    #[test]
    fn traffic_comes_back_by_a_rollback_a_probe_and_a_lower_weight_where_that_is_much_for_blue() {
        let latched = Table { route: Route::Latched, ..table(0.0) };
        let completed = Table { route: Route::Completed, roles: Roles::Exchanged, ..table(0.0) };
        for (before, after, expected) in [
            (table(90.0), latched, true),
            (table(90.0), table(10.0), true),
            (table(20.0), latched, true),
            (table(19.0), latched, false),
            (table(0.0), latched, false),
            (table(10.0), table(90.0), false),
            (table(90.0), table(90.0), false),
            (table(100.0), latched, true),
            (table(100.0), completed, false),
            (completed, latched, true),
        ] {
            assert_eq!(comes_back(before, after), expected, "{before:?}, {after:?}");
        }
    }
}
