//! What people are told at a gate, and what becomes of an answer.

use super::*;
use crate::release::{Approval, Cause, Epoch, Input, Judged, OnLowTraffic, State, Step, Weight};

const MINUTE: Duration = Duration::from_secs(60);

/// A release of 25 % for a minute, with a gate before everything that is answered within five.
struct Release {
    plan: Plan,
    state: State,
    now: Duration,
}

impl Release {
    fn started() -> Release {
        let weight = Weight::from_percent(25.0).expect("a weight");
        let within = Some(MINUTE * 5);
        let plan = Plan {
            steps: vec![Step { weight, mirror: None, cohort: None, bake: MINUTE, approval: Approval::Automatic }],
            budget: None,
            initial_delay: Duration::ZERO,
            progress_deadline: None,
            monitoring: MINUTE,
            on_low_traffic: OnLowTraffic::Wait,
            irreversible: None,
            max_weight: Weight::FULL,
            gates: Gates { before_start: within, before_step: within, before_promotion: within },
        };
        let mut release = Release { plan, state: State::Idle { epoch: Epoch::default() }, now: MINUTE };
        let told = release.take(Input::Start { actor: ann(), reason: String::new() });
        assert_eq!(told, ["started: release started by ann".to_owned(), asked("beforeStart")]);
        release
    }

    fn run(&self) -> &Run {
        self.state.run().expect("the release is open")
    }

    fn question(&self) -> Question {
        self.run().holds.gate.as_ref().expect("it stands at a gate").question
    }

    /// What is told of it.
    fn take(&mut self, input: Input) -> Vec<String> {
        self.try_take(input).expect("it is granted")
    }

    fn try_take(&mut self, input: Input) -> Result<Vec<String>, Refusal> {
        let told = |effect| match effect {
            Effect::Tell { kind, sentence, .. } => Some(format!("{}: {sentence}", kind.name())),
            _ => None,
        };
        match self.state.clone().apply(input, Some(&self.plan), self.now) {
            Ok((state, effects)) => {
                self.state = state;
                Ok(effects.into_iter().filter_map(told).collect())
            }
            Err((_, refusal)) => Err(refusal),
        }
    }

    fn answer(&mut self, answer: Answer) -> Vec<String> {
        let question = self.question();
        self.take(Input::Answered(Answered { question, answer }))
    }

    fn pass(&mut self) -> Vec<String> {
        self.answer(Answer::Pass { sentence: "smoke: 3 of 3".to_owned() })
    }

    /// A judgement so long after.
    fn after(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.take(Input::Judged(Judged::Pass))
    }

    fn restart(&mut self) -> Vec<String> {
        let run = self.run();
        let restored = Run::restored(run.epoch, run.stage, run.weight, run.holds.clone(), None, self.now);
        self.state = State::Open(restored);
        self.take(Input::Restarted)
    }
}

fn ann() -> String {
    "ann".to_owned()
}

fn asked(moment: &str) -> String {
    format!("gateAsked: `{moment}` is asked, and the release waits for its answer, for at most 5 min")
}

fn refuse() -> Answer {
    Answer::Refuse { sentence: "503".to_owned() }
}

fn wait(time: Duration) -> Answer {
    Answer::Wait { time, sentence: "the load test runs".to_owned() }
}

const GO_ON: &str = "`release resume` asks again, `release approve` with a reason goes past it";

#[test]
fn a_release_goes_through_its_gates_one_after_the_other() {
    let mut release = Release::started();
    assert_eq!(release.state.name(), "paused");
    assert_eq!(release.after(MINUTE), [""; 0], "green has nothing yet");
    assert_eq!(release.pass(), ["gatePassed: `beforeStart` has passed: smoke: 3 of 3"]);
    assert_eq!(release.after(Duration::ZERO), [asked("beforeStep")]);
    assert_eq!(release.run().weight, Weight::ZERO);
    assert_eq!(release.pass(), ["gatePassed: `beforeStep` has passed: smoke: 3 of 3"]);
    assert_eq!(release.after(Duration::ZERO), ["stepped: step 1 of 2 at 25 %"]);
    assert_eq!(release.after(MINUTE), [asked("beforePromotion")]);
    assert_eq!(release.run().weight.percent(), 25.0);
    release.pass();
    assert_eq!(release.after(Duration::ZERO), ["promoted: the monitoring at 100 %"]);
}

#[test]
fn a_refusal_at_the_start_leaves_green_at_nothing_until_an_operator_says_why_it_goes_on() {
    let mut release = Release::started();
    let refused = format!("`beforeStart` has refused: 503; {GO_ON}");
    assert_eq!(release.answer(refuse()), [format!("gateRefused: {refused}")]);
    assert_eq!(release.pass(), [""; 0], "it was answered already");
    assert_eq!(release.after(MINUTE * 100), [""; 0]);
    assert_eq!((release.run().weight, release.run().held_by()), (Weight::ZERO, Some(refused.as_str())));

    let approve = |reason: &str| Input::Approve { actor: ann(), reason: reason.to_owned() };
    let refusal = release.try_take(approve(" ")).expect_err("no reason");
    assert_eq!(
        refusal.to_string(),
        format!("release 1 waits at a gate: {refused}; whoever goes past it says why: give a `reason`, or --reason")
    );
    let told = release.take(approve("the check is broken"));
    assert_eq!(told, [format!("gateOverridden: ann goes past a gate ({refused}): the check is broken")]);
    assert_eq!(release.after(Duration::ZERO), [asked("beforeStep")]);
}

#[test]
fn green_gets_no_weight_by_hand_before_it_was_let_start() {
    let mut release = Release::started();
    let by_hand = |percent| {
        let weight = Weight::from_percent(percent).expect("a weight");
        Input::SetWeight { weight, actor: ann(), reason: String::new() }
    };
    let refusal = Refusal::AtGate {
        epoch: Epoch::from(1),
        sentence: "`beforeStart` is asked, and the release waits for its answer, for at most 5 min".to_owned(),
    };
    assert_eq!(release.try_take(by_hand(5.0)), Err(refusal.clone()));
    assert_eq!(release.try_take(Input::Promote { actor: ann(), reason: String::new() }), Err(refusal));
    release.take(by_hand(0.0));
    release.pass();
    release.take(by_hand(5.0));
    assert_eq!(release.run().weight.percent(), 5.0);
}

#[test]
fn an_operator_who_resumes_has_a_gate_asked_again() {
    let mut release = Release::started();
    let resume = || Input::Resume { actor: ann(), reason: String::new() };
    assert!(matches!(release.try_take(resume()), Err(Refusal::AtGate { .. })), "the answer is on its way");
    let first = release.question();
    release.answer(refuse());
    assert_eq!(release.take(resume()), ["resumed: resumed by ann at 0 %".to_owned(), asked("beforeStart")]);
    assert_eq!(release.take(Input::Answered(Answered { question: first, answer: refuse() })), [""; 0], "too late");
    assert_eq!(release.pass(), ["gatePassed: `beforeStart` has passed: smoke: 3 of 3"]);
}

#[test]
fn a_gate_that_asks_to_wait_is_asked_again_when_it_is_time() {
    let mut release = Release::started();
    let told = release.answer(wait(MINUTE));
    assert_eq!(told, ["gateWaits: `beforeStart` asks to wait for 1 min: the load test runs"]);
    let first = release.question();
    assert_eq!(release.after(MINUTE - Duration::from_millis(1)), [""; 0]);
    assert_eq!(release.question(), first);
    release.after(Duration::from_millis(1));
    assert_ne!(release.question(), first);
    assert_eq!(release.run().holds.gate.as_ref().expect("it stands at it").since, MINUTE, "since it was first asked");
    assert_eq!(
        release.answer(wait(Duration::ZERO)),
        ["gateWaits: `beforeStart` asks to wait for 1 s: the load test runs"]
    );
}

#[test]
fn a_gate_that_does_not_answer_has_refused() {
    let mut release = Release::started();
    assert_eq!(release.after(MINUTE * 5 - Duration::from_millis(1)), [""; 0]);
    let refused = format!("gateRefused: `beforeStart` has refused: no answer came within 5 min; {GO_ON}");
    assert_eq!(release.after(Duration::from_millis(1)), [refused]);
    assert_eq!(release.pass(), [""; 0], "too late");
}

#[test]
fn what_has_passed_is_asked_again_when_the_plan_does_not_go_on() {
    let mut release = Release::started();
    for time in [Duration::ZERO, Duration::ZERO] {
        release.pass();
        release.after(time);
    }
    release.after(MINUTE);
    release.pass();
    release.now += PASSED_FOR;
    assert_eq!(release.take(Input::Judged(Judged::Wait)), [""; 0]);
    assert_eq!(release.after(Duration::from_millis(100)), [asked("beforePromotion")]);
}

#[test]
fn a_restart_asks_again() {
    let mut release = Release::started();
    let (first, anew) = (release.question(), "the proxy has started anew");
    assert_eq!(release.restart(), [format!("restarted: {anew}; the initial delay begins anew at 0 %")]);
    assert_ne!(release.question(), first);
    assert_eq!(release.take(Input::Answered(Answered { question: first, answer: refuse() })), [""; 0], "of before it");
    release.pass();
    assert_eq!(release.after(Duration::ZERO), [asked("beforeStep")]);
    release.restart();
    assert_eq!(release.run().holds.gate, None, "it is asked when the delay is over again");
    assert_eq!(release.after(Duration::ZERO), [asked("beforeStep")]);
    release.answer(refuse());
    release.restart();
    assert_eq!(release.after(MINUTE), [""; 0], "what was refused stays so");
}

#[test]
fn a_rollback_waits_for_no_answer() {
    let mut release = Release::started();
    let question = release.question();
    let cause = Cause { trigger: "dead".to_owned(), reason: "green is bad".to_owned(), actor: "gate".to_owned() };
    assert_eq!(release.take(Input::RollBack(cause)), ["rolledBack: green is bad"]);
    let pass = Answer::Pass { sentence: String::new() };
    assert_eq!(release.take(Input::Answered(Answered { question, answer: pass })), [""; 0]);
    assert_eq!(release.state.name(), "rolledBack");
}
