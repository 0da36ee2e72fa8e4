//! What is found outside of the ticks: by a worker about a streak, and about one endpoint among several.

use std::time::Duration;

use super::grounds::Grounds;
use super::{Course, EndpointNews, News, Streak, StreakFound};
use crate::gate::verdict::{
    another_endpoint_is_bad, endpoint_is_out, streak_convicts, streak_is_common, streak_probes,
};
use crate::gate::{Action, Verdict, Version};
use crate::release::input::ENDPOINTS;
use crate::release::{self, Effect, Held, State};

impl Course {
    pub(super) fn streak(&mut self, StreakFound { came_to: streak, row }: StreakFound, now: Duration) -> Vec<Effect> {
        // A worker may have latched the epoch just before its release would have completed.
        let latched = streak == Streak::Convicted && matches!(self.state, State::Completed { .. });
        let open = self.state.run().is_some();
        let Some(trigger) = self.policy.streak.clone().filter(|_| open || latched) else { return vec![] };
        let by = trigger.name.clone();
        self.grounds = row.as_ref().map(Grounds::of_row);
        match streak {
            Streak::Convicted => {
                let sentence = streak_convicts(&trigger, row.as_ref());
                match trigger.action {
                    Action::Rollback => self.convict(by, sentence, now),
                    Action::Pause => self.order(release::Input::Hold(Held { by, sentence }), now),
                    Action::Notify => vec![Effect::Notify { trigger: by, sentence }],
                }
            }
            Streak::Probing if trigger.action == Action::Rollback => {
                let sentence = streak_probes(&trigger, row.as_ref());
                self.verdict = Verdict::wait(sentence.clone());
                self.order(release::Input::Probe(Held { by, sentence }), now)
            }
            Streak::Probing => vec![],
            Streak::Common => {
                let sentence = streak_is_common(&trigger, row.as_ref());
                self.common_streak = Some((now, sentence.clone()));
                self.verdict = Verdict::wait(sentence.clone());
                self.order(release::Input::Freeze { sentence }, now)
            }
        }
    }

    /// People are told of an endpoint that is out, and no step passes without one of green's. A second one of green's
    /// convicts it, unless blue's go the same way.
    pub(super) fn endpoint(
        &mut self,
        EndpointNews { version, endpoint, news }: EndpointNews,
        now: Duration,
    ) -> Vec<Effect> {
        if self.state.run().is_none() {
            return vec![];
        }
        let sentence = match news {
            News::Out { own, others } => endpoint_is_out(version, &endpoint, own, others),
            News::Another { own, others } => another_endpoint_is_bad(version, &endpoint, own, others),
            News::Back => format!("{version}'s endpoint {endpoint} serves again"),
            News::Left => format!("{version}'s endpoint {endpoint}, which was ejected, has left"),
        };
        match (version, news) {
            (Version::Green, News::Another { .. }) if !self.blue_misses => {
                return self.convict(ENDPOINTS.to_owned(), sentence, now);
            }
            (Version::Blue, News::Out { .. } | News::Another { .. }) => self.blue_misses = true,
            (Version::Green, News::Out { .. } | News::Another { .. }) => self.missing = Some(sentence.clone()),
            (Version::Green, News::Back | News::Left) => self.missing = None,
            (Version::Blue, News::Back | News::Left) => {}
        }
        vec![Effect::Notify { trigger: ENDPOINTS.to_owned(), sentence }]
    }
}
