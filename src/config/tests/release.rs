//! Each rule for the plan.

use super::{LEAST, faults, loaded};
use crate::release::{Approval, Deadline, Otherwise, Plan, Weight};
use std::time::Duration;

/// The least configuration with a plan of these keys.
fn text(keys: &str) -> String {
    format!("{LEAST}release: {{ {keys} }}")
}

fn check(keys: &str, expected: &[&str]) {
    let faults: Vec<String> =
        faults(&text(keys)).iter().map(|fault| fault.replace("release.steps", "*").replace("release.", "")).collect();
    assert_eq!(faults, expected, "{keys}");
}

fn check_steps(steps: &str, expected: &[&str]) {
    check(&format!("steps: [{steps}]"), expected);
}

fn plan(keys: &str) -> Plan {
    loaded(&text(keys)).plan.expect("there is a release section")
}

#[test]
fn a_plan_has_steps() {
    assert_eq!(faults(&text("")), ["5:1 missing key `release.steps` | has no `steps`"]);
    check("steps: []", &["5:19 *: is empty | write a step, like `{ weight: 10%, bake: 10m }`"]);
    check("steps: 10%", &["5:19 *: expected a list, found the text `10%` | expected a list"]);
    let many = vec!["{ weight: 1%, bake: 1m }"; 101].join(", ");
    check_steps(&many, &["5:19 *: has 101 elements | at most 100 are allowed"]);
}

#[test]
fn steps_rise_strictly_from_above_zero() {
    check_steps("{ weight: 1%, bake: 1m }, { weight: 1.5%, bake: 1m }, { weight: 100% }", &[]);
    check_steps(
        "{ weight: 0%, bake: 1m }",
        &[
            "5:30 *[0].weight: `0%` gives green no traffic | the first step is above 0%; for a time at 0% write `initialDelay`",
        ],
    );
    check_steps(
        "{ weight: 10%, bake: 1m }, { weight: 10%, bake: 1m }, { weight: 5%, bake: 1m }, { weight: 20%, bake: 1m }",
        &[
            "5:57 *[1].weight: `10%` does not rise | the step before has `10%`",
            "5:84 *[2].weight: `5%` does not rise | the step before has `10%`",
        ],
    );
    check_steps(
        "{ weight: 100% }, { weight: 100% }",
        &["5:48 *[1].weight: `100%` does not rise | the step before has `100%`"],
    );
}

#[test]
fn weights_are_percentages_with_at_most_two_decimals() {
    check_steps("{ weight: 10, bake: 1m }", &["5:30 *[0].weight: `10` has no percent sign | write `10%`"]);
    check_steps(
        "{ weight: 0.005%, bake: 1m }",
        &["5:30 *[0].weight: `0.005%` is too fine | a weight has at most two decimals"],
    );
    check_steps(
        "{ weight: 101%, bake: 1m }",
        &["5:30 *[0].weight: `101%` is above 100% | a weight is from 0% to 100%"],
    );
    check_steps("{ weight: -1%, bake: 1m }", &["5:30 *[0].weight: `-1%` is negative | a weight is from 0% to 100%"]);
    check_steps(
        "{ weight: half, bake: 1m }",
        &["5:30 *[0].weight: `half` is not a weight | write a weight like `10%` or `0.5%`"],
    );
    check_steps("{ bake: 1m }", &["5:20 missing key `*[0].weight` | has no `weight`"]);
}

#[test]
fn a_step_below_100_percent_has_a_bake() {
    check_steps("{ weight: 10% }", &["5:20 missing key `*[0].bake` | has no `bake`"]);
    check_steps("{ weight: 10%, bake: 0s }", &[]);
    check_steps("{ weight: 10%, bake: -1m }", &["5:41 *[0].bake: `-1m` is negative | a duration is at least 0s"]);
    check_steps("{ weight: 10%, bake: 31d }", &["5:41 *[0].bake: `31d` is above 30d | from 0s to 30d"]);
    check_steps(
        "{ weight: 10%, bake: 1m, approval: yes }",
        &[
            "5:55 *[0].approval: expected `true`, `false` or a mapping, found the text `yes` | expected `true`, `false` or a mapping",
        ],
    );
    check_steps(
        "{ weight: 100%, approval: true }",
        &["5:46 *[0].approval: means nothing at the last step | nothing comes after 100%, write it at the step before"],
    );
    for way in ["pass", "rollback"] {
        check(
            &format!("steps: [{{ weight: 10%, bake: 0s }}, {{ weight: 100%, bake: 0s }}], onLowTraffic: {way}"),
            &["5:41 *[0].bake: leaves no time for a request | write more, or `onLowTraffic: wait`"],
        );
    }
}

#[test]
fn an_approval_may_have_a_time_and_then_says_what_comes_after_it() {
    let step = |approval: &str| format!("steps: [{{ weight: 10%, bake: 1m, approval: {approval} }}]");
    let within = |within, otherwise| Approval::Within(Deadline { within, otherwise });
    for (written, expected) in [
        ("true", Approval::Operator),
        ("false", Approval::Automatic),
        ("{ within: 24h, otherwise: rollback }", within(Duration::from_secs(24 * 3600), Otherwise::Rollback)),
        ("{ otherwise: pause, within: 1m30s }", within(Duration::from_secs(90), Otherwise::Pause)),
    ] {
        assert_eq!(plan(&step(written)).steps[0].approval, expected, "{written}");
    }
    let check = |approval: &str, expected: &[&str]| check(&step(approval), expected);
    check("{ within: 24h }", &["5:45 missing key `*[0].approval.otherwise` | has no `otherwise`"]);
    check("{ otherwise: pause }", &["5:45 missing key `*[0].approval.within` | has no `within`"]);
    check("{ within: 0s, otherwise: pause }", &["5:65 *[0].approval.within: `0s` is below 1s | from 1s to 30d"]);
    check("{ within: 31d, otherwise: pause }", &["5:65 *[0].approval.within: `31d` is above 30d | from 1s to 30d"]);
    check("{ within: 24, otherwise: pause }", &["5:65 *[0].approval.within: `24` has no unit | write `24s` or `24ms`"]);
    check(
        "{ within: 24h, otherwise: roll back }",
        &[
            "5:81 *[0].approval.otherwise: `roll back` is not what can come without an approval | did you mean `rollback`?",
        ],
    );
    check(
        "{ within: 24h, otherwise: promote }",
        &[
            "5:81 *[0].approval.otherwise: `promote` is not what can come without an approval | use one of `pause`, `rollback`",
        ],
    );
    check(
        "{ within: 24h, otherwise: true }",
        &["5:81 *[0].approval.otherwise: expected a string, found `true` | expected a string"],
    );
    check(
        "{ within: 24h, otherwise: }",
        &["5:70 *[0].approval.otherwise: has no value | give it a value, or remove it"],
    );
    check("{ within: 24h, otherwise: pause, after: 1h }", &["5:88 unknown key `*[0].approval.after` | not a key here"]);
    check(
        "[true]",
        &[
            "5:55 *[0].approval: expected `true`, `false` or a mapping, found a list | expected `true`, `false` or a mapping",
        ],
    );
    check_steps(
        "{ weight: 100%, approval: { within: 24h, otherwise: pause } }",
        &["5:46 *[0].approval: means nothing at the last step | nothing comes after 100%, write it at the step before"],
    );
}

#[test]
fn the_time_at_100_percent_is_said_once() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    for (keys, expected) in [
        ("steps: [{ weight: 10%, bake: 1m }]", minutes(10)),
        ("steps: [{ weight: 10%, bake: 1m }, { weight: 100% }]", minutes(10)),
        ("steps: [{ weight: 10%, bake: 1m }, { weight: 100%, bake: 2m }]", minutes(2)),
        ("steps: [{ weight: 10%, bake: 1m }], monitoring: 3m", minutes(3)),
        ("steps: [{ weight: 10%, bake: 1m }, { weight: 100% }], monitoring: 3m", minutes(3)),
    ] {
        let plan = plan(keys);
        assert_eq!((plan.monitoring, plan.steps.len()), (expected, 1), "{keys}");
    }
    assert_eq!(plan("steps: [{ weight: 100%, bake: 1h }]").steps, []);
    check(
        "steps: [{ weight: 100%, bake: 1h }], monitoring: 1h",
        &["5:49 monitoring: is said already by the `bake` of the step of 100% | remove one of them"],
    );
    check(
        "steps: [{ weight: 100% }], monitoring: -1h",
        &["5:51 monitoring: `-1h` is negative | a duration is at least 0s"],
    );
}

#[test]
fn no_step_is_above_what_green_may_have() {
    let text = |most: &str, keys: &str| {
        let least = LEAST.replace("green: { version: v2,", &format!("green: {{ version: v2, maxWeight: {most},"));
        assert_ne!(least, LEAST);
        format!("{least}release: {{ {keys} }}")
    };
    let check = |most: &str, keys: &str, expected: &[&str]| {
        assert_eq!(faults(&text(most, keys)), expected, "{most}, {keys}");
    };
    let steps = "steps: [{ weight: 10%, bake: 1m }, { weight: 25%, bake: 1m }]";
    check("25%", steps, &[]);
    let config = loaded(&text("25%", steps));
    let most = Weight::from_percent(25.0).expect("a weight");
    assert_eq!((config.versions.green.max_weight, config.versions.blue.max_weight), (most, Weight::FULL));
    let plan = config.plan.expect("there is a release section");
    assert_eq!((plan.max_weight, plan.steps.len()), (most, 2));
    assert_eq!(loaded(&text("100%", steps)).plan, loaded(&format!("{LEAST}release: {{ {steps} }}")).plan);
    check(
        "24.99%",
        "steps: [{ weight: 10%, bake: 1m }, { weight: 25%, bake: 1m }, { weight: 100%, bake: 1h }]",
        &[
            "5:57 release.steps[1].weight: `25%` is above `green.maxWeight`, `24.99%` | write at most `24.99%`",
            "5:84 release.steps[2].weight: `100%` is above `green.maxWeight`, `24.99%` | remove the step, an operator promotes \
             green to 100%; the time there is `monitoring`",
        ],
    );
    check(
        "25%",
        "steps: [{ weight: 10%, bake: 1m, approval: true }, { weight: 25%, bake: 1m, approval: true }]",
        &[
            "5:98 release.steps[1].approval: means nothing at the last step below `green.maxWeight` | green gets more than `25%` \
             by `release promote` alone, which is the approval",
        ],
    );
    let wrong = |most: &str| faults(&text(most, steps));
    assert_eq!(
        wrong("0%"),
        ["4:34 green.maxWeight: `0%` gives green no traffic | write what green can carry, like `25%`"]
    );
    assert_eq!(wrong("25"), ["4:34 green.maxWeight: `25` has no percent sign | write `25%`"]);
    let of_blue = LEAST.replace("blue: { version: v1,", "blue: { maxWeight: 25%, version: v1,");
    assert_eq!(faults(&of_blue), ["3:9 blue.maxWeight: is green's alone | blue has whatever green has not"]);
}

#[test]
fn blue_may_have_a_ramp_of_some_time() {
    let text = |version: &str, ramp: &str| {
        LEAST.replacen(&format!("{version}: {{ "), &format!("{version}: {{ ramp: {ramp}, "), 1)
    };
    assert_eq!(loaded(LEAST).versions.blue.ramp, None);
    assert_eq!(loaded(&text("blue", "30s")).versions.blue.ramp, Some(Duration::from_secs(30)));
    let of_blue = |ramp: &str| faults(&text("blue", ramp));
    assert_eq!(of_blue("0s"), ["3:15 blue.ramp: `0s` is below 1s | from 1s to 10m"]);
    assert_eq!(of_blue("11m"), ["3:15 blue.ramp: `11m` is above 10m | from 1s to 10m"]);
    assert_eq!(of_blue("30"), ["3:15 blue.ramp: `30` has no unit | write `30s` or `30ms`"]);
    assert_eq!(faults(&text("green", "30s")), ["4:10 green.ramp: is blue's alone | green gets more by its weight"]);
}

#[test]
fn a_deadline_leaves_time_for_every_step() {
    let steps = "steps: [{ weight: 10%, bake: 5m }, { weight: 100%, bake: 1h }]";
    check(&format!("{steps}, progressDeadline: 6m, initialDelay: 1m"), &[]);
    check(
        &format!("{steps}, progressDeadline: 5m"),
        &[
            "5:94 progressDeadline: `5m` ends every release in a rollback | write more than the longest wait of the plan, 5m",
        ],
    );
    check(
        &format!("{steps}, progressDeadline: 6m, initialDelay: 10m"),
        &[
            "5:94 progressDeadline: `6m` ends every release in a rollback | write more than the longest wait of the plan, 10m",
        ],
    );
    check(&format!("{steps}, progressDeadline: 0s"), &["5:94 progressDeadline: `0s` is below 1s | from 1s to 30d"]);
    check(
        &format!("{steps}, initialDelay: -1s"),
        &["5:90 initialDelay: `-1s` is negative | a duration is at least 0s"],
    );
}

#[test]
fn a_trigger_can_fire_before_the_deadline() {
    let check = |trigger: &str, expected: &[&str]| {
        let release = "release: { steps: [{ weight: 10%, bake: 5m }], progressDeadline: 30m, monitoring: 20m }";
        let text =
            format!("{LEAST}{release}\ngate: {{ triggers: [{{ name: a, metric: errorRate, above: 1%, {trigger} }}] }}");
        let faults: Vec<String> = faults(&text).iter().map(|fault| fault.replace("gate.triggers[0]", "*")).collect();
        assert_eq!(faults, expected, "{trigger}");
    };
    check("sustained: 29m", &[]);
    check(
        "sustained: 30m",
        &["6:72 *.sustained: can never fire: it takes at least 30m | `release.progressDeadline` rolls back after 30m"],
    );
    check("interval: 10m, failureLimit: 9, consecutiveLimit: 2", &[]);
    check(
        "interval: 10m, failureLimit: 2",
        &["6:71 *.interval: can never fire: it takes at least 30m | `release.progressDeadline` rolls back after 30m"],
    );
}

#[test]
fn low_traffic_and_what_cannot_be_undone_are_said_in_words() {
    let steps = "steps: [{ weight: 10%, bake: 5m }]";
    check(
        &format!("{steps}, onLowTraffic: skip"),
        &["5:62 onLowTraffic: `skip` is not a way to go on | use one of `wait`, `pass`, `rollback`"],
    );
    check(
        &format!("{steps}, irreversible: ' '"),
        &["5:62 irreversible: is empty | say why a rollback would do harm, or remove it"],
    );
    check(
        &format!("{steps}, irreversible: true"),
        &[
            "5:62 irreversible: expected a string, found `true` | text that looks like something else stands in quotes, write `\"true\"`",
        ],
    );
    check(&format!("{steps}, irreversible:"), &["5:48 irreversible: has no value | give it a value, or remove it"]);
    check(&format!("{steps}, irreversable: x"), &["5:48 unknown key `irreversable` | did you mean `irreversible`?"]);
}

#[test]
fn a_budget_takes_the_place_of_steps() {
    assert_eq!(plan("budget: 200").budget.map(std::num::NonZero::get), Some(200));
    assert!(plan("budget: 200").steps.is_empty());
    check("budget: 9", &["5:20 budget: `9` is below 10 | from 10 to 1000000000"]);
    check("budget: lots", &["5:20 budget: expected a whole number, found the text `lots` | expected a whole number"]);
    check(
        "steps: [{ weight: 10%, bake: 1m }], budget: 200",
        &[
            "5:48 budget: a second key beside `steps` that send users to green | remove one of them: a budget finds the weights by itself",
        ],
    );
}
