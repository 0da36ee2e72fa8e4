//! Bad endpoints among good ones: what they fail is kept out of the evidence, they are ejected, and the course hears of it.

use std::time::Duration;

use super::Control;
use crate::course::{EndpointNews, Input, News};
use crate::gate::outlier::{Order, Outlier, Siblings};
use crate::gate::streak::Routed;
use crate::gate::{ByVersion, Charge, Version};
use crate::live::{Stands, Upstreams};
use crate::measure::Tick;
use crate::measure::shard::{Arm, FailedAt};
use crate::release::Epoch;
use crate::routing::Roles;

/// What is known of the endpoints in one epoch.
pub struct Outliers {
    epoch: Epoch,
    siblings: ByVersion<Siblings<FailedAt>>,
    /// Ejected as the odd one, and not back yet.
    out: ByVersion<Option<usize>>,
    /// Failures at endpoints that have left: nobody can say any more whose they were, so they are the version's.
    owed: Vec<FailedAt>,
}

impl Outliers {
    /// For so many endpoints of each version.
    pub fn new(endpoints: ByVersion<usize>, epoch: Epoch) -> Outliers {
        let siblings = ByVersion::build(|version| Siblings::new(*endpoints.of(version)));
        Outliers { epoch, siblings, out: ByVersion::default(), owed: Vec::new() }
    }

    pub(super) fn of(upstreams: &Upstreams, roles: Roles, epoch: Epoch) -> Outliers {
        Outliers::new(ByVersion::build(|version| upstreams.numbers(roles.section(version))), epoch)
    }

    /// Adds the failures of `tick` that are the version's to its evidence, and returns the endpoints that are found to be bad.
    pub fn sift(&mut self, tick: &mut Tick, routed: Routed, now: Duration) -> Vec<(Version, Outlier)> {
        let mut found = Vec::new();
        self.owed.drain(..).for_each(|failed| charge(tick, &failed, routed));
        for version in Version::BOTH {
            let of_version = tick.failed.extract_if(.., |failed| failed.version == version);
            let failed: Vec<_> = of_version.map(|failed| (failed.endpoint, failed)).collect();
            let siblings = self.siblings.of_mut(version);
            let sifted = siblings.sift(tick.served.of(version), failed, now);
            *tick.held.of_mut(version) = siblings.held() as u64;
            found.extend(sifted.found.map(|outlier| (version, outlier)));
            sifted.charged.iter().for_each(|failed| charge(tick, failed, routed));
        }
        found
    }
}

/// Books a failure as the evidence that it would have been at once at a version of one endpoint.
fn charge(tick: &mut Tick, failed: &FailedAt, routed: Routed) {
    let FailedAt { version, arm, judged, .. } = *failed;
    if failed.routed != routed {
        return tick.late.of_mut(version).record(Charge::Failed, judged);
    }
    tick.samples.of_mut(version).record(Charge::Failed, judged);
    tick.routes.charge(failed);
    if arm == Arm::Drawn {
        tick.arm.sample.record(Charge::Failed, judged);
    }
}

impl Control {
    /// Keeps what one bad endpoint fails out of the evidence, ejects it, and tells the course when it goes and comes back.
    pub(super) fn sift(&mut self, tick: &mut Tick, routed: Routed) {
        let now = self.clock.now();
        let roles = self.inputs.routing.table().roles;
        if self.outliers.epoch != routed.epoch {
            self.outliers = Outliers::of(&self.inputs.routing.live().upstreams, roles, routed.epoch);
        }
        for (version, outlier) in self.outliers.sift(tick, routed, now) {
            let Outlier { order, endpoint, own, others } = outlier;
            let (live, section) = (self.inputs.routing.live(), roles.section(version));
            let is_out = live.upstreams.numbered(section, endpoint).is_none_or(|known| {
                known.stands() != Stands::In || live.upstreams.eject(section, known, &live.settings.ejection).is_some()
            });
            match order {
                Order::First if is_out => {
                    *self.outliers.out.of_mut(version) = Some(endpoint);
                    self.tell_of_endpoint(version, endpoint, News::Out { own, others });
                }
                // One that still gets requests, because others are out already, is not excused: it is not the only one.
                Order::First => {
                    self.outliers.siblings.of_mut(version).excuse_nobody();
                    self.tell_of_endpoint(version, endpoint, News::Another { own, others });
                }
                Order::Second => self.tell_of_endpoint(version, endpoint, News::Another { own, others }),
            }
        }
        for version in Version::BOTH {
            let live = self.inputs.routing.live();
            let is_in = |number: usize| {
                let known = live.upstreams.numbered(roles.section(version), number);
                known.is_none_or(|known| known.stands() == Stands::In)
            };
            let back = self.outliers.out.of(version).filter(|number| is_in(*number));
            if let Some(endpoint) = back {
                *self.outliers.out.of_mut(version) = None;
                self.tell_of_endpoint(version, endpoint, News::Back);
            }
        }
    }

    /// The endpoint with this number is no longer one of the version's, or is another one by now.
    pub(super) fn endpoint_left(&mut self, version: Version, number: usize, name: Option<String>) {
        let held = self.outliers.siblings.of_mut(version).replace(number);
        self.outliers.owed.extend(held);
        if self.outliers.out.of(version) == &Some(number) {
            *self.outliers.out.of_mut(version) = None;
            let news = EndpointNews { version, endpoint: name.unwrap_or_default(), news: News::Left };
            self.feed(&Input::Endpoint(news), None).expect("no operator asks for it");
        }
    }

    fn tell_of_endpoint(&mut self, version: Version, endpoint: usize, news: News) {
        let section = self.inputs.routing.table().roles.section(version);
        let live = self.inputs.routing.live();
        let name = live.upstreams.numbered(section, endpoint).map(ToString::to_string);
        let news = EndpointNews { version, endpoint: name.unwrap_or_default(), news };
        self.feed(&Input::Endpoint(news), None).expect("no operator asks for it");
    }
}
