//! A step in which green gets copies in place of users.

use super::{Run, Stage};
use crate::release::{Plan, Weight};

impl Run {
    /// The share of blue's requests that this step mirrors; none where it is judged by its own.
    pub fn mirrors(&self, plan: Option<&Plan>) -> Option<Weight> {
        match self.stage {
            Stage::Step { index, .. } => plan?.steps.get(index)?.mirror,
            Stage::Manual | Stage::Delay | Stage::Exposing | Stage::Monitoring => None,
        }
    }

    /// What a sentence says of it, behind the weight.
    pub(super) fn mirrors_told(&self, plan: &Plan) -> String {
        self.mirrors(Some(plan)).map_or_else(String::new, |share| format!(", {share} of blue's requests mirrored"))
    }
}
