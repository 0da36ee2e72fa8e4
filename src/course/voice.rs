//! What voice this course has in the judgement of a release that several proxies judge.
//!
//! The sum of what all count is judged in one place, and what each counts at its own, so that one that hears of nobody still
//! has a gate. Any of them may roll back. So they share one `falseAlarm`: the chance of ever blaming an acceptable green is
//! at most the sum of what each may have.

use serde::{Deserialize, Serialize};

use super::Course;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Voice {
    /// All of it: there is one proxy.
    #[default]
    Alone,
    /// The sum of what all proxies count.
    Sum,
    /// What this one counts, beside so many others that do the same, itself among them, and the one that has the sum.
    #[serde(rename_all = "camelCase")]
    Own { among: u32 },
}

/// Of `falseAlarm` for the sum. The rest is for those that judge their own.
const OF_SUM: f64 = 0.9;

/// The rest is shared among so many at least. Up to there nobody's share changes when proxies come and go, so that all shares
/// together are never more than the whole; beyond, they are by at most a twentieth for each doubling within one release.
const LEAST_AMONG: u32 = 16;

impl Voice {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    pub(crate) fn is_all(&self) -> bool {
        *self == Voice::Alone
    }

    /// Of `falseAlarm`.
    pub fn share(self) -> f64 {
        match self {
            Voice::Alone => 1.0,
            Voice::Sum => OF_SUM,
            Voice::Own { among } => (1.0 - OF_SUM) / f64::from(among.max(LEAST_AMONG).next_power_of_two()),
        }
    }
}

impl Course {
    pub fn voice(&self) -> Voice {
        self.voice
    }

    /// The chance of a false alarm that a release may have here.
    pub fn false_alarm(&self) -> Option<f64> {
        self.policy.compare.map(|settings| settings.false_alarm * self.voice.share())
    }

    pub(super) fn speak_as(&mut self, voice: Voice) {
        self.voice = voice;
        let false_alarm = self.false_alarm();
        if let Some((comparison, false_alarm)) = self.comparison.as_mut().zip(false_alarm) {
            comparison.judge_at(false_alarm);
        }
        if let Some(exposure) = &mut self.exposure {
            exposure.judge_at(self.policy.compare.unwrap_or_default().false_alarm * voice.share());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_together_are_never_more_than_the_whole_however_many_there_are() {
        for among in 0..200 {
            let all = Voice::Sum.share() + f64::from(among) * Voice::Own { among }.share();
            assert!(all <= 1.0 + 1e-12, "{among}: {all}");
        }
        assert_eq!(Voice::Alone.share(), 1.0);
        assert_eq!(
            Voice::Own { among: 1 }.share(),
            Voice::Own { among: 16 }.share(),
            "nothing changes for the first 16"
        );
    }
}
