//! The plan: steps that rise, and times in which each of them can be reached; and what a release says of its own.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::trigger::plain_name;
use super::{cohorts, gate, not_among, trigger};
use crate::config::quantity::{count, duration, quoted, shown, weight};
use crate::config::raw::{Count, Mapping, Quantity, RawApproval, RawRelease, RawStep, RawTerms, Switch};
use crate::config::report::{Scope, Wrong};
use crate::gate::Policy;
use crate::release::{Approval, Deadline, Gates, OnLowTraffic, Otherwise, Plan, Step, Terms, Weight};

const MOST_STEPS: usize = 100;

/// Fewer than ten are used up before anything is certain, by a green that is no worse than blue.
const BUDGETS: RangeInclusive<i64> = 10..=1_000_000_000;
const LONGEST_REASON: usize = 500;
const TIMES: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(30 * 24 * 3600);
const DEADLINES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600);
const MONITORING: Duration = Duration::from_secs(10 * 60);

/// A step as it is written; none where that was at fault.
struct Written {
    weight: Option<Weight>,
    mirror: Option<Weight>,
    cohort: Option<Arc<str>>,
    bake: Option<Duration>,
    approval: Option<Approval>,
}

/// By what a release asks to go, under the policy that judges it.
pub(in crate::config) fn terms(
    root: &mut Scope<'_, '_>,
    raw: RawTerms,
    policy: &Policy,
    max_weight: Weight,
) -> Option<Terms> {
    let irreversible = root.optional("irreversible", raw.irreversible, None, |text| reason(text).map(Some));
    let Some(raw) = raw.plan else {
        // A plan that was at fault has left a fault.
        return irreversible.map(|reason| reason.map_or(Terms::Configured, Terms::Irreversible));
    };
    let said_by_the_plan = raw.0.irreversible.is_some();
    let mut scope = root.key("plan");
    let plan = plan(&mut scope, raw.0, max_weight);
    if let Some(plan) = &plan {
        refuse_unsuited(&mut scope, plan, policy);
    }
    match irreversible? {
        Some(_) if said_by_the_plan => {
            root.wrong("irreversible", Wrong::new("is said already by `plan.irreversible`", "remove one of them"));
            None
        }
        Some(reason) => plan.map(|plan| Terms::Own(Plan { irreversible: Some(reason), ..plan })),
        None => plan.map(Terms::Own),
    }
}

/// Refuses a plan that this policy could not take through.
fn refuse_unsuited(scope: &mut Scope<'_, '_>, plan: &Plan, policy: &Policy) {
    if plan.mirrors() && !gate::clears_mirrored(policy) {
        scope.wrong_here(Wrong::new(
            "nothing in `gate.mirror` clears green, so it could not take a step",
            gate::A_BOUND,
        ));
    }
    cohorts::refuse_unsuited(scope, plan, policy);
    if !gate::clears_green(policy) {
        let label = format!("in `gate`, {}", gate::A_BOUND);
        scope.wrong_here(Wrong::new("nothing in `gate` clears green, so it could not take a step", label));
    }
    for (name, least) in trigger::slow(policy) {
        if let Some(deadline) = trigger::comes_before(plan, least) {
            let message = format!("{} comes before the trigger `{name}` can fire", quoted(&shown(deadline)));
            let label = format!("write more than {}, which that takes at least", shown(least));
            scope.wrong("progressDeadline", Wrong::new(message, label));
        }
    }
}

/// A plan for a green that may have so much at most.
pub(in crate::config) fn plan(scope: &mut Scope<'_, '_>, raw: RawRelease, max_weight: Weight) -> Option<Plan> {
    let on_low_traffic = scope.optional("onLowTraffic", raw.on_low_traffic, OnLowTraffic::Wait, on_low_traffic);
    let initial_delay = scope.optional("initialDelay", raw.initial_delay, Duration::ZERO, duration(TIMES));
    let irreversible = scope.optional("irreversible", raw.irreversible, None, |text| reason(text).map(Some));
    let budget = budget(scope, raw.budget);
    let written = match raw.steps {
        Some(raw) => steps(scope, raw, on_low_traffic, max_weight),
        None if budget != Some(None) => Some(Vec::new()),
        None => scope.missing("steps"),
    };
    if budget.is_some_and(|budget| budget.is_some()) && written.iter().flatten().any(|step| step.mirror.is_none()) {
        let label = "remove one of them: a budget finds the weights by itself";
        scope.misplaced("budget", Wrong::new("a second key beside `steps` that send users to green", label));
    }
    let progress_deadline =
        scope.optional("progressDeadline", raw.progress_deadline, None, |raw| duration(DEADLINES)(raw).map(Some));
    let last = written.as_ref().and_then(|steps| steps.last()).filter(|step| step.weight == Some(Weight::FULL));
    let monitoring = monitoring(scope, raw.monitoring, last.and_then(|step| step.bake));
    let mut written = written?;
    written.retain(|step| step.weight != Some(Weight::FULL));
    if let (Some(Some(deadline)), Some(initial_delay)) = (progress_deadline, initial_delay) {
        let bakes = written.iter().filter_map(|step| step.bake);
        let longest = bakes.fold(initial_delay, Duration::max);
        if deadline <= longest {
            let message = format!("{} ends every release in a rollback", quoted(&shown(deadline)));
            let label = format!("write more than the longest wait of the plan, {}", shown(longest));
            scope.wrong("progressDeadline", Wrong::new(message, label));
        }
    }
    let step = |step: Written| {
        let Written { weight, mirror, cohort, bake, approval } = step;
        Some(Step { weight: weight?, mirror, cohort, bake: bake?, approval: approval? })
    };
    Some(Plan {
        steps: written.into_iter().map(step).collect::<Option<_>>()?,
        budget: budget?,
        initial_delay: initial_delay?,
        progress_deadline: progress_deadline?,
        monitoring: monitoring?,
        on_low_traffic: on_low_traffic?,
        irreversible: irreversible?,
        max_weight,
        gates: Gates::default(),
    })
}

/// Of harmed requests, in place of steps that send users to green.
#[expect(clippy::option_option, reason = "none of the inner ones is a plan without a budget")]
fn budget(scope: &mut Scope<'_, '_>, raw: Option<Count>) -> Option<Option<NonZeroU32>> {
    let budget = scope.optional("budget", raw, None, |raw| count(BUDGETS)(raw).map(Some))?;
    let number = |budget: u64| u32::try_from(budget).ok().and_then(NonZeroU32::new);
    Some(budget.map(|budget| number(budget).expect("the range lies within")))
}

fn steps(
    scope: &mut Scope<'_, '_>,
    raw: Vec<Option<Mapping<RawStep>>>,
    on_low_traffic: Option<OnLowTraffic>,
    max_weight: Weight,
) -> Option<Vec<Written>> {
    if raw.is_empty() {
        scope.wrong("steps", Wrong::new("is empty", "write a step, like `{ weight: 10%, bake: 10m }`"));
        return None;
    }
    super::too_many(scope, "steps", raw.len(), MOST_STEPS)?;
    let mut list = scope.key("steps");
    let (mut before, mut mirrored) = (Weight::ZERO, Weight::ZERO);
    let last = raw.len() - 1;
    let mut cohorts: Vec<Arc<str>> = Vec::new();
    let mut steps = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let Some(raw) = raw else { continue };
        let mut scope = list.index(index);
        let step = step(&mut scope, raw.0, on_low_traffic);
        if let Some(share) = step.mirror {
            let users = match (before, cohorts.is_empty()) {
                (Weight::ZERO, true) => None,
                (Weight::ZERO, false) => Some("cohort"),
                (_, _) => Some("weight"),
            };
            refuse_mirror(&mut scope, share, users, mirrored);
            mirrored = mirrored.max(share);
            steps.push(step);
            continue;
        }
        if let Some(cohort) = &step.cohort {
            refuse_cohort(&mut scope, cohort, before, &cohorts);
            cohorts.push(Arc::clone(cohort));
            steps.push(step);
            continue;
        }
        match step.weight {
            Some(Weight::ZERO) if index == 0 => {
                let label = "the first step is above 0%; for a time at 0% write `initialDelay`";
                scope.wrong("weight", Wrong::new("`0%` gives green no traffic", label));
            }
            Some(weight) if weight <= before => {
                let message = format!("`{}` does not rise", percent(weight));
                scope.wrong("weight", Wrong::new(message, format!("the step before has `{}`", percent(before))));
            }
            Some(_) | None => {}
        }
        if !max_weight.is_full() {
            refuse_beyond(&mut scope, &step, max_weight, index == last);
        }
        before = step.weight.unwrap_or(before).max(before);
        steps.push(step);
    }
    Some(steps)
}

/// Copies come before users, and ever more of them.
fn refuse_mirror(scope: &mut Scope<'_, '_>, share: Weight, users: Option<&str>, mirrored: Weight) {
    if let Some(key) = users {
        let message = "comes after a step that sends users to green";
        scope.misplaced("mirror", Wrong::new(message, format!("write it before the first `{key}`")));
    } else if share == Weight::ZERO {
        scope.wrong("mirror", Wrong::new("`0%` copies nothing", "for a time at 0% write `initialDelay`"));
    } else if share <= mirrored {
        let message = format!("`{}` does not rise", percent(share));
        scope.wrong("mirror", Wrong::new(message, format!("a step before has `{}`", percent(mirrored))));
    }
}

/// Refuses what green may not have by itself, and an approval of that.
fn refuse_beyond(scope: &mut Scope<'_, '_>, step: &Written, max_weight: Weight, is_last: bool) {
    let most = percent(max_weight);
    match step.weight {
        Some(Weight::FULL) => {
            let label = "remove the step, an operator promotes green to 100%; the time there is `monitoring`";
            scope.wrong("weight", Wrong::new(format!("`100%` is above `green.maxWeight`, `{most}`"), label));
        }
        Some(weight) if weight > max_weight => {
            let message = format!("`{}` is above `green.maxWeight`, `{most}`", percent(weight));
            scope.wrong("weight", Wrong::new(message, format!("write at most `{most}`")));
        }
        _ if is_last && matches!(step.approval, Some(Approval::Operator | Approval::Within(_))) => {
            let label = format!("green gets more than `{most}` by `release promote` alone, which is the approval");
            scope.wrong("approval", Wrong::new("means nothing at the last step below `green.maxWeight`", label));
        }
        Some(_) | None => {}
    }
}

/// A cohort comes before everybody else, and stays.
fn refuse_cohort(scope: &mut Scope<'_, '_>, cohort: &str, before: Weight, cohorts: &[Arc<str>]) {
    if before > Weight::ZERO {
        let message = "comes after a step that sends anybody to green";
        scope.misplaced("cohort", Wrong::new(message, "write it before the first `weight`"));
    } else if cohorts.iter().any(|known| **known == *cohort) {
        let message = format!("{} is on green already, by a step before", quoted(cohort));
        scope.wrong("cohort", Wrong::new(message, "remove the step, or name another"));
    }
}

fn step(scope: &mut Scope<'_, '_>, raw: RawStep, on_low_traffic: Option<OnLowTraffic>) -> Written {
    let (weight, mirror, cohort) = who(scope, raw.weight, raw.mirror, raw.cohort);
    let last = weight == Some(Weight::FULL);
    let bake = match raw.bake {
        // The monitoring window has a default.
        None if last => None,
        raw => scope.required("bake", raw, duration(TIMES)),
    };
    let judges_at_once = matches!(on_low_traffic, Some(OnLowTraffic::Pass | OnLowTraffic::Rollback));
    if bake == Some(Duration::ZERO) && judges_at_once && !last {
        let wrong = Wrong::new("leaves no time for a request", "write more, or `onLowTraffic: wait`");
        scope.wrong("bake", wrong);
    }
    let approval = approval(scope, raw.approval);
    if last && matches!(approval, Some(Approval::Operator | Approval::Within(_))) {
        let label = "nothing comes after 100%, write it at the step before";
        scope.wrong("approval", Wrong::new("means nothing at the last step", label));
    }
    Written { weight, mirror, cohort, bake, approval }
}

/// A step sends users to green, or copies, or a cohort alone.
fn who(
    scope: &mut Scope<'_, '_>,
    raw_weight: Option<Quantity>,
    raw_mirror: Option<Quantity>,
    raw_cohort: Option<String>,
) -> (Option<Weight>, Option<Weight>, Option<Arc<str>>) {
    let named = ["weight", "mirror", "cohort"].map(|key| scope.report.is_written(&scope.at.key(key)));
    let second = match named {
        [true, true, _] => ("mirror", "weight", "a step that mirrors is at 0%"),
        [true, _, true] => ("cohort", "weight", "at a cohort's step it alone is on green"),
        [false, true, true] => ("cohort", "mirror", "copies come before anybody is on green"),
        [false, true, false] => {
            let share = scope.required("mirror", raw_mirror, weight);
            return (share.map(|_| Weight::ZERO), share, None);
        }
        [false, false, true] => {
            let cohort = scope.required("cohort", raw_cohort, plain_name("a cohort"));
            return (cohort.as_ref().map(|_| Weight::ZERO), None, cohort.map(Arc::from));
        }
        [_, false, false] => return (scope.required("weight", raw_weight, weight), None, None),
    };
    let (key, first, why) = second;
    let wrong = Wrong::new(format!("a second key beside `{first}`"), format!("remove one of them: {why}"));
    scope.misplaced(key, wrong);
    (None, None, None)
}

fn approval(scope: &mut Scope<'_, '_>, raw: Option<Switch<RawApproval>>) -> Option<Approval> {
    match raw {
        None | Some(Switch::Off) => Some(Approval::Automatic),
        Some(Switch::On) => Some(Approval::Operator),
        Some(Switch::With(raw)) => {
            let mut scope = scope.key("approval");
            let within = scope.required("within", raw.within, duration(DEADLINES));
            let otherwise = scope.required("otherwise", raw.otherwise, otherwise);
            Some(Approval::Within(Deadline { within: within?, otherwise: otherwise? }))
        }
    }
}

/// At 100 % for how long: the bake of that step is the same.
fn monitoring(scope: &mut Scope<'_, '_>, raw: Option<Quantity>, bake: Option<Duration>) -> Option<Duration> {
    if bake.is_some() && scope.report.is_written(&scope.at.key("monitoring")) {
        let wrong = Wrong::new("is said already by the `bake` of the step of 100%", "remove one of them");
        scope.misplaced("monitoring", wrong);
        return None;
    }
    scope.optional("monitoring", raw, bake.unwrap_or(MONITORING), duration(TIMES))
}

fn reason(text: String) -> Result<String, Wrong> {
    if text.trim().is_empty() {
        return Err(Wrong::new("is empty", "say why a rollback would do harm, or remove it"));
    }
    if text.chars().count() > LONGEST_REASON {
        let label = format!("at most {LONGEST_REASON} characters");
        return Err(Wrong::new(format!("{} is too long", quoted(&text)), label));
    }
    if text.chars().any(char::is_control) {
        return Err(Wrong::new(format!("{} has control characters", quoted(&text)), "write one line of text"));
    }
    Ok(text)
}

fn on_low_traffic(text: String) -> Result<OnLowTraffic, Wrong> {
    match text.as_str() {
        "wait" => Ok(OnLowTraffic::Wait),
        "pass" => Ok(OnLowTraffic::Pass),
        "rollback" => Ok(OnLowTraffic::Rollback),
        other => Err(not_among(other, "a way to go on", &["wait", "pass", "rollback"])),
    }
}

fn otherwise(text: String) -> Result<Otherwise, Wrong> {
    let known = [Otherwise::Pause, Otherwise::Rollback];
    let meant = known.into_iter().find(|otherwise| otherwise.name() == text);
    meant.ok_or_else(|| not_among(&text, "what can come without an approval", &known.map(Otherwise::name)))
}

/// As the configuration writes it.
fn percent(weight: Weight) -> String {
    format!("{}%", weight.percent())
}
