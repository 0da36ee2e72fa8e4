//! What should have happened, and where it did not.

use super::fault::Fault;
use super::load::Seen;
use super::setup::GREEN;
use crate::control::status::Status;
use crate::release::input::GATE;

/// How one release ended.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub state: &'static str,
    /// The version that is trusted.
    pub blue: String,
    /// Percent.
    pub weight: f64,
    /// The trigger and the actor of the rollback.
    pub rollback: Option<(String, String)>,
    /// Whether green had been made bad by then.
    pub green_was_bad: bool,
    /// Whether a raised weight was refused after the rollback.
    pub refused: bool,
    pub before: Seen,
    pub after: Seen,
    /// Requests that began after the rollback and reached green.
    pub reached_green: u64,
}

/// Requests that must have been answered after a rollback.
pub(super) const ANSWERED_AFTER: u64 = 200;

impl Ending {
    pub(super) fn new(status: &Status, before: Seen) -> Ending {
        let rollback = status.rollback.as_ref();
        Ending {
            state: status.state,
            blue: status.blue.version.clone(),
            weight: status.weight.percent(),
            rollback: rollback.map(|rollback| (rollback.trigger.clone(), rollback.actor.clone())),
            green_was_bad: false,
            refused: false,
            before,
            after: Seen::default(),
            reached_green: 0,
        }
    }

    /// What was expected of a release with `fault` and did not happen.
    pub(super) fn unmet(&self, fault: Fault) -> Vec<String> {
        match fault {
            Fault::None => self.unmet_promotion(),
            Fault::Errors | Fault::Latency | Fault::Hang | Fault::Refuse => self.unmet_rollback(fault),
        }
    }

    fn unmet_promotion(&self) -> Vec<String> {
        let mut unmet = Vec::new();
        if let Some((trigger, actor)) = &self.rollback {
            unmet.push(format!("expected no rollback, but {actor} rolled back by `{trigger}`"));
        }
        if (self.state, self.blue.as_str()) != ("completed", GREEN) {
            unmet.push(format!(
                "expected the release to complete with {GREEN} as the new blue, but it is {} at {} %, and blue is {}",
                self.state, self.weight, self.blue
            ));
        }
        unmet
    }

    fn unmet_rollback(&self, fault: Fault) -> Vec<String> {
        let mut unmet = Vec::new();
        let fitting = fault.triggers();
        let wanted = format!("a rollback by the gate, for {}", fitting.join(" or "));
        match &self.rollback {
            Some((trigger, actor)) if actor == GATE && fitting.contains(&trigger.as_str()) => {}
            Some((trigger, actor)) => {
                unmet.push(format!("expected {wanted}, but {actor} rolled back by `{trigger}`"));
            }
            None => {
                unmet.push(format!("expected {wanted}, but the release is {} at {} %", self.state, self.weight));
                return unmet;
            }
        }
        if !self.green_was_bad {
            unmet.push("expected the rollback after green went bad, but it came before".to_owned());
        }
        if (self.state, self.weight) != ("rolledBack", 0.0) {
            unmet.push(format!(
                "expected the release to stay rolled back, but it is {} at {} %",
                self.state, self.weight
            ));
        }
        if !self.refused {
            unmet.push("expected a raised weight to be refused after the rollback, but it was granted".to_owned());
        }
        let Seen { ended, failed, .. } = self.before;
        if failed > 0 {
            unmet.push(format!(
                "expected blue to answer what green failed before the rollback, but {failed} of {ended} requests failed"
            ));
        }
        let Seen { ended, failed, by_blue, .. } = self.after;
        if ended < ANSWERED_AFTER || by_blue < ended || failed > 0 || self.reached_green > 0 {
            unmet.push(format!(
                "expected {ANSWERED_AFTER} requests or more after the rollback, all answered by blue, but of {ended} blue \
                 answered {by_blue}, {failed} failed and {} reached green",
                self.reached_green
            ));
        }
        unmet
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::setup::BLUE;

    fn rolled_back(trigger: &str) -> Ending {
        Ending {
            state: "rolledBack",
            blue: BLUE.to_owned(),
            weight: 0.0,
            rollback: Some((trigger.to_owned(), "gate".to_owned())),
            green_was_bad: true,
            refused: true,
            before: Seen::default(),
            after: Seen { begun: 210, ended: 205, failed: 0, slow: 3, by_blue: 205 },
            reached_green: 0,
        }
    }

    fn promoted() -> Ending {
        let nothing = Seen::default();
        Ending {
            state: "completed",
            blue: GREEN.to_owned(),
            rollback: None,
            green_was_bad: false,
            after: nothing,
            ..rolled_back("")
        }
    }

    #[test]
    fn a_rollback_by_a_fitting_trigger_is_what_each_fault_should_lead_to() {
        for (fault, trigger, met) in [
            (Fault::Errors, "dead", true),
            (Fault::Errors, "meltdown", true),
            (Fault::Errors, "comparison", true),
            (Fault::Errors, "slow", false),
            (Fault::Latency, "slow", true),
            (Fault::Latency, "dead", false),
            (Fault::Hang, "dead", true),
            (Fault::Refuse, "dead", true),
            (Fault::Refuse, "slow", false),
            (Fault::None, "dead", false),
        ] {
            assert_eq!(rolled_back(trigger).unmet(fault).is_empty(), met, "{fault:?} {trigger}");
        }
    }

    #[test]
    fn without_a_fault_the_release_should_complete() {
        assert_eq!(promoted().unmet(Fault::None), [""; 0]);
        assert_eq!(Ending { blue: BLUE.to_owned(), ..promoted() }.unmet(Fault::None).len(), 1);
        assert_eq!(Ending { state: "promoted", weight: 100.0, ..promoted() }.unmet(Fault::None).len(), 1);
        assert_eq!(promoted().unmet(Fault::Errors).len(), 1);
    }

    #[test]
    fn everything_that_a_rollback_promises_is_expected() {
        let good = rolled_back("dead");
        assert_eq!(good.unmet(Fault::Errors), [""; 0]);
        let after = good.after;
        for bad in [
            Ending { state: "paused", ..good.clone() },
            Ending { weight: 10.0, ..good.clone() },
            Ending { rollback: Some(("operator".to_owned(), "alice".to_owned())), ..good.clone() },
            Ending { green_was_bad: false, ..good.clone() },
            Ending { refused: false, ..good.clone() },
            Ending { reached_green: 1, ..good.clone() },
            Ending { before: Seen { ended: 9_000, failed: 1, ..Seen::default() }, ..good.clone() },
            Ending { after: Seen { ended: 199, by_blue: 199, ..after }, ..good.clone() },
            Ending { after: Seen { failed: 1, ..after }, ..good.clone() },
            Ending { after: Seen { by_blue: 204, ..after }, ..good.clone() },
        ] {
            assert_eq!(bad.unmet(Fault::Errors).len(), 1, "{bad:?}");
        }
    }
}
