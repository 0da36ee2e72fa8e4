//! Blue in green's place: what is charged to green meanwhile, and what came of it.

use std::rc::Rc;
use std::time::Duration;

use http::Response;
use tokio::time::Instant;

use super::ending::Ending;
use super::observe::{Exchange, book};
use super::service::{Service, Serving};
use super::shield::charge;
use crate::gate::streak::Routed;
use crate::gate::{Charge, Outcome, Version};
use crate::measure::Shielded;
use crate::measure::shard::{Record, Standing};
use crate::proxy::upstream::Endpoint;

/// How green's part in a request has ended, when blue gets it.
pub(super) enum Part {
    Ended(Ending),
    /// Nothing was heard of it for so long.
    Hung(Duration),
}

/// What blue's part in a request knows of green's.
pub(super) struct InPlace {
    /// As green's part was, where people are shown it as a failure of green's.
    pub failed: Option<Routed>,
    /// None where green's part has been counted.
    pub hung: Option<Hung>,
}

/// Green's part in a request that it left unanswered, until blue shows what it was worth: green hung if blue answers the same
/// request sooner than green would have had to. If blue does not, nobody knows that green was worse, and it is charged to nobody.
/// Either way it has lasted at least so long.
pub(super) struct Hung {
    pub service: Rc<Service>,
    pub serving: Rc<Serving>,
    pub section: Version,
    pub record: Record,
    pub endpoint: Option<Rc<Endpoint>>,
    /// For so long green had it.
    pub had: Duration,
}

impl InPlace {
    /// Blue has ended, charged so.
    pub(super) fn end(self, service: &Service, charge: Charge) {
        let shielded = match charge {
            Charge::Served => Shielded::Answered,
            Charge::Failed => Shielded::BlueFailed,
            // Its client has gone.
            Charge::Nobody => return,
        };
        service.records.shielded(shielded, self.failed);
    }
}

impl Hung {
    /// Blue has served it after `took`. Returns how it was routed, where it is shown as a failure from here on.
    fn compare(mut self, took: Duration) -> Option<Routed> {
        // What is slow in a warm-up is no evidence.
        if took < self.had && !self.record.standing.is_of_warm_up() {
            self.record.outcome = Outcome::Timeout;
        }
        let failed = shown_failure(self.record.standing, self.charge(), self.record.routed);
        // Before anything is decided, which tells what clients felt of it.
        self.service.records.gave_to_blue(failed);
        failed
    }

    fn charge(&self) -> Charge {
        let Record { outcome, status, grpc, .. } = self.record;
        self.serving.settings().counting.charge(outcome, status, grpc)
    }
}

/// How a request was routed that people are shown as a failure; none of any other.
pub(super) fn shown_failure(standing: Standing, charge: Charge, routed: Routed) -> Option<Routed> {
    let is_shown = matches!(standing, Standing::Evidence | Standing::WarmUp);
    (is_shown && charge == Charge::Failed).then_some(routed)
}

impl Drop for Hung {
    fn drop(&mut self) {
        self.record.charge = self.charge();
        book(&self.service, &self.serving, self.section, &self.record, self.endpoint.as_ref());
    }
}

impl Exchange {
    /// The head of blue's answer has come, which tells what green's silence was worth.
    pub(super) fn compare_with_hung(&mut self, answer: &Response<()>) {
        let hung = self.in_place.as_mut().and_then(|in_place| in_place.hung.take());
        let took = self.progress.of_version(Instant::now());
        if let (Some(hung), Some(took)) = (hung, took)
            && charge(self, answer) == Charge::Served
        {
            let failed = hung.compare(took);
            self.in_place.iter_mut().for_each(|in_place| in_place.failed = failed);
        }
    }
}
