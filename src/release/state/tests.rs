use super::*;

fn epoch(number: u32) -> Epoch {
    (0..number).fold(Epoch::default(), |epoch, _| epoch.next())
}

fn percent(percent: f64) -> Weight {
    Weight::from_percent(percent).expect("a weight")
}

fn held(trigger: &str) -> Held {
    Held { trigger: trigger.to_owned(), sentence: format!("{trigger} says so") }
}

fn cause(reason: &str) -> Cause {
    Cause { trigger: "meltdown".to_owned(), reason: reason.to_owned(), actor: GATE.to_owned() }
}

fn stepping(number: u32, weight: f64) -> State {
    State::Stepping { epoch: epoch(number), weight: percent(weight) }
}

fn paused(weight: f64, by: &str) -> State {
    State::Paused { epoch: epoch(3), weight: percent(weight), reason: PauseReason::Trigger(held(by)) }
}

fn frozen(weight: f64, found: Option<&str>) -> State {
    let reason = PauseReason::CommonCause { sentence: "both are bad".to_owned(), held: found.map(held) };
    State::Paused { epoch: epoch(3), weight: percent(weight), reason }
}

fn idle() -> State {
    State::Idle { epoch: epoch(3) }
}

fn rolled_back(reason: &str) -> State {
    State::RolledBack { epoch: epoch(3), cause: cause(reason) }
}

fn freeze() -> Input {
    Input::Freeze { sentence: "both are bad".to_owned() }
}

fn route(number: u32, weight: f64) -> Effect {
    Effect::Route { epoch: epoch(number), weight: percent(weight) }
}

fn begin() -> Effect {
    Effect::Begin { epoch: epoch(4) }
}

fn latch() -> Effect {
    Effect::Latch { epoch: epoch(3) }
}

fn moves(from: State, input: Input, to: State, effects: &[Effect]) {
    let context = format!("{from:?} takes {input:?}");
    assert_eq!(from.apply(input), Ok((to, effects.to_vec())), "{context}");
}

fn stays(state: State, input: Input) {
    moves(state.clone(), input, state, &[]);
}

fn refuses(state: State, input: Input, text: &str) {
    let context = format!("{state:?} takes {input:?}");
    let (after, refusal) = state.clone().apply(input).expect_err(&context);
    assert_eq!((after, refusal.to_string().as_str()), (state, text), "{context}");
}

#[test]
fn promise_2_a_rollback_outranks_everything_in_every_state() {
    for state in [idle(), stepping(3, 50.0), paused(50.0, "slow"), frozen(50.0, None), frozen(50.0, Some("slow"))] {
        moves(state, Input::RollBack(cause("bad")), rolled_back("bad"), &[latch()]);
    }
    stays(rolled_back("the first reason"), Input::RollBack(cause("the second")));
}

#[test]
fn promise_2_only_a_new_epoch_leaves_a_rollback() {
    let refusal =
        "epoch 3 was rolled back (bad), so green gets no traffic in it; start a new release with POST /v1/release";
    for weight in [0.0, 1.0, 100.0] {
        refuses(rolled_back("bad"), Input::SetWeight(percent(weight)), refusal);
    }
    for input in [Input::Pause(held("slow")), Input::Probe(held("slow")), freeze(), Input::Thaw] {
        stays(rolled_back("bad"), input);
    }
    moves(rolled_back("bad"), Input::Start, stepping(4, 0.0), &[begin(), route(4, 0.0)]);
}

#[test]
fn idle_opens_a_release_by_a_start_or_by_a_weight() {
    moves(idle(), Input::Start, stepping(4, 0.0), &[begin(), route(4, 0.0)]);
    moves(idle(), Input::SetWeight(percent(25.0)), stepping(4, 25.0), &[begin(), route(4, 25.0)]);
    for input in [Input::Pause(held("slow")), Input::Probe(held("slow")), freeze(), Input::Thaw] {
        stays(idle(), input);
    }
}

#[test]
fn stepping_takes_every_input() {
    let state = || stepping(3, 50.0);
    refuses(state(), Input::Start, "release 3 is open at weight 50 %; roll it back or set its weight instead");
    moves(state(), Input::SetWeight(percent(60.0)), stepping(3, 60.0), &[route(3, 60.0)]);
    moves(state(), Input::SetWeight(percent(0.0)), stepping(3, 0.0), &[route(3, 0.0)]);
    moves(state(), Input::Pause(held("slow")), paused(50.0, "slow"), &[]);
    moves(state(), Input::Probe(held("slow")), paused(10.0, "slow"), &[route(3, 10.0)]);
    moves(stepping(3, 5.0), Input::Probe(held("slow")), paused(5.0, "slow"), &[route(3, 5.0)]);
    moves(state(), freeze(), frozen(50.0, None), &[]);
    stays(state(), Input::Thaw);
}

#[test]
fn a_pause_by_a_trigger_takes_every_input_and_ends_with_a_weight() {
    let state = || paused(50.0, "slow");
    refuses(state(), Input::Start, "release 3 is open at weight 50 %; roll it back or set its weight instead");
    moves(state(), Input::SetWeight(percent(60.0)), stepping(3, 60.0), &[route(3, 60.0)]);
    stays(state(), Input::Pause(held("later")));
    moves(state(), Input::Probe(held("dead")), paused(10.0, "dead"), &[route(3, 10.0)]);
    moves(state(), freeze(), frozen(50.0, Some("slow")), &[]);
    stays(state(), Input::Thaw);
}

#[test]
fn promise_5_while_both_versions_are_bad_nobody_raises_the_weight() {
    for found in [None, Some("slow")] {
        let state = || frozen(50.0, found);
        refuses(
            state(),
            Input::SetWeight(percent(50.01)),
            "the weight is frozen at 50 % and cannot be raised to 50.01 %: both are bad; it can be lowered, or rolled back",
        );
        moves(state(), Input::SetWeight(percent(50.0)), frozen(50.0, found), &[route(3, 50.0)]);
        moves(state(), Input::SetWeight(percent(20.0)), frozen(20.0, found), &[route(3, 20.0)]);
        refuses(state(), Input::Start, "release 3 is open at weight 50 %; roll it back or set its weight instead");
        stays(state(), freeze());
        moves(state(), Input::Probe(held("dead")), frozen(10.0, Some("dead")), &[route(3, 10.0)]);
    }
}

#[test]
fn a_pause_that_came_during_a_common_cause_outlasts_it() {
    moves(frozen(50.0, None), Input::Thaw, stepping(3, 50.0), &[]);
    moves(frozen(50.0, Some("slow")), Input::Thaw, paused(50.0, "slow"), &[]);
    moves(frozen(50.0, None), Input::Pause(held("slow")), frozen(50.0, Some("slow")), &[]);
    stays(frozen(50.0, Some("slow")), Input::Pause(held("later")));
}

#[test]
fn every_state_says_its_name_epoch_weight_and_whether_it_is_open() {
    for (state, name, weight, open, pauses) in [
        (idle(), "idle", 0.0, false, false),
        (stepping(3, 50.0), "stepping", 50.0, true, false),
        (paused(50.0, "slow"), "paused", 50.0, true, true),
        (rolled_back("bad"), "rolledBack", 0.0, false, false),
    ] {
        assert_eq!((state.name(), state.epoch(), state.weight()), (name, epoch(3), percent(weight)));
        assert_eq!((state.is_open(), state.pause().is_some()), (open, pauses), "{name}");
        assert!(STATE_NAMES.contains(&name));
    }
}
