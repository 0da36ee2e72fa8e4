//! The policy: its triggers with their names, windows and actions.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::condition::{self, Metric};
use super::not_among;
use super::settings::DAY;
use crate::config::quantity::{count, duration, quoted};
use crate::config::raw::{RawGate, RawTrigger};
use crate::config::report::{Scope, Wrong};
use crate::gate::trigger::{Action, Policy, StreakTrigger, Trigger};

const MOST_TRIGGERS: usize = 64;
/// The longest label value that Kubernetes takes.
const LONGEST_NAME: usize = 63;
/// A rollback by a person stands under this name in the metrics.
const RESERVED_NAME: &str = "operator";

const MINIMUM_REQUESTS: u64 = 50;
const REQUESTS: RangeInclusive<i64> = 1..=1_000_000_000;
const WINDOWS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
const WINDOW: Duration = Duration::from_secs(60);
const STREAK: u16 = 5;

enum Rule {
    Windowed(Trigger),
    Streak(StreakTrigger),
}

/// What triggers take from elsewhere in the file; none where that was at fault.
struct Surroundings {
    minimum_requests: Option<u64>,
    response_head: Option<Duration>,
}

pub(super) fn policy(
    scope: &mut Scope<'_, '_>,
    raw: Option<RawGate>,
    response_head: Option<Duration>,
) -> Option<Policy> {
    let raw = raw.unwrap_or_default();
    let minimum_requests = scope.optional("minimumRequests", raw.minimum_requests, MINIMUM_REQUESTS, count(REQUESTS));
    let Some(raw_triggers) = raw.triggers else {
        let streak = StreakTrigger { name: "dead".to_owned(), at_least: STREAK, action: Action::Rollback };
        return Some(Policy { triggers: Vec::new(), streak: Some(streak) });
    };
    if raw_triggers.is_empty() {
        let wrong = Wrong::new("is empty: there is no active check", "add a trigger")
            .help("without the key there is one trigger, `{ name: dead, metric: failureStreak, atLeast: 5 }`");
        scope.wrong("triggers", wrong);
        return None;
    }
    super::too_many(scope, "triggers", raw_triggers.len(), MOST_TRIGGERS)?;
    let surroundings = Surroundings { minimum_requests, response_head };
    let mut list = scope.key("triggers");
    let mut names: Vec<String> = Vec::new();
    let mut streaks = 0;
    let mut policy = Policy::default();
    for (index, raw) in raw_triggers.into_iter().enumerate() {
        let Some(raw) = raw else { continue };
        let mut scope = list.index(index);
        let (name, metric) = (raw.0.name.clone(), raw.0.metric.clone());
        match rule(&mut scope, raw.0, &surroundings) {
            Some(Rule::Windowed(trigger)) => policy.triggers.push(trigger),
            Some(Rule::Streak(streak)) => policy.streak = Some(streak),
            None => {}
        }
        super::unique(&mut scope, name, &mut names);
        if metric.as_deref() == Some(Metric::FailureStreak.name()) {
            streaks += 1;
            if streaks == 2 {
                scope.wrong("metric", Wrong::new("a second `failureStreak` trigger", "there is one at most"));
            }
        }
    }
    Some(policy)
}

fn rule(scope: &mut Scope<'_, '_>, raw: RawTrigger, surroundings: &Surroundings) -> Option<Rule> {
    let name = scope.required("name", raw.name.clone(), name);
    let metric = scope.required("metric", raw.metric.clone(), condition::metric);
    let action = scope.optional("action", raw.action.clone(), Action::Rollback, action);
    let window = scope.optional("window", raw.window.clone(), WINDOW, duration(WINDOWS));
    let sustained = scope.optional("sustained", raw.sustained.clone(), Duration::ZERO, duration(Duration::ZERO..=DAY));
    let own_minimum = match raw.minimum_requests {
        Some(_) => scope.optional("minimumRequests", raw.minimum_requests, 0, count(REQUESTS)),
        None => surroundings.minimum_requests,
    };
    let metric = metric?;
    condition::refuse_misfits(scope, metric);
    let bound = condition::one_bound(scope, metric);
    if metric == Metric::FailureStreak {
        bound?;
        let at_least = scope.required("atLeast", raw.at_least, count(1..=1000));
        let at_least = u16::try_from(at_least?).expect("the range ends below");
        return Some(Rule::Streak(StreakTrigger { name: name?, at_least, action: action? }));
    }
    let condition = condition::condition(scope, metric, bound, raw, surroundings.response_head);
    Some(Rule::Windowed(Trigger {
        name: name?,
        condition: condition?,
        window: window?,
        sustained: sustained?,
        minimum_requests: own_minimum?,
        action: action?,
    }))
}

/// A name becomes the value of a metric's label.
fn name(text: String) -> Result<String, Wrong> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() || text.len() > LONGEST_NAME || !text.bytes().all(is_plain) {
        let message = format!("{} is not a name for a trigger", quoted(&text));
        let label = format!("use `a` to `z`, `0` to `9` and `-`, 1 to {LONGEST_NAME} of them");
        return Err(Wrong::new(message, label));
    }
    if text == RESERVED_NAME {
        let message = format!("{} is reserved", quoted(&text));
        return Err(Wrong::new(message, "a rollback by a person goes by this name, choose another"));
    }
    Ok(text)
}

fn action(text: String) -> Result<Action, Wrong> {
    match text.as_str() {
        "rollback" => Ok(Action::Rollback),
        "pause" => Ok(Action::Pause),
        "notify" => Ok(Action::Notify),
        other => Err(not_among(other, "an action", &["rollback", "pause", "notify"])),
    }
}
