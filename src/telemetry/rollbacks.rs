//! What goes back to blue: releases, and routes whose release goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::Gauge;

use super::{ROLLBACKS, TAKEN_BACK, Telemetry};
use crate::gate::Routes;
use crate::release;

/// A gauge for each route that has been, or can be, taken back by itself.
#[derive(Default)]
pub(super) struct TakenBack(BTreeMap<String, Gauge>);

impl Telemetry {
    pub fn rolled_back(&self, trigger: &str, reaction: Option<Duration>) {
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(ROLLBACKS, "trigger" => trigger.to_owned()).increment(1);
        });
        if let Some(reaction) = reaction {
            self.reacted(reaction);
        }
    }

    pub fn reacted(&self, reaction: Duration) {
        self.handles.reaction.record(reaction.as_secs_f64());
    }

    /// Which of `routes` are taken back as of now.
    pub fn taken_back(&mut self, routes: &Routes, taken: &[release::TakenBack]) {
        let TakenBack(gauges) = &mut self.taken_back;
        for name in routes.taken_back_alone().chain(taken.iter().map(|taken| taken.route.as_str())) {
            if !gauges.contains_key(name) {
                let label = name.to_owned();
                let gauge =
                    metrics::with_local_recorder(&self.recorder, || metrics::gauge!(TAKEN_BACK, "route" => label));
                gauges.insert(name.to_owned(), gauge);
            }
        }
        for (name, gauge) in gauges {
            gauge.set(if taken.iter().any(|taken| taken.route == *name) { 1.0 } else { 0.0 });
        }
    }
}
