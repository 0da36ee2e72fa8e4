//! Every kind of state with every input, against `transitions.txt`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::*;
use crate::release::input::{GATE, Held, Judged};
use crate::release::run::Consent;
use crate::release::{
    Acknowledged, Answer, Answered, Approval, Deadline, Gates, Holds, Moment, OnLowTraffic, Otherwise, Question, Step,
};

mod kinds;

use kinds::{Kind, answered, kinds};

const MINUTE: Duration = Duration::from_secs(60);

/// A delay of 1 min, 20 % for 5 min, 50 % for 10 min with an approval, 60 min of monitoring; no progress for 30 min.
fn plan(on_low_traffic: OnLowTraffic, irreversible: Option<&str>) -> Plan {
    Plan {
        steps: vec![
            Step { weight: percent(20.0), mirror: None, cohort: None, bake: MINUTE * 5, approval: Approval::Automatic },
            Step { weight: percent(50.0), mirror: None, cohort: None, bake: MINUTE * 10, approval: Approval::Operator },
        ],
        budget: None,
        initial_delay: MINUTE,
        progress_deadline: Some(MINUTE * 30),
        monitoring: MINUTE * 60,
        on_low_traffic,
        irreversible: irreversible.map(str::to_owned),
        max_weight: Weight::FULL,
        gates: Gates::default(),
    }
}

fn percent(percent: f64) -> Weight {
    Weight::from_percent(percent).expect("a weight")
}

fn held(by: &str) -> Held {
    Held { by: by.to_owned(), sentence: format!("{by} says so") }
}

fn ann() -> String {
    "ann".to_owned()
}

fn bad() -> Cause {
    Cause { trigger: "dead".to_owned(), reason: "green is bad".to_owned(), actor: GATE.to_owned() }
}

fn inputs() -> Vec<(&'static str, Input)> {
    let reason = String::new;
    let weight = |weight| Input::SetWeight { weight: percent(weight), actor: ann(), reason: reason() };
    let withdraw = |acknowledged| Input::Withdraw { actor: ann(), reason: reason(), acknowledged };
    vec![
        ("start", Input::Start { actor: ann(), reason: reason() }),
        ("weight=60", weight(60.0)),
        ("weight=5", weight(5.0)),
        ("pause", Input::Pause { actor: ann(), reason: reason() }),
        ("resume", Input::Resume { actor: ann(), reason: reason() }),
        ("approve", Input::Approve { actor: ann(), reason: reason() }),
        ("promote", Input::Promote { actor: ann(), reason: reason() }),
        ("withdraw", withdraw(Acknowledged::No)),
        ("withdraw!", withdraw(Acknowledged::Yes)),
        ("supersede", Input::Supersede { actor: ann(), reason: reason() }),
        ("rollBack", Input::RollBack(bad())),
        ("hold", Input::Hold(held("slow"))),
        ("probe", Input::Probe(held("streak"))),
        ("acquit", Input::Acquit { sentence: "green is good".to_owned() }),
        ("freeze", Input::Freeze { sentence: "both are bad".to_owned() }),
        ("thaw", Input::Thaw),
        ("pass", Input::Judged(Judged::Pass)),
        ("tooFew", Input::Judged(Judged::TooFew { sentence: "3 of 50 requests".to_owned() })),
        ("wait", Input::Judged(Judged::Wait)),
        ("fail", Input::Judged(Judged::Fail)),
        ("answer=pass", answered(Answer::Pass { sentence: String::new() })),
        ("answer=refuse", answered(Answer::Refuse { sentence: String::new() })),
        ("answer=wait", answered(Answer::Wait { time: MINUTE, sentence: String::new() })),
        ("restarted", Input::Restarted),
    ]
}

fn take(state: State, name: &str, plan: Option<&Plan>, now: Duration) -> State {
    let (_, input) = inputs().into_iter().find(|(known, _)| *known == name).expect("an input of the table");
    state.apply(input, plan, now).expect("it leads to a kind of the table").0
}

/// `name weight stage baked, holds`.
fn show(state: &State, now: Duration) -> String {
    let mut text = format!("{} {} {}", state.epoch(), state.name(), state.weight());
    if let State::RolledBack { cause, .. } = state {
        write!(text, " for {} by {}", cause.trigger, cause.actor).expect("a string takes all");
    }
    let Some(run) = state.run() else { return text };
    let stage = match run.stage {
        Stage::Manual => "manual".to_owned(),
        Stage::Delay => "delay".to_owned(),
        Stage::Step { index, consent } => format!("step {} {consent:?}", index + 1),
        Stage::Exposing => "exposing".to_owned(),
        Stage::Monitoring => "monitoring".to_owned(),
    };
    write!(text, " {stage} {}m", run.baked(now).as_secs() / 60).expect("a string takes all");
    if let Some(waited) = run.waited(now) {
        write!(text, " waited {}m", waited.as_secs() / 60).expect("a string takes all");
    }
    let Holds { common, convicted, probe, paused, taken_back: _, gate } = &run.holds;
    let probe = probe.as_ref().map(|probe| format!("probe from {}", probe.restore));
    let by = |what: &str, held: &Option<Held>| held.as_ref().map(|held| format!("{what} by {}", held.by));
    for hold in [common.as_ref().map(|_| "common".to_owned()), by("convicted", convicted), probe, by("paused", paused)]
    {
        hold.iter().for_each(|hold| write!(text, ", {hold}").expect("a string takes all"));
    }
    if let Some(gate) = gate {
        write!(text, ", {} {}", gate.question.moment.name(), gate.stands.name()).expect("a string takes all");
    }
    text
}

fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Latch { epoch } => format!("latch {epoch}"),
        Effect::Revert { epoch } => format!("revert {epoch}"),
        Effect::Route { epoch, weight } => format!("route {epoch} {weight}"),
        Effect::TakeBack { epoch, routes } => format!("take back {epoch} {}", routes.join(" ")),
        Effect::Complete { epoch } => format!("complete {epoch}"),
        Effect::Begin { epoch } => format!("begin {epoch}"),
        Effect::Tell { kind, actor, .. } => format!("tell {} by {actor}", kind.name()),
        Effect::Notify { trigger, .. } => format!("notify {trigger}"),
        Effect::Try { trigger } => format!("try {trigger}"),
        Effect::Ask(question) => format!("ask {}", question.moment.name()),
    }
}

fn refusal(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Latched { .. } => "latched",
        Refusal::Open { .. } => "open",
        Refusal::NoRelease => "noRelease",
        Refusal::Frozen { .. } => "frozen",
        Refusal::StillFrozen { .. } => "stillFrozen",
        Refusal::NotPaused { .. } => "notPaused",
        Refusal::AwaitsApproval { .. } => "awaitsApproval",
        Refusal::AwaitsPromotion { .. } => "awaitsPromotion",
        Refusal::NothingToApprove { .. } => "nothingToApprove",
        Refusal::AtGate { .. } => "atGate",
        Refusal::GateNeedsReason { .. } => "gateNeedsReason",
        Refusal::Irreversible { .. } => "irreversible",
    }
}

fn outcome(before: &State, input: Input, plan: Option<&Plan>, now: Duration) -> String {
    match before.clone().apply(input, plan, now) {
        Ok((after, effects)) if after == *before && effects.is_empty() => "stays".to_owned(),
        Ok((after, effects)) => {
            let effects: Vec<_> = effects.iter().map(effect).collect();
            format!("{} | {}", show(&after, now), effects.join("; ")).trim_end_matches([' ', '|']).to_owned()
        }
        Err((after, why)) => {
            assert_eq!(after, *before, "a refusal changes nothing");
            format!("refused {}", refusal(&why))
        }
    }
}

/// The block that holds for every release under way, and the one for those that are or are not irreversible.
fn groups((state, plan, _): &Kind) -> &'static [&'static str] {
    let irreversible = plan.as_ref().is_some_and(|plan| plan.irreversible.is_some());
    match (state.run(), irreversible) {
        (None, _) => &[],
        (Some(run), false) if run.holds.gate.is_some() => &["any open", "any open, reversible"],
        (Some(_), false) => &["any open", "any open, reversible", "any open, at no gate"],
        (Some(_), true) => &["any open", "any open, irreversible", "any open, at no gate"],
    }
}

type Table = BTreeMap<(String, String), String>;

/// The table by block and input; no pair twice.
fn table() -> Table {
    let mut rows = Table::new();
    let mut block = "";
    for line in include_str!("transitions.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some((inputs, outcome)) = line.trim_start().split_once(" -> ") else {
            let (name, is) = line.split_once(" = ").unwrap_or((line, ""));
            block = name;
            if !is.is_empty() {
                rows.insert((block.to_owned(), "=".to_owned()), is.to_owned());
            }
            continue;
        };
        for input in inputs.split_whitespace() {
            let row = (block.to_owned(), input.to_owned());
            assert!(rows.insert(row, outcome.to_owned()).is_none(), "{block}, {input}: there twice");
        }
    }
    rows
}

/// Exactly one row says what this input makes of this state, and it is so.
fn check(rows: &Table, used: &mut BTreeSet<(String, String)>, (name, kind): &(String, Kind), input: (&str, Input)) {
    let (input_name, input) = input;
    let blocks = std::iter::once(name.as_str()).chain(groups(kind).iter().copied());
    let keys = blocks.map(|block| (block.to_owned(), input_name.to_owned()));
    let keys: Vec<_> = keys.filter(|key| rows.contains_key(key)).collect();
    let (state, plan, now) = kind;
    let is = outcome(state, input, plan.as_ref(), *now);
    assert_eq!(keys.len(), 1, "{name}, {input_name}: one row must say it, not {keys:?}; it is\n{is}");
    assert_eq!(is, rows[&keys[0]], "{name}, {input_name}");
    used.extend(keys);
}

#[test]
fn every_state_takes_every_input_as_the_table_says() {
    let (rows, mut used) = (table(), BTreeSet::new());
    for kind in kinds() {
        let (name, (state, _, now)) = &kind;
        let row = (name.clone(), "=".to_owned());
        assert_eq!(rows.get(&row), Some(&show(state, *now)), "{name}");
        used.insert(row);
        for input in inputs() {
            check(&rows, &mut used, &kind, input);
        }
    }
    let idle: Vec<_> = rows.keys().filter(|row| !used.contains(row)).collect();
    assert!(idle.is_empty(), "of no state or no input: {idle:?}");
}

/// The refusal of `input` in the kind of state, as an operator reads it.
fn check_refusal(kind: &str, input: &str, text: &str) {
    let (_, (state, plan, now)) = kinds().into_iter().find(|(name, _)| name == kind).expect("a kind");
    let (_, input) = inputs().into_iter().find(|(name, _)| *name == input).expect("an input");
    let (_, refusal) = state.apply(input, plan.as_ref(), now).expect_err("refused");
    assert_eq!(refusal.to_string(), text, "{kind}");
}

#[test]
fn a_refusal_says_why_and_what_to_do_instead() {
    check_refusal(
        "rolledBack",
        "weight=5",
        "epoch 3 was rolled back (green is bad), so green gets no traffic in it; start a new release with POST \
         /v1/release",
    );
    check_refusal(
        "step 1",
        "start",
        "release 3 is open at weight 20 %; roll it back, promote it or set its weight instead",
    );
    check_refusal("idle", "pause", "no release is open; start one with POST /v1/release");
    check_refusal(
        "manual, frozen",
        "weight=60",
        "the weight is frozen at 50 % and cannot be raised to 60 %: both are bad; it can be lowered, or rolled back",
    );
    check_refusal(
        "manual, frozen",
        "promote",
        "release 3 is frozen and goes on by itself when the cause has passed: both are bad",
    );
    check_refusal("step 1", "resume", "release 3 is not paused");
    check_refusal("step 2 asked", "resume", "release 3 waits for an approval; give it with POST /v1/release/approve");
    check_refusal(
        "step 2 over, awaits promotion",
        "resume",
        "release 3 is through its plan and stays at 50 %, because of `green.maxWeight`; when green can carry everything, go on \
         with POST /v1/release/promote",
    );
    check_refusal("step 1", "approve", "release 3 has no step that waits for an approval");
    check_refusal(
        "step 1 over, convicted",
        "withdraw",
        "release 3 is irreversible (migration); to roll it back all the same, say so with `\"irreversible\": true`, or --irreversible",
    );
}
