//! What workers have counted beside the requests.

use super::{COHORT_REQUESTS, Telemetry, feed};
use crate::measure::cohorts::OfCohort;
use crate::measure::{Handshakes, Mirrored, Overrides, ProxyHeaders, Sheds, Shields};

impl Telemetry {
    pub fn handshakes(&self, handshakes: &Handshakes) {
        for (handshake, counter) in &self.handles.handshakes {
            counter.increment(handshakes.of(*handshake));
        }
    }

    pub fn proxy_headers(&self, headers: &ProxyHeaders) {
        for (header, counter) in &self.handles.proxy_headers {
            counter.increment(headers.of(*header));
        }
    }

    pub fn shed(&self, sheds: &Sheds) {
        for (what, counter) in &self.handles.shed {
            counter.increment(sheds.of(*what));
        }
    }

    pub fn shielded(&self, shields: &Shields) {
        for (end, counter) in &self.handles.shielded {
            counter.increment(shields.of(*end));
        }
    }

    pub fn overrides(&self, overrides: &Overrides) {
        for (came_to, counter) in &self.handles.overrides {
            counter.increment(overrides.of(*came_to));
        }
    }

    /// What green did for the requests of one cohort. There are few of these, so that their counters are looked up.
    pub fn cohort(&self, name: &str, came_to: OfCohort) {
        metrics::with_local_recorder(&self.recorder, || {
            for (charge, requests) in came_to.each() {
                metrics::counter!(COHORT_REQUESTS, "cohort" => name.to_owned(), "charge" => charge).increment(requests);
            }
        });
    }

    /// What became of copies.
    pub fn mirrored(&self, mirrored: &Mirrored) {
        for (copied, counter) in &self.handles.mirrored {
            counter.increment(mirrored.of(*copied));
        }
        for (compared, counter) in &self.handles.mirror_compared {
            counter.increment(mirrored.compared(*compared));
        }
        feed(&self.handles.mirror_head_seconds, &mirrored.shown);
    }
}
