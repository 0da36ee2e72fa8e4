//! What the runbooks of deploy/policies do about a release, each line of theirs, on the real proxy.

use std::path::Path;
use std::time::Duration;

use portcullis::actions::{Context, Facts, Now, Remembered, deliver};
use portcullis::config::runbook::{After, Kind, Moment};
use serde_json::{Value, json};

use super::play::Play;
use super::services::{Call, Services};
use crate::support::{Backend, Load, Proxy, eventually, folder};

/// A proxy under one of the files, with a release that has started.
struct Field {
    services: Services,
    proxy: Proxy,
    _blue: Backend,
    green: Backend,
    _data: tempfile::TempDir,
}

const FILES: [&str; 5] = [
    "sustained-thresholds.yaml",
    "relative-latency.yaml",
    "monitoring-window.yaml",
    "unresolved-errors.yaml",
    "investigate-first.yaml",
];

const RELEASE: &str = "v1.2.0-1";
const WHY: &str = "the cart is <empty> & *nobody* can pay";

impl Field {
    fn of(file: &str) -> Field {
        Field::with(file, |text| text)
    }

    /// As [`Field::of`], with the file's text changed.
    fn with(file: &str, change: impl FnOnce(String) -> String) -> Field {
        let services = Services::start();
        let (blue, green) = (Backend::answering(200), Backend::answering(200));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policies").join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let text = services.in_place(&change(text));
        let text = text.replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:9090", "127.0.0.1:0");
        let text = text.replace("127.0.0.1:9001", &blue.address.to_string());
        let text = text.replace("127.0.0.1:9002", &green.address.to_string());
        let data = folder();
        let environment = services.environment();
        let program: Vec<&str> = ["env"].into_iter().chain(environment.iter().map(String::as_str)).collect();
        let proxy = Proxy::start_by(&program, data.path(), &text);
        let field = Field { services, proxy, _blue: blue, green, _data: data };
        field.operate("");
        field
    }

    fn operate(&self, operation: &str) {
        let response = self.proxy.post(&format!("/v1/release{operation}"), &json!({ "reason": WHY }));
        assert_eq!(response.status, 200, "{operation}: {}", response.text());
    }

    /// The message of this channel that says it.
    #[track_caller]
    fn slack(&self, channel: &str, says: &str) -> Call {
        let is_it = |call: &Call| call.body["channel"] == channel && said(&call.body).contains(says);
        self.services.until("POST /slack.com/api/chat.postMessage", is_it)
    }

    #[track_caller]
    fn pager(&self, event: &str, key: &str) -> Call {
        let is_it = |call: &Call| call.body["event_action"] == event && call.body["dedup_key"] == key;
        self.services.until("POST /events.pagerduty.com/v2/enqueue", is_it)
    }

    /// The issue of this label, as it was created.
    #[track_caller]
    fn issue(&self, label: &str) -> Value {
        let is_it = |call: &Call| call.body["fields"]["labels"][0] == label;
        let call = self.services.until("POST /example.atlassian.net/rest/api/3/issue", is_it);
        assert!(call.header("authorization").starts_with("Basic "));
        call.body["fields"].clone()
    }

    /// What the journal has of an action, once it has ended.
    #[track_caller]
    fn action(&self, name: &str) -> Value {
        eventually(name, || {
            let answer = self.proxy.call("GET", &format!("/v1/releases/{RELEASE}"), &Value::Null);
            let release: Value = serde_json::from_slice(&answer.body).expect("JSON");
            let actions = release["actions"].as_array().cloned().unwrap_or_default();
            actions.into_iter().find(|action| action["name"] == name && action["result"] != "pending")
        })
    }
}

/// Everything in a message that people read.
fn said(body: &Value) -> String {
    match body {
        Value::String(text) => format!("{text}\n"),
        Value::Array(values) => values.iter().map(said).collect(),
        Value::Object(entries) => entries.values().map(said).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => String::new(),
    }
}

/// Says all of it.
#[track_caller]
fn says(body: &Value, expected: &[&str]) {
    let said = said(body);
    for expected in expected {
        assert!(said.contains(expected), "{expected:?} in {said}");
    }
}

#[test]
fn sustained_thresholds_tell_undo_check_and_keep_people_informed() {
    let field = Field::of("sustained-thresholds.yaml");
    field.operate("/rollback");
    let announced = field.slack("#incidents", "v1.2.0 was rolled back to v1.1.0");
    says(
        &announced.body,
        &["checkout", "the cart is &lt;empty&gt; &amp; *nobody* can pay", "blue v1.1.0, green v1.2.0"],
    );
    assert_eq!(announced.header("authorization"), "Bearer xoxb-5a1c");
    assert_eq!(announced.body.get("thread_ts"), None);

    let status = field.services.until("POST /api.statuspage.io/v1/pages/PAGE/incidents", |_| true);
    assert_eq!(status.header("authorization"), "OAuth 57a7");
    assert_eq!(status.body["incident"]["status"], "identified");
    says(&status.body, &["The release of v1.2.0 was taken back. checkout is served by v1.1.0 again."]);

    field.services.until_called("kubectl rollout undo deployment/checkout-green --namespace shop");
    assert_eq!(field.action("smoke")["result"], "done");

    let ticket = field.issue("portcullis-checkout-v1.2.0-1");
    assert_eq!((&ticket["project"]["key"], &ticket["issuetype"]["name"]), (&json!("OPS"), &json!("Incident")));
    says(
        &ticket,
        &[
            WHY,
            "Status: mitigated",
            "Decided by: ",
            "Steps taken:",
            "all traffic was sent to v1.1.0",
            "Expected to be well by ",
        ],
    );

    let database = field.action("database");
    assert_eq!(database["result"], "task");
    says(&database, &["4. Undo the migration by its own script"]);
    let page = field.pager("trigger", "checkout/v1.2.0-1/database");
    says(&page.body, &["decide whether the database has to go back", "Take a backup before anything is undone"]);

    let is_update = |call: &Call| said(&call.body).contains("not resolved yet");
    let update = field.services.until("POST /slack.com/api/chat.postMessage", is_update);
    assert!(update.body["thread_ts"].is_string(), "{}", update.body);

    let post_mortem = field.issue("portcullis-checkout-v1.2.0-1-post-mortem");
    says(
        &post_mortem,
        &["Post-mortem: checkout v1.2.0, rolled back at ", WHY, "/browse/OPS-", "Which test would have found it?"],
    );
}

#[test]
fn relative_latency_pages_rolls_the_chart_back_and_has_a_plan_for_an_hour() {
    let field = Field::of("relative-latency.yaml");
    let deployments = "/api.github.com/repos/example/checkout/deployments";
    let made = field.services.until(&format!("POST {deployments}"), |_| true);
    assert_eq!((&made.body["ref"], &made.body["auto_merge"]), (&json!("v1.2.0"), &json!(false)));
    let statuses = format!("POST {deployments}/42/statuses");
    field.services.until(&statuses, |call| call.body["state"] == "in_progress");
    let region = field.services.until("POST /grafana.example.com/api/annotations", |_| true);
    assert_eq!(region.body["tags"], json!(["portcullis", "checkout", "started"]));

    field.operate("/pause");
    let paused = field.pager("trigger", "portcullis/checkout/v1.2.0-1");
    assert_eq!(
        (&paused.body["payload"]["severity"], &paused.body["payload"]["class"]),
        (&json!("warning"), &json!("paused"))
    );
    field
        .services
        .until("POST /hooks.slack.com/x", |call| said(&call.body).contains("the release of v1.2.0 is paused"));

    field.operate("/rollback");
    let is_rollback = |call: &Call| call.body["payload"]["class"] == "rolledBack";
    let page = field.services.until("POST /events.pagerduty.com/v2/enqueue", is_rollback);
    assert_eq!(
        (&page.body["payload"]["severity"], &page.body["dedup_key"]),
        (&json!("error"), &paused.body["dedup_key"])
    );
    says(&page.body, &["checkout: v1.2.0 was rolled back to v1.1.0", WHY]);
    field.services.until_called("helm rollback checkout --namespace shop --wait --timeout 4m");
    field.services.until(&statuses, |call| call.body["state"] == "failure");
    let ended = field.services.until("PATCH /grafana.example.com/api/annotations/5", |_| true);
    assert_eq!(ended.body["tags"], json!(["portcullis", "checkout", "rolledBack"]));

    let hook = "POST /hooks.slack.com/x";
    field.services.until(hook, |call| said(&call.body).contains("checkout: v1.2.0 was rolled back"));
    field.services.until(hook, |call| said(&call.body).contains("still looking at v1.2.0"));
    let mails = field.services.mail.until_mails(2);
    assert!(mails.iter().all(|mail| mail.secured && mail.login.is_some()), "{mails:?}");
    let recipients = |mail: &crate::support::mail::Mail| mail.to.len();
    assert_eq!(mails.iter().map(recipients).max(), Some(2), "{mails:?}");
    assert!(mails.iter().all(|mail| mail.field("Subject").is_some_and(|subject| subject.contains("rolled back"))));
}

#[test]
fn the_monitoring_window_tells_pipelines_and_puts_the_old_containers_back() {
    let field = Field::of("monitoring-window.yaml");
    let events = "POST /events.example.com/cd";
    let of = |kind: &'static str| move |call: &Call| call.header("ce-type") == kind;
    let started = field.services.until(events, of("dev.cdevents.service.deployed.0.3.0"));
    assert_eq!(started.header("authorization"), "Bearer 3v3nt5");
    field.operate("/rollback");
    let event = field.services.until(events, of("dev.cdevents.service.rolledback.0.3.0"));
    assert_eq!(event.body["subject"]["content"]["artifactId"], "pkg:generic/checkout@v1.1.0");
    assert_eq!(event.body["context"]["chainId"], started.body["context"]["chainId"]);

    let card = field.services.until("POST /example.webhook.office.com/x", |_| true);
    says(&card.body, &["checkout: v1.2.0 was rolled back to v1.1.0", r"the cart is \<empty\> & \*nobody\* can pay"]);

    let status = field.services.until("POST /api.statuspage.io/v1/pages/PAGE/incidents", |_| true);
    assert_eq!(status.body["incident"]["status"], "monitoring");

    let revert = field.services.until("POST /pipelines.example.com/hooks/revert", |_| true);
    assert_eq!((&revert.body["data"]["from"], &revert.body["data"]["to"]), (&json!("v1.2.0"), &json!("v1.1.0")));
    assert!(revert.header("webhook-signature").starts_with("v1,"));

    let command = "docker compose --project-directory /srv/checkout up --detach --no-deps --wait green v1.1.0";
    field.services.until_called(command);
}

#[test]
fn unresolved_errors_put_the_configuration_back_and_keep_a_ticket() {
    let field = Field::of("unresolved-errors.yaml");
    field.operate("/rollback");
    field.slack("#checkout", "v1.2.0 was rolled back to v1.1.0");
    let configuration = field.services.until("PUT /config.example.com/v1/services/checkout/active", |_| true);
    assert_eq!(configuration.body, json!({ "version": "v1.1.0", "reason": configuration.body["reason"] }));
    says(&configuration.body, &[WHY]);
    assert_eq!(configuration.header("authorization"), "Bearer c0nf1g");
    let ticket = field.issue("portcullis-checkout-v1.2.0-1");
    says(&ticket, &["checkout: v1.2.0 rolled back by operator", "Expected to be well by ", "Status: mitigated"]);
    assert_eq!(field.action("database")["result"], "task");
    let is_comment = |call: &Call| said(&call.body).contains("not resolved yet");
    let key = field.action("ticket")["remembered"]["key"].as_str().expect("a key").to_owned();
    field.services.until(&format!("POST /example.atlassian.net/rest/api/3/issue/{key}/comment"), is_comment);
}

#[test]
fn investigate_first_calls_a_person_with_a_list_and_informs_until_it_is_decided() {
    let field = Field::of("investigate-first.yaml");
    field.operate("/pause");
    let page = field.pager("trigger", "portcullis/checkout/v1.2.0-1");
    assert_eq!(page.body["payload"]["severity"], "warning");
    let told = field.slack("#incidents", "the release of v1.2.0 is paused");
    says(&told.body, &["waits for a person"]);
    says(&field.action("investigate"), &["3. Decide: `portcullis release resume"]);
    says(&field.issue("portcullis-checkout-v1.2.0-1"), &["checkout: find out why v1.2.0 is paused"]);
    field.slack("#incidents", "not resolved yet");

    field.operate("/rollback");
    let is_critical = |call: &Call| call.body["payload"]["severity"] == "critical";
    field.services.until("POST /events.pagerduty.com/v2/enqueue", is_critical);
    let rolled_back = field.slack("#incidents", "v1.2.0 was rolled back to v1.1.0");
    assert_eq!(rolled_back.body["reply_broadcast"], true);
    field.services.until("POST /pipelines.example.com/hooks/revert", |_| true);
    field.services.until_called("kubectl rollout undo deployment/checkout-green --namespace shop");
    field.issue("portcullis-checkout-v1.2.0-1-post-mortem");
}

#[test]
fn the_flag_goes_off_before_the_rollback_and_green_is_rolled_back_where_that_does_not_help() {
    let change = |text: String| {
        let (long, short) = (
            "window: 1m, sustained: 870s, first: { run: [flagOff], wait: 30s }",
            "window: 10s, sustained: 1s, first: { run: [flagOff], wait: 1s }",
        );
        assert!(text.contains(long), "the trigger of fifteen minutes");
        text.replace(long, short)
    };
    let field = Field::with("unresolved-errors.yaml", change);
    field.green.answer(500);
    let load = Load::start(field.proxy.listen, 2);
    let off = field.services.until("PATCH /flags.example.com/api/flags/new-checkout", |_| true);
    assert_eq!((&off.body["on"], off.header("authorization").as_str()), (&json!(false), "Bearer fl4g5"));
    says(&off.body, &["checkout v1.2.0: "]);
    let status = field.proxy.until(|status| status["state"] == "rolledBack");
    let reason = status["rollback"]["reason"].as_str().expect("a reason");
    // A loaded machine sends few in that second.
    let is_no_help = ["has not helped", "too few to say that it has helped"].iter().any(|why| reason.contains(why));
    assert!(reason.contains("`flagOff` was tried") && is_no_help, "{reason}");
    drop(load);
    let calls = field.services.calls();
    let at = |line: &str| calls.iter().position(|call| call.line == line);
    field.slack("#checkout", "v1.2.0 was rolled back to v1.1.0");
    assert_eq!(
        at("PUT /config.example.com/v1/services/checkout/active").filter(|put| Some(*put) < at(&off.line)),
        None
    );
    assert_eq!(field.action("flagOff")["moment"], "first");
}

/// What an action of a moment would send first, after those of the rollback have been done.
fn sends(file: &str, moment: Moment, name: &str) -> String {
    let play = Play::of(file);
    let facts = |moment| Facts { reason: WHY.to_owned(), ..Facts::sample(moment, "checkout", "v1.1.0", "v1.2.0") };
    let did = |(kind, name, values): (&str, &str, &[(&str, &str)])| Remembered {
        name: name.to_owned(),
        kind: kind.to_owned(),
        moment: Moment::RolledBack,
        result: "done".to_owned(),
        values: values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    let channels =
        ["#incidents", "#checkout"].map(|channel| did(("slack", "announce", &[("channel", channel), ("ts", "1.0")])));
    let ticket = did(("jira", "ticket", &[("key", "OPS-1"), ("label", "portcullis-checkout-v1.2.0-7")]));
    let page = did(("http", "statuspage", &[("incident", "p31zjtct2jer")]));
    let earlier = channels.into_iter().chain([ticket, page]).collect();
    let runbook = play.runbook();
    let context = Context::new(facts(moment), Now { test: false, ..Now::sample() }, earlier, runbook);
    let action = runbook.at(moment).find(|action| action.name == name).unwrap_or_else(|| panic!("{file}: {name}"));
    assert!(action.when.as_ref().is_none_or(|when| context.holds(when).expect("it renders")), "{file}: {name}");
    deliver::preview(&action.kind, &context).unwrap_or_else(|error| panic!("{file}: {name}: {error}"))
}

#[test]
fn what_is_over_is_told_where_it_was_announced() {
    let well = "checkout: v1.1.0 is well after the rollback of v1.2.0";
    let slack =
        ["POST https://slack.com/api/chat.postMessage", "\"thread_ts\": \"1.0\"", "\"reply_broadcast\": true", well];
    let jira = ["GET https://example.atlassian.net/rest/api/3/issue/OPS-1/transitions"];
    let status = ["PATCH https://api.statuspage.io/v1/pages/PAGE/incidents/p31zjtct2jer", "\"status\": \"resolved\""];
    let pager = ["\"event_action\": \"resolve\"", "\"dedup_key\": \"portcullis/checkout/v1.2.0-7\""];
    for (file, name, expected) in [
        ("sustained-thresholds.yaml", "resolved", &slack[..]),
        ("sustained-thresholds.yaml", "statuspageResolved", &status),
        ("sustained-thresholds.yaml", "ticketResolved", &jira),
        ("relative-latency.yaml", "pageResolved", &pager),
        ("relative-latency.yaml", "tellResolved", &[well]),
        ("monitoring-window.yaml", "resolved", &[well]),
        ("monitoring-window.yaml", "eventRecovered", &["ce-type: dev.cdevents.incident.resolved.0.3.0"]),
        ("monitoring-window.yaml", "statuspageResolved", &status),
        ("unresolved-errors.yaml", "resolved", &slack),
        ("unresolved-errors.yaml", "ticketResolved", &jira),
        ("investigate-first.yaml", "pageResolved", &pager),
        ("investigate-first.yaml", "resolved", &slack),
    ] {
        let sent = sends(file, Moment::Recovered, name);
        expected.iter().for_each(|expected| assert!(sent.contains(expected), "{file}: {name}: {expected:?} in {sent}"));
    }
}

#[test]
fn a_rollback_that_did_not_help_is_told_under_every_policy() {
    for (file, name) in [
        ("sustained-thresholds.yaml", "didNotHelp"),
        ("sustained-thresholds.yaml", "tellDidNotHelp"),
        ("relative-latency.yaml", "pageDidNotHelp"),
        ("monitoring-window.yaml", "didNotHelp"),
        ("unresolved-errors.yaml", "didNotHelp"),
        ("investigate-first.yaml", "pageDidNotHelp"),
    ] {
        let sent = sends(file, Moment::NotRecovered, name);
        assert!(sent.contains("the rollback of v1.2.0 did not help, v1.1.0 is bad as well"), "{file}: {name}: {sent}");
    }
}

#[test]
fn the_plan_of_what_is_told_when_is_that_of_the_runbooks() {
    let minute = |minutes: u64| After::Delay(Duration::from_secs(60 * minutes));
    let of =
        |file: &str, name: &str| Play::of(file).runbook().action(name).cloned().unwrap_or_else(|| panic!("{name}"));
    for (name, minutes) in [("tell", 0), ("tell5", 5), ("tell15", 15), ("tell30", 30), ("tell60", 60)] {
        let action = of("relative-latency.yaml", name);
        assert_eq!(action.after, minute(minutes), "{name}");
        assert_eq!(
            action.when.as_ref().map(ToString::to_string),
            (minutes > 0).then(|| "not resolved".to_owned()),
            "{name}"
        );
    }
    for (file, name) in [
        ("sustained-thresholds.yaml", "update"),
        ("unresolved-errors.yaml", "ticketUpdate"),
        ("investigate-first.yaml", "update"),
    ] {
        let action = of(file, name);
        let every = action.every.map(|every| every.interval);
        assert_eq!((action.after, every), (minute(15), Some(Duration::from_secs(900))), "{file}");
    }
    for file in ["sustained-thresholds.yaml", "investigate-first.yaml"] {
        assert_eq!(of(file, "postMortem").after, After::NextDay { seconds: 9 * 3600, offset: 0 }, "{file}");
    }
}

#[test]
fn no_runbook_touches_a_database_by_itself() {
    for file in FILES {
        let play = Play::of(file);
        for action in Moment::ALL.into_iter().flat_map(|moment| play.runbook().at(moment)) {
            let is_of_database = action.name.to_lowercase().contains("database");
            let tells = matches!(action.kind, Kind::Manual(_) | Kind::PagerDuty(_));
            assert!(!is_of_database || tells, "{file}: {} does it", action.name);
        }
    }
    for file in ["sustained-thresholds.yaml", "unresolved-errors.yaml"] {
        let play = Play::of(file);
        let database = play.runbook().action("database").expect("a task");
        assert!(matches!(database.kind, Kind::Manual(_)), "{file}");
    }
}
