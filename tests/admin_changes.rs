//! Changes over the admin API that are sent more than once, by more than one, and on condition.

use std::sync::Barrier;

use serde_json::{Value, json};

use super::support::{Listener, Proxy, Response, Upstream};

const WEIGHT: &str = "/v1/weight";
const START: &str = "/v1/release";
const ROLL_BACK: &str = "/v1/release/rollback";

fn send(proxy: &Proxy, method: &str, path: &str, field: &str, body: &Value) -> Response {
    let host = format!("Host: {}", proxy.admin);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    proxy.ask(method, path, &[&host, "Content-Type: application/json", field], &body)
}

fn parsed(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|_| panic!("not JSON: {}", response.text()))
}

fn detail(response: &Response) -> String {
    parsed(response)["detail"].as_str().expect("a detail").to_owned()
}

/// The ETag of the status of the moment.
fn tag(proxy: &Proxy) -> String {
    proxy.call("GET", "/v1/status", &Value::Null).head.one("etag").to_owned()
}

/// Two at once.
fn both<T: Send>(send: impl Fn() -> T + Sync) -> [T; 2] {
    let barrier = Barrier::new(2);
    let one = || {
        barrier.wait();
        send()
    };
    std::thread::scope(|scope| [scope.spawn(one), scope.spawn(one)].map(|one| one.join().expect("an answer")))
}

#[test]
fn row_83_the_same_request_under_one_key_is_done_once_and_gets_the_first_answer_again() {
    let proxy = Proxy::before(&Upstream::ok());
    let events = Listener::new(proxy.admin);
    let key = "Idempotency-Key: \"8e03978e-40d5-43e8-bc93-6894a57f9324\"";
    let reason = json!({ "reason": "v2 is here" });
    let first = send(&proxy, "POST", START, key, &reason);
    assert_eq!((first.status, parsed(&first)["epoch"].as_u64()), (200, Some(1)), "{}", first.text());
    assert!(first.head.all("idempotent-replayed").is_empty());
    assert_eq!(send(&proxy, "POST", ROLL_BACK, "", &Value::Null).status, 200);

    // A release could begin again by now; what the key stands for has happened.
    let bare = key.replace('"', "");
    for key in [key, &bare] {
        let again = send(&proxy, "POST", START, key, &reason);
        assert_eq!((again.status, &again.body), (200, &first.body));
        assert_eq!(again.head.one("etag"), first.head.one("etag"));
        assert_eq!(again.head.one("idempotent-replayed"), "true");
        assert_eq!(again.head.one("content-type"), "application/json");
    }
    assert_eq!(proxy.status()["epoch"], 1);

    for (method, path, body) in [
        ("POST", START, json!({ "reason": "another" })),
        ("POST", ROLL_BACK, reason.clone()),
        ("PUT", WEIGHT, json!({ "weight": 5 })),
    ] {
        let other = send(&proxy, method, path, key, &body);
        assert_eq!(other.status, 422, "{}", other.text());
        assert!(detail(&other).contains("with another request"), "{}", detail(&other));
    }
    // A refusal is an answer as well.
    let refused = send(&proxy, "PUT", WEIGHT, "Idempotency-Key: late", &json!({ "weight": 5 }));
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_eq!(send(&proxy, "POST", START, "", &Value::Null).status, 200);
    let again = send(&proxy, "PUT", WEIGHT, "Idempotency-Key: late", &json!({ "weight": 5 }));
    assert_eq!((again.status, &again.body), (409, &refused.body));
    let kinds: Vec<String> = [0; 3].iter().map(|_| events.next().kind).collect();
    assert_eq!(kinds, ["started", "rolledBack", "started"]);
    assert!(events.heard().is_empty(), "nothing was done that was only asked for again");

    for (wrong, in_detail) in [
        ("Idempotency-Key: ".to_owned(), "is empty"),
        ("Idempotency-Key: \"\"".to_owned(), "is empty"),
        (format!("Idempotency-Key: {}", "k".repeat(256)), "longer than 255"),
        ("Idempotency-Key: a\r\nIdempotency-Key: b".to_owned(), "twice"),
        ("Idempotency-Key: a b".to_owned(), "without spaces"),
        ("Idempotency-Key: \"a".to_owned(), "without spaces"),
        ("Idempotency-Key: \u{e4}".to_owned(), "without spaces"),
    ] {
        let refused = send(&proxy, "PUT", WEIGHT, &wrong, &json!({ "weight": 5 }));
        assert_eq!(refused.status, 400, "{wrong}: {}", refused.text());
        assert!(detail(&refused).contains(in_detail), "{}", detail(&refused));
    }
}

#[test]
fn row_83_two_at_once_under_one_key_are_done_once() {
    let proxy = Proxy::before(&Upstream::ok());
    for epoch in 1..=20 {
        let key = format!("Idempotency-Key: {epoch}");
        let answers = both(|| send(&proxy, "POST", START, &key, &Value::Null));
        assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 200], "{}", answers[0].text());
        assert_eq!(answers[0].body, answers[1].body);
        let replayed = answers.iter().filter(|answer| !answer.head.all("idempotent-replayed").is_empty()).count();
        assert_eq!((replayed, proxy.status()["epoch"].as_u64()), (1, Some(epoch)));
        assert_eq!(send(&proxy, "POST", ROLL_BACK, "", &Value::Null).status, 200);
    }
}

#[test]
fn row_83_of_two_operators_who_have_seen_the_same_status_the_second_is_refused() {
    let proxy = Proxy::before(&Upstream::ok());
    for round in 1..=20 {
        let condition = format!("If-Match: {}", tag(&proxy));
        let weight = json!({ "weight": round, "reason": "mine" });
        let mut answers = both(|| send(&proxy, "PUT", WEIGHT, &condition, &weight));
        answers.sort_by_key(|answer| answer.status);
        let [done, refused] = answers;
        assert_eq!((done.status, refused.status), (200, 412), "{}", refused.text());
        let sentence = format!("last: weight set to {round} % by local: mine");
        assert!(detail(&refused).contains(&sentence), "{}", detail(&refused));
        // Whoever made the change has seen it.
        let condition = format!("If-Match: \"elsewhere.1.2\", {}", done.head.one("etag"));
        assert_eq!(send(&proxy, "PUT", WEIGHT, &condition, &json!({ "weight": 50 })).status, 200);
        let refused = send(&proxy, "POST", ROLL_BACK, &condition, &Value::Null);
        assert_eq!(refused.status, 412, "{}", refused.text());
    }
    assert_eq!(proxy.status()["weight"], 50.0);
    for (path, body) in [
        ("/v1/release/pause", Value::Null),
        ("/v1/config/reload", Value::Null),
        ("/v1/versions/green/endpoints", json!({ "endpoints": [] })),
    ] {
        let method = if body.is_null() { "POST" } else { "PUT" };
        let refused = send(&proxy, method, path, "If-Match: \"00000000.0.0\"", &body);
        assert_eq!(refused.status, 412, "{path}: {}", refused.text());
    }
    assert_eq!(proxy.status()["state"], "stepping");
    assert_eq!(send(&proxy, "POST", ROLL_BACK, "If-Match: untagged", &Value::Null).status, 400);
    assert_eq!(send(&proxy, "POST", ROLL_BACK, "If-Match: *", &Value::Null).status, 200);
}

#[test]
fn what_is_counted_of_requests_makes_another_status_and_not_another_to_change() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let before = tag(&proxy);
    let known = send(&proxy, "GET", "/v1/status", &format!("If-None-Match: \"other\", {before}"), &Value::Null);
    assert_eq!((known.status, known.body.len(), known.head.one("etag")), (304, 0, before.clone()));
    assert_eq!(proxy.get("/").status, 200);
    proxy.until(|status| status["blue"]["requests"] == 1);
    let news = send(&proxy, "GET", "/v1/status", &format!("If-None-Match: {before}"), &Value::Null);
    assert_eq!((news.status, parsed(&news)["blue"]["requests"].as_u64()), (200, Some(1)));
    assert_ne!(news.head.one("etag"), before);
    let changed = send(&proxy, "PUT", WEIGHT, &format!("If-Match: {before}"), &json!({ "weight": 5 }));
    assert_eq!(changed.status, 200, "{}", changed.text());
}
