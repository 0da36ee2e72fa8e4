//! Whether green answers more requests with client errors than blue does at the same moments. People are told, once in a
//! release, and nothing is decided by it: what a client error says depends on who asks.

use std::time::Duration;

use super::event::Event;
use super::{Control, TICK};
use crate::gate::compare::block::Counts;
use crate::gate::compare::numbers::ln;
use crate::gate::compare::projection::Null;
use crate::gate::compare::relative::Relative;
use crate::gate::crossing::Tally;
use crate::gate::route::Goes;
use crate::gate::streak::Routed;
use crate::gate::verdict::{count, percent};
use crate::gate::{ByVersion, Charge, Outcome, Routes, Version};
use crate::measure::Tick;
use crate::measure::shard::{Count, Shard};
use crate::release::Kind;
use crate::release::input::{CLIENT_ERRORS, GATE};

/// What is counted of one release.
pub(super) struct ClientErrors {
    routed: Routed,
    /// Since the last tick.
    counted: ByVersion<Tally>,
    compared: Relative,
    told: bool,
}

/// As much more than blue is nobody's business: clients differ more in what they ask for than versions in what they fail.
const TOLERATED: Null = Null { ratio: 1.5, margin: 0.01 };

/// The chance of ever telling people of a green that is within it, in one release.
const FALSE_ALARM: f64 = 0.001;

/// The comparison spreads its attention over so long.
const PLANNED: Duration = Duration::from_secs(3600);

impl ClientErrors {
    pub(super) fn new(routed: Routed, now: Duration) -> ClientErrors {
        let blocks = PLANNED.as_secs_f64() / TICK.as_secs_f64();
        let compared = Relative::new(TOLERATED, Tally::default(), blocks, now);
        ClientErrors { routed, counted: ByVersion::default(), compared, told: false }
    }

    /// Counts a shard, if its requests were routed as those of the present moment are. What goes to blue whatever the weight is
    /// no fair sample.
    pub(super) fn take(&mut self, shard: &Shard, routed: Routed, routes: &Routes) {
        if shard.routed != routed {
            return;
        }
        let to_blue = |count: &&Count| count.route.is_some_and(|route| routes.goes(route.number) == Goes::ToBlue);
        for counts in shard.counts().filter(|count| !to_blue(count)) {
            let Some(version) = counts.version.filter(|_| counts.outcome.charge() != Charge::Nobody) else { continue };
            let bad = if counts.outcome == Outcome::ClientError { counts.requests } else { 0 };
            self.counted.of_mut(version).add(Tally { bad, units: counts.requests });
        }
    }

    /// What both versions did, once green is found to be worse.
    fn tick(&mut self, clients: ByVersion<Option<u64>>, routed: Routed, now: Duration) -> Option<ByVersion<Tally>> {
        let counted = std::mem::take(&mut self.counted);
        if self.routed.epoch != routed.epoch {
            *self = ClientErrors::new(routed, now);
        } else if self.routed != routed {
            self.routed = routed;
            self.compared.cut(now);
        }
        let counts = |version: Version| Counts { tally: *counted.of(version), clients: *clients.of(version) };
        self.compared.tick(ByVersion::build(counts), now);
        let is_worse = self.compared.ln() >= -ln(FALSE_ALARM);
        (is_worse && !std::mem::replace(&mut self.told, is_worse)).then(|| self.compared.since().counted)
    }
}

fn sentence(ByVersion { blue, green }: ByVersion<Tally>) -> String {
    format!(
        "green answered {} of {} requests ({}) with client errors, in the same moments blue {} of {} ({}): nothing is \
         decided by that",
        count(green.bad),
        count(green.units),
        percent(green.rate()),
        count(blue.bad),
        count(blue.units),
        percent(blue.rate())
    )
}

impl Control {
    /// Tells people of client errors that green answers and blue does not.
    pub(super) fn compare_client_errors(&mut self, tick: &Tick, routed: Routed) {
        let found = self.client_errors.tick(tick.clients, routed, self.clock.now());
        let Some(counted) = found.filter(|_| self.course.state().run().is_some()) else { return };
        let sentence = sentence(counted);
        tracing::warn!(sentence, "green answers more client errors than blue");
        self.inputs.telemetry.notified(CLIENT_ERRORS);
        self.outputs.events.send(Event::new(Kind::Notified, GATE.to_owned(), sentence, self.course.state()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: ByVersion<Option<u64>> = ByVersion { blue: None, green: None };

    /// How many ticks it takes until people are told, of at most 10,000 with 20 requests of blue and 5 of green, of which
    /// so many in a hundred are client errors.
    fn told_after(blue: u64, green: u64) -> Option<u64> {
        let mut errors = ClientErrors::new(Routed::default(), Duration::ZERO);
        let mut random = fastrand::Rng::with_seed(7);
        (0..10_000).find(|tick| {
            for (version, requests, percent) in [(Version::Blue, 20, blue), (Version::Green, 5, green)] {
                let bad = (0..requests).filter(|_| random.u64(..100) < percent).count() as u64;
                errors.counted.of_mut(version).add(Tally { bad, units: requests });
            }
            errors.tick(NOBODY, Routed::default(), TICK * *tick as u32).is_some()
        })
    }

    #[test]
    fn people_are_told_once_green_is_worse_and_never_while_it_is_like_blue() {
        for (blue, green, told) in
            [(0, 0, false), (5, 5, false), (60, 60, false), (40, 4, false), (0, 50, true), (5, 20, true)]
        {
            let after = told_after(blue, green);
            assert_eq!(after.is_some(), told, "{blue} % and {green} %: {after:?}");
        }
    }

    #[test]
    fn people_are_told_once_in_each_release() {
        let mut errors = ClientErrors::new(Routed::default(), Duration::ZERO);
        let mut told = 0;
        for tick in 0..400_u32 {
            errors.counted = ByVersion { blue: Tally { bad: 0, units: 9 }, green: Tally { bad: 9, units: 9 } };
            let epoch = if tick < 200 { Routed::default().epoch } else { Routed::default().epoch.next() };
            told += u32::from(errors.tick(NOBODY, Routed { epoch, change: 0 }, TICK * tick).is_some());
        }
        assert_eq!(told, 2);
    }

    #[test]
    fn the_sentence_has_the_numbers_of_both() {
        let counted = ByVersion { blue: Tally { bad: 4, units: 3_600 }, green: Tally { bad: 120, units: 400 } };
        assert_eq!(
            sentence(counted),
            "green answered 120 of 400 requests (30.0 %) with client errors, in the same moments blue 4 of 3,600 \
             (0.1 %): nothing is decided by that"
        );
    }
}
