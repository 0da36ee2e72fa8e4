//! Journals of before an approval could be waited for with an end.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::config;
use crate::release::run::Consent;

/// The state of a release whose approval was asked for, as it was written then.
fn before() -> StateRecord {
    let plan = "Some(Plan { steps: [Step { weight: Weight(2000), bake: 300ms, approval: Operator }, Step { weight: \
                Weight(5000), bake: 60s, approval: Automatic }], initial_delay: 0ns, progress_deadline: None, monitoring: \
                600s, on_low_traffic: Wait, irreversible: None })";
    StateRecord {
        epoch: 7,
        latch: None,
        state: "paused".to_owned(),
        weight: 2000,
        step: Some(0),
        blue: "v1".to_owned(),
        green: "v2".to_owned(),
        stable: "v1".to_owned(),
        versions: None,
        declared: None,
        rolled_back: None,
        resume: json!({
            "open": {
                "stage": { "step": { "index": 0, "consent": "asked" } },
                "holds": { "common": null, "probe": null, "paused": null }
            },
            "clock_nanos": 5_000_000_000_u64,
            "began_nanos": 1_000_000_000_u64,
            "reaction_micros": null,
            "plan": plan
        }),
    }
}

fn restored(approval: &str) -> Run {
    let text = format!(
        r#"
listen: 127.0.0.1:8080
admin: {{ listen: 127.0.0.1:9090 }}
blue:  {{ version: v1, endpoints: ["127.0.0.1:9001"] }}
green: {{ version: v2, endpoints: ["127.0.0.1:9002"] }}
release: {{ steps: [{{ weight: 20%, bake: 300ms, approval: {approval} }}, {{ weight: 50%, bake: 1m }}] }}
"#
    );
    let config = config::parse(&text, "portcullis.yaml", Path::new(""), &config::Environment::default())
        .unwrap_or_else(|faults| panic!("{faults}"));
    let beginning = Beginning::restored(before(), &config);
    assert_eq!(beginning.found, Found::State);
    beginning.state.run().expect("the release goes on").clone()
}

#[test]
fn a_release_that_an_older_version_left_waiting_for_an_approval_goes_on_where_it_was() {
    let run = restored("true");
    assert_eq!((run.stage, run.held_by().is_some()), (Stage::Step { index: 0, consent: Consent::Asked }, true));
    assert_eq!((run.holds.paused.as_ref(), run.waited(Duration::from_secs(9))), (None, None));
}

#[test]
fn a_plan_that_an_older_program_kept_whole_goes_to_100_percent_by_itself() {
    let kept = json!({
        "steps": [], "initialDelay": { "secs": 0, "nanos": 0 }, "progressDeadline": null,
        "monitoring": { "secs": 60, "nanos": 0 }, "onLowTraffic": "wait", "irreversible": null
    });
    let plan: Plan = serde_json::from_value(kept.clone()).expect("a plan");
    assert_eq!(plan.max_weight, Weight::FULL);
    assert_eq!(serde_json::to_value(&plan).expect("plain data"), kept, "and an older program reads it");
    let bounded = Plan { max_weight: Weight::PROBE, ..plan.clone() };
    assert_eq!(
        serde_json::from_value::<Plan>(serde_json::to_value(&bounded).expect("plain data")).expect("a plan"),
        bounded
    );
    assert_ne!(shown(Some(&plan)), shown(Some(&bounded)));
}

#[test]
fn an_approval_that_has_a_time_since_the_restart_is_another_plan() {
    let run = restored("{ within: 24h, otherwise: rollback }");
    let sentence = "the plan was changed while its release ran; an operator goes on by weight, or promotes";
    assert_eq!((run.stage, run.held_by()), (Stage::Manual, Some(sentence)));
}
