//! Clients that go to green before others: who they are, from when on, and what of the gate sees them.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Client, Proxy, Upstream, config, eventually, folder, portcullis, printed};

const STAFF: &str = "X-Group: staff\r\n";
const BETA: &str = "Cookie: a=b; group=beta; c=d\r\n";
const NOBODY: &str = "";

const COHORTS: &str = "workers: 1
trustedProxies: [127.0.0.0/8]
cohorts:
- { name: staff, header: { name: x-group, values: [staff, sre] } }
- { name: beta, cookie: { name: group, values: [beta] } }
- { name: office, from: [10.0.0.0/8], paths: [\"/labs/*\", /try] }
";

const GATE: &str = "gate: { minimumRequests: 5, triggers: [\
                    { name: dead, metric: failureStreak, atLeast: 5 }, \
                    { name: spike, metric: errorRate, above: 10% }] }
";

struct Bench {
    _blue: Upstream,
    green: Upstream,
    proxy: Proxy,
    _data: TempDir,
}

fn version(name: &str) -> Upstream {
    Upstream::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len()))
}

fn failing() -> Upstream {
    Upstream::answering("HTTP/1.1 500 No\r\ncontent-length: 5\r\n\r\ngreen")
}

/// In a release by these steps.
fn released(green: Upstream, steps: &str) -> Bench {
    judged(GATE, green, steps)
}

fn judged(gate: &str, green: Upstream, steps: &str) -> Bench {
    let (blue, data) = (version("blue"), folder());
    let rest = format!("{COHORTS}{gate}release: {{ steps: [{steps}] }}");
    let proxy = Proxy::start_in(data.path(), &config(&[blue.address], &[green.address], &rest));
    assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
    Bench { _blue: blue, green, proxy, _data: data }
}

fn ask(client: &mut Client, field: &str) -> String {
    ask_for(client, "/", field)
}

fn ask_for(client: &mut Client, path: &str, field: &str) -> String {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{field}\r\n")).response().text()
}

fn until_step(proxy: &Proxy, step: u64) -> Value {
    proxy.until(|status| status["step"] == step)
}

const LONG: &str = "{ weight: 50%, bake: 1h }, { weight: 100%, bake: 1h }";

#[test]
fn each_cohort_goes_to_green_at_its_step_and_stays_and_others_go_by_the_weight() {
    let bench =
        released(version("green"), &format!("{{ cohort: staff, bake: 0s }}, {{ cohort: beta, bake: 0s }}, {LONG}"));
    let proxy = &bench.proxy;
    let mut client = proxy.client();
    let mut served = |fields: &[&str]| fields.iter().map(|field| ask(&mut client, field)).collect::<Vec<_>>();
    let status = until_step(proxy, 1);
    assert_eq!((&status["weight"], &status["plan"]["steps"][0]["cohort"]), (&json!(0.0), &json!("staff")));
    let fields = [STAFF, "x-group: sre\r\n", "X-Group: other\r\n", "X-Group:\r\n", BETA, NOBODY];
    assert_eq!(served(&fields), ["green", "green", "blue", "blue", "blue", "blue"]);
    assert_eq!(served(&[STAFF; 3]), ["green"; 3], "five in all, which clear green");
    until_step(proxy, 2);
    proxy.until(|status| {
        status["verdict"]["sentence"].as_str().is_some_and(|sentence| sentence.starts_with("cohort beta: "))
    });
    assert_eq!(served(&[STAFF, BETA, "Cookie: group=alpha\r\n", NOBODY]), ["green", "green", "blue", "blue"]);
    assert_eq!(
        proxy.until(|status| status["cohorts"][1]["requests"] == 1)["step"],
        2,
        "what staff came to before clears nobody else"
    );
    served(&[BETA; 4]);
    let status = until_step(proxy, 3);
    assert_eq!(status["weight"], 50.0);
    assert_eq!(served(&[STAFF, BETA, STAFF, BETA]), ["green"; 4]);
    let drawn = served(&[NOBODY, STAFF].repeat(40));
    let others: Vec<&str> = drawn.iter().step_by(2).map(String::as_str).collect();
    assert!(others.chunks(2).all(|two| two[0] != two[1]), "a cohort takes nothing of their draw: {others:?}");
    let status = proxy.until(|status| status["cohorts"][0]["requests"] == 48 && status["cohorts"][1]["requests"] == 7);
    let expected = json!({ "cohort": "office", "onGreen": false, "requests": 0, "failures": 0 });
    assert_eq!((&status["cohorts"][2], &status["cohorts"][0]["onGreen"]), (&expected, &json!(true)));
    proxy.until_metric("portcullis_cohort_requests_total", &["cohort=\"staff\"", "charge=\"served\""], 48.0);
    let url = format!("http://{}", proxy.admin);
    let shown = printed(&portcullis(&["status", "--admin", &url], &[]));
    assert!(shown.contains("  cohort staff: on green, 48 requests in this release, 0 failed\n"), "{shown}");
}

#[test]
fn a_cohort_may_be_of_a_network_and_of_paths_and_all_that_it_names_must_fit() {
    let bench = released(version("green"), &format!("{{ cohort: office, bake: 1h }}, {LONG}"));
    until_step(&bench.proxy, 1);
    let mut client = bench.proxy.client();
    for (path, from, served) in [
        ("/labs/a", "10.1.2.3", "green"),
        ("/try?b", "10.1.2.3", "green"),
        ("/labs/a", "11.1.2.3", "blue"),
        ("/labs/a", "10.1.2.3, 11.1.2.3", "blue"),
        ("/lab", "10.1.2.3", "blue"),
    ] {
        let field = format!("X-Forwarded-For: {from}\r\n");
        assert_eq!(ask_for(&mut client, path, &field), served, "{path} from {from}");
    }
}

#[test]
fn row_76_at_a_rollback_a_cohort_goes_to_blue_at_once() {
    let bench = released(version("green"), &format!("{{ cohort: staff, bake: 1h }}, {LONG}"));
    until_step(&bench.proxy, 1);
    let mut client = bench.proxy.client();
    assert_eq!(ask(&mut client, STAFF), "green");
    assert_eq!(bench.proxy.post("/v1/release/rollback", &Value::Null).status, 200);
    let reached = bench.green.count();
    assert_eq!(ask(&mut client, STAFF), "blue");
    assert_eq!(bench.green.count(), reached);
}

#[test]
fn a_bound_that_is_absolute_rolls_back_what_fails_a_cohort_alone() {
    let bench = released(failing(), &format!("{{ cohort: staff, bake: 1h }}, {LONG}"));
    until_step(&bench.proxy, 1);
    let mut client = bench.proxy.client();
    let status = eventually("a rollback", || {
        ask(&mut client, STAFF);
        Some(bench.proxy.status()).filter(|status| status["state"] == "rolledBack")
    });
    assert_eq!(status["rollback"]["trigger"], "spike", "{status:#}");
    assert_eq!(ask(&mut client, STAFF), "blue");
    let url = format!("http://{}", bench.proxy.admin);
    let shown = printed(&portcullis(&["replay", "v2-1", "--admin", &url], &[]));
    assert!(shown.ends_with("Every decision comes out as it was, to the last bit.\n"), "{shown}");
}

#[test]
fn the_streak_sees_a_cohort() {
    let gate = "gate: { minimumRequests: 5, triggers: [{ name: dead, metric: failureStreak, atLeast: 5 }, \
                { name: slow, metric: latency, quantile: 0.5, above: 10s }] }\n";
    let bench = judged(gate, failing(), &format!("{{ cohort: staff, bake: 1h }}, {LONG}"));
    until_step(&bench.proxy, 1);
    let mut client = bench.proxy.client();
    // Between them blue's, without which nobody can say whose failures these are.
    let status = eventually("a rollback", || {
        for field in [NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, STAFF] {
            ask(&mut client, field);
        }
        Some(bench.proxy.status()).filter(|status| status["state"] == "rolledBack")
    });
    assert_eq!(status["rollback"]["trigger"], "dead", "{status:#}");
}

#[test]
fn a_cohorts_step_waits_for_requests_of_its_own_and_no_others() {
    let bench = released(version("green"), &format!("{{ cohort: staff, bake: 0s }}, {LONG}"));
    until_step(&bench.proxy, 1);
    let mut client = bench.proxy.client();
    for _ in 0..4 {
        ask(&mut client, STAFF);
        (0..10).for_each(|_| assert_eq!(ask(&mut client, NOBODY), "blue"));
    }
    bench.proxy.until(|status| status["cohorts"][0]["requests"] == 4 && status["blue"]["requests"] == 40);
    let status = bench.proxy.status();
    assert_eq!((&status["step"], &status["verdict"]["kind"]), (&json!(1), &json!("wait")), "{status:#}");
    ask(&mut client, STAFF);
    until_step(&bench.proxy, 2);
}

#[test]
fn what_green_fails_a_cohort_blue_answers_and_green_is_charged() {
    let (blue, green) = (version("blue"), failing());
    let rest = format!("{COHORTS}{GATE}shield: on\nrelease: {{ steps: [{{ cohort: staff, bake: 1h }}, {LONG}] }}");
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], &rest));
    assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
    until_step(&proxy, 1);
    let mut client = proxy.client();
    assert_eq!(ask(&mut client, STAFF), "blue");
    assert_eq!(green.count(), 1);
    proxy.until_metric("portcullis_cohort_requests_total", &["cohort=\"staff\"", "charge=\"failed\""], 1.0);
}

#[test]
fn a_cohort_that_a_reload_takes_out_goes_by_the_weight_and_one_that_moves_in_the_list_stays() {
    let data = folder();
    let (blue, green) = (version("blue"), version("green"));
    let steps = format!("release: {{ steps: [{{ cohort: staff, bake: 1h }}, {LONG}] }}");
    let text = |cohorts: &str, steps: &str| {
        config(&[blue.address], &[green.address], &format!("cohorts: [{cohorts}]\n{GATE}{steps}"))
    };
    let (staff, other) = ("{ name: staff, header: { name: x-group } }", "{ name: other, header: { name: x-other } }");
    let proxy = Proxy::start_in(data.path(), &text(staff, &steps));
    assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
    until_step(&proxy, 1);
    let mut client = proxy.client();
    let mut served = || [STAFF, "X-Other: a\r\n"].map(|field| ask(&mut client, field));
    let load = |text: &str| {
        std::fs::write(proxy.file(), text).expect("writable");
        let answer = proxy.post("/v1/config/reload", &Value::Null);
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    assert_eq!(served(), ["green", "blue"]);
    load(&text(&format!("{other}, {staff}"), &steps));
    assert_eq!(served(), ["green", "blue"]);
    load(&text(other, "release: { steps: [{ weight: 50%, bake: 1h }, { weight: 100%, bake: 1h }] }"));
    assert_eq!(served(), ["blue", "blue"]);
}

#[test]
fn a_plan_of_a_request_may_name_what_is_configured_and_nothing_else() {
    let (blue, green) = (version("blue"), version("green"));
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], &format!("{COHORTS}{GATE}")));
    let plan =
        |cohort: &str| json!({ "plan": { "steps": [{ "cohort": cohort, "bake": "1h" }, { "weight": "100%" }] } });
    let refused = proxy.post("/v1/release", &plan("stuff"));
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("plan.steps[0].cohort: `stuff` is not one of `cohorts`"), "{}", refused.text());
    assert_eq!(proxy.post("/v1/release", &plan("staff")).status, 200);
    until_step(&proxy, 1);
    assert_eq!(ask(&mut proxy.client(), STAFF), "green");
}

#[test]
fn an_operator_who_takes_all_weight_from_green_takes_the_cohorts_too() {
    let bench = released(version("green"), &format!("{{ cohort: staff, bake: 0s }}, {LONG}"));
    let mut client = bench.proxy.client();
    until_step(&bench.proxy, 1);
    (0..5).for_each(|_| assert_eq!(ask(&mut client, STAFF), "green"));
    until_step(&bench.proxy, 2);
    bench.proxy.set_weight(0.0);
    assert_eq!([ask(&mut client, STAFF), ask(&mut client, NOBODY)], ["blue", "blue"]);
    bench.proxy.set_weight(10.0);
    assert_eq!(ask(&mut client, STAFF), "green");
}
