//! The plan that a release brings along, from a request and from a file of its own.

use serde_json::{Value, json};

use super::{Environment, Faults, LEAST, References, loaded, told};
use crate::config::{self, Config};
use crate::gate::Policy;
use crate::release::{Terms, Weight};

fn policy(gate: &str) -> Policy {
    loaded(&format!("{LEAST}{gate}")).policy
}

fn asked(said: &Value, policy: &Policy) -> Result<Terms, Faults> {
    config::terms(said.get("plan").cloned(), said.get("irreversible").cloned(), policy, Weight::FULL)
}

/// Each fault as `message | label`; they have no place.
fn faults(said: &Value, policy: &Policy) -> Vec<String> {
    let told = |faults: Faults| {
        faults.iter().map(|fault| told(fault).strip_prefix("file ").expect("without a place").to_owned()).collect()
    };
    asked(said, policy).map_or_else(told, |_| Vec::new())
}

#[track_caller]
fn check(said: &Value, expected: &[&str]) {
    assert_eq!(faults(said, &policy("")), expected, "{said}");
}

#[test]
fn a_plan_is_the_same_in_a_request_in_a_file_of_its_own_and_in_a_configuration() {
    let keys = "steps: [{ weight: 0.5%, bake: 0s }, { weight: 10%, bake: 5m, approval: true },
        { weight: 50%, bake: 1m30s, approval: { within: 24h, otherwise: rollback } }, { weight: 100%, bake: 1h }]
initialDelay: 30s
progressDeadline: 30m
onLowTraffic: wait
irreversible: the old schema is gone
";
    let Config { plan, policy, .. } = loaded(&format!("{LEAST}release:\n  {}", keys.trim_end().replace('\n', "\n  ")));
    let plan = plan.expect("there is a release section");
    let written = config::plan(keys, "plan.yaml", References::Text).unwrap_or_else(|faults| panic!("{faults}"));
    let terms = asked(&json!({ "plan": written }), &policy).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(terms, Terms::Own(plan));
}

#[test]
fn every_fault_of_a_plan_is_told_at_once_and_names_its_field() {
    check(
        &json!({
            "plan": {
                "steps": [
                    { "weight": "20%", "bake": "1m" },
                    { "weight": "10%", "bake": 5 },
                    { "weight": 50, "bake": "1m", "approval": { "within": "24h" } },
                    { "weight": "60%", "wait": "1m", "bake": "1m" },
                ],
                "monitoring": null,
                "onLowTraffic": "skip",
            },
            "irreversible": "",
        }),
        &[
            "irreversible: is empty | say why a rollback would do harm, or remove it",
            "plan.monitoring: has no value | give it a value, or remove it",
            "plan.onLowTraffic: `skip` is not a way to go on | use one of `wait`, `pass`, `rollback`",
            "plan.steps[1].bake: `5` has no unit | write `5s` or `5ms`",
            "plan.steps[1].weight: `10%` does not rise | the step before has `20%`",
            "missing key `plan.steps[2].approval.otherwise` | has no `otherwise`",
            "plan.steps[2].weight: `50` has no percent sign | write `50%`",
            "unknown key `plan.steps[3].wait` | not a key here",
        ],
    );
    check(&json!({ "plan": {} }), &["missing key `plan.steps` | has no `steps`"]);
    check(&json!({ "plan": [] }), &["plan: expected a mapping, found a list | expected a mapping"]);
    check(
        &json!({ "plan": { "steps": [] } }),
        &["plan.steps: is empty | write a step, like `{ weight: 10%, bake: 10m }`"],
    );
}

#[test]
fn irreversible_is_a_reason_and_is_said_once() {
    assert_eq!(asked(&json!({}), &Policy::default()).ok(), Some(Terms::Configured));
    let gone = json!({ "irreversible": "the table is gone" });
    assert_eq!(asked(&gone, &policy("")).ok(), Some(Terms::Irreversible("the table is gone".to_owned())));
    let steps = json!([{ "weight": "10%", "bake": "1m" }]);
    let both = json!({ "plan": { "steps": steps }, "irreversible": "the table is gone" });
    let Ok(Terms::Own(plan)) = asked(&both, &policy("")) else { panic!("a plan of its own") };
    assert_eq!(plan.irreversible.as_deref(), Some("the table is gone"));
    check(
        &json!({ "plan": { "steps": steps, "irreversible": "the table is gone" }, "irreversible": "so it is" }),
        &["irreversible: is said already by `plan.irreversible` | remove one of them"],
    );
    check(
        &json!({ "irreversible": " " }),
        &["irreversible: is empty | say why a rollback would do harm, or remove it"],
    );
    check(
        &json!({ "irreversible": true }),
        &[
            "irreversible: expected a string, found `true` | text that looks like something else stands in quotes, write `\"true\"`",
        ],
    );
    check(
        &json!({ "plan": { "steps": steps, "irreversible": "" } }),
        &["plan.irreversible: is empty | say why a rollback would do harm, or remove it"],
    );
}

#[test]
fn a_reason_arrives_letter_by_letter_whatever_yaml_makes_of_it() {
    for reason in
        ["a: b # c", "- 'x' \"y\" \\ {z}", "${HOME} $$", "größer \u{1f4a5}", "a\u{2028}b\u{feff}", "\u{fdd0}\u{ffff}"]
    {
        let terms = asked(&json!({ "irreversible": reason }), &policy("")).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(terms, Terms::Irreversible(reason.to_owned()));
    }
    for letter in ['\0', '\n', '\u{1b}', '\u{7f}', '\u{85}'] {
        let said = faults(&json!({ "irreversible": format!("a{letter}b") }), &policy(""));
        assert!(
            said[..]
                == [format!(
                    "irreversible: `a{}b` has control characters | write one line of text",
                    letter.escape_debug()
                )],
            "{said:?}"
        );
    }
}

#[test]
fn a_plan_suits_the_green_that_may_have_no_more() {
    let steps = json!([{ "weight": "10%", "bake": "1m" }, { "weight": "50%", "bake": "1m" }]);
    let most = Weight::from_percent(25.0).expect("a weight");
    let terms = config::terms(Some(json!({ "steps": steps })), None, &policy(""), most);
    let said: Vec<String> = terms.expect_err("it is at fault").iter().map(told).collect();
    assert_eq!(said, ["file plan.steps[1].weight: `50%` is above `green.maxWeight`, `25%` | write at most `25%`"]);
    let steps = json!([{ "weight": "10%", "bake": "1m" }]);
    let terms = config::terms(Some(json!({ "steps": steps })), Some(json!("why")), &policy(""), most);
    assert!(matches!(terms, Ok(Terms::Own(plan)) if plan.max_weight == most));
}

#[test]
fn a_plan_suits_the_gate_that_judges_it() {
    let said = |deadline: &str| {
        let steps = json!([{ "weight": "10%", "bake": "1m" }]);
        json!({ "plan": { "steps": steps, "progressDeadline": deadline, "monitoring": "5m" } })
    };
    let external = policy("gate: { compare: { enabled: false }, triggers: [{ name: a, metric: external }] }");
    let clears = "add a bound on `errorRate`, `successRate` or `latency` that pauses or rolls back";
    assert_eq!(
        faults(&said("1h"), &external),
        [format!("plan: nothing in `gate` clears green, so it could not take a step | in `gate`, {clears}")]
    );
    let slow = policy(
        "gate: { triggers: [{ name: late, metric: errorRate, above: 1%, sustained: 30m },
        { name: often, metric: errorRate, above: 1%, interval: 10m, failureLimit: 1 }] }",
    );
    assert_eq!(faults(&said("31m"), &slow), [""; 0]);
    assert_eq!(
        faults(&said("30m"), &slow),
        [
            "plan.progressDeadline: `30m` comes before the trigger `late` can fire | write more than 30m, which that takes at least"
        ]
    );
    assert_eq!(
        faults(&said("20m"), &slow)[1],
        "plan.progressDeadline: `20m` comes before the trigger `often` can fire | write more than 20m, which that takes at least"
    );
}

#[test]
fn faults_of_a_file_of_a_plan_have_their_place_and_references_hold_there() {
    let environment: Environment = [("BAKE", "5m")].into_iter().collect();
    let text = "steps: [{ weight: 10%, bake: \"${BAKE}\" }]\n";
    let plan =
        config::plan(text, "plan.yaml", References::To(&environment)).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(plan, json!({ "steps": [{ "weight": "10%", "bake": "5m" }] }));
    let check = |text: &str, expected: &[&str]| {
        let faults = config::plan(text, "plan.yaml", References::To(&environment)).expect_err("it is at fault");
        assert_eq!(faults.iter().map(told).collect::<Vec<_>>(), expected, "{text}");
    };
    check(
        "steps: [{ weight: 10% }]\nirreversible: ''\n",
        &[
            "1:9 missing key `steps[0].bake` | has no `bake`",
            "2:15 irreversible: is empty | say why a rollback would do harm, or remove it",
        ],
    );
    check("plan: {}\n", &["1:1 unknown key `plan` | not a key here", "1:1 missing key `steps` | has no `steps`"]);
    check("", &["file the file is empty | "]);
    check(
        "steps: [{ weight: \"${SHARE}\", bake: 1m }]\n",
        &["1:20 steps[0].weight: the variable `SHARE` is not set | set it, or write `${SHARE:-default}`"],
    );
}
