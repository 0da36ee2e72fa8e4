//! Each rule for the actions of a runbook.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Weekday;

use super::{LEAST, faults, loaded};
use crate::config::runbook::kind::Smoke;
use crate::config::runbook::{Action, After, Every, Kind, Moment, OnFailure};
use crate::gate::Version;

fn text(moment: Moment, entries: &str) -> String {
    format!("{LEAST}runbook:\n  {}:\n{entries}\n", moment.name())
}

/// What is wrong with one entry, without its place.
fn check(moment: Moment, entry: &str, expected: &[&str]) {
    let own = format!("runbook.{}[0]", moment.name());
    let told: Vec<String> = faults(&text(moment, &format!("  - {{ {entry} }}")))
        .iter()
        .map(|fault| fault.split_once(' ').map_or("", |(_, told)| told).replace(&own, "*"))
        .collect();
    assert_eq!(told, expected, "{entry}");
}

fn actions(moment: Moment, entries: &str) -> Vec<Arc<Action>> {
    loaded(&text(moment, entries)).runbook.at(moment).cloned().collect()
}

fn action(moment: Moment, entry: &str) -> Arc<Action> {
    actions(moment, &format!("  - {{ {entry} }}")).remove(0)
}

const SMOKE: &str = "smoke: { times: 6, interval: 10s, checks: [{ path: / }] }";
const EXEC: &str = "exec: { command: [a] }";
const HTTP: &str = "http: { url: \"https://x\" }";

#[test]
fn an_action_that_names_itself_nothing_else_is_called_by_its_kind_and_a_number() {
    let entries = format!("  - {{ {HTTP} }}\n  - {{ name: http-2, {EXEC} }}\n  - {{ {HTTP} }}\n  - {{ {EXEC} }}");
    let names: Vec<String> = actions(Moment::Paused, &entries).iter().map(|action| action.name.clone()).collect();
    assert_eq!(names, ["http", "http-2", "http-3", "exec"]);
}

#[test]
fn an_attempt_has_as_long_as_its_kind_takes_and_is_made_again_as_often_as_makes_sense() {
    let seconds = Duration::from_secs;
    for (entry, expected) in [
        (HTTP.to_owned(), (seconds(10), 10)),
        (EXEC.to_owned(), (seconds(300), 2)),
        (SMOKE.to_owned(), (seconds(60), 3)),
        (format!("timeout: 1m, retries: 0, {EXEC}"), (seconds(60), 0)),
    ] {
        let action = action(Moment::RolledBack, &entry);
        assert_eq!((action.timeout, action.retries), expected, "{entry}");
    }
    check(
        Moment::RolledBack,
        &format!("timeout: 50s, {SMOKE}"),
        &["*.timeout: ends before the checks do, which last 50s | write more, or fewer `times`"],
    );
    check(Moment::RolledBack, &format!("timeout: 51s, {SMOKE}"), &[]);
}

#[test]
fn promise_3_at_a_gate_a_failure_is_a_refusal_and_green_is_looked_at_unless_something_else_is_said() {
    let read = |moment, entry: &str| {
        let action = action(moment, entry);
        let Kind::Smoke(Smoke { version, .. }) = action.kind else { panic!("{action:?}") };
        (action.on_failure, version)
    };
    for moment in [Moment::BeforeStart, Moment::BeforeStep, Moment::BeforePromotion] {
        assert_eq!(read(moment, SMOKE), (OnFailure::Stop, Version::Green));
    }
    assert_eq!(read(Moment::First, SMOKE), (OnFailure::Continue, Version::Green));
    assert_eq!(read(Moment::RolledBack, SMOKE), (OnFailure::Continue, Version::Blue));
    let blue = SMOKE.replace("times", "version: blue, times");
    assert_eq!(
        read(Moment::BeforeStart, &format!("onFailure: continue, {blue}")),
        (OnFailure::Continue, Version::Blue)
    );
}

#[test]
fn a_gate_is_waited_for_as_long_as_all_attempts_of_all_its_actions_may_take() {
    let gates = |entries: &str| loaded(&text(Moment::BeforeStep, entries)).runbook.gates();
    let one = format!("  - {{ timeout: 1m, retries: 0, {EXEC} }}\n");
    assert_eq!(gates(&one).before_step, Some(Duration::from_secs(60 + 10)));
    assert_eq!((gates(&one).before_start, gates(&one).before_promotion), (None, None));
    // Seven attempts of 10 s each, and 1, 2, 4, 8, 16 and 30 s between them.
    let two = format!("{one}  - {{ timeout: 10s, retries: 6, {HTTP} }}\n");
    assert_eq!(gates(&two).before_step, Some(Duration::from_secs(60 + 70 + 61 + 10)));
}

#[test]
fn what_comes_later_has_a_time_or_a_time_of_the_day() {
    let after = |entry: &str| action(Moment::RolledBack, &format!("{entry}, {EXEC}")).after;
    let next_day = |seconds, offset| After::NextDay { seconds, offset };
    assert_eq!(after("retries: 0"), After::Delay(Duration::ZERO));
    assert_eq!(after("after: 15m"), After::Delay(Duration::from_secs(900)));
    assert_eq!(after("nextDay: \"09:30\""), next_day(34_200, 0));
    assert_eq!(after("nextDay: \"09:30+05:30\""), next_day(34_200, 19_800));
    assert_eq!(after("nextDay: \"09:30-08:00\""), next_day(34_200, -28_800));
    let wrong = "*.nextDay: is written beside `after` | write one of the two";
    check(Moment::RolledBack, &format!("after: 15m, nextDay: \"09:00\", {EXEC}"), &[wrong]);
}

#[test]
fn what_comes_again_comes_a_day_long_every_quarter_of_an_hour_unless_its_number_is_said() {
    let every = |more: &str| action(Moment::Paused, &format!("every: 15m, {more}{EXEC}")).every;
    let interval = Duration::from_secs(900);
    assert_eq!(every(""), Some(Every { interval, most: 96 }));
    assert_eq!(every("atMost: 4, "), Some(Every { interval, most: 4 }));
    let wrong = "*.atMost: means nothing without `every` | add `every: 15m`, or remove it";
    check(Moment::Paused, &format!("atMost: 4, {EXEC}"), &[wrong]);
}

#[test]
fn a_change_window_is_for_gates_and_has_days_of_the_week() {
    use Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
    let days = |written: &str| {
        let action =
            action(Moment::BeforeStart, &format!("changeWindow: {{ {written}from: \"09:00\", to: \"17:00\" }}"));
        let Kind::ChangeWindow(window) = &action.kind else { panic!("{action:?}") };
        window.days.clone()
    };
    assert_eq!(days(""), [Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday]);
    assert_eq!(days("days: [tue, fri-mon], "), [Tuesday, Friday, Saturday, Sunday, Monday]);
    for (moment, entry, wrong) in [
        (
            Moment::Started,
            "from: \"09:00\", to: \"17:00\"",
            "*.changeWindow: means nothing in `started` | write it in `beforeStart`, `beforeStep` or `beforePromotion`",
        ),
        (
            Moment::BeforeStep,
            "days: [], from: \"09:00\", to: \"17:00\"",
            "*.changeWindow.days: is empty | write days, like `[mon-fri]`, or remove it",
        ),
        (
            Moment::BeforeStep,
            "from: \"9:00\", to: \"17:00\"",
            "*.changeWindow.from: `9:00` is not a time of the day | write one like `\"09:00\"`",
        ),
        (
            Moment::BeforeStep,
            "from: \"09:00\", to: \"17:00\", zone: Berlin",
            "*.changeWindow.zone: `Berlin` is not a time zone | write a name like `Europe/Berlin`, or `UTC`",
        ),
    ] {
        check(moment, &format!("changeWindow: {{ {entry} }}"), &[wrong]);
    }
}

#[test]
fn a_request_says_nothing_that_the_proxy_says_of_itself_and_no_password_in_its_address() {
    let method = |more: &str| {
        let action = action(Moment::Started, &format!("http: {{ url: \"https://x\"{more} }}"));
        let Kind::Http(http) = &action.kind else { panic!("{action:?}") };
        http.method.to_string()
    };
    assert_eq!(
        [method(""), method(", json: {}"), method(", body: a"), method(", json: {}, method: put")],
        ["GET", "POST", "POST", "PUT"]
    );
    for name in ["Host", "idempotency-key", "User-Agent"] {
        let wrong = format!("*.http.headers.{name}: `{name}` is written by the proxy itself | leave it out");
        check(Moment::Started, &format!("http: {{ url: \"https://x\", headers: {{ {name}: a }} }}"), &[&wrong]);
    }
    let wrong = "*.http.url: has a user name | write what a server is to know of us into `headers`";
    check(Moment::Started, "http: { url: \"https://ann:hunter2@x/y\" }", &[wrong]);
    check(Moment::Started, "http: { url: \"https://x/@y\" }", &[]);
}

#[test]
fn an_action_waits_for_the_others_whose_answers_its_texts_and_its_condition_name() {
    let own = "when: \"actions.chat.result == 'none' and actions.undo.result == 'done'\", \
               http: { url: \"https://x\", body: \"{{ actions.ticket.key }} {{ actions.chat.key }}\" }";
    let entries = format!("  - {{ name: undo, {EXEC} }}\n  - {{ name: ticket, {HTTP} }}\n  - {{ name: chat, {own} }}");
    let needs = actions(Moment::RolledBack, &entries).remove(2).needs.clone();
    assert_eq!(needs.into_iter().collect::<Vec<_>>(), ["ticket", "undo"]);
}

#[test]
fn what_is_tried_first_is_an_action_of_that_moment() {
    let told = |first: &str, more: &str| {
        let trigger = format!("name: meltdown, metric: errorRate, above: 10%, {more}first: {first}");
        let actions = format!("first: [{{ name: flag-off, {HTTP} }}], rolledBack: [{{ name: undo, {EXEC} }}]");
        let text = format!("{LEAST}gate: {{ triggers: [{{ {trigger} }}] }}\nrunbook: {{ {actions} }}\n");
        let without_place = |fault: &String| fault.split_once(' ').map_or("", |(_, told)| told).to_owned();
        faults(&text).iter().map(without_place).collect::<Vec<_>>()
    };
    assert_eq!(told("{ run: [flag-off], wait: 30s }", ""), [""; 0]);
    for name in ["undo", "flag-of"] {
        let wrong =
            format!("gate.triggers: the trigger `meltdown` tries `{name}`, which is no action of `runbook.first`");
        let expected = format!("{wrong} | write an action of that name there");
        assert_eq!(told(&format!("{{ run: [flag-off, {name}], wait: 30s }}"), ""), [expected]);
    }
    let wrong =
        "gate.triggers[0].first: means nothing at a trigger that does not roll back the whole of green | remove it";
    assert_eq!(told("{ run: [flag-off], wait: 30s }", "action: pause, "), [wrong]);
}

#[test]
fn who_may_be_spoken_to_and_where_people_find_the_api_is_written_as_in_an_address() {
    let runbook =
        loaded(&format!("{LEAST}runbook: {{ allow: [LocalHost, \"[::1]\"], link: \"https://p.example/x//\" }}\n"))
            .runbook;
    assert_eq!(runbook.allow[..], ["localhost", "::1"]);
    assert_eq!(runbook.link.as_deref(), Some("https://p.example/x"));
}

#[test]
fn a_moment_has_at_most_so_many_actions() {
    let many = |count: usize| text(Moment::Started, &format!("  - {{ {EXEC} }}\n").repeat(count));
    assert_eq!(faults(&many(32)), [""; 0]);
    assert_eq!(faults(&many(33)), ["7:5 runbook.started: has 33 elements | at most 32 are allowed"]);
}
