//! What is to be done goes on: after failures, after a reload, in the process that takes over.

use serde_json::{Value, json};

use super::{BROKEN, DONE, Recorder, header, recorded, roll_back, start, until_ended, with_runbook};
use crate::support::{Proxy, Upstream, folder};

fn results(actions: &[Value]) -> Vec<(&str, &str)> {
    actions
        .iter()
        .map(|action| (action["name"].as_str().unwrap_or(""), action["result"].as_str().unwrap_or("")))
        .collect()
}

#[test]
fn one_action_waits_for_another_only_where_it_says_so() {
    let refusal = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let (blue, data) = (Upstream::ok(), folder());
    let (refusing, taking) = (Recorder::answering(&[refusal, refusal]), Recorder::new());
    let (no, yes) = (refusing.url(), taking.url());
    let runbook = format!(
        "  rolledBack:\n  - {{ name: no-matter, http: {{ url: \"{no}\", json: {{}} }} }}\n  \
         - {{ name: goes-on, http: {{ url: \"{yes}\", json: {{}} }} }}\n  \
         - {{ name: stops, onFailure: stop, http: {{ url: \"{no}\", json: {{}} }} }}\n  \
         - {{ name: left-out, http: {{ url: \"{yes}\", json: {{}} }} }}\n"
    );
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    roll_back(&proxy);
    let actions = until_ended(&proxy, 4);
    let expected = [("no-matter", "failed"), ("goes-on", "done"), ("stops", "failed"), ("left-out", "skipped")];
    assert_eq!(results(&actions), expected);
    assert_eq!(actions[3]["sentence"], "`stops` has failed before it");
}

#[test]
fn a_condition_over_the_facts_decides_whether_an_action_is_wanted() {
    let (blue, receiver, data) = (Upstream::ok(), Recorder::new(), folder());
    let url = receiver.url();
    let runbook = format!(
        "  rolledBack:\n  - {{ name: by-people, when: \"trigger == 'operator'\", http: {{ url: \"{url}/a\", json: {{}} }} }}\n  \
         - {{ name: by-gate, when: \"actor == 'gate'\", http: {{ url: \"{url}/b\", json: {{}} }} }}\n"
    );
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    roll_back(&proxy);
    assert_eq!(results(&until_ended(&proxy, 2)), [("by-people", "done"), ("by-gate", "skipped")]);
    assert_eq!(receiver.count(), 1);
}

#[test]
fn updates_come_until_what_they_are_about_has_ended() {
    let (blue, receiver, data) = (Upstream::ok(), Recorder::new(), folder());
    let runbook = format!(
        "  paused:\n  - name: update\n    every: 1s\n    http: {{ url: \"{}\", body: \"{{{{ occurrence }}}}\" }}\n",
        receiver.url()
    );
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    start(&proxy);
    assert_eq!(proxy.post("/v1/release/pause", &json!({ "reason": "a look" })).status, 200);
    let said: Vec<String> =
        receiver.until(3).iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect();
    assert_eq!(&said[..3], ["0", "1", "2"]);
    assert_eq!(proxy.post("/v1/release/resume", &json!({})).status, 200);
    let status = proxy.until(|status| status["actions"]["pending"].as_array().is_some_and(Vec::is_empty));
    assert_eq!(status["state"], "stepping", "{status:#}");
    let actions = recorded(&proxy);
    let keys: std::collections::BTreeSet<&str> = actions.iter().filter_map(|action| action["key"].as_str()).collect();
    assert_eq!(keys.len(), actions.len(), "each has a key of its own");
    let done = actions.iter().filter(|action| action["result"] == "done").count();
    assert_eq!((receiver.count(), actions.iter().all(|action| action["result"] != "pending")), (done, true));
}

#[test]
fn row_86_what_failed_is_done_after_a_restart_and_what_was_done_is_not_done_again() {
    let (blue, data) = (Upstream::ok(), folder());
    let (taking, failing) = (Recorder::new(), Recorder::answering(&[BROKEN; 2]));
    let runbook = format!(
        "  rolledBack:\n  - {{ name: first, http: {{ url: \"{}\", json: {{}} }} }}\n  \
         - {{ name: second, http: {{ url: \"{}\", json: {{}} }} }}\n",
        taking.url(),
        failing.url()
    );
    let text = with_runbook(&blue, &runbook);
    let mut proxy = Proxy::start_in(data.path(), &text);
    roll_back(&proxy);
    until_ended(&proxy, 1);
    failing.until(1);
    proxy.crash();
    let proxy = Proxy::start_in(data.path(), &text);
    assert_eq!(results(&until_ended(&proxy, 2)), [("first", "done"), ("second", "done")]);
    assert_eq!(taking.count(), 1);
    let keys: Vec<_> = failing.until(2).iter().map(|request| header(request, "idempotency-key")).collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn the_process_that_takes_over_goes_on_with_what_is_to_be_done_once() {
    let (blue, data) = (Upstream::ok(), folder());
    let again = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n";
    let receiver = Recorder::answering(&[again, DONE]);
    let runbook = format!("  rolledBack:\n  - http: {{ url: \"{}\", json: {{}} }}\n", receiver.url());
    let text = with_runbook(&blue, &runbook);
    let mut before = Proxy::start_in(data.path(), &text);
    roll_back(&before);
    receiver.until(1);
    before.until(|status| status["actions"]["pending"][0]["attempts"] == 1);
    let after = Proxy::take_over(data.path(), &text);
    assert!(before.wait_exit().success());
    let actions = until_ended(&after, 1);
    assert_eq!((&actions[0]["result"], &actions[0]["attempts"]), (&json!("done"), &json!(2)));
    assert_eq!(receiver.count(), 2);
}

#[test]
fn without_a_journal_what_is_to_be_done_is_kept_in_memory() {
    let (blue, receiver) = (Upstream::ok(), Recorder::answering(&[BROKEN]));
    let runbook = format!("  rolledBack:\n  - http: {{ url: \"{}\", json: {{}} }}\n", receiver.url());
    let proxy = Proxy::start(&with_runbook(&blue, &runbook));
    roll_back(&proxy);
    receiver.until(2);
    proxy.until_metric("portcullis_action_total", &["action=\"http\"", "result=\"done\""], 1.0);
}

#[test]
fn a_reload_brings_other_actions_and_what_it_takes_away_is_told() {
    let again = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n";
    let (blue, receiver, data) = (Upstream::ok(), Recorder::answering(&[again]), folder());
    let runbook = |name: &str| {
        format!("  rolledBack:\n  - {{ name: {name}, http: {{ url: \"{}/{name}\", json: {{}} }} }}\n", receiver.url())
    };
    let text = with_runbook(&blue, &runbook("old"));
    let proxy = Proxy::start_in(data.path(), &text);
    roll_back(&proxy);
    // A configuration without it would end it with the first answer.
    proxy.until(|status| status["actions"]["pending"][0]["attempts"] == 1);
    std::fs::write(proxy.file(), text.replace("old", "new")).expect("a file");
    let answer = proxy.post("/v1/config/reload", &json!({}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let action = &until_ended(&proxy, 1)[0];
    assert_eq!((&action["name"], &action["result"]), (&json!("old"), &json!("failed")));
    assert_eq!(action["sentence"], "the configuration has no such action any more");
    roll_back(&proxy);
    assert_eq!(receiver.until(2)[1].target, "/new");
}
