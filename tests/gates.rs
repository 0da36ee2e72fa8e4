//! Gates over sockets: a recording server says whether a release may go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::ToSpan;
use serde_json::{Value, json};

use crate::actions::header;
use crate::support::bench::GATE;
use crate::support::{Bench, Proxy, Upstream};

const PLAN: &str = "{ steps: [{ weight: 50%, bake: 100ms }], monitoring: 10m }";

/// A server that gives these answers, one a request, and the last one from then on.
fn server(answers: &'static [&'static str]) -> (Upstream, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let upstream = Upstream::scripted(move |connection| {
        while connection.request().is_some() {
            let number = count.fetch_add(1, Ordering::SeqCst);
            connection.send(answers[number.min(answers.len() - 1)]);
        }
    });
    (upstream, asked)
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const BAD: &str = "HTTP/1.1 422 Unprocessable\r\ncontent-length: 8\r\n\r\nno green";
const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
const LATER: &str = "HTTP/1.1 202 Accepted\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";

/// A gate that asks this server.
fn gate(moment: &str, server: &Upstream) -> String {
    let url = format!("http://{}/{{{{ moment }}}}/{{{{ release }}}}", server.address);
    format!("runbook: {{ allow: [127.0.0.1], {moment}: [{{ name: look, http: {{ url: \"{url}\" }}, retries: 0 }}] }}\n")
}

fn bench(moment: &str, server: &Upstream) -> Bench {
    Bench::with(&format!("release: {PLAN}\n{GATE}{}", gate(moment, server)))
}

fn stands(status: &Value) -> &str {
    status["gate"]["stands"].as_str().unwrap_or_default()
}

#[test]
fn green_gets_nothing_before_its_start_has_passed_and_goes_on_then() {
    let (server, asked) = server(&[LATER, OK]);
    let bench = bench("beforeStart", &server);
    bench.operate("start");
    let waits = bench.proxy.until(|status| stands(status) == "waits");
    assert_eq!((&waits["state"], &waits["weight"]), (&json!("paused"), &json!(0.0)));
    assert_eq!(waits["gate"]["moment"], "beforeStart");
    assert_eq!(bench.green.count(), 0);
    let answer = bench.proxy.call("PUT", "/v1/weight", &json!({ "weight": 5, "reason": "a test" }));
    assert_eq!(answer.status, 409, "{}", answer.text());
    bench.until_state("promoted");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert!(server.requests()[0].target.starts_with("/beforeStart/"));
    for told in ["started", "gateAsked", "gateWaits", "gatePassed", "stepped", "promoted"] {
        assert_eq!(bench.events.next().kind, told);
    }
}

#[test]
fn a_refusal_pauses_and_an_operator_asks_again_or_goes_past_it() {
    let (server, asked) = server(&[BAD]);
    let bench = bench("beforeStep", &server);
    bench.operate("start");
    let refused = bench.proxy.until(|status| stands(status) == "refused");
    let sentence = refused["pause"].as_str().expect("a sentence").to_owned();
    assert!(sentence.starts_with("`beforeStep` has refused: `look`: the answer was 422 Unprocessable"), "{sentence}");
    assert_eq!(refused["state"], "paused");
    bench.operate("resume");
    bench.proxy.until(|status| stands(status) == "refused" && asked.load(Ordering::SeqCst) == 2);
    assert_eq!(bench.green.count(), 0);
    bench.operate("approve");
    bench.until_state("promoted");
    let overridden = bench.events.until("gateOverridden");
    let sentence = overridden.data["sentence"].as_str().expect("a sentence");
    assert!(sentence.ends_with(": a test"), "{sentence}");
}

#[test]
fn a_server_that_does_not_answer_is_no_pass() {
    let silent = Upstream::silent();
    let url = format!("http://{}/", silent.address);
    let runbook = format!(
        "runbook: {{ allow: [127.0.0.1], beforePromotion: [{{ http: {{ url: \"{url}\" }}, retries: 0, timeout: 100ms }}] }}\n"
    );
    let bench = Bench::with(&format!("release: {PLAN}\n{GATE}{runbook}"));
    bench.operate("start");
    let refused = bench.proxy.until(|status| stands(status) == "refused");
    assert_eq!((&refused["weight"], &refused["gate"]["moment"]), (&json!(50.0), &json!("beforePromotion")));
    assert!(refused["pause"].as_str().expect("a sentence").contains("nothing within 100 ms"));
}

#[test]
fn a_rollback_waits_for_no_gate() {
    let silent = Upstream::silent();
    let bench = bench("beforePromotion", &silent);
    bench.operate("start");
    bench.proxy.until(|status| stands(status) == "asked");
    bench.operate("rollback");
    bench.until_state("rolledBack");
    assert_eq!(bench.proxy.status()["gate"], Value::Null);
}

#[test]
fn a_process_that_starts_anew_asks_anew_and_green_has_nothing_until_then() {
    let (server, asked) = server(&["", OK]);
    let mut bench = bench("beforeStart", &server);
    bench.operate("start");
    server.until("the first question", |seen| (!seen.first()?.requests.is_empty()).then_some(()));
    let text = bench.text.clone();
    bench.crash_and_start(&text);
    bench.until_state("promoted");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn a_process_that_takes_over_in_the_middle_of_a_question_asks_anew_and_green_has_nothing_until_then() {
    let (server, asked) = server(&["", BAD]);
    let mut bench = bench("beforeStart", &server);
    bench.operate("start");
    server.until("the first question", |seen| (!seen.first()?.requests.is_empty()).then_some(()));
    let next = Proxy::take_over(bench.data.path(), &bench.text);
    let mut old = std::mem::replace(&mut bench.proxy, next);
    let refused = bench.proxy.until(|status| stands(status) == "refused");
    assert_eq!((&refused["state"], &refused["weight"]), (&json!("paused"), &json!(0.0)));
    assert_eq!((asked.load(Ordering::SeqCst), bench.green.count()), (2, 0));
    assert_eq!(old.wait_exit().code(), Some(0));
    assert_eq!(stands(&bench.proxy.status()), "refused");
}

#[test]
fn a_program_says_by_75_that_it_does_not_know_yet() {
    let exec = "exec: { command: [\"/bin/sh\", \"-c\", \"echo not yet >&2; exit 75\"] }";
    let runbook = format!("runbook: {{ beforeStart: [{{ {exec} }}] }}\n");
    let bench = Bench::with(&format!("release: {PLAN}\n{GATE}{runbook}"));
    bench.operate("start");
    let waits = bench.proxy.until(|status| stands(status) == "waits");
    assert!(waits["gate"]["sentence"].as_str().expect("a sentence").contains("not yet"), "{waits:#}");
}

#[test]
fn what_people_have_to_do_first_has_refused_until_somebody_goes_past_it() {
    let manual = "manual: { text: \"Look at {{ green }}\", steps: [\"Read its plan\"] }";
    let bench = Bench::with(&format!("release: {PLAN}\n{GATE}runbook: {{ beforeStart: [{{ {manual} }}] }}\n"));
    bench.operate("start");
    let refused = bench.proxy.until(|status| stands(status) == "refused");
    let sentence = refused["pause"].as_str().expect("a sentence");
    let told = "`beforeStart` has refused: `manual` is for people: Look at v2; 1. Read its plan; ";
    assert!(sentence.starts_with(told), "{sentence}");
    assert_eq!(bench.green.count(), 0);
    bench.operate("approve");
    bench.until_state("promoted");
}

#[test]
fn a_check_that_fails_is_made_again_as_often_as_is_said_before_it_has_refused() {
    let (server, asked) = server(&[BROKEN, OK]);
    let bench = Bench::with(&format!(
        "release: {PLAN}\n{GATE}{}",
        gate("beforeStart", &server).replace("retries: 0", "retries: 1")
    ));
    bench.operate("start");
    bench.until_state("promoted");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    for told in ["started", "gateAsked", "gatePassed", "stepped", "promoted"] {
        assert_eq!(bench.events.next().kind, told);
    }
    let keys: Vec<_> = server.requests().iter().map(|request| header(request, "idempotency-key")).collect();
    assert!(keys[0].is_some() && keys[0] == keys[1], "{keys:?}");
}

#[test]
fn a_check_that_may_fail_lets_the_others_decide_and_they_see_what_came_of_it() {
    let (bad, _) = server(&[BAD]);
    let (good, _) = server(&[OK]);
    let runbook = format!(
        "runbook:\n  allow: [127.0.0.1]\n  beforeStart:\n  \
         - {{ name: may, onFailure: continue, retries: 0, http: {{ url: \"http://{}/\" }} }}\n  \
         - {{ name: unwanted, when: \"moment == 'beforePromotion'\", retries: 0, http: {{ url: \"http://{}/\" }} }}\n  \
         - {{ name: must, http: {{ url: \"http://{}/{{{{ actions.may.result }}}}/{{{{ actions.unwanted.result }}}}\" }} }}\n",
        bad.address, bad.address, good.address
    );
    let bench = Bench::with(&format!("release: {PLAN}\n{GATE}{runbook}"));
    bench.operate("start");
    bench.until_state("promoted");
    assert_eq!((good.only_request().target.as_str(), bad.count()), ("/failed/none", 1));
}

#[test]
fn a_server_that_is_busy_says_when_it_is_asked_again_and_has_not_refused() {
    let (server, asked) = server(&[BUSY, OK]);
    let bench = bench("beforeStep", &server);
    bench.operate("start");
    let waits = bench.proxy.until(|status| stands(status) == "waits");
    let sentence = waits["gate"]["sentence"].as_str().expect("a sentence");
    assert!(sentence.starts_with("`beforeStep` asks to wait for 1 s: `look`: the answer was 503"), "{sentence}");
    bench.until_state("promoted");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn promise_3_a_gate_whose_checks_a_reload_has_taken_away_does_not_pass() {
    let (server, asked) = server(&[OK]);
    let bench = bench("beforePromotion", &server);
    bench.operate("start");
    bench.operate("pause");
    std::fs::write(bench.proxy.file(), bench.text.replace(&gate("beforePromotion", &server), "")).expect("a file");
    let reloaded = bench.proxy.post("/v1/config/reload", &json!({}));
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    bench.operate("resume");
    let refused = bench.proxy.until(|status| stands(status) == "refused");
    let sentence = refused["pause"].as_str().expect("a sentence");
    let told = "`beforePromotion` has refused: the configuration has no `beforePromotion` any more; ";
    assert!(sentence.starts_with(told), "{sentence}");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_change_window_that_is_shut_is_waited_for_until_it_opens() {
    let in_three_days = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().saturating_add(3.days());
    let day = in_three_days.strftime("%a").to_string().to_ascii_lowercase();
    let window = format!("changeWindow: {{ days: [{day}], from: \"09:00\", to: \"10:00\" }}");
    let bench = Bench::with(&format!("release: {PLAN}\n{GATE}runbook: {{ beforeStart: [{{ {window} }}] }}\n"));
    bench.operate("start");
    let waits = bench.proxy.until(|status| stands(status) == "waits");
    let sentence = waits["gate"]["sentence"].as_str().expect("a sentence");
    let told = format!("the change window is shut: {day} from 09:00 to 10:00 (UTC)");
    assert!(sentence.starts_with("`beforeStart` asks to wait for ") && sentence.ends_with(&told), "{sentence}");
    let opens = in_three_days.at(9, 0, 0, 0).in_tz("UTC").expect("a time").timestamp();
    let left = opens.duration_since(jiff::Timestamp::now()).as_secs_f64();
    let said = waits["gate"]["left"].as_f64().expect("a time");
    assert!((left - said).abs() < 60.0, "{said} of {left}");
    assert_eq!(bench.green.count(), 0);
}

#[test]
fn an_open_change_window_passes() {
    let window = "changeWindow: { days: [mon-sun], from: \"00:00\", to: \"00:00\" }";
    let runbook = format!("runbook: {{ beforeStart: [{{ {window} }}] }}\n");
    let bench = Bench::with(&format!("release: {PLAN}\n{GATE}{runbook}"));
    bench.operate("start");
    bench.until_state("promoted");
}
