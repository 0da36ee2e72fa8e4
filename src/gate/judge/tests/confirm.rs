//! Triggers that ask the comparison before they act.

use super::*;

const BAD: (u64, u64) = (6, 50);
const BLUE_WELL: (u64, u64) = (0, 450);

fn confirmed(action: Action) -> Trigger {
    Trigger { confirm: Confirm::Comparison, ..acting(action) }
}

#[test]
fn promise_5_an_unconfirmed_trigger_holds_and_looks_closer_instead_of_acting() {
    let mut bench = Bench::new([confirmed(Action::Rollback)]);
    let judgement = bench.look(BAD, BLUE_WELL);
    assert_eq!((judgement.verdict.kind, judgement.standing), (Kind::Wait, Stands::Pending));
    let [Order::Probe { trigger, sentence }] = judgement.orders.as_slice() else { panic!("{judgement:?}") };
    assert_eq!(trigger, "meltdown");
    assert_eq!(
        sentence,
        "green failed 6 of 50 requests (12.0 %) in the last 10 s, above 10 %; blue failed 0 of 450; the comparison does \
         not show a difference to blue"
    );
    assert_eq!(bench.ticks_to_order(BAD, BLUE_WELL, 100), None, "the probe is ordered once");
    bench.suspicion.errors = true;
    let judgement = bench.look(BAD, BLUE_WELL);
    assert_eq!((judgement.verdict.kind, ordered(&judgement)), (Kind::Fail, vec![Ordered::Rollback]));
}

#[test]
fn a_suspicion_alone_fires_nothing() {
    let mut bench = Bench::new([confirmed(Action::Rollback)]);
    bench.suspicion = Suspicion { errors: true, p99: true, p50: true };
    let judgement = bench.look((5, 50), BLUE_WELL);
    assert_eq!((judgement.verdict.kind, judgement.orders), (Kind::Pass, vec![]));
    let sustained = Trigger { sustained: Duration::from_secs(5), ..confirmed(Action::Rollback) };
    let mut bench = Bench::new([sustained]);
    bench.suspicion.errors = true;
    assert_eq!(bench.ticks_to_order(BAD, BLUE_WELL, 100), Some(50), "it waits for its time as well");
}

#[test]
fn an_unconfirmed_pause_holds_without_lowering_the_weight() {
    let judgement = Bench::new([confirmed(Action::Pause)]).look(BAD, BLUE_WELL);
    assert_eq!((judgement.standing, judgement.orders), (Stands::Pending, vec![]));
    let judgement = Bench::new([confirmed(Action::Notify)]).look(BAD, BLUE_WELL);
    assert_eq!((judgement.standing, judgement.orders), (Stands::NothingGates, vec![]));
}

#[test]
fn each_metric_is_confirmed_by_its_own_comparison() {
    let latency = |fraction: f64| Condition::LatencyAbove {
        quantile: Quantile::try_from(fraction).expect("in range"),
        span: Span::Head,
        bound: Duration::from_millis(200),
    };
    let [none, errors, p99, p50] = [
        Suspicion::default(),
        Suspicion { errors: true, ..Suspicion::default() },
        Suspicion { p99: true, ..Suspicion::default() },
        Suspicion { p50: true, ..Suspicion::default() },
    ];
    let failures = Condition::FailuresAbove { share: share(0.1), written: Rate::Errors };
    for (condition, confirming) in
        [(failures, errors), (latency(0.99), p99), (latency(0.95), p99), (latency(0.75), p99), (latency(0.5), p50)]
    {
        for suspicion in [none, errors, p99, p50] {
            let mut bench = Bench::new([Trigger { condition, ..confirmed(Action::Rollback) }]);
            bench.suspicion = suspicion;
            let mut green = timed(120, 411);
            green.failures = 60;
            let expected = if suspicion == confirming { Ordered::Rollback } else { Ordered::Probe };
            assert_eq!(ordered(&bench.look_at(&green, &timed(1_080, 8))), [expected], "{condition:?} {suspicion:?}");
        }
    }
}

#[test]
fn a_failed_judgement_is_confirmed_also_between_two_judgements() {
    let every = Duration::from_secs(10);
    let cadence = Cadence::Interval { every, failure_limit: Some(0), consecutive_limit: None };
    let mut bench = Bench::new([Trigger { cadence, ..confirmed(Action::Rollback) }]);
    assert_eq!(bench.ticks_to_order(BAD, BLUE_WELL, 150), Some(100), "the probe");
    bench.suspicion.errors = true;
    assert_eq!(ordered(&bench.look(BAD, BLUE_WELL)), [Ordered::Rollback]);
}
