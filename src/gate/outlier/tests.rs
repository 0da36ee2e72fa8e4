use super::*;

const TICK: Duration = Duration::from_millis(100);

/// Endpoints that get one request after the other, each failing with its own probability.
struct Play {
    siblings: Siblings<usize>,
    random: fastrand::Rng,
    now: Duration,
    failed: u64,
    charged: u64,
    found: Option<Outlier>,
    second: Option<Outlier>,
}

impl Play {
    fn of(endpoints: usize, seed: u64) -> Play {
        let (siblings, random) = (Siblings::new(endpoints), fastrand::Rng::with_seed(seed));
        Play { siblings, random, now: Duration::ZERO, failed: 0, charged: 0, found: None, second: None }
    }

    /// So many requests, one in a tick.
    fn requests(&mut self, requests: u64, fails: impl Fn(usize) -> f64) {
        for _ in 0..requests {
            self.now += TICK;
            let endpoint = self.random.usize(..self.siblings.recent.len());
            let mut served = vec![0; self.siblings.recent.len()];
            let failed = self.random.f64() < fails(endpoint);
            served[endpoint] = u64::from(!failed);
            self.failed += u64::from(failed);
            let sifted = self.siblings.sift(&served, failed.then_some((endpoint, endpoint)), self.now);
            self.charged += sifted.charged.len() as u64;
            match sifted.found {
                Some(found) if found.order == Order::Second => self.second = self.second.or(Some(found)),
                found => self.found = self.found.or(found),
            }
        }
    }

    fn pause(&mut self, time: Duration) {
        self.now += time;
        let charged = self.siblings.sift(&[], [], self.now).charged.len();
        self.charged += charged as u64;
    }
}

#[test]
fn row_101_one_bad_endpoint_of_several_is_found_and_none_of_its_failures_is_charged() {
    for (endpoints, most) in [(3, 12), (4, 10), (10, 8), (20, 6)] {
        for seed in 0..200 {
            let mut play = Play::of(endpoints, seed);
            play.requests(300, |_| 0.0);
            play.requests(2_000, |endpoint| if endpoint == 1 { 1.0 } else { 0.0 });
            let found = play.found.unwrap_or_else(|| panic!("one of {endpoints}, seed {seed}"));
            assert_eq!((found.endpoint, found.others.bad, play.charged), (1, 0, 0), "of {endpoints}, seed {seed}");
            assert!((2..=most).contains(&found.own.bad), "of {endpoints}, seed {seed}: {found:?}");
        }
    }
}

#[test]
fn where_the_evidence_is_clear_it_takes_less_than_five_failures() {
    let mut play = Play::of(10, 1);
    let mut turn = 0;
    while play.found.is_none() {
        turn += 1;
        play.now += TICK;
        let served: Vec<u64> = (0..10).map(|endpoint| u64::from(endpoint != 3)).collect();
        play.found = play.siblings.sift(&served, [(3, 3)], play.now).found;
    }
    assert_eq!((turn, play.found.map(|found| found.own.bad)), (4, Some(4)));
}

#[test]
fn an_endpoint_that_fails_half_of_its_requests_is_found_as_well() {
    for seed in 0..200 {
        let mut play = Play::of(4, seed);
        play.requests(300, |_| 0.0);
        play.requests(2_000, |endpoint| if endpoint == 1 { 0.5 } else { 0.0 });
        let found = play.found.unwrap_or_else(|| panic!("seed {seed}"));
        assert_eq!(found.endpoint, 1, "seed {seed}");
        assert!(play.charged <= 6, "seed {seed}: {} charged", play.charged);
    }
}

#[test]
fn a_second_bad_endpoint_is_charged_in_full() {
    let mut play = Play::of(4, 3);
    play.requests(2_000, |endpoint| if endpoint == 1 { 1.0 } else { 0.0 });
    assert_eq!((play.found.map(|found| found.endpoint), play.charged), (Some(1), 0));
    play.failed = 0;
    play.requests(1_000, |endpoint| if endpoint == 2 { 1.0 } else { 0.0 });
    assert_eq!((play.charged, play.siblings.held()), (play.failed, 0));
    assert_eq!(play.second.map(|second| (second.endpoint, second.others.bad)), Some((2, 0)));
}

#[test]
fn a_second_bad_endpoint_is_found_although_it_has_been_ejected_meanwhile() {
    let mut siblings = Siblings::new(4);
    let mut now = TICK;
    let first = siblings.sift(&[0, 40, 40, 40], [(0, 'a'); 5], now).found;
    assert_eq!(first.map(|found| (found.order, found.endpoint)), Some((Order::First, 0)));
    assert_eq!(siblings.sift(&[0, 0, 2, 2], [(1, 'b'); 5], now).charged, ['b'; 5]);
    let second = (0..10).find_map(|_| {
        now += TICK;
        siblings.sift(&[0, 0, 3, 3], [], now).found
    });
    assert_eq!(second.map(|found| (found.order, found.endpoint)), Some((Order::Second, 1)));
}

#[test]
fn an_endpoint_that_cannot_be_ejected_is_charged() {
    let mut siblings = Siblings::new(4);
    let found = siblings.sift(&[0, 40, 40, 40], [(0, 'a'); 5], TICK).found;
    assert_eq!(found.map(|found| found.endpoint), Some(0));
    siblings.excuse_nobody();
    let sifted = siblings.sift(&[0, 40, 40, 40], [(0, 'b'); 5], 2 * TICK);
    assert_eq!((sifted.charged, sifted.found, siblings.held()), (vec!['b'; 5], None, 0));
}

#[test]
fn a_version_that_is_bad_as_a_whole_is_charged_with_the_next_failure() {
    for (share, by_chance) in [(1.0, 0), (0.5, 2)] {
        let mut found = 0;
        for seed in 0..200 {
            let mut play = Play::of(4, seed);
            play.requests(300, |_| 0.0);
            play.requests(200, |_| share);
            if play.found.is_some() {
                found += 1;
                continue;
            }
            let missing = play.failed - play.charged;
            assert!(missing <= 8 && missing == play.siblings.held() as u64, "seed {seed}: {missing} held");
        }
        assert!(found <= by_chance, "{found} of 200 at {share}");
    }
}

#[test]
fn promise_4_failures_at_random_are_all_charged_in_the_end() {
    for (endpoints, share) in [(3, 0.01), (4, 0.05), (10, 0.05), (10, 0.3), (50, 0.01)] {
        let mut found = 0;
        for seed in 0..100 {
            let mut play = Play::of(endpoints, seed);
            play.requests(5_000, |_| share);
            play.pause(HELD);
            if play.found.is_some() {
                found += 1;
            } else {
                assert_eq!((play.charged, play.siblings.held()), (play.failed, 0), "of {endpoints} at {share}");
            }
        }
        assert!(found <= 4, "{found} of 100 of {endpoints} at {share}");
    }
}

#[test]
fn a_failure_that_stays_alone_is_charged_when_its_endpoint_has_answered_well() {
    let mut siblings = Siblings::new(3);
    assert_eq!(siblings.sift(&[5, 5, 5], [(0, 'a')], TICK).charged, Vec::<char>::new());
    assert_eq!((siblings.held(), siblings.sift(&[2, 9, 9], [], 2 * TICK).charged), (1, vec![]));
    assert_eq!((siblings.sift(&[1, 0, 0], [], 3 * TICK).charged, siblings.held()), (vec!['a'], 0));
    assert_eq!(siblings.sift(&[0, 0, 0], [(2, 'b')], 4 * TICK).charged, Vec::<char>::new());
    assert_eq!(siblings.sift(&[0, 0, 0], [], 4 * TICK + HELD).charged, ['b'], "or after a minute");
}
