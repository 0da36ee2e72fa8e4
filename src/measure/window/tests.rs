use super::*;
use crate::gate::Charge;

fn sample(requests: u64) -> Sample {
    let mut sample = Sample::default();
    for _ in 0..requests {
        sample.evidence.record(Charge::Served, Some(Duration::from_millis(1)));
    }
    sample
}

fn windows(lengths: &[u64]) -> Windows {
    let mut windows = Windows { rings: Vec::new(), shown: Ring::new(STATUS_WINDOW, Span::Head) };
    for seconds in lengths {
        windows.want(Duration::from_secs(*seconds), Span::Head, None);
    }
    windows
}

#[test]
fn a_window_of_any_length_holds_what_is_younger_than_it_and_at_most_61_slots() {
    for seconds in [1, 10, 60, 3600] {
        let length = Duration::from_secs(seconds);
        let mut windows = windows(&[seconds]);
        let (none, one) = (Sample::default(), sample(1));
        let tick = Duration::from_millis(100);
        let ticks = 2 * length.as_millis() as u32 / 100;
        for number in 0..=ticks {
            windows.add(ByVersion { blue: &none, green: &one }, tick * number);
        }
        let ring = &windows.rings[0];
        let in_window = length.as_millis() as u64 / 100;
        let slot = ring.slot_length.as_millis() as u64 / 100;
        let held = ring.total.green.requests;
        assert!((in_window..=in_window + slot + 1).contains(&held), "{seconds} s: {held}");
        assert_eq!(held, ring.total.green.latency.len());
        assert!(ring.slots.len() <= 62, "{seconds} s: {} slots", ring.slots.len());
    }
}

#[test]
fn what_is_too_old_leaves_even_when_nothing_new_comes() {
    let mut windows = windows(&[10]);
    windows.add(ByVersion { blue: &sample(3), green: &sample(5) }, Duration::from_secs(1));
    windows.advance(Duration::from_millis(10_900));
    let ten = Duration::from_secs(10);
    assert_eq!(windows.evidence(ten, Span::Head).green.requests, 5);
    windows.advance(Duration::from_millis(11_300));
    assert_eq!(windows.evidence(ten, Span::Head).green.requests, 0);
    assert_eq!(windows.evidence(ten, Span::Head).blue.requests, 0);
}

#[test]
fn promise_5_what_blue_did_before_greens_latencies_began_is_told_apart() {
    let mut windows = windows(&[10]);
    let at = Duration::from_secs;
    let (timed, mut cold) = (sample(1), sample(1));
    cold.evidence.latency.clear();
    let since = |windows: &Windows| {
        windows.window(at(10), Span::Head).since_change.map(|since| (since.blue.requests, since.green.requests))
    };
    for second in 1..4 {
        windows.add(ByVersion { blue: &timed, green: &cold }, at(second));
    }
    assert_eq!(since(&windows), None, "green warms up");
    for second in 4..6 {
        windows.add(ByVersion { blue: &timed, green: &timed }, at(second));
    }
    assert_eq!(since(&windows), Some((2, 2)));
}

#[test]
fn promise_5_where_greens_latencies_begin_after_a_change_of_the_weight_what_came_before_them_is_told_apart_as_well() {
    let mut windows = windows(&[10]);
    let at = Duration::from_secs;
    let (timed, mut cold) = (sample(1), sample(1));
    cold.evidence.latency.clear();
    let since = |windows: &Windows| {
        windows.window(at(10), Span::Head).since_change.map(|since| (since.blue.requests, since.green.requests))
    };
    windows.add(ByVersion { blue: &timed, green: &cold }, at(1));
    windows.weight_changed(at(2));
    for second in 2..5 {
        windows.add(ByVersion { blue: &timed, green: &cold }, at(second));
    }
    assert_eq!(since(&windows), Some((3, 3)), "since the change");
    for second in 5..7 {
        windows.add(ByVersion { blue: &timed, green: &timed }, at(second));
    }
    assert_eq!(since(&windows), Some((2, 2)), "since the latencies");
}

#[test]
fn promise_5_greens_latencies_begin_on_a_route_and_in_the_span_that_is_looked_at_by_themselves() {
    let at = Duration::from_secs;
    let (timed, mut cold) = (sample(1), sample(1));
    cold.evidence.latency.clear();
    let mut of_route = Ring::new(at(10), Span::Head);
    of_route.add_evidence(ByVersion { blue: &timed.evidence, green: &cold.evidence }, at(1));
    assert!(of_route.since_change.is_none());
    for second in 2..4 {
        of_route.add_evidence(ByVersion { blue: &timed.evidence, green: &timed.evidence }, at(second));
    }
    assert_eq!(of_route.since_change.map(|(_, since)| (since.blue.requests, since.green.requests)), Some((2, 2)));

    // A stream that has begun has a head, and is not over.
    let mut over = timed.clone();
    over.whole.record(at(1));
    let mut whole = Ring::new(at(10), Span::Whole);
    whole.add(ByVersion { blue: &over, green: &timed }, at(1));
    assert!(whole.since_change.is_none());
    whole.add(ByVersion { blue: &over, green: &over }, at(2));
    assert_eq!(whole.since_change.map(|(_, since)| (since.blue.requests, since.green.requests)), Some((1, 1)));
}

#[test]
fn what_came_since_the_weight_changed_is_known_until_all_of_the_window_did() {
    let mut windows = windows(&[10]);
    let at = Duration::from_secs;
    let ten = at(10);
    let since = |windows: &Windows| {
        windows.window(ten, Span::Head).since_change.map(|since| (since.blue.requests, since.green.requests))
    };
    windows.add(ByVersion { blue: &sample(3), green: &sample(5) }, at(1));
    assert_eq!(since(&windows), Some((3, 5)), "green's latencies have begun");
    windows.weight_changed(at(5));
    windows.add(ByVersion { blue: &sample(1), green: &sample(2) }, at(5));
    windows.add(ByVersion { blue: &sample(1), green: &sample(4) }, at(6));
    assert_eq!(since(&windows), Some((2, 6)));
    windows.weight_changed(at(7));
    windows.add(ByVersion { blue: &sample(0), green: &sample(7) }, at(8));
    assert_eq!(since(&windows), Some((0, 7)));
    windows.advance(at(16));
    assert_eq!(since(&windows), Some((0, 7)), "what came at 6 s is still there");
    windows.advance(at(17));
    assert_eq!(since(&windows), None);
    assert_eq!(windows.evidence(ten, Span::Head).green.requests, 7);
}

#[test]
fn what_came_with_the_slot_of_a_change_is_told_apart_until_that_has_left() {
    let mut windows = windows(&[10]);
    let (at, ten) = (Duration::from_secs, Duration::from_secs(10));
    windows.add(ByVersion { blue: &sample(3), green: &sample(5) }, at(7));
    windows.weight_changed(at(7));
    windows.add(ByVersion { blue: &sample(1), green: &sample(2) }, at(7));
    let since = |windows: &Windows| windows.window(ten, Span::Head).since_change.map(|since| since.green.requests);
    windows.advance(at(17));
    assert_eq!((since(&windows), windows.evidence(ten, Span::Head).green.requests), (Some(2), 7));
    windows.exchange();
    assert_eq!(since(&windows), Some(1), "what was counted of a version stays with it");
}
