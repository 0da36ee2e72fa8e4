//! The triggers that others measure: active health checks, and signals that are posted.

use std::time::Duration;

use super::episode::{Crossed, Phase};
use super::sum::Ruling;
use crate::gate::health::Health;
use crate::gate::signal::Signals;
use crate::gate::trigger::{CheckTrigger, SignalTrigger};
use crate::gate::verdict::{count, duration};
use crate::gate::version::ByVersion;

#[derive(Clone, Debug)]
pub(super) struct Checks {
    pub(super) trigger: CheckTrigger,
    pub(super) phase: Phase,
}

#[derive(Clone, Debug)]
pub(super) struct Signal {
    pub(super) trigger: SignalTrigger,
    pub(super) phase: Phase,
}

impl Checks {
    pub(super) fn new(trigger: CheckTrigger) -> Checks {
        Checks { trigger, phase: Phase::Within }
    }

    pub(super) fn reset(&mut self) {
        self.phase = Phase::Within;
    }

    /// Green is to blame when every endpoint of it fails and one of blue's passes, or blue is not checked.
    pub(super) fn rule(&mut self, health: ByVersion<Health>, now: Duration) -> Ruling {
        let ByVersion { blue, green } = health;
        if green.endpoints == 0 {
            self.phase = Phase::Within;
            return Ruling::TooFew(format!("no endpoint of green has been checked for `{}`", self.trigger.name));
        }
        if green.failing_for < self.trigger.at_least {
            self.phase = Phase::Within;
            return Ruling::Within;
        }
        let failed = count(green.failing_for.into());
        let fails = match green.endpoints {
            1 => format!("green's endpoint failed its last {failed} health checks"),
            all => format!("all {all} endpoints of green failed their last {failed} health checks"),
        };
        if blue.failing_for > 0 {
            self.phase = Phase::Within;
            return Ruling::Common(format!("{fails}, and blue's fail too, so the cause is not the version"));
        }
        let sentence = match blue.endpoints {
            0 => format!("{fails}; blue is not checked"),
            _ => format!("{fails}; blue's pass"),
        };
        let crossed = self.phase.cross(now);
        if crossed.held < self.trigger.sustained {
            let (sustained, held) = (duration(self.trigger.sustained), duration(crossed.held));
            return Ruling::Pending(format!("{sentence}; that is for {sustained} sustained; so far for {held}"));
        }
        Ruling::Fires(sentence)
    }
}

impl Signal {
    pub(super) fn new(trigger: SignalTrigger) -> Signal {
        Signal { trigger, phase: Phase::Within }
    }

    pub(super) fn reset(&mut self) {
        self.phase = Phase::Within;
    }

    /// A signal that fired before the release had begun is not green's doing.
    pub(super) fn rule(&mut self, signals: &Signals, begun_at: Duration) -> Ruling {
        let signal = &self.trigger.signal;
        let Some(firing) = signals.firing(signal) else {
            self.phase = Phase::Within;
            return Ruling::Within;
        };
        let sentence = format!("signal `{signal}` fires, posted by {}: {}", firing.actor, firing.sentence);
        if firing.since < begun_at {
            self.phase = Phase::Within;
            return Ruling::Common(format!("{sentence}; it did before the release began, so green is not its cause"));
        }
        let goes_on = matches!(self.phase, Phase::Crossed(crossed) if crossed.since == firing.since);
        if !goes_on {
            self.phase = Phase::Crossed(Crossed::beginning(firing.since));
        }
        Ruling::Fires(sentence)
    }
}
