//! Every kind of state.

use super::*;

/// A state, the plan it is under, and what time it is.
pub(super) type Kind = (State, Option<Plan>, Duration);

/// Every kind of state, by the name of its block in the table.
pub(super) fn kinds() -> Vec<(String, Kind)> {
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
pub(super) fn answered(answer: Answer) -> Input {
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
