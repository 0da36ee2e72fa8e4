//! Every kind of state with every input, against `transitions.txt`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::*;
use crate::release::input::{GATE, Held, Judged};
use crate::release::run::Consent;
use crate::release::{
    Acknowledged, Answer, Answered, Approval, Deadline, Gates, Holds, Moment, OnLowTraffic, Otherwise, Question, Step,
};

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

/// A state, the plan it is under, and what time it is.
type Kind = (State, Option<Plan>, Duration);

/// Every kind of state, by the name of its block in the table.
fn kinds() -> Vec<(String, Kind)> {
    let epoch = Epoch::from(3);
    let waits = || Some(plan(OnLowTraffic::Wait, None));
    let closed = |state: State| (state, waits(), MINUTE);
    let mut kinds = vec![
        ("idle".to_owned(), closed(State::Idle { epoch })),
        ("completed".to_owned(), closed(State::Completed { epoch })),
        (
            "completed, irreversible".to_owned(),
            (State::Completed { epoch }, Some(plan(OnLowTraffic::Wait, Some("migration"))), MINUTE),
        ),
        ("rolledBack".to_owned(), closed(State::RolledBack { epoch, cause: bad() })),
    ];
    let step = |index, consent| Stage::Step { index, consent };
    let open = [
        ("manual", Stage::Manual, 50.0, 1),
        ("delay", Stage::Delay, 0.0, 0),
        ("delay over", Stage::Delay, 0.0, 1),
        ("step 1", step(0, Consent::NotNeeded), 20.0, 4),
        ("step 1 over", step(0, Consent::NotNeeded), 20.0, 5),
        ("step 1 late", step(0, Consent::NotNeeded), 20.0, 30),
        ("step 2", step(1, Consent::Open), 50.0, 9),
        ("step 2 over", step(1, Consent::Open), 50.0, 10),
        ("step 2 asked", step(1, Consent::Asked), 50.0, 10),
        ("step 2 given", step(1, Consent::Given), 50.0, 9),
        ("step 2 given over", step(1, Consent::Given), 50.0, 10),
        ("step 2 given late", step(1, Consent::Given), 50.0, 30),
        ("monitoring", Stage::Monitoring, 100.0, 59),
        ("monitoring over", Stage::Monitoring, 100.0, 60),
    ];
    for (name, stage, weight, minutes) in open {
        let now = MINUTE * minutes;
        let run = || State::Open(Run::restored(epoch, stage, percent(weight), Holds::default(), None, Duration::ZERO));
        let after = |inputs: &[&str], plan: Option<Plan>| {
            let state = inputs.iter().fold(run(), |state, input| take(state, input, plan.as_ref(), now));
            (state, plan, now)
        };
        kinds.push((name.to_owned(), after(&[], waits())));
        for (how, inputs, plan) in variants(name) {
            kinds.push((format!("{name}, {how}"), after(inputs, plan)));
        }
    }
    kinds.extend(awaited());
    kinds.extend(bounded());
    kinds.extend(gated());
    kinds
}

/// Its name, what comes of the approval otherwise, of what irreversible release, for how many minutes it has been waited
/// for, and after which inputs.
type Awaited = (&'static str, Consent, Otherwise, Option<&'static str>, Option<u32>, &'static [&'static str]);

/// The second step after ten minutes, with an approval that is waited for 30 min and has been for so many.
fn awaited() -> Vec<(String, Kind)> {
    let (pauses, rolls_back, now) = (Otherwise::Pause, Otherwise::Rollback, MINUTE * 10);
    let migration = Some("migration");
    let cases: [Awaited; 11] = [
        ("step 2 over, in time", Consent::Open, pauses, None, None, &[]),
        ("step 2 asked, in time", Consent::Asked, pauses, None, Some(29), &[]),
        ("step 2 asked, in time, paused", Consent::Asked, pauses, None, Some(29), &["pause"]),
        ("step 2 asked, in time, frozen", Consent::Asked, pauses, None, Some(29), &["freeze"]),
        ("step 2 over, late", Consent::Open, rolls_back, None, Some(30), &[]),
        ("step 2 asked, late", Consent::Asked, rolls_back, None, Some(30), &[]),
        ("step 2 asked, late, probing", Consent::Asked, rolls_back, None, Some(30), &["probe"]),
        ("step 2 asked, late, irreversible", Consent::Asked, rolls_back, migration, Some(30), &[]),
        ("step 2 asked, unapproved, irreversible", Consent::Asked, rolls_back, migration, Some(30), &["wait"]),
        ("step 2 asked, late, pauses", Consent::Asked, pauses, None, Some(30), &[]),
        ("step 2 asked, unapproved", Consent::Asked, pauses, None, Some(30), &["wait"]),
    ];
    let kind = |(name, consent, otherwise, irreversible, waited, inputs): Awaited| {
        let mut plan = plan(OnLowTraffic::Wait, irreversible);
        plan.steps[1].approval = Approval::Within(Deadline { within: MINUTE * 30, otherwise });
        let (stage, before) = (Stage::Step { index: 1, consent }, waited.map(|minutes| MINUTE * minutes - now));
        let run = Run::restored(Epoch::from(3), stage, percent(50.0), Holds::default(), before, Duration::ZERO);
        let state = inputs.iter().fold(State::Open(run), |state, input| take(state, input, Some(&plan), now));
        (name.to_owned(), (state, Some(plan), now))
    };
    cases.into_iter().map(kind).collect()
}

/// The second step without an approval, of a green that may have no more than its weight.
fn bounded() -> [(String, Kind); 2] {
    let mut plan = plan(OnLowTraffic::Wait, None);
    plan.steps[1].approval = Approval::Automatic;
    plan.max_weight = percent(50.0);
    let (stage, now) = (Stage::Step { index: 1, consent: Consent::NotNeeded }, MINUTE * 10);
    let run = Run::restored(Epoch::from(3), stage, percent(50.0), Holds::default(), None, Duration::ZERO);
    let over = State::Open(run);
    let awaits = take(over.clone(), "pass", Some(&plan), now);
    [("step 2 over, bounded", over), ("step 2 over, awaits promotion", awaits)]
        .map(|(name, state)| (name.to_owned(), (state, Some(plan.clone()), now)))
}

/// To what is asked when the first step is over.
fn answered(answer: Answer) -> Input {
    let question = Question { epoch: Epoch::from(3), moment: Moment::BeforeStep, at: MINUTE * 5 };
    Input::Answered(Answered { question, answer })
}

/// The first step when it is over, with a gate before the second that is answered within a minute.
fn gated() -> [(String, Kind); 6] {
    let plan =
        Plan { gates: Gates { before_step: Some(MINUTE), ..Gates::default() }, ..plan(OnLowTraffic::Wait, None) };
    let (stage, over) = (Stage::Step { index: 0, consent: Consent::NotNeeded }, MINUTE * 5);
    let run = Run::restored(Epoch::from(3), stage, percent(20.0), Holds::default(), None, Duration::ZERO);
    let asked = take(State::Open(run), "pass", Some(&plan), over);
    let after = |inputs: &[&str], now| {
        let state = inputs.iter().fold(asked.clone(), |state, input| take(state, input, Some(&plan), over));
        (state, Some(plan.clone()), now)
    };
    [
        ("asked", after(&[], over)),
        ("asked, late", after(&[], MINUTE * 6)),
        ("asked, frozen", after(&["freeze"], over)),
        ("waits, over", after(&["answer=wait"], MINUTE * 6)),
        ("refused", after(&["answer=refuse"], over)),
        ("passed", after(&["answer=pass"], over)),
    ]
    .map(|(how, kind)| (format!("step 1 over, {how}"), kind))
}

/// What else is tried with this stage: after which inputs, under which plan.
fn variants(stage: &str) -> Vec<(&'static str, &'static [&'static str], Option<Plan>)> {
    let waits = || Some(plan(OnLowTraffic::Wait, None));
    let under = |on_low_traffic, irreversible| Some(plan(on_low_traffic, irreversible));
    let (wait, pass, roll_back) = (OnLowTraffic::Wait, OnLowTraffic::Pass, OnLowTraffic::Rollback);
    let migration = Some("migration");
    match stage {
        "manual" => vec![
            ("held", &["hold"], waits()),
            ("probing", &["probe"], waits()),
            ("frozen", &["freeze"], waits()),
            ("no plan", &[], None),
        ],
        "delay over" => vec![("paused", &["pause"], waits()), ("frozen", &["freeze"], waits())],
        "step 1 over" => vec![
            ("paused", &["pause"], waits()),
            ("held", &["hold"], waits()),
            ("probing", &["probe"], waits()),
            ("frozen", &["freeze"], waits()),
            ("frozen and probing", &["freeze", "probe"], waits()),
            ("irreversible", &[], under(wait, migration)),
            ("convicted", &["rollBack"], under(wait, migration)),
            ("low traffic passes", &[], under(pass, None)),
            ("low traffic rolls back", &[], under(roll_back, None)),
            ("low traffic convicts", &[], under(roll_back, migration)),
        ],
        "step 1 late" => vec![("irreversible", &[], under(wait, migration))],
        "step 2 over" => vec![("low traffic rolls back", &[], under(roll_back, None))],
        "step 2 asked" => vec![("paused", &["pause"], waits()), ("frozen", &["freeze"], waits())],
        "monitoring over" => vec![
            ("probing", &["probe"], waits()),
            ("frozen", &["freeze"], waits()),
            ("convicted", &["rollBack"], under(wait, migration)),
            ("low traffic passes", &[], under(pass, None)),
            ("low traffic rolls back", &[], under(roll_back, None)),
            ("no plan", &[], None),
        ],
        _ => vec![],
    }
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
