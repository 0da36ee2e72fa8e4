use super::super::clients::Drawn;
use super::*;
use crate::gate::Outcome;
use crate::release::Epoch;

fn record(epoch: Epoch, outcome: Outcome) -> Record {
    let took = Took { head: Some(Duration::from_millis(1)), whole: Some(Duration::from_millis(2)) };
    Record {
        version: Some(Version::Green),
        routed: Routed { epoch, change: 0 },
        outcome,
        charge: outcome.charge(),
        standing: Standing::Evidence,
        drawn: Drawn::Request,
        arm: Arm::Rest,
        route: None,
        endpoint: None,
        status: 200,
        grpc: None,
        judged: took,
        shown: took,
    }
}

#[test]
fn a_request_of_an_earlier_epoch_is_counted_but_is_no_evidence() {
    let (first, second) = (Epoch::default().next(), Epoch::default().next().next());
    let mut shard = Shard::default();
    shard.record(&record(first, Outcome::ServerError));
    shard.record(&record(second, Outcome::Success));
    shard.record(&record(first, Outcome::ServerError));
    assert_eq!((shard.samples.green.evidence.requests, shard.samples.green.evidence.failures), (1, 0));
    assert_eq!((shard.aside.green.evidence.requests, shard.aside.green.evidence.failures), (2, 2));
    assert_eq!(shard.counts().map(|count| count.requests).sum::<u64>(), 3);
}

#[test]
fn the_first_failure_of_an_epoch_that_blue_gets_is_counted_beside_it() {
    let (mut recorder, mut collector) = pair();
    let failed = record(Epoch::default().next(), Outcome::ServerError);
    recorder.gave_to_blue(Some(failed.routed));
    recorder.record(&failed);
    recorder.gave_to_blue(None);
    recorder.hand_over(Gauges::default(), failed.routed, std::iter::empty());
    let mut given = 0;
    collector.collect(|shard| given += shard.shields.in_epoch().given);
    assert_eq!(given, 1);
}

#[test]
fn nothing_is_lost_when_nobody_collects() {
    let (mut recorder, mut collector) = pair();
    for _ in 0..100 {
        recorder.record(&record(Epoch::default(), Outcome::Success));
        recorder.hand_over(Gauges::default(), Routed::default(), std::iter::empty());
    }
    let mut requests = 0;
    collector.collect(|shard| requests += shard.samples.green.evidence.requests);
    recorder.hand_over(Gauges::default(), Routed::default(), std::iter::empty());
    collector.collect(|shard| requests += shard.samples.green.evidence.requests);
    assert_eq!(requests, 100);
}

#[test]
fn a_client_that_gave_up_counts_in_latency_but_is_neither_served_nor_failed() {
    let mut shard = Shard::default();
    shard.record(&record(Epoch::default(), Outcome::ClientCancelled));
    let green = &shard.samples.green;
    assert_eq!((green.evidence.requests, green.evidence.latency.len(), green.whole.len()), (0, 1, 0));
}

#[test]
fn row_73_a_request_that_stands_aside_is_counted_and_shown_and_is_no_evidence() {
    let mut shard = Shard::default();
    shard.record(&Record { standing: Standing::Aside, ..record(Epoch::default(), Outcome::ServerError) });
    assert!(shard.samples.green.evidence.is_empty() && shard.samples.green.whole.is_empty());
    assert_eq!((shard.plain[0].requests, shard.aside.green.evidence.latency.len()), (1, 1));
}

#[test]
fn a_request_of_a_warm_up_counts_for_failures_and_its_latency_is_only_shown() {
    let mut shard = Shard::default();
    shard.record(&Record { standing: Standing::WarmUp, ..record(Epoch::default(), Outcome::ServerError) });
    let (judged, shown) = (&shard.judged_only.green, &shard.shown_only.green);
    assert_eq!((judged.evidence.requests, judged.evidence.failures), (1, 1));
    assert_eq!((judged.evidence.latency.len(), judged.whole.len()), (0, 0));
    assert_eq!((shown.evidence.failures, shown.evidence.latency.len(), shown.whole.len()), (1, 1, 1));
}

#[test]
fn what_the_version_took_is_evidence_and_what_the_client_saw_is_shown() {
    let mut shard = Shard::default();
    let usual = record(Epoch::default(), Outcome::Success);
    let judged = Took { head: Some(Duration::from_micros(100)), whole: Some(Duration::from_micros(200)) };
    shard.record(&usual);
    shard.record(&Record { judged, ..usual });
    let requests = |samples: &ByVersion<Sample>| samples.green.evidence.requests;
    assert_eq!([&shard.samples, &shard.judged_only, &shard.shown_only].map(requests), [1, 1, 1]);
    assert_eq!(shard.judged_only.green.evidence.latency.slower_than(Duration::from_micros(150)), 0);
    assert_eq!(shard.shown_only.green.evidence.latency.slower_than(Duration::from_micros(150)), 1);
}

#[test]
fn promise_5_what_was_routed_at_an_earlier_weight_is_kept_apart() {
    let of = |change: u16| {
        let usual = record(Epoch::default(), Outcome::Success);
        Record { routed: Routed { change, ..usual.routed }, arm: Arm::Drawn, ..usual }
    };
    let mut shard = Shard::default();
    [1, 1, 2, 1, 2].into_iter().for_each(|change| shard.record(&of(change)));
    let requests = |sample: &Sample| sample.evidence.requests;
    assert_eq!((requests(&shard.samples.green), requests(&shard.late.green), requests(&shard.arm)), (2, 3, 2));
    assert_eq!(requests(&shard.shown_only.green), 3, "they are shown all the same");
    shard.record(&Record { standing: Standing::WarmUp, ..of(1) });
    assert_eq!((requests(&shard.late.green), shard.late.green.evidence.latency.len()), (4, 3));
}

#[test]
fn a_failure_at_one_endpoint_of_several_is_shown_and_no_evidence_yet() {
    let failed = Record { endpoint: Some(2), ..record(Epoch::default(), Outcome::ServerError) };
    let served = Record { endpoint: Some(1), ..record(Epoch::default(), Outcome::Success) };
    let mut shard = Shard::default();
    shard.record(&failed);
    shard.record(&served);
    assert_eq!((shard.samples.green.evidence.requests, shard.samples.green.evidence.failures), (1, 0));
    assert_eq!((shard.shown_only.green.evidence.failures, shard.served.green.as_slice()), (1, &[0, 1][..]));
    assert_eq!(shard.failed.iter().map(|failed| failed.endpoint).collect::<Vec<_>>(), [2]);
    (0..MOST_FAILED).for_each(|_| shard.record(&failed));
    assert_eq!((shard.failed.len(), shard.samples.green.evidence.failures), (MOST_FAILED, 1), "the rest is counted");
}
