//! How near the process is to the memory that it may have, and what keeps requests out.

use std::sync::Arc;

use super::rate::Rates;

/// What is done to have no more, as by the overload manager of Envoy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    #[default]
    Calm,
    /// Connections end with their requests, and those that rest end at once.
    Saving,
    /// New requests and connections are refused as well.
    Refusing,
}

/// What keeps requests out.
#[derive(Clone, Debug)]
pub struct Restraints {
    pub stage: Stage,
    /// None: clients may send as many requests as they like.
    pub rates: Option<Arc<Rates>>,
}

/// Percent of the bound at which a stage begins. What is above the second is for what grows between two looks, and for
/// requests that are under way.
const SAVING: u64 = 85;
const REFUSING: u64 = 95;

/// Percent of the bound below its beginning at which a stage is over, so that it does not come and go with each request.
const SLACK: u64 = 5;

impl Stage {
    pub const ALL: [Stage; 3] = [Stage::Calm, Stage::Saving, Stage::Refusing];

    pub const fn name(self) -> &'static str {
        match self {
            Stage::Calm => "calm",
            Stage::Saving => "saving",
            Stage::Refusing => "refusing",
        }
    }

    /// The stage after this one, where so many bytes of `bound` are `used`.
    #[must_use]
    pub fn after(self, used: u64, bound: Option<u64>) -> Stage {
        let Some(bound) = bound else { return Stage::Calm };
        let is_in = |stage: Stage, percent: u64| {
            let percent = if self >= stage { percent - SLACK } else { percent };
            u128::from(used) * 100 >= u128::from(bound) * u128::from(percent)
        };
        match (is_in(Stage::Refusing, REFUSING), is_in(Stage::Saving, SAVING)) {
            (true, _) => Stage::Refusing,
            (false, true) => Stage::Saving,
            (false, false) => Stage::Calm,
        }
    }
}

impl Restraints {
    /// None where every request is let in.
    pub(super) fn of(stage: Stage, rates: Option<Arc<Rates>>) -> Option<Restraints> {
        (stage != Stage::Calm || rates.is_some()).then_some(Restraints { stage, rates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_begins_at_its_share_of_the_bound_and_ends_some_way_below_it() {
        let mut stage = Stage::Calm;
        for (used, expected) in [
            (84, Stage::Calm),
            (85, Stage::Saving),
            (80, Stage::Saving),
            (79, Stage::Calm),
            (95, Stage::Refusing),
            (90, Stage::Refusing),
            (89, Stage::Saving),
            (94, Stage::Saving),
            (1_000, Stage::Refusing),
            (79, Stage::Calm),
        ] {
            stage = stage.after(used, Some(100));
            assert_eq!(stage, expected, "at {used}");
        }
        assert_eq!(Stage::Refusing.after(u64::MAX, None), Stage::Calm, "without a bound");
        assert_eq!(Stage::Calm.after(u64::MAX, Some(u64::MAX)), Stage::Refusing);
    }
}
