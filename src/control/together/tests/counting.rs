//! What other replicas have counted: in whose sum it is, and how often.

use super::*;
use crate::control::replicas::{ReplicaStatus, Word as Heard};
use crate::control::together::tests::judging::{SLOW, counted, of_routes};
use crate::course::Voice;
use crate::measure::replicas::{Counted, Drawers, Split};

impl Replica {
    fn hears_of(&mut self, word: Heard) {
        self.control.heard_of_replicas(word);
        self.control.follow_up();
    }

    /// Another one has counted so many requests of green so long ago, by what this one routes by.
    fn is_told(&mut self, replica: &str, green: u64, age: Duration) {
        let (table, epoch) = (self.table(), self.control.course.epoch());
        let taken_back = self.control.course.taken_back().len();
        let split = Split { epoch, weight: table.weight(), taken_back };
        let mut tick = counted(green);
        tick.waiting.green.record(Duration::from_millis(10));
        let ticks = vec![(age, Counted { split, tick, drawers: Drawers::default() })];
        let routes: Arc<[String]> = vec!["other".to_owned()].into();
        let (replica, received) = (replica.to_owned(), Instant::now());
        self.hears_of(Heard::Counted { replica, received, routes, ticks });
    }

    fn speaks_as(&mut self, voice: Voice) {
        self.hears_of(Heard::Voice(voice));
    }

    /// What its sum has of green in its next tick: requests, and those that wait.
    fn sum(&mut self) -> (u64, u64) {
        let tick = self.control.with_replicas(&crate::measure::Tick::default()).into_owned();
        (tick.samples.green.evidence.requests + tick.late.green.evidence.requests, tick.waiting.green.len())
    }

    fn others(&self) -> Vec<ReplicaStatus> {
        self.control.replica_status()
    }

    /// The evidence at which green is convicted.
    fn convicts_at(&self) -> f64 {
        self.status().drawn.convicts_at.expect("there is a comparison")
    }
}

const OWN: Voice = Voice::Own { among: 2 };
const NOW: Duration = Duration::ZERO;

fn summing() -> Replica {
    let (_, mut leader) = releasing(&config_of(STEPS, ""));
    leader.speaks_as(Voice::Sum);
    leader.sum();
    leader
}

#[tokio::test(start_paused = true)]
async fn what_is_told_is_added_once_by_who_speaks_for_the_sum_and_by_nobody_else() {
    let mut leader = summing();
    leader.is_told("b", 3, NOW);
    assert_eq!(leader.sum(), (3, 1));
    assert_eq!(leader.sum(), (0, 1), "and once; what waits, waits");
    leader.is_told("b", 3, NOW);
    leader.speaks_as(OWN);
    leader.is_told("b", 4, NOW);
    assert_eq!((leader.sum(), leader.others()), ((0, 0), vec![]), "another adds it up");
    leader.speaks_as(Voice::Sum);
    assert_eq!((leader.sum(), leader.others().len()), ((0, 0), 0), "nothing of before");
    leader.is_told("b", 5, NOW);
    assert_eq!(leader.sum(), (5, 1));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_gone_is_neither_shown_nor_waited_for() {
    let mut leader = summing();
    leader.is_told("b", 3, NOW);
    leader.is_told("c", 3, NOW);
    assert_eq!(leader.sum(), (6, 2));
    leader.hears_of(Heard::Gone { replica: "b".to_owned() });
    assert_eq!(leader.sum(), (0, 1));
    assert_eq!(leader.others().iter().map(|other| other.replica.as_str()).collect::<Vec<_>>(), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn that_one_is_left_out_and_that_it_is_back_are_told_once() {
    let mut leader = summing();
    leader.told();
    leader.is_told("b", 1, NOW);
    assert_eq!((leader.told(), leader.others()[0].counted), (vec![], true));
    for why in ["no answer", "still none"] {
        leader.hears_of(Heard::Silent { replica: "b".to_owned(), why: why.to_owned() });
    }
    let other = &leader.others()[0];
    assert_eq!((other.counted, other.why.as_deref()), (false, Some("still none")));
    let told = leader.events();
    assert_eq!(told.iter().map(|event| event.kind).collect::<Vec<_>>(), [Kind::ReplicaLeftOut]);
    assert!(told[0].sentence.ends_with("no answer"), "{}", told[0].sentence);
    leader.is_told("b", 1, NOW);
    leader.is_told("b", 1, NOW);
    assert_eq!((leader.told(), leader.others()[0].counted), (vec![Kind::ReplicaBack], true));
}

#[tokio::test(start_paused = true)]
async fn what_comes_late_is_as_old_as_it_is_and_what_is_too_old_is_told_as_dropped() {
    let mut leader = summing();
    pass(&mut [&mut leader], 20).await;
    for (age, requests) in [(0, 1), (5, 2), (11, 4)] {
        leader.is_told("b", requests, Duration::from_secs(age));
    }
    assert_eq!(leader.sum().0, 1 + 2);
    let other = &leader.others()[0];
    assert_eq!((other.present, other.late, other.dropped), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn every_replica_tells_what_it_counted_by_what_it_routes_by_and_who_is_alone_tells_nothing() {
    let (mut store, mut leader) = releasing(&config_of(STEPS, ""));
    leader.ticks();
    assert!(!leader.link.published.is_published());
    for (voice, percent) in [(OWN, 10.0), (Voice::Sum, 15.0)] {
        leader.speaks_as(voice);
        leader.asks(weight(percent));
        leader.is_served(&mut store);
        leader.ticks();
        let told = leader.link.published.told(None).await;
        let [tick] = &told.ticks[..] else { panic!("the newest: {told:?}") };
        assert_eq!((tick.epoch.number(), tick.weight.percent(), tick.taken_back), (1, percent, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_false_alarm_is_shared_by_all_who_judge_from_when_they_are_several_and_in_each_release() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = releasing(&config);
    // By the logarithm of the inverse chance.
    let share = |replica: &Replica, alone: f64| (alone - replica.convicts_at()).exp();
    let alone = leader.convicts_at();
    for (voice, expected) in
        [(Voice::Sum, 0.9), (OWN, 0.1 / 16.0), (Voice::Own { among: 17 }, 0.1 / 32.0), (Voice::Sum, 0.9)]
    {
        leader.speaks_as(voice);
        let found = share(&leader, alone);
        assert!((found / expected - 1.0).abs() < 1e-6, "{voice:?}: {found}");
    }
    leader.asks(roll_back());
    leader.is_served(&mut store);
    leader.asks(release_of("v3", "127.0.0.1:9003", Again::No));
    leader.is_served(&mut store);
    assert!((share(&leader, alone) / 0.9 - 1.0).abs() < 1e-6, "of the next release");
}

/// One that begins a release and has that voice before, or after.
fn of_voice(config: &Config, before: Option<Voice>, after: Option<Voice>) -> Replica {
    let (mut store, mut leader) = leading(config);
    before.into_iter().for_each(|voice| leader.speaks_as(voice));
    leader.asks(start());
    leader.is_served(&mut store);
    after.into_iter().for_each(|voice| leader.speaks_as(voice));
    leader
}

/// After how many requests of green, all of them bad, it is convicted.
async fn convicted_after(replica: &mut Replica) -> u64 {
    for requests in 1..1_000 {
        tokio::time::advance(Duration::from_millis(100)).await;
        replica.counts(1);
        if replica.table().route == Route::Latched {
            return requests;
        }
    }
    panic!("it is not convicted");
}

#[tokio::test(start_paused = true)]
async fn who_has_a_small_part_of_the_false_alarm_needs_more_whenever_it_got_it() {
    for config in [config_of(STEPS, ""), config_of("budget: 10", SLOW)] {
        let alone = convicted_after(&mut of_voice(&config, None, None)).await;
        let before = convicted_after(&mut of_voice(&config, Some(OWN), None)).await;
        let after = convicted_after(&mut of_voice(&config, None, Some(OWN))).await;
        assert!(before == after && after > alone, "{alone} {before} {after}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_while_another_route_went_to_blue_is_of_another_split() {
    let (mut store, mut leader) = releasing(&of_routes());
    leader.speaks_as(Voice::Sum);
    leader.fails_on("a");
    leader.is_served(&mut store);
    leader.ticks();
    let told = leader.link.published.told(None).await;
    assert_eq!(told.ticks.iter().map(|tick| tick.taken_back).collect::<Vec<_>>(), [1]);
}
