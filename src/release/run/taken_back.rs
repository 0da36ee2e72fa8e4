//! One route that goes to blue, while the rest of the release stays where it is.
//!
//! It stays there for the rest of the release. Nobody but an operator gives it to green again, by promoting green.

use super::{Next, Run, irreversible};
use crate::release::effect::{Effect, Kind};
use crate::release::input::{Cause, GATE, Held, PLAN, TakenBack};
use crate::release::plan::Plan;

impl Run {
    /// The plan pauses, whatever holds it already. Of a release that is irreversible nothing goes back by itself.
    pub(super) fn take_back(&mut self, taken: TakenBack, plan: Option<&Plan>) -> Next {
        let TakenBack { route, by, sentence } = taken;
        if self.holds.taken_back.iter().any(|known| known.route == route) {
            return Next::Open(vec![]);
        }
        if irreversible(plan).is_some() {
            return self.convict(Cause { trigger: by, reason: sentence, actor: GATE.to_owned() }, plan);
        }
        let told = format!(
            "{sentence}; route `{route}` alone goes to blue for the rest of the release, which is paused at {}",
            self.weight
        );
        self.holds.paused = Some(Held { by: by.clone(), sentence: told.clone() });
        self.holds.taken_back.push(TakenBack { route, by, sentence });
        Next::Open(vec![self.take_routes_back(), Effect::tell(Kind::RouteTakenBack, GATE, told)])
    }

    /// The plan has come to where it would promote green, or end: a person decides.
    pub(super) fn stays_without(&mut self) -> Vec<Effect> {
        let [first, ..] = &self.holds.taken_back[..] else { return vec![] };
        let sentence = format!(
            "{} to blue, so the plan does not promote green: an operator who promotes it gives it that as well, or rolls \
             the rest back",
            self.taken_back_go()
        );
        self.holds.paused = Some(Held { by: first.by.clone(), sentence: sentence.clone() });
        vec![Effect::tell(Kind::Paused, PLAN, sentence)]
    }

    pub(super) fn lacks_routes(&self) -> bool {
        !self.holds.taken_back.is_empty()
    }

    /// What an operator gives green who promotes it, behind the sentence of that.
    pub(super) fn with_routes(&self, sentence: String) -> String {
        if self.lacks_routes() { format!("{sentence}; {} to green again", self.taken_back_go()) } else { sentence }
    }

    pub(super) fn take_routes_back(&self) -> Effect {
        let routes = self.holds.taken_back.iter().map(|taken| taken.route.clone()).collect();
        Effect::TakeBack { epoch: self.epoch, routes }
    }

    fn taken_back_go(&self) -> String {
        let names: Vec<String> = self.holds.taken_back.iter().map(|taken| format!("`{}`", taken.route)).collect();
        let (routes, go) = if names.len() == 1 { ("route", "goes") } else { ("routes", "go") };
        format!("{routes} {} {go}", names.join(", "))
    }
}

#[cfg(test)]
mod tests;
