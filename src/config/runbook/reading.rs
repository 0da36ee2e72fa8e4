//! From the file to actions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::choosing::kind;
use super::kind::change_window::RawChangeWindow;
use super::kind::cloudevents::RawCloudEvents;
use super::kind::email::RawEmail;
use super::kind::exec::RawExec;
use super::kind::github::RawGitHub;
use super::kind::grafana::RawGrafana;
use super::kind::http::RawHttp;
use super::kind::jira::RawJira;
use super::kind::kubernetes::RawKubernetes;
use super::kind::manual::RawManual;
use super::kind::pagerduty::RawPagerDuty;
use super::kind::slack::RawSlack;
use super::kind::smoke::RawSmoke;
use super::kind::teams::RawTeams;
use super::kind::webhook::RawWebhook;
use super::{Action, After, Around, Every, Kind, Moment, OnFailure, Runbook};
use crate::config::quantity::{count, duration, quoted, shown};
use crate::config::raw::{Count, Element, Mapping, Quantity};
use crate::config::report::{Scope, Wrong};
use crate::config::validate::{label, not_among};

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawRunbook {
    started: RawActions,
    paused: RawActions,
    rolled_back: RawActions,
    promoted: RawActions,
    recovered: RawActions,
    not_recovered: RawActions,
    before_start: RawActions,
    before_step: RawActions,
    before_promotion: RawActions,
    first: RawActions,
    allow: Option<Vec<Element<String>>>,
    link: Option<String>,
}

type RawActions = Option<Vec<Element<Mapping<RawAction>>>>;

/// What every action has, and one of the kinds.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawAction {
    name: Option<String>,
    after: Option<Quantity>,
    next_day: Option<String>,
    every: Option<Quantity>,
    at_most: Option<Count>,
    timeout: Option<Quantity>,
    retries: Option<Count>,
    on_failure: Option<String>,
    when: Option<String>,
    pub(super) http: Option<Mapping<RawHttp>>,
    pub(super) webhook: Option<Mapping<RawWebhook>>,
    pub(super) exec: Option<Mapping<RawExec>>,
    pub(super) smoke: Option<Mapping<RawSmoke>>,
    pub(super) manual: Option<Mapping<RawManual>>,
    pub(super) slack: Option<Mapping<RawSlack>>,
    pub(super) teams: Option<Mapping<RawTeams>>,
    pub(super) pagerduty: Option<Mapping<RawPagerDuty>>,
    pub(super) cloudevents: Option<Mapping<RawCloudEvents>>,
    pub(super) jira: Option<Mapping<RawJira>>,
    pub(super) email: Option<Mapping<RawEmail>>,
    pub(super) github: Option<Mapping<RawGitHub>>,
    pub(super) grafana: Option<Mapping<RawGrafana>>,
    pub(super) kubernetes: Option<Mapping<RawKubernetes>>,
    pub(super) change_window: Option<Mapping<RawChangeWindow>>,
}

const MOST_ACTIONS: usize = 32;
const MOST_ALLOWED: usize = 64;
const DAY: Duration = Duration::from_secs(24 * 3600);
const AFTER: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(30 * 24 * 3600);
const EVERY: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=DAY;
/// A day of quarters of an hour.
const EVERY_MOST: u32 = 96;
const TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);
const TIMEOUT: Duration = Duration::from_secs(10);
/// Of a program: `helm rollback` waits for what it rolls back.
const TIMEOUT_OF_EXEC: Duration = Duration::from_secs(300);
/// The last is made after a quarter of an hour.
const RETRIES: u32 = 10;

pub(in crate::config) fn runbook(
    scope: &mut Scope<'_, '_>,
    raw: RawRunbook,
    vault: crate::config::secret::Vault<'_>,
) -> Option<Runbook> {
    let allow = allowed(scope, raw.allow.unwrap_or_default());
    let link = scope.optional("link", raw.link, None, |text| match text.split_once("://") {
        Some(("http" | "https", host)) if !host.is_empty() => Ok(Some(text.trim_end_matches('/').to_owned())),
        _ => {
            Err(Wrong::new(format!("{} is no address", quoted(&text)), "write where people find the API, `https://…`"))
        }
    });
    let written = [
        (Moment::Started, raw.started),
        (Moment::Paused, raw.paused),
        (Moment::RolledBack, raw.rolled_back),
        (Moment::Promoted, raw.promoted),
        (Moment::Recovered, raw.recovered),
        (Moment::NotRecovered, raw.not_recovered),
        (Moment::BeforeStart, raw.before_start),
        (Moment::BeforeStep, raw.before_step),
        (Moment::BeforePromotion, raw.before_promotion),
        (Moment::First, raw.first),
    ];
    let names = names(scope, &written);
    let around = Around { vault, actions: &names.values().cloned().collect() };
    let mut actions = Vec::new();
    let mut is_whole = true;
    for (moment, raw) in written {
        let raw = raw.unwrap_or_default();
        if raw.len() > MOST_ACTIONS {
            let message = format!("has {} elements", raw.len());
            scope.wrong(moment.name(), Wrong::new(message, format!("at most {MOST_ACTIONS} are allowed")));
            is_whole = false;
        }
        let mut scope = scope.key(moment.name());
        for (index, raw) in raw.into_iter().enumerate() {
            let name = names.get(&(moment, index)).cloned();
            let action = raw.and_then(|raw| action(&mut scope.index(index), raw.0, name, moment, &around));
            is_whole &= action.is_some();
            actions.extend(action.map(|action| (moment, Arc::new(action))));
        }
    }
    refuse_waiting_in_vain(scope, &actions);
    let (allow, link) = (allow?, link?);
    is_whole.then(|| Runbook { actions, allow: allow.into(), link })
}

/// The names of all actions: those that are written, and for the others their kind, with a number where that is taken.
fn names(scope: &mut Scope<'_, '_>, written: &[(Moment, RawActions)]) -> BTreeMap<(Moment, usize), String> {
    let each = || {
        written.iter().flat_map(|(moment, raw)| {
            let raw = raw.iter().flatten().enumerate();
            raw.filter_map(|(index, raw)| Some(((*moment, index), &raw.as_ref()?.0)))
        })
    };
    let mut taken = BTreeSet::new();
    let mut names = BTreeMap::new();
    for ((moment, index), raw) in each() {
        let Some(name) = &raw.name else { continue };
        if !taken.insert(name.clone()) {
            let wrong = Wrong::new(format!("{} is an action already", quoted(name)), "choose another name");
            scope.key(moment.name()).index(index).wrong("name", wrong);
        }
        names.insert((moment, index), name.clone());
    }
    for (at, raw) in each().filter(|(_, raw)| raw.name.is_none()) {
        let Some(kind) = raw.kinds().first().copied() else { continue };
        let numbered = (2..).map(|number| format!("{kind}-{number}"));
        let name = [kind.to_owned()].into_iter().chain(numbered).find(|name| !taken.contains(name));
        let name = name.expect("there are more numbers than actions");
        taken.insert(name.clone());
        names.insert(at, name);
    }
    names
}

fn action(
    scope: &mut Scope<'_, '_>,
    raw: RawAction,
    name: Option<String>,
    moment: Moment,
    around: &Around<'_>,
) -> Option<Action> {
    let name = match raw.name {
        Some(_) => scope.required("name", name, label),
        None => name,
    };
    let after = after(scope, raw.after.clone(), raw.next_day.clone());
    let every = every(scope, raw.every.clone(), raw.at_most, moment);
    let (written_timeout, written_retries) = (raw.timeout.clone(), raw.retries);
    // Promise 3: nothing passes for want of an answer, unless that is said.
    let usual = if moment.asks().is_some() { OnFailure::Stop } else { OnFailure::Continue };
    let on_failure = scope.optional("onFailure", raw.on_failure.clone(), usual, |text| match text.as_str() {
        "continue" => Ok(OnFailure::Continue),
        "stop" => Ok(OnFailure::Stop),
        other => Err(not_among(other, "what a failure means", &["continue", "stop"])),
    });
    let when = match &raw.when {
        Some(written) => around.condition(scope, "when", written).map(Some),
        None => (!scope.report.is_spoiled(&scope.at.key("when"))).then_some(None),
    };
    if moment.is_gate() {
        for (key, written) in
            [("after", raw.after.is_some()), ("nextDay", raw.next_day.is_some()), ("every", raw.every.is_some())]
        {
            if written {
                scope.misplaced(
                    key,
                    Wrong::new(format!("means nothing in `{}`", moment.name()), "remove it: it is waited for"),
                );
            }
        }
    }
    let kind = kind(scope, raw, moment, around);
    let (usual, usually) = kind.as_ref().map_or((TIMEOUT, RETRIES), attempts);
    let timeout = scope.optional("timeout", written_timeout, usual, duration(TIMEOUTS));
    let many = |raw| count(0..=100)(raw).map(|many| many as u32);
    let retries = scope.optional("retries", written_retries, usually, many);
    if let (Some(Kind::Smoke(smoke)), Some(timeout)) = (&kind, timeout)
        && timeout <= smoke.lasts()
    {
        let message = format!("ends before the checks do, which last {}", shown(smoke.lasts()));
        scope.wrong("timeout", Wrong::new(message, "write more, or fewer `times`"));
    }
    let (kind, when, name) = (kind?, when?, name?);
    let needs = kind.needs().into_iter().chain(when.iter().flat_map(super::Condition::needs));
    let needs = needs.filter(|needed| *needed != name).collect();
    Some(Action {
        needs,
        name,
        kind,
        after: after?,
        every: every?,
        timeout: timeout?,
        retries: retries?,
        on_failure: on_failure?,
        when,
    })
}

/// The timeout of an attempt and the attempts after the first, unless said.
fn attempts(kind: &Kind) -> (Duration, u32) {
    match kind {
        Kind::Exec(_) => (TIMEOUT_OF_EXEC, 2),
        Kind::Smoke(smoke) => (smoke.lasts() + TIMEOUT, 3),
        _ => (TIMEOUT, RETRIES),
    }
}

fn after(scope: &mut Scope<'_, '_>, after: Option<Quantity>, next_day: Option<String>) -> Option<After> {
    if after.is_some() && next_day.is_some() {
        scope.misplaced("nextDay", Wrong::new("is written beside `after`", "write one of the two"));
    }
    match next_day {
        Some(text) => scope.required("nextDay", Some(text), |text| time_of_day(&text)),
        None => scope.optional("after", after, Duration::ZERO, duration(AFTER)).map(After::Delay),
    }
}

/// `09:00`, by UTC, or `09:00+02:00`.
fn time_of_day(text: &str) -> Result<After, Wrong> {
    let wrong = || {
        let label = "write a time like `\"09:00\"`, by UTC, or `\"09:00+02:00\"`";
        Wrong::new(format!("{} is not a time of the day", quoted(text)), label)
    };
    let (time, offset, sign) = match text.split_once(['+', '-']) {
        Some((time, offset)) => (time, offset, if text.contains('-') { -1 } else { 1 }),
        None => (text, "00:00", 1),
    };
    let minutes = |text: &str, most_hours: u32| {
        let (hours, minutes) = text.trim().split_once(':')?;
        let (hours, minutes) = (hours.parse::<u32>().ok()?, minutes.parse::<u32>().ok()?);
        (hours <= most_hours && minutes < 60).then_some(hours * 60 + minutes)
    };
    let seconds = minutes(time, 23).ok_or_else(wrong)? * 60;
    let offset = minutes(offset, 14).ok_or_else(wrong)? * 60;
    Ok(After::NextDay { seconds, offset: sign * offset.cast_signed() })
}

#[expect(clippy::option_option, reason = "none where it was at fault, and none within for what comes once")]
fn every(
    scope: &mut Scope<'_, '_>,
    every: Option<Quantity>,
    at_most: Option<Count>,
    moment: Moment,
) -> Option<Option<Every>> {
    let is_written = every.is_some();
    if is_written && !moment.lasts() && !moment.is_gate() {
        let message = format!("means nothing in `{}`, which does not last", moment.name());
        scope.misplaced("every", Wrong::new(message, "remove it"));
    }
    if at_most.is_some() && !is_written {
        scope.misplaced("atMost", Wrong::new("means nothing without `every`", "add `every: 15m`, or remove it"));
    }
    let interval = scope.optional("every", every, None, |raw| duration(EVERY)(raw).map(Some));
    let most = scope.optional("atMost", at_most, EVERY_MOST, |raw| count(1..=10_000)(raw).map(|most| most as u32));
    let most = most?;
    Some(interval?.map(|interval| Every { interval, most }))
}

fn allowed(scope: &mut Scope<'_, '_>, raw: Vec<Element<String>>) -> Option<Vec<String>> {
    if raw.len() > MOST_ALLOWED {
        let wrong = Wrong::new(format!("has {} elements", raw.len()), format!("at most {MOST_ALLOWED} are allowed"));
        scope.wrong("allow", wrong);
        return None;
    }
    let mut scope = scope.key("allow");
    let count = raw.len();
    let mut allowed = Vec::new();
    for (index, host) in raw.into_iter().enumerate() {
        let Some(host) = host else { continue };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_host = |host: &str| {
            !host.is_empty()
                && !host.contains(['/', ' ', '*'])
                && (!host.contains(':') || host.parse::<std::net::Ipv6Addr>().is_ok())
        };
        if is_host(bare) {
            allowed.push(bare.to_ascii_lowercase());
        } else {
            let label = "write a host as the URL has it, like `localhost` or `10.0.0.7`";
            scope.wrong_element(index, Wrong::new(format!("{} is not a host", quoted(&host)), label));
        }
    }
    (allowed.len() == count).then_some(allowed)
}

/// Refuses actions that wait for each other.
fn refuse_waiting_in_vain(scope: &mut Scope<'_, '_>, actions: &[(Moment, Arc<Action>)]) {
    for (position, (moment, action)) in actions.iter().enumerate() {
        let of_moment = |(_, (of, _)): &(usize, &(Moment, Arc<Action>))| of == moment;
        let later = actions
            .iter()
            .enumerate()
            .filter(of_moment)
            .find(|(at, (_, other))| *at > position && action.needs.contains(&other.name));
        if let Some((_, (_, later))) = later {
            let index = actions[..position].iter().filter(|(of, _)| of == moment).count();
            let message = format!("names what `{}` answers, which comes after it", later.name);
            scope.key(moment.name()).wrong_element(index, Wrong::new(message, "put it behind that one"));
        }
    }
}
