//! What the admin API tells of what has happened: events to those who were away, releases page by page, and the document of
//! itself.

use serde_json::{Value, json};

use super::support::{Bench, Event, Listener, Proxy, Response, Upstream, portcullis, printed};

fn parsed(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|_| panic!("not JSON: {}", response.text()))
}

/// Steps that no test waits for.
const SLOW: &str = "{ steps: [{ weight: 20%, bake: 1h }], monitoring: 1h }";

fn told(events: &[Event]) -> Vec<(String, Value)> {
    events.iter().map(|event| (event.kind.clone(), event.data.clone())).collect()
}

fn take(listener: &Listener, count: usize) -> Vec<Event> {
    (0..count).map(|_| listener.next()).collect()
}

#[test]
fn whoever_was_away_hears_first_what_happened_since() {
    let proxy = Proxy::before(&Upstream::ok());
    let listener = Listener::new(proxy.admin);
    assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
    (1..=4).for_each(|percent| proxy.set_weight(f64::from(percent)));
    let heard = take(&listener, 5);
    let again: Vec<Listener> = heard.iter().map(|event| Listener::since(proxy.admin, &event.id)).collect();
    for (index, again) in again.iter().enumerate() {
        assert_eq!(told(&take(again, 4 - index)), told(&heard[index + 1..]), "after {}", heard[index].id);
    }
    proxy.set_weight(50.0);
    for again in &again {
        let event = again.next();
        assert_eq!(event.data["weight"], 50.0, "and what comes");
        assert!(heard.iter().all(|before| before.id != event.id) && again.heard().is_empty());
    }
}

#[test]
fn without_a_journal_whoever_asks_for_what_another_process_told_hears_that_it_is_not_known() {
    let proxy = Proxy::before(&Upstream::ok());
    assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
    for id in ["00000001.7.1.0", "00000001.7.0.0", "nonsense", "", "1.2.3.4.5"] {
        let listener = Listener::since(proxy.admin, id);
        let missed = listener.next();
        assert_eq!(missed.kind, "missed", "{id}");
        assert!(missed.data["sentence"].as_str().is_some_and(|said| said.contains("GET /v1/status")), "{missed:?}");
    }
}

#[test]
fn events_go_on_after_a_crash_from_what_the_journal_has() {
    let mut bench = Bench::with_plan(SLOW);
    bench.operate("start");
    let first = bench.events.until("started");
    bench.events.until("stepped");
    (1..=200).for_each(|step| bench.proxy.set_weight(f64::from(step % 100)));
    let heard: Vec<Event> = take(&bench.events, 200);
    let text = bench.text.clone();
    bench.crash_and_start(&text);
    let listener = Listener::since(bench.proxy.admin, &first.id);
    let again = take(&listener, 202);
    assert_eq!((again[0].kind.as_str(), again[201].kind.as_str()), ("stepped", "restarted"));
    assert_eq!(told(&again[1..201]), told(&heard));
    bench.operate("rollback");
    let last = listener.next();
    assert_eq!((last.kind.as_str(), &last.data["epoch"]), ("rolledBack", &json!(1)));
    // From the middle, by an id that another process gave.
    let listener = Listener::since(bench.proxy.admin, &heard[198].id);
    assert_eq!(told(&take(&listener, 2)), told(&[heard[199].clone(), again[201].clone()]));
    assert_eq!(listener.next().data, last.data);
    assert!(listener.heard().is_empty());
}

#[test]
fn history_is_read_page_by_page() {
    let bench = Bench::with_plan(SLOW);
    for _ in 0..7 {
        bench.operate("start");
        bench.operate("rollback");
    }
    let page = |target: &str| {
        let response = bench.proxy.call("GET", target, &Value::Null);
        let releases = parsed(&response);
        let epochs = releases.as_array().expect("a list").iter().filter_map(|release| release["epoch"].as_u64());
        (epochs.collect::<Vec<u64>>(), response.head.all("link").concat())
    };
    let next = |before: u64| format!("</v1/releases?limit=3&before={before}>; rel=\"next\"");
    assert_eq!(page("/v1/releases?limit=3"), (vec![7, 6, 5], next(5)));
    assert_eq!(page("/v1/releases?limit=3&before=5"), (vec![4, 3, 2], next(2)));
    assert_eq!(page("/v1/releases?limit=3&before=2"), (vec![1], String::new()));
    assert_eq!(page("/v1/releases?limit=3&before=4"), (vec![3, 2, 1], String::new()));
    assert_eq!(page("/v1/releases?before=0"), (Vec::new(), String::new()));
    assert_eq!(page("/v1/releases"), ((1..=7).rev().collect(), String::new()));
    let shown = |arguments: &[&str]| printed(&portcullis(arguments, &[("PORTCULLIS_ADMIN", &bench.url())]));
    assert_eq!(shown(&["history"]).lines().count(), 7);
    let two = shown(&["history", "--limit", "2"]);
    assert!(two.lines().count() == 2 && two.starts_with("v2-7"), "{two}");
}

/// After a change of the API: `cargo run -- openapi >docs/openapi.json`.
#[test]
fn the_document_of_the_api_is_the_one_that_is_committed_and_the_one_that_is_served() {
    let printed = printed(&portcullis(&["openapi"], &[]));
    let committed = include_str!("../docs/openapi.json");
    assert!(printed == committed, "docs/openapi.json is another: `portcullis openapi >docs/openapi.json`");
    let proxy = Proxy::before(&Upstream::ok());
    let served = parsed(&proxy.call("GET", "/openapi.json", &Value::Null));
    assert_eq!(served, serde_json::from_str::<Value>(committed).expect("JSON"));
    // Every path and method of it is there, and asks for a token where it says so.
    assert_eq!(served["openapi"], "3.1.0");
    assert!(served["paths"].as_object().expect("paths").len() > 15);
}

/// After a change of the configuration's keys: `cargo run -- schema >docs/schema.json`.
#[test]
fn the_schema_of_the_configuration_is_the_one_that_is_committed() {
    let printed = printed(&portcullis(&["schema"], &[]));
    let committed = include_str!("../docs/schema.json");
    assert!(printed == committed, "docs/schema.json is another: `portcullis schema >docs/schema.json`");
    let schema: Value = serde_json::from_str(committed).expect("JSON");
    assert_eq!(schema["required"], json!(["listen", "admin", "blue", "green"]));
    let at = |path: &str| schema.pointer(path).unwrap_or_else(|| panic!("no {path}"));
    assert_eq!(at("/properties/blue/properties/endpoints/items"), &json!({ "type": "string" }));
    assert_eq!(at("/properties/release/properties/steps/items/properties/weight/type"), &json!(["string", "number"]));
    assert_eq!(at("/properties/admin/properties/tls/additionalProperties"), &json!(false));
    assert_eq!(
        at("/properties/timeouts/description"),
        &json!("For example `timeouts: { connect: 1s, responseHead: 30s }`")
    );
}
