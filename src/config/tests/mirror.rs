//! Each rule for mirroring: how requests are copied, the steps that do, and the triggers on the copies.

use super::{LEAST, faults, loaded};
use crate::config::ShadowHost;
use crate::gate::trigger::{Action, Condition};
use crate::release::Weight;
use std::time::Duration;

fn check(rest: &str, expected: &[&str]) {
    assert_eq!(faults(&format!("{LEAST}{rest}")), expected, "{rest}");
}

fn check_steps(steps: &str, expected: &[&str]) {
    let faults: Vec<String> = faults(&format!("{LEAST}release: {{ steps: [{steps}] }}"));
    let faults: Vec<String> = faults.iter().map(|fault| fault.replace("release.steps", "*")).collect();
    assert_eq!(faults, expected, "{steps}");
}

#[test]
fn nothing_is_mirrored_unless_it_is_asked_for() {
    let mirror = loaded(LEAST).mirror;
    assert_eq!((mirror.share, mirror.max_requests.get(), mirror.host), (Weight::ZERO, 128, ShadowHost::Marked));
    assert_eq!((mirror.response_body_bytes, mirror.timeout), (1 << 20, Duration::from_secs(5)));
    let text = "mirror: { share: 2.5%, maxRequests: 7, responseBodyBytes: 1KiB, timeout: 300ms, shadowHost: false }";
    let mirror = loaded(&format!("{LEAST}{text}")).mirror;
    assert_eq!((mirror.share.percent(), mirror.max_requests.get(), mirror.host), (2.5, 7, ShadowHost::AsItCame));
    assert_eq!((mirror.response_body_bytes, mirror.timeout), (1024, Duration::from_millis(300)));
}

#[test]
fn each_number_has_its_bounds() {
    check("mirror: { share: 10 }", &["5:18 mirror.share: `10` has no percent sign | write `10%`"]);
    check("mirror: { maxRequests: 0 }", &["5:24 mirror.maxRequests: `0` is below 1 | from 1 to 100000"]);
    check("mirror: { timeout: 1h }", &["5:20 mirror.timeout: `1h` is above 10m | from 1ms to 10m"]);
    check("mirror: { percent: 10% }", &["5:11 unknown key `mirror.percent` | not a key here"]);
}

#[test]
fn steps_that_mirror_come_first_and_rise() {
    check_steps("{ mirror: 1%, bake: 1m }, { mirror: 100%, bake: 1m }, { weight: 1%, bake: 1m }", &[]);
    check_steps(
        "{ weight: 1%, bake: 1m }, { mirror: 10%, bake: 1m }",
        &["5:48 *[1].mirror: comes after a step that sends users to green | write it before the first `weight`"],
    );
    check_steps(
        "{ mirror: 0%, bake: 1m }",
        &["5:30 *[0].mirror: `0%` copies nothing | for a time at 0% write `initialDelay`"],
    );
    check_steps(
        "{ mirror: 10%, bake: 1m }, { mirror: 10%, bake: 1m }",
        &["5:57 *[1].mirror: `10%` does not rise | a step before has `10%`"],
    );
    check_steps(
        "{ weight: 1%, mirror: 10%, bake: 1m }",
        &["5:34 *[0].mirror: a second key beside `weight` | remove one of them: a step that mirrors is at 0%"],
    );
}

#[test]
fn copies_have_triggers_of_their_own() {
    let policy = loaded(LEAST).policy;
    let [usual] = &policy.mirror[..] else { panic!("{:?}", policy.mirror) };
    assert_eq!((usual.name.as_str(), usual.action, usual.minimum_requests), ("mirror-errors", Action::Rollback, 50));
    assert!(matches!(usual.condition, Condition::FailuresAboveBlue { .. }));
    let gate = |mirror: &str| format!("gate: {{ mirror: {{ {mirror} }} }}");
    let one = "name: a, metric: latency, quantile: 0.99, above: 1s";
    let policy = loaded(&format!("{LEAST}{}", gate(&format!("minimumRequests: 7, triggers: [{{ {one} }}]")))).policy;
    assert_eq!((policy.mirror.len(), policy.mirror[0].minimum_requests), (1, 7));
    check(
        &gate("triggers: [{ name: a, metric: failureStreak, atLeast: 5 }]"),
        &[
            "5:49 gate.mirror.triggers[0].metric: `failureStreak` is nothing that mirrored requests have | use one of `errorRate`, `successRate`, `latency`",
        ],
    );
    check(
        &gate("triggers: [{ name: a, metric: errorRate, above: 1%, confirm: comparison }]"),
        &["5:71 gate.mirror.triggers[0].confirm: the comparison knows no mirrored requests | remove it"],
    );
    check(
        &format!("gate: {{ triggers: [{{ {one} }}], mirror: {{ triggers: [{{ {one} }}] }} }}"),
        &["5:98 gate.mirror.triggers: `a` is the name of a trigger in `gate.triggers` too | choose another name"],
    );
    let steps = "release: { steps: [{ mirror: 1%, bake: 1m }] }\n";
    check(
        &format!("{steps}{}", gate(&format!("triggers: [{{ {one}, action: notify }}]"))),
        &[
            "6:29 gate.mirror.triggers: nothing here clears green, so the plan could not go beyond a step that mirrors | add a bound on `errorRate`, `successRate` or `latency` that pauses or rolls back",
        ],
    );
}
