//! How replicas judge what they see of a release that others take part in.

use super::*;
use crate::control::together::tests::following::both;
use crate::gate::route::RouteSet;
use crate::gate::{ByVersion, Charge, Evidence, Health};
use crate::measure::shard::{Sample, Took};
use crate::measure::{RouteTick, Tick};

fn sample(requests: u64, charge: Charge) -> Sample {
    let mut sample = Sample::default();
    (0..requests).for_each(|_| sample.record(charge, Took { head: None, whole: None }));
    sample
}

/// A tick in which green had so many requests, all of them bad.
pub(super) fn counted(green: u64) -> Tick {
    let samples = ByVersion { blue: sample(2 * green, Charge::Served), green: sample(green, Charge::Failed) };
    let shown: ByVersion<Evidence> =
        ByVersion { blue: samples.blue.evidence.clone(), green: samples.green.evidence.clone() };
    Tick { samples, shown, ..Tick::default() }
}

impl Replica {
    pub(super) fn counts(&mut self, green: u64) {
        self.takes(&counted(green));
    }

    fn takes(&mut self, tick: &Tick) {
        let health = ByVersion::<Health>::default();
        self.control
            .feed(&crate::course::Input::Tick { counted: tick, health }, None)
            .expect("no operator asks for it");
        self.control.follow_up();
    }

    /// Counts twenty requests of green on this route, all of them bad.
    pub(super) fn fails_on(&mut self, route: &str) {
        let (mut tick, health) = (counted(0), ByVersion::<Health>::default());
        let routes = &self.control.config.policy.routes;
        tick.routes.edition = self.control.inputs.routing.live().settings.edition;
        tick.routes.places.resize_with(routes.places(), RouteTick::default);
        let bad = counted(20).samples;
        let place = &mut tick.routes.places[routes.numbered_as(route).expect("a route").index()];
        place.judged = ByVersion { blue: bad.blue.evidence, green: bad.green.evidence };
        self.control
            .feed(&crate::course::Input::Tick { counted: &tick, health }, None)
            .expect("no operator asks for it");
        self.control.follow_up();
    }

    /// The routes that workers send to blue alone.
    fn taken_back(&self) -> Vec<&'static str> {
        let (live, table) = (self.control.inputs.routing.live(), self.table());
        let is_set = |names: &[&'static str]| {
            let routes = &self.control.config.policy.routes;
            table.taken_back == RouteSet::named(names.iter().copied(), routes, live.settings.edition)
        };
        let all: [&[&str]; 3] = [&["a", "b"], &["a"], &["b"]];
        all.into_iter().find(|names| is_set(names)).unwrap_or_default().to_vec()
    }

    /// What blue and green have had since the weight last changed.
    fn evidence(&self) -> [u64; 2] {
        let windows = self.control.course.windows();
        let window = windows.evidence(Duration::from_secs(60), crate::gate::trigger::Span::Head);
        [window.blue.requests, window.green.requests]
    }
}

/// With routes that are taken back alone.
pub(super) fn of_routes() -> Config {
    let trigger = |name: &str| {
        format!("triggers: [{{ name: {name}-fails, metric: errorRate, above: 5%, window: 1m, minimumRequests: 10 }}]")
    };
    let route = |name: &str| format!("- {{ name: {name}, paths: [/{name}], rollback: route, {} }}", trigger(name));
    let routes = format!("routes:\n{}\n{}", route("a"), route("b"));
    config_of(STEPS, &format!("{routes}\n{SLOW}"))
}

/// One that judges nothing by itself before a thousand requests.
pub(super) const SLOW: &str = "gate: { minimumRequests: 1000, compare: { enabled: false }, triggers: \
                    [{ name: spike, metric: errorRate, above: 5%, window: 1m }] }";

#[tokio::test(start_paused = true)]
async fn what_a_follower_has_counted_is_of_its_release_and_of_the_present_weight() {
    let config = config_of(STEPS, SLOW);
    let (mut store, mut leader, mut follower) = both(&config);
    follower.counts(5);
    assert_eq!(follower.evidence(), [10, 5]);
    leader.asks(pause());
    leader.is_served(&mut store);
    follower.watches(&store);
    assert_eq!(follower.evidence(), [10, 5], "the weight is the same");
    leader.asks(roll_back());
    leader.is_served(&mut store);
    leader.begins(&mut store, release_of("v3", "127.0.0.1:9003", Again::No));
    follower.watches(&store);
    assert_eq!(follower.evidence()[1], 0, "of another release");
}

#[tokio::test(start_paused = true)]
async fn when_green_becomes_blue_elsewhere_what_was_counted_of_it_is_blues() {
    let config = config_of(STEPS, SLOW);
    let (mut store, mut leader, mut follower) = both(&config);
    leader.asks(promote());
    leader.is_served(&mut store);
    follower.watches(&store);
    follower.counts(5);
    let before = follower.evidence();
    leader.asks(promote());
    leader.is_served(&mut store);
    follower.watches(&store);
    let after = follower.evidence();
    assert_eq!((follower.table().route, after), (Route::Completed, [before[1], before[0]]));
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_sees_green_fail_rolls_back_by_itself_and_has_it_written() {
    let config = config_of(STEPS, &SLOW.replace("1000", "10"));
    let (mut store, mut leader, mut follower) = both(&config);
    follower.counts(20);
    assert_eq!((follower.table().route, store.body().record.latch.is_none()), (Route::Latched, true));
    follower.is_served(&mut store);
    let latch = store.body().record.latch.clone().expect("it is written");
    assert_eq!(
        (latch.trigger.as_str(), store.body().told.as_ref().map(|told| told.kind)),
        ("spike", Some(Kind::RolledBack))
    );
    leader.watches(&store);
    assert_eq!(
        (leader.table().route, leader.status().rollback.as_ref().map(|known| known.trigger.clone())),
        (Route::Latched, Some("spike".to_owned()))
    );
    // All of them look whether it has helped.
    assert!(follower.status().watch.is_some() && leader.status().watch.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_write_is_under_way_sends_traffic_away_from_green_all_the_same() {
    let config = config_of(STEPS, &SLOW.replace("1000", "10"));
    let (mut store, mut leader) = releasing(&config);
    leader.asks(weight(15.0));
    leader.counts(20);
    assert_eq!(leader.table().route, Route::Latched);
    leader.is_served(&mut store);
    assert!(store.body().record.latch.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_route_that_one_took_back_stays_with_blue_there_and_one_that_the_leader_took_back_everywhere() {
    let config = of_routes();
    let (mut store, mut leader, mut follower) = both(&config);
    follower.fails_on("a");
    assert_eq!((follower.taken_back(), leader.taken_back()), (vec!["a"], vec![]));
    leader.asks(weight(11.0));
    leader.is_served(&mut store);
    follower.watches(&store);
    assert_eq!((follower.taken_back(), follower.percent()), (vec!["a"], 11.0));
    leader.fails_on("b");
    leader.is_served(&mut store);
    follower.watches(&store);
    assert_eq!((leader.taken_back(), follower.taken_back()), (vec!["b"], vec!["a", "b"]));
    leader.asks(roll_back());
    leader.is_served(&mut store);
    leader.begins(&mut store, release_of("v3", "127.0.0.1:9003", Again::No));
    follower.watches(&store);
    assert_eq!((follower.percent(), follower.taken_back()), (10.0, vec![]), "of the release before");
}

#[tokio::test(start_paused = true)]
async fn what_a_release_has_cost_is_what_the_leader_has_counted() {
    let config = config_of("budget: 1000", "");
    let (mut store, mut leader, mut follower) = both(&config);
    leader.counts(3);
    leader.asks(pause());
    leader.is_served(&mut store);
    follower.watches(&store);
    let harmed = |replica: &Replica| replica.status().exposure.as_ref().map(|harm| harm.harmed);
    assert!(harmed(&leader) > Some(0) && harmed(&follower) == harmed(&leader), "{:?}", harmed(&follower));
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_write_is_under_way_halts_the_plan_by_what_it_sees() {
    let config = config_of(STEPS, &SLOW.replace("1000", "10").replace("window: 1m", "window: 1m, action: pause"));
    let (_store, mut leader) = releasing(&config);
    pass(&mut [&mut leader], MINUTE + 2).await;
    assert_eq!((leader.percent(), leader.status().pause.clone()), (10.0, None), "the step waits for its write");
    leader.counts(20);
    assert!(leader.status().pause.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_is_tried_before_a_rollback_is_tried_by_the_leader_and_a_follower_leaves_the_trigger_to_it() {
    let trigger =
        "triggers: [{ name: spike, metric: errorRate, above: 5%, window: 1m, first: { run: [flag], wait: 30s } }]";
    let gate = format!("gate: {{ minimumRequests: 10, compare: {{ enabled: false }}, {trigger} }}");
    let runbook = "runbook: { first: [{ name: flag, http: { url: \"https://flags.example.com\" } }] }";
    let config = config_of(STEPS, &format!("{gate}\n{runbook}"));
    let (mut store, mut leader, mut follower) = both(&config);
    follower.counts(20);
    assert_eq!((follower.percent(), follower.acted()), (10.0, vec![]));
    leader.counts(20);
    leader.is_served(&mut store);
    assert_eq!((leader.percent(), leader.acted()), (10.0, vec!["flag".to_owned()]));
}
