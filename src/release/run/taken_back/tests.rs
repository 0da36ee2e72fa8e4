//! What people are told of a route that was taken back, and what a plan makes of it.

use std::time::Duration;

use super::*;
use crate::release::{Approval, Epoch, Gates, Input, Judged, OnLowTraffic, Stage, State, Step, Weight};

const HOUR: Duration = Duration::from_secs(3600);
const ON: &str = "on route `checkout` green failed 15 of 15 requests";

/// A release of 25 % for an hour, and an hour of monitoring.
struct Release {
    plan: Plan,
    state: State,
    now: Duration,
}

impl Release {
    fn new(irreversible: Option<&str>) -> Release {
        let weight = Weight::from_percent(25.0).expect("a weight");
        let plan = Plan {
            steps: vec![Step { weight, mirror: None, cohort: None, bake: HOUR, approval: Approval::Automatic }],
            budget: None,
            initial_delay: Duration::ZERO,
            progress_deadline: Some(HOUR * 2),
            monitoring: HOUR,
            on_low_traffic: OnLowTraffic::Wait,
            irreversible: irreversible.map(str::to_owned),
            max_weight: Weight::FULL,
            gates: Gates::default(),
        };
        let mut release = Release { plan, state: State::Idle { epoch: Epoch::default() }, now: Duration::ZERO };
        release.by(|actor, reason| Input::Start { actor, reason });
        release.passes();
        release
    }

    fn run(&self) -> &Run {
        self.state.run().expect("the release is open")
    }

    fn take(&mut self, input: Input) -> Vec<Effect> {
        let (state, effects) = self.state.clone().apply(input, Some(&self.plan), self.now).expect("it is granted");
        self.state = state;
        effects
    }

    fn by(&mut self, input: fn(String, String) -> Input) -> Vec<Effect> {
        self.take(input("ann".to_owned(), String::new()))
    }

    fn passes(&mut self) -> Vec<Effect> {
        self.take(Input::Judged(Judged::Pass))
    }

    fn convict(&mut self, route: &str) -> Vec<Effect> {
        self.take(Input::TakeBack(TakenBack {
            route: route.to_owned(),
            by: "comparison".to_owned(),
            sentence: ON.to_owned(),
        }))
    }
}

fn resume(actor: String, reason: String) -> Input {
    Input::Resume { actor, reason }
}

fn promote(actor: String, reason: String) -> Input {
    Input::Promote { actor, reason }
}

fn taking(routes: &[&str]) -> Effect {
    let routes = routes.iter().map(|route| (*route).to_owned()).collect();
    Effect::TakeBack { epoch: Epoch::from(1), routes }
}

fn told(kind: Kind, actor: &str, sentence: &str) -> Effect {
    Effect::tell(kind, actor, sentence.to_owned())
}

#[test]
fn a_route_goes_to_blue_alone_once_and_the_plan_pauses_where_it_is_whatever_held_it() {
    let mut release = Release::new(None);
    release.by(|actor, reason| Input::Pause { actor, reason });
    let sentence =
        format!("{ON}; route `checkout` alone goes to blue for the rest of the release, which is paused at 25 %");
    let expected = [taking(&["checkout"]), told(Kind::RouteTakenBack, "gate", &sentence)];
    assert_eq!(release.convict("checkout"), expected);
    assert_eq!(release.run().held_by(), Some(sentence.as_str()));
    assert_eq!(release.convict("checkout"), []);
    assert_eq!(release.convict("search")[0], taking(&["checkout", "search"]));
    release.by(resume);
    assert_eq!(release.run().holds.taken_back.len(), 2, "whoever goes on goes on without them");
    assert_eq!((release.run().is_held(), release.run().weight.percent()), (false, 25.0));
}

#[test]
fn the_plan_promotes_nothing_without_all_routes_and_is_not_late_for_it() {
    let mut release = Release::new(None);
    release.convict("checkout");
    release.by(resume);
    release.now += HOUR;
    let sentence = "route `checkout` goes to blue, so the plan does not promote green: an operator who promotes it gives it \
                    that as well, or rolls the rest back";
    assert_eq!(release.passes(), [told(Kind::Paused, "plan", sentence)]);
    release.now += HOUR * 24;
    assert_eq!(release.passes(), []);
    release.by(resume);
    assert_eq!(release.passes(), [told(Kind::Paused, "plan", sentence)]);
    assert!(matches!(release.run().stage, Stage::Step { index: 0, .. }));
}

#[test]
fn whoever_promotes_gives_green_the_routes_again() {
    let mut release = Release::new(None);
    release.convict("checkout");
    release.convict("search");
    let route = Effect::Route { epoch: Epoch::from(1), weight: Weight::FULL };
    let sentence = "promoted to 100 % by ann; routes `checkout`, `search` go to green again";
    let expected = [route, taking(&[]), told(Kind::Promoted, "ann", sentence)];
    assert_eq!(release.by(promote), expected);
    assert!(release.run().holds.taken_back.is_empty());

    release.convict("checkout");
    release.by(resume);
    release.now += HOUR;
    assert!(matches!(&release.passes()[..], [Effect::Tell { kind: Kind::Paused, .. }]), "nor does it complete");
    release.by(resume);
    let sentence = "completed by ann: green is the new blue; route `checkout` goes to green again";
    let expected = [Effect::Complete { epoch: Epoch::from(1) }, told(Kind::Completed, "ann", sentence)];
    assert_eq!(release.by(promote), expected);
}

#[test]
fn of_what_is_irreversible_no_route_goes_back_and_people_are_called() {
    let mut release = Release::new(Some("migration"));
    let sentence = format!("{ON}; not rolled back, because the release is irreversible: migration");
    assert_eq!(release.convict("checkout"), [told(Kind::Irreversible, "gate", &sentence)]);
    assert!(release.run().holds.taken_back.is_empty() && release.run().is_held());
}
