//! A green that may have only so much of the traffic until an operator promotes it, on the real proxy.

use serde_json::{Value, json};

use super::support::{Backend, Bench, Proxy, config, portcullis, printed, refused};

const PLAN: &str = "{ steps: [{ weight: 10%, bake: 100ms }, { weight: 25%, bake: 100ms }], monitoring: 100ms }";

const ENDS: &str = "the plan ends at 25 %, because green may have 25 % at most (`green.maxWeight`): when it can carry everything, \
                    an operator promotes it";

/// The text with such a green.
fn bounded(text: &str, most: &str) -> String {
    let bounded = text.replace("green: { version: v2,", &format!("green: {{ version: v2, maxWeight: {most},"));
    assert_ne!(bounded, text);
    bounded
}

fn bench(most: &str) -> Bench {
    let mut bench = Bench::with_plan(PLAN);
    bench.text = bounded(&bench.text, most);
    let text = bench.text.clone();
    bench.crash_and_start(&text);
    bench
}

/// Asks for a weight, and has it or the document of the refusal.
fn weight(proxy: &Proxy, weight: f64) -> Result<Value, Value> {
    let response = proxy.call("PUT", "/v1/weight", &json!({ "weight": weight }));
    let document: Value = serde_json::from_slice(&response.body).expect("JSON");
    match response.status {
        200 => Ok(document["weight"].clone()),
        status => {
            assert_eq!((status, &document["status"]), (422, &json!(422)), "{document:#}");
            Err(document)
        }
    }
}

#[test]
fn a_plan_halts_at_the_most_that_green_may_have_until_an_operator_promotes_it() {
    let mut bench = bench("25%");
    bench.operate("start");
    let paused = bench.events.until("paused").data;
    assert_eq!(
        (&paused["sentence"], &paused["actor"], &paused["weight"]),
        (&json!(ENDS), &json!("plan"), &json!(25.0))
    );
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["pause"]), (&json!("paused"), &json!(ENDS)));
    assert_eq!((&status["maxWeight"], &status["plan"]["maxWeight"]), (&json!(25.0), &json!(25.0)));
    let shown = printed(&portcullis(&["status", "--admin", &bench.url()], &[]));
    assert!(shown.contains("green at 25 % of at most 25 % (epoch 1)\n"), "{shown}");
    assert!(bench.conflict("resume").contains("go on with POST /v1/release/promote"));
    bench.load.until_more(200);
    assert_eq!(bench.proxy.status()["weight"], 25.0);

    let text = bench.text.clone();
    bench.crash_and_start(&text);
    let status = bench.proxy.status();
    assert_eq!((&status["weight"], &status["pause"]), (&json!(25.0), &json!(ENDS)), "also after a restart");
    bench.operate("promote");
    assert_eq!(bench.events.until("promoted").data["weight"], 100.0);
    bench.until_state("completed");
    bench.assert_all_to(&bench.green, &bench.blue);
    let told = printed(&portcullis(&["report", "v2-1", "--admin", &bench.url()], &[]));
    assert!(told.contains("100 % for 100 ms; beyond 25 % by an operator alone |\n"), "{told}");
    let replayed = printed(&portcullis(&["replay", "--admin", &bench.url(), "v2-1"], &[]));
    assert!(replayed.ends_with("to the last bit.\n"), "{replayed}");
}

#[test]
fn a_green_that_halts_there_is_still_rolled_back_by_the_gate() {
    let bench = bench("25%");
    bench.operate("start");
    bench.events.until("paused");
    bench.green.answer(500);
    assert_eq!(bench.events.until("rolledBack").data["actor"], "gate");
    bench.assert_all_to(&bench.blue, &bench.green);
}

#[test]
fn a_weight_above_the_bound_is_refused_and_says_what_would_be_right() {
    let (blue, green) = (Backend::answering(200), Backend::answering(200));
    let text = config(&[blue.address], &[green.address], "");
    let proxy = Proxy::start(&bounded(&text, "25%"));
    assert_eq!(weight(&proxy, 25.0), Ok(json!(25.0)), "without a plan too");
    let problem = weight(&proxy, 25.01).expect_err("it is above");
    let detail = "weight: 25.01 % is above `green.maxWeight`, 25 %: set at most 25 %, or, when green can carry everything, \
                  promote the release with POST /v1/release/promote";
    assert_eq!((&problem["field"], &problem["detail"]), (&json!("weight"), &json!(detail)));
    assert_eq!(proxy.status()["weight"], 25.0);
    let url = format!("http://{}", proxy.admin);
    let said = refused(&portcullis(&["weight", "50", "--admin", &url], &[]), 1);
    assert!(said.starts_with("error: weight: 50 % is above `green.maxWeight`, 25 %"), "{said}");

    let promoted = proxy.post("/v1/release/promote", &json!({}));
    assert_eq!(promoted.status, 200, "{}", promoted.text());
    assert_eq!(weight(&proxy, 80.0), Ok(json!(80.0)), "who has been promoted may have less");
    assert!(weight(&proxy, 90.0).is_err());
}

#[test]
fn a_reload_bounds_the_weights_that_are_set_from_then_on() {
    let (blue, green) = (Backend::answering(200), Backend::answering(200));
    let text = config(&[blue.address], &[green.address], "");
    let proxy = Proxy::start(&text);
    let reload = |text: &str| {
        std::fs::write(proxy.file(), text).expect("a file");
        let response = proxy.post("/v1/config/reload", &Value::Null);
        assert_eq!(response.status, 200, "{}", response.text());
    };
    assert_eq!((weight(&proxy, 50.0), proxy.status()["maxWeight"].clone()), (Ok(json!(50.0)), Value::Null));
    reload(&bounded(&text, "25%"));
    let status = proxy.status();
    assert_eq!((&status["weight"], &status["maxWeight"]), (&json!(50.0), &json!(25.0)), "what green has it keeps");
    assert!(weight(&proxy, 60.0).is_err());
    assert_eq!(weight(&proxy, 20.0), Ok(json!(20.0)));
    assert!(weight(&proxy, 26.0).is_err());
    let said = json!({ "plan": { "steps": [{ "weight": "30%", "bake": "1h" }] } });
    assert_eq!(proxy.post("/v1/release/rollback", &json!({})).status, 200);
    let response = proxy.post("/v1/release", &said);
    let problem: Value = serde_json::from_slice(&response.body).expect("a document");
    assert_eq!((response.status, &problem["field"]), (422, &json!("plan.steps[0].weight")), "{problem:#}");
    assert_eq!(problem["detail"], "plan.steps[0].weight: `30%` is above `green.maxWeight`, `25%`: write at most `25%`");
    reload(&text);
    assert_eq!(proxy.post("/v1/release", &said).status, 200);
    assert_eq!(weight(&proxy, 60.0), Ok(json!(60.0)));
}
