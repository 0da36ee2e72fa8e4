use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::course::{Streak, StreakFound};
use crate::gate::outcome::Charge;
use crate::gate::signal::{Posted, Posting};
use crate::gate::{ByVersion, Health, Version};
use crate::journal::{DecisionRecord, Outcome, ReleaseHeader};
use crate::measure::Tick;
use crate::release::{self, Acknowledged};

const POLICY: &str = "\
listen: 127.0.0.1:0
admin: { listen: 127.0.0.1:0, tokens: there-is-no-such-file.yaml }
blue: { version: v1, endpoints: [\"127.0.0.1:1\"] }
green: { version: v2, endpoints: [\"127.0.0.1:2\"] }
release: { steps: [{ weight: 10%, bake: 5s }, { weight: 50%, bake: 5s }], monitoring: 5s }
gate:
  minimumRequests: 20
  triggers:
  - { name: spike, metric: errorRate, above: 10%, window: 10s }
  - { name: slow, metric: latency, quantile: 0.9, above: 300ms, window: 10s, sustained: 2s }
  - { name: dead, metric: failureStreak, atLeast: 5 }
  - { name: probe, metric: external, action: pause }
";

const TICK: Duration = Duration::from_millis(100);

/// A release as `control` lives and records it, on a clock that does not begin at zero.
struct Live {
    course: Course,
    record: ReleaseRecord,
    began: Duration,
    now: Duration,
    slots: Vec<Slot>,
    decisions: Vec<DecisionRecord>,
    number: u64,
}

impl Live {
    fn begin() -> Live {
        let Rules { policy, plan, .. } = config::parse_rules(POLICY, "the policy", References::Text).expect("usable");
        let began = Duration::from_nanos(98_765_432_123);
        let mut course = Course::new(policy, plan, State::Completed { epoch: Epoch::from(6) }, Duration::ZERO);
        // What was before the release is known to it: blue's past, and a signal that fires.
        let mut past = Tick::default();
        for latency in [1, 20, 300] {
            let sample = past.samples.of_mut(Version::Blue);
            sample.evidence.record(Charge::Served, Some(Duration::from_millis(latency)));
        }
        let health = ByVersion::default();
        course.take(Input::Tick { counted: &past, health }, began - TICK).expect("a tick");
        course.take(Input::Signal(posted("canteen")), began - TICK).expect("a signal");
        let header = ReleaseHeader {
            epoch: 7,
            id: "v2-7".to_owned(),
            blue: "v1".to_owned(),
            green: "v2".to_owned(),
            started: Timestamp::UNIX_EPOCH,
            ended: None,
            outcome: Outcome::Open,
        };
        let record = ReleaseRecord { header, policy: POLICY.to_owned(), plan: Value::Null, clients: Value::Null };
        let slots = vec![slots::opening(&course, began)];
        let mut live = Live { course, record, began, now: began, slots, decisions: vec![], number: 0 };
        live.feed(Input::Operator(release::Input::Start { actor: "alice".to_owned(), reason: "why not".to_owned() }));
        live
    }

    fn feed(&mut self, input: Input<'_>) {
        self.feed_under(input, None);
    }

    fn feed_under(&mut self, input: Input<'_>, changed: Option<&str>) {
        let after = self.now - self.began;
        let effects = self.course.take(input.clone(), self.now).expect("no refusal");
        self.slots.push(slots::slot(&input, changed, after));
        let state = self.course.state();
        for effect in effects {
            let (kind, actor, sentence) = match effect {
                Effect::Tell { kind, actor, sentence } => (kind, actor, sentence),
                Effect::Notify { sentence, .. } => (Kind::Notified, GATE.to_owned(), sentence),
                _ => continue,
            };
            self.decisions.push(DecisionRecord {
                epoch: 7,
                seq: self.decisions.len() as u32,
                at: Timestamp::UNIX_EPOCH,
                after,
                kind: kind.name().to_owned(),
                actor,
                sentence,
                state: state.name().to_owned(),
                weight: state.weight().basis_points(),
                evidence: serde_json::to_value(self.course.basis()).expect("plain data"),
            });
        }
    }

    /// So many ticks with 20 requests each, of which `failed` of green fail.
    fn ticks(&mut self, ticks: u32, failed: u64) {
        for _ in 0..ticks {
            // Ticks are never quite as long as each other.
            self.number += 1;
            self.now += TICK + Duration::from_nanos(self.number * 7_919 % 90_001);
            let mut counted = Tick::default();
            for version in Version::BOTH {
                let evidence = &mut counted.samples.of_mut(version).evidence;
                for request in 0..10 {
                    let fails = version == Version::Green && request < failed;
                    let latency = Duration::from_micros(900 + self.number * 31 % 700 + request * 17);
                    evidence.record(if fails { Charge::Failed } else { Charge::Served }, Some(latency));
                }
                *counted.clients.of_mut(version) = Some(8);
                counted.waiting.of_mut(version).record(Duration::from_millis(self.number % 5));
            }
            let health = ByVersion::build(|_| Health { endpoints: 2, ..Health::default() });
            self.feed(Input::Tick { counted: &counted, health });
        }
    }

    /// The process starts anew with a configuration, as `control` does after a crash.
    fn restart(&mut self, configuration: &str) {
        self.now += Duration::from_secs(3);
        let Rules { policy, plan, .. } =
            config::parse_rules(configuration, "the policy", References::Text).expect("usable");
        let Some(run) = self.course.state().run() else { panic!("it is open") };
        let (stage, holds) = under(plan.as_ref(), run.stage, run.holds.clone(), &shown(self.course.plan()));
        let from = self.now - TICK;
        let run = Run::restored(run.epoch, stage, run.weight, holds, run.waited(from), from);
        self.course = Course::new(policy, plan, State::Open(run), self.now);
        self.feed_under(Input::Restarted, (configuration != POLICY).then_some(configuration));
    }

    fn kinds(&self) -> Vec<&str> {
        self.decisions.iter().map(|decision| decision.kind.as_str()).collect()
    }

    /// What a replay makes of the slots, after the way that they take through the API.
    fn replay(&self, mut replay: Replay) -> Replayed {
        for slot in &self.slots {
            let line = serde_json::to_string(slot).expect("plain data");
            replay.take(serde_json::from_str(&line).expect("a slot")).expect("an input");
        }
        replay.finish()
    }

    fn again(&self) -> Replayed {
        self.replay(Replay::recorded(&self.record).expect("usable"))
    }

    fn under(&self, policy: &str) -> Replayed {
        let rules =
            config::parse_rules(policy, "another", References::Text).unwrap_or_else(|faults| panic!("{faults}"));
        self.replay(Replay::another(rules, &self.record).expect("usable"))
    }
}

fn posted(signal: &str) -> Posted {
    Posted {
        signal: signal.to_owned(),
        state: Posting::Firing,
        sentence: "the till is shut".to_owned(),
        actor: "erin".to_owned(),
    }
}

fn operator(input: fn(String, String) -> release::Input) -> Input<'static> {
    Input::Operator(input("bob".to_owned(), "a look".to_owned()))
}

/// Everything that can happen to a release, up to a rollback.
fn eventful() -> Live {
    let mut live = Live::begin();
    live.ticks(30, 0);
    live.feed(operator(|actor, reason| release::Input::Pause { actor, reason }));
    live.ticks(5, 0);
    live.feed(operator(|actor, reason| release::Input::Resume { actor, reason }));
    live.feed(Input::Signal(posted("probe")));
    live.ticks(5, 0);
    live.restart(POLICY);
    live.ticks(5, 0);
    live.feed(operator(|actor, reason| release::Input::Resume { actor, reason }));
    live.ticks(60, 0);
    live.ticks(60, 3);
    live
}

#[test]
fn promise_6_every_decision_comes_out_of_the_replay_as_it_was_to_the_last_bit() {
    let live = eventful();
    let kinds = live.kinds();
    for kind in ["started", "stepped", "paused", "resumed", "restarted", "rolledBack"] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
    let replayed = live.again();
    assert_eq!(replayed.difference(&live.decisions), None);
    let recorded: Vec<Decided> = live.decisions.iter().map(Decided::from).collect();
    assert_eq!(replayed.decided, recorded);
    assert_eq!(replayed.remarks, []);
}

#[test]
fn what_was_done_to_the_evidence_or_to_a_decision_shows() {
    let mut live = eventful();
    let decided = live.decisions.clone();
    let check = |change: &dyn Fn(&mut Vec<DecisionRecord>), in_difference: &str| {
        let mut changed = decided.clone();
        change(&mut changed);
        let difference = live.again().difference(&changed).expect("a difference");
        assert!(difference.contains(in_difference), "{in_difference}: {difference}");
    };
    check(&|it| it[1].after += Duration::from_nanos(1), "after");
    check(&|it| it[1].sentence.push('!'), "!");
    check(&|it| it[1].actor = "mallory".to_owned(), "mallory");
    check(&|it| it[1].weight += 1, "10.01 %");
    check(&|it| it[1].evidence["green"]["requests"] = json!(0), "decided on");
    check(&|it| drop(it.remove(1)), "in the replay");
    check(&|it| drop(it.pop()), "which was not decided");
    let last = live.slots.pop().expect("slots");
    let difference = live.again().difference(&decided);
    assert_eq!(difference, None, "what lies behind the evidence cannot be told");
    live.slots.push(last);
    let tick = live.slots.iter_mut().find_map(|slot| match &mut slot.input {
        crate::journal::slot::Input::Tick(tick) if tick.green.failures > 0 => Some(tick),
        _ => None,
    });
    tick.expect("a tick with failures").green.failures -= 1;
    assert!(live.again().difference(&decided).is_some());
}

#[test]
fn a_restart_with_another_plan_is_played_as_it_was() {
    let mut live = Live::begin();
    live.ticks(30, 0);
    let changed = POLICY
        .replace("weight: 50%", "weight: 40%")
        .replace("above: 10%", "above: 60%")
        .replace("minimumRequests: 20", "minimumRequests: 20\n  compare: { enabled: false }");
    live.restart(&changed);
    live.ticks(20, 3);
    live.restart(&changed);
    live.ticks(20, 8);
    let kinds = live.kinds();
    assert_eq!(kinds.last(), Some(&"rolledBack"), "{kinds:?}");
    assert!(live.decisions.iter().any(|decision| decision.state == "paused"), "another plan pauses the release");
    let replayed = live.again();
    assert_eq!(replayed.difference(&live.decisions), None);
    assert_eq!(replayed.decided.len(), live.decisions.len());
}

#[test]
fn another_policy_decides_by_its_own_bounds_over_the_same_traffic() {
    let live = eventful();
    let rolled_back = |replayed: &Replayed| {
        let last = replayed.decided.last().expect("decisions").clone();
        (last.kind == "rolledBack").then_some((last.after, last.sentence))
    };
    let (was, _) = rolled_back(&live.again()).expect("its own policy rolls back");
    let strict = live.under(&POLICY.replace("above: 10%", "above: 3%"));
    let (earlier, sentence) = rolled_back(&strict).expect("a stricter one as well");
    assert!(earlier < was, "{earlier:?}, {was:?}");
    assert!(sentence.contains("above 3 %"), "{sentence}");
    let lenient =
        POLICY.replace("above: 10%", "above: 90%").replace("gate:\n", "gate:\n  compare: { enabled: false }\n");
    assert_eq!(rolled_back(&live.under(&lenient)), None);
}

#[test]
fn what_another_policy_has_no_use_for_is_said() {
    let mut live = Live::begin();
    live.ticks(30, 0);
    live.feed(Input::Streak(StreakFound { came_to: Streak::Probing, row: None }));
    live.ticks(3, 0);
    live.feed(operator(|actor, reason| release::Input::Withdraw { actor, reason, acknowledged: Acknowledged::No }));
    assert_eq!(live.again().difference(&live.decisions), None);
    let replayed = live.under(
        &POLICY
            .replace("  - { name: dead, metric: failureStreak, atLeast: 5 }\n", "")
            .replace("monitoring: 5s", "monitoring: 5s, irreversible: \"a migration\""),
    );
    let said: Vec<&str> = replayed.remarks.iter().map(|remark| remark.sentence.as_str()).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("failure streak"), "{said:?}");
    assert!(said[1].contains("would have been refused") && said[1].contains("irreversible"), "{said:?}");
}

#[test]
fn evidence_without_its_beginning_is_refused() {
    let mut live = Live::begin();
    live.ticks(2, 0);
    let mut replay = Replay::recorded(&live.record).expect("usable");
    let refused = replay.take(live.slots[1].clone());
    assert!(matches!(refused, Err(ReplayError::NoOpening)), "{refused:?}");
}
