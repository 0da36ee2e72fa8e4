//! Journals of before an approval could be waited for with an end.

use std::path::Path;

use serde_json::{Value, json};

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

fn configured(approval: &str) -> Config {
    let text = format!(
        r#"
listen: 127.0.0.1:8080
admin: {{ listen: 127.0.0.1:9090 }}
blue:  {{ version: v1, endpoints: ["127.0.0.1:9001"] }}
green: {{ version: v2, endpoints: ["127.0.0.1:9002"] }}
release: {{ steps: [{{ weight: 20%, bake: 300ms, approval: {approval} }}, {{ weight: 50%, bake: 1m }}] }}
"#
    );
    config::parse(&text, "portcullis.yaml", Path::new(""), &config::Environment::default())
        .unwrap_or_else(|faults| panic!("{faults}"))
}

fn restored(approval: &str) -> Run {
    let beginning = Beginning::restored(before(), &configured(approval));
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
fn a_release_that_brought_its_plan_along_before_a_step_could_be_of_a_cohort_goes_on_by_it() {
    let plan = concat!(
        r#"{"steps":[{"weight":20.0,"bake":{"secs":0,"nanos":300000000},"approval":"operator"},"#,
        r#"{"weight":50.0,"bake":{"secs":60,"nanos":0},"approval":"automatic"}],"#,
        r#""initialDelay":{"secs":0,"nanos":0},"progressDeadline":null,"monitoring":{"secs":600,"nanos":0},"#,
        r#""onLowTraffic":"wait","irreversible":null}"#
    );
    let text = r#"{"epoch":7,"latch":null,"state":"progressing","weight":2000,"step":0,"blue":"v1","green":"v2","stable":"v1",
        "resume":{"open":{"stage":{"step":{"index":0,"consent":"open"}},"holds":{"common":null,"probe":null,"paused":null}},
        "clock_nanos":5000000000,"began_nanos":1000000000,"reaction_micros":null,"plan":"PLAN","own_plan":OWN}}"#;
    let Value::String(shown) = before().resume["plan"].clone() else { panic!("a plan is a text") };
    let text = text.replace("PLAN", &shown).replace("OWN", plan);
    let record = serde_json::from_str(&text).expect("a record");
    let beginning = Beginning::restored(record, &configured("true"));
    assert_eq!(beginning.found, Found::State);
    let own = beginning.own_plan.expect("its own");
    let steps: Vec<_> = own.steps.iter().map(|step| (step.weight.percent(), step.cohort.as_deref())).collect();
    assert_eq!(steps, [(20.0, None), (50.0, None)]);
    let written = serde_json::to_value(&own).expect("plain data");
    assert_eq!(written, serde_json::from_str::<Value>(plan).expect("JSON"), "and a program of then reads it");
    let run = beginning.state.run().expect("the release goes on");
    assert!(matches!(run.stage, Stage::Step { index: 0, .. }) && run.held_by().is_none());
    assert_eq!(run.cohorts(Some(&own)).count(), 0);
}

#[test]
fn an_approval_that_has_a_time_since_the_restart_is_another_plan() {
    let run = restored("{ within: 24h, otherwise: rollback }");
    let sentence = "the plan was changed while its release ran; an operator goes on by weight, or promotes";
    assert_eq!((run.stage, run.held_by()), (Stage::Manual, Some(sentence)));
}
