//! What the workers have counted, taken and given to whoever looks at it.

use super::{Control, Inputs};
use crate::gate::streak::Routed;
use crate::measure::Tick;

impl Control {
    /// Takes the shards: all of them are counted, those of the present epoch are evidence.
    pub(super) fn collect(&mut self) -> Tick {
        let Control { inputs: Inputs { collectors, telemetry, routing, .. }, course, client_errors, .. } = self;
        let table = routing.table();
        let routed = Routed { epoch: course.epoch(), ..table.routed() };
        let mut tick = collectors.tick(routed, |shard| {
            shard.counts.iter().for_each(|count| telemetry.count(count));
            client_errors.take(shard, routed);
            telemetry.panics(shard.panics);
            telemetry.handshakes(&shard.handshakes);
            telemetry.proxy_headers(&shard.proxy_headers);
            telemetry.shed(&shard.sheds);
            telemetry.latencies(shard);
            telemetry.overrides(&shard.overrides);
            if let Some(mirrored) = &shard.mirrored {
                telemetry.mirrored(mirrored);
            }
        });
        telemetry.open(&tick.gauges);
        self.compare_client_errors(&tick, routed);
        self.sift(&mut tick, routed);
        tick
    }
}
