//! Each rule for cohorts, and for the steps that name them.

use super::{LEAST, faults, loaded};

const BOUND: &str = "gate: { triggers: [{ name: spike, metric: errorRate, above: 10% }] }\n";

fn check(cohort: &str, expected: &[&str]) {
    assert_eq!(faults(&format!("{LEAST}cohorts: [{cohort}]")), expected, "{cohort}");
}

fn check_steps(steps: &str, expected: &[&str]) {
    let staff = "cohorts: [{ name: staff, paths: [/a] }, { name: beta, paths: [/b] }]\n";
    let faults = faults(&format!("{LEAST}{BOUND}{staff}release: {{ steps: [{steps}, {{ weight: 100% }}] }}"));
    let faults: Vec<String> = faults.iter().map(|fault| fault.replace("release.steps", "*")).collect();
    assert_eq!(faults, expected, "{steps}");
}

#[test]
fn a_cohort_is_of_clients_that_fit_all_that_it_names() {
    let text = "cohorts: [{ name: staff, header: { name: X-Group, values: [a, b] }, cookie: { name: group }, \
                from: [10.0.0.0/8], paths: [\"/labs/*\"] }]";
    let config = loaded(&format!("{LEAST}{text}"));
    let [cohort] = &config.cohorts[..] else { panic!("{:?}", config.cohorts) };
    let (header, cookie) = (cohort.header.as_ref().expect("one"), cohort.cookie.as_ref().expect("one"));
    assert_eq!((header.name.as_str(), header.fits(b"b"), header.fits(b"B")), ("x-group", true, false));
    assert_eq!((cookie.name.as_str(), cookie.fits(b"anything"), cookie.fits(b"")), ("group", true, false));
    let origin = |text: &str| text.parse().expect("an address");
    assert!(cohort.is_from(|| origin("10.9.9.9")) && !cohort.is_from(|| origin("11.9.9.9")));
    assert!(cohort.is_for("/labs/x") && !cohort.is_for("/lab"));
    assert_eq!(config.policy.cohorts, ["staff"]);
}

#[test]
fn a_cohort_is_refused_with_what_would_be_right() {
    check(
        "{ name: a }",
        &[
            "5:11 cohorts[0]: takes in every client | name `from`, `header`, `cookie` or `paths`, like `from: [\"10.0.0.0/8\"]`",
        ],
    );
    check("{ paths: [/a] }", &["5:11 missing key `cohorts[0].name` | has no `name`"]);
    check(
        "{ name: A, paths: [/a] }",
        &["5:19 cohorts[0].name: `A` is not a name for a cohort | use `a` to `z`, `0` to `9` and `-`, 1 to 63 of them"],
    );
    check(
        "{ name: a, paths: [/a] }, { name: a, paths: [/b] }",
        &["5:45 cohorts[1].name: `a` is in the list already | choose another name"],
    );
    check("{ name: a, from: [] }", &["5:28 cohorts[0].from: is empty | name a network, or leave it out for all"]);
    check("{ name: a, header: { values: [b] } }", &["5:22 missing key `cohorts[0].header.name` | has no `name`"]);
    check(
        "{ name: a, header: { name: b, values: [] } }",
        &["5:49 cohorts[0].header.values: is empty | write at least one, or leave it out for any"],
    );
    check(
        "{ name: a, cookie: { name: b, values: [\"\"] } }",
        &["5:50 cohorts[0].cookie.values[0]: `` is not a value | 1 to 200 bytes without control characters"],
    );
    check(
        "{ name: a, cookie: { name: b, value: c } }",
        &["5:41 unknown key `cohorts[0].cookie.value` | did you mean `values`?"],
    );
    check("{ name: a, path: [/a], paths: [/a] }", &["5:22 unknown key `cohorts[0].path` | did you mean `paths`?"]);
}

#[test]
fn a_step_names_a_cohort_before_any_weight_and_each_once() {
    check_steps("{ mirror: 10%, bake: 1m }, { cohort: staff, bake: 1m }, { cohort: beta, bake: 1m }", &[]);
    check_steps(
        "{ cohort: stuff, bake: 1m }",
        &["7:30 *[0].cohort: `stuff` is not one of `cohorts` | did you mean `staff`?"],
    );
    check_steps(
        "{ cohort: staff, bake: 1m }, { cohort: staff, bake: 1m }",
        &["7:59 *[1].cohort: `staff` is on green already, by a step before | remove the step, or name another"],
    );
    check_steps(
        "{ weight: 1%, bake: 1m }, { cohort: staff, bake: 1m }",
        &["7:48 *[1].cohort: comes after a step that sends anybody to green | write it before the first `weight`"],
    );
    check_steps(
        "{ cohort: staff, bake: 1m }, { mirror: 1%, bake: 1m }",
        &["7:51 *[1].mirror: comes after a step that sends users to green | write it before the first `cohort`"],
    );
    check_steps(
        "{ cohort: staff, weight: 1%, bake: 1m }",
        &[
            "7:22 *[0].cohort: a second key beside `weight` | remove one of them: at a cohort's step it alone is on green",
        ],
    );
    check_steps("{ cohort: staff }", &["7:20 missing key `*[0].bake` | has no `bake`"]);
}

#[test]
fn a_plan_with_a_cohort_needs_a_bound_that_is_absolute() {
    let rest =
        "cohorts: [{ name: staff, paths: [/a] }]\nrelease: { steps: [{ cohort: staff, bake: 1m }, { weight: 100% }] }";
    let expected = "6:19 release.steps: nothing in `gate` clears a cohort, so the plan could not go beyond its step | add a \
                    bound with `above` or `below` on `errorRate`, `successRate` or `latency` that pauses or rolls back";
    assert_eq!(faults(&format!("{LEAST}{rest}")), [expected]);
    let relative = "gate: { triggers: [{ name: spike, metric: errorRate, aboveBlue: 2 }] }\n";
    assert_eq!(faults(&format!("{LEAST}{rest}\n{relative}")), [expected]);
    assert!(faults(&format!("{LEAST}{rest}\n{BOUND}")).is_empty());
    let none = "release: { steps: [{ cohort: staff, bake: 1m }, { weight: 100% }] }";
    let faults = faults(&format!("{LEAST}{BOUND}{none}"));
    let expected = "`staff` is not one of `cohorts`, of which there are none";
    assert!(faults.len() == 1 && faults[0].contains(expected), "{faults:?}");
}
