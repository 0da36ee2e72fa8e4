//! What green did for each cohort.

use crate::gate::Charge;

/// Requests of one cohort, by whom they are charged to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfCohort {
    pub served: u64,
    pub failed: u64,
    pub nobody: u64,
}

/// By the places of the cohorts in the configuration.
#[derive(Clone, Debug, Default)]
pub struct Cohorts(Vec<OfCohort>);

impl OfCohort {
    pub fn add(&mut self, other: OfCohort) {
        self.served += other.served;
        self.failed += other.failed;
        self.nobody += other.nobody;
    }

    /// With the value of its label.
    pub const fn each(self) -> [(&'static str, u64); 3] {
        [("served", self.served), ("failed", self.failed), ("nobody", self.nobody)]
    }
}

impl Cohorts {
    pub fn count(&mut self, place: usize, charge: Charge) {
        if self.0.len() <= place {
            self.0.resize(place + 1, OfCohort::default());
        }
        let of = &mut self.0[place];
        *match charge {
            Charge::Served => &mut of.served,
            Charge::Failed => &mut of.failed,
            Charge::Nobody => &mut of.nobody,
        } += 1;
    }

    pub fn each(&self) -> impl Iterator<Item = (usize, OfCohort)> {
        self.0.iter().copied().enumerate().filter(|(_, of)| *of != OfCohort::default())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}
