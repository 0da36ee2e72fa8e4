//! What the workers have counted, taken and given to whoever looks at it.

use std::borrow::Cow;

use super::cohorts::named;
use super::{Control, Inputs};
use crate::gate::streak::Routed;
use crate::gate::trigger::Span;
use crate::gate::{Health, refuge};
use crate::measure::window::STATUS_WINDOW;
use crate::measure::{Shed, Tick};
use crate::routing::Refuge;

impl Control {
    /// Lets the workers know whether blue may have what green fails.
    pub(super) fn look_at_refuge(&self, blue: Health) {
        let evidence = self.course.windows().evidence(STATUS_WINDOW, Span::Head);
        let is_lost = refuge::lost(blue, evidence).is_some();
        self.inputs.routing.set_refuge(if is_lost { Refuge::Lost } else { Refuge::Open });
    }

    /// Tells the routes of the present settings apart from here on.
    pub(super) fn follow_routes(&mut self) {
        let edition = self.inputs.routing.live().settings.edition;
        let routes = &self.config.policy.routes;
        self.inputs.collectors.follow_routes(edition, routes.places());
        self.inputs.telemetry.routes(edition, routes);
    }

    /// Takes the shards: all of them are counted, those of the present epoch are evidence.
    pub(super) fn collect(&mut self) -> Tick {
        let Control {
            inputs: Inputs { collectors, telemetry, routing, .. },
            course,
            client_errors,
            served,
            learnt,
            ramping,
            ..
        } = self;
        let table = routing.table();
        let routed = Routed { epoch: course.epoch(), ..table.routed() };
        let mut tick = collectors.tick(routed, |shard| {
            shard.counts().for_each(|count| telemetry.count(count));
            client_errors.take(shard, routed, &course.policy().routes);
            telemetry.panics(shard.panics);
            telemetry.handshakes(&shard.handshakes);
            telemetry.proxy_headers(&shard.proxy_headers);
            telemetry.shed(&shard.sheds);
            ramping.counted += shard.sheds.of(Shed::InRamp);
            telemetry.shielded(&shard.shields);
            telemetry.latencies(shard);
            learnt.seen.take(&shard.templates);
            telemetry.overrides(&shard.overrides);
            if !shard.cohorts.is_empty() {
                let names = &course.policy().cohorts;
                named(&shard.cohorts, names).for_each(|(name, of)| telemetry.cohort(name, of));
                served.take(shard, names, routed.epoch);
            }
            if let Some(mirrored) = &shard.mirrored {
                telemetry.mirrored(mirrored);
            }
        });
        telemetry.open(&tick.gauges);
        self.compare_client_errors(&tick, routed);
        self.sift(&mut tick, routed);
        tick
    }

    /// What is judged and told: what was counted here, with what other replicas have told where this one adds up.
    pub(super) fn summed<'t>(&mut self, own: &'t Tick) -> Cow<'t, Tick> {
        let tick = self.with_replicas(own);
        self.felt.take(&tick, self.course.epoch());
        tick
    }
}
