//! Which cohorts are on green, and what green did for them.

use schemars::JsonSchema;
use serde::Serialize;

use super::Control;
use crate::live::Settings;
use crate::measure::cohorts::OfCohort;
use crate::measure::{Cohorts as Counted, Shard};
use crate::release::Epoch;
use crate::routing::Cohorts;

/// What green did for each cohort of the configuration, in one epoch.
#[derive(Debug, Default)]
pub(super) struct Served {
    epoch: Epoch,
    of: Vec<(String, OfCohort)>,
}

/// One cohort, as `GET /v1/status` has it.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CohortStatus {
    pub cohort: String,
    /// Whether its requests go to green, whatever the weight.
    pub on_green: bool,
    /// What green did for it in this release: requests that are charged, and how many of them failed.
    pub requests: u64,
    pub failures: u64,
}

impl Control {
    /// Those that are on green, by their places in `settings`. One that a reload has taken out goes with everybody else.
    pub(super) fn cohorts(&self, settings: &Settings) -> Cohorts {
        let place = |name: &str| settings.cohorts.iter().position(|cohort| cohort.name == name);
        self.course.cohorts().filter_map(|name| place(name)).collect()
    }

    pub(super) fn cohort_status(&self) -> Vec<CohortStatus> {
        let on_green: Vec<&str> = self.course.cohorts().map(|name| &**name).collect();
        let of = |cohort: &String| {
            let of = self.served.of(cohort, self.course.epoch());
            CohortStatus {
                on_green: on_green.contains(&cohort.as_str()),
                requests: of.served + of.failed,
                failures: of.failed,
                cohort: cohort.clone(),
            }
        };
        self.course.policy().cohorts.iter().map(of).collect()
    }
}

impl Served {
    pub(super) fn take(&mut self, shard: &Shard, names: &[String], epoch: Epoch) {
        if self.epoch != epoch {
            *self = Served { epoch, of: Vec::new() };
        }
        if shard.routed.epoch != epoch {
            return;
        }
        for (name, came_to) in named(&shard.cohorts, names) {
            match self.of.iter_mut().find(|(known, _)| known == name) {
                Some((_, of)) => of.add(came_to),
                None => self.of.push((name.to_owned(), came_to)),
            }
        }
    }

    fn of(&self, cohort: &str, epoch: Epoch) -> OfCohort {
        let known = self.of.iter().find(|(name, _)| self.epoch == epoch && name == cohort);
        known.map(|(_, of)| *of).unwrap_or_default()
    }
}

/// What was counted, with the names of the cohorts.
pub(super) fn named<'n>(counted: &Counted, names: &'n [String]) -> impl Iterator<Item = (&'n str, OfCohort)> {
    counted.each().filter_map(|(place, of)| Some((names.get(place)?.as_str(), of)))
}
