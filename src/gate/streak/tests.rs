use super::*;

const RULE: StreakTrigger = StreakTrigger {
    name: String::new(),
    at_least: 3,
    action: crate::gate::Action::Rollback,
    conviction: Conviction::ByEvidence,
};

/// `g`/`b` a success of green or blue, `G`/`B` a failure, `-` one that is charged to nobody, a number before one of them
/// repeats it. `/` changes the weight; `<` before a request says that it was routed before the last change.
fn requests(text: &str) -> Vec<Answer> {
    let (mut change, mut repeat, mut is_late) = (0, String::new(), false);
    let mut answers = Vec::new();
    for letter in text.chars() {
        let (version, charge) = match letter {
            'g' => (Version::Green, Charge::Served),
            'G' => (Version::Green, Charge::Failed),
            'b' => (Version::Blue, Charge::Served),
            'B' => (Version::Blue, Charge::Failed),
            '-' => (Version::Green, Charge::Nobody),
            '/' => {
                change += 1;
                continue;
            }
            '<' => {
                is_late = true;
                continue;
            }
            digit => {
                repeat.push(digit);
                continue;
            }
        };
        let times = if repeat.is_empty() { 1 } else { repeat.parse().expect("a number") };
        let routed = Routed { epoch: Epoch::default(), change: change - u16::from(is_late) };
        answers.extend(std::iter::repeat_n(Answer { version, charge, routed, endpoint: None }, times));
        (repeat, is_late) = (String::new(), false);
    }
    answers
}

/// The signals that were given, each with the number of the request that gave it.
fn play(answers: &[Answer], rule: &Rule) -> Vec<(usize, char, Row)> {
    let mut streak = Streak::default();
    let mut given = Vec::new();
    for (index, answer) in answers.iter().enumerate() {
        let (next, signal) = Streak::unpack(streak.pack()).observe(*answer, rule);
        assert!(!Streak::is_untouched(streak.pack(), answer) || next == streak && signal == Signal::Nothing);
        assert_eq!(Streak::unpack(next.pack()), next);
        streak = next;
        match signal {
            Signal::Nothing => {}
            Signal::Probe(row) => given.push((index + 1, '?', row)),
            Signal::Convict(row) => given.push((index + 1, '!', row)),
            Signal::Common(row) => given.push((index + 1, '=', row)),
        }
    }
    given
}

fn check_by(trigger: &StreakTrigger, text: &str, expected: &str) {
    let given = play(&requests(text), &Rule::new(trigger));
    let given: Vec<String> = given.iter().map(|(number, signal, _)| format!("{signal}{number}")).collect();
    assert_eq!(given.join(" "), expected, "{text}");
}

/// `?` a probe, `!` a conviction, `=` a common cause, each with the number of the request.
fn check(text: &str, expected: &str) {
    check_by(&RULE, text, expected);
}

#[test]
fn promise_5_a_row_convicts_when_one_in_a_million_would_look_like_it_if_both_failed_alike() {
    // Five of green, twenty-seven of blue; ten of each.
    let at_five = StreakTrigger { at_least: 5, ..RULE };
    check_by(&at_five, "4G27bG", "!32");
    check_by(&at_five, "4G26bG", "?31");
    check_by(&at_five, "9G10bG", "?5 !20");
    check_by(&at_five, "9G9bG", "?5");
    // Three, where the trigger asks for no more, need far more of blue.
    check("2G100bG", "?103");
    check("2G200bG", "!203");
}

#[test]
fn promise_5_failures_of_blue_count_against_a_conviction() {
    let at_five = StreakTrigger { at_least: 5, ..RULE };
    check_by(&at_five, "4G27bBG", "?33");
    check_by(&at_five, "4G54bB2G", "?60 !61");
    check_by(&at_five, "4G300b5B2G", "!310");
    check_by(&at_five, "4G5B30b9G", "?40 !47");
}

#[test]
fn promise_5_what_blue_does_after_greens_last_failure_convicts_nobody() {
    check("3G100b", "?3");
    check("3G100bg", "?3");
    check("3G9bG", "?3");
    check("3G12bG12bG12bG", "?3 !42");
}

#[test]
fn a_row_in_which_blue_fails_as_often_and_as_much_is_common() {
    check("2G3BG", "=6");
    check("3G3B", "?3 =6");
    check("3G2BbB", "?3 =7");
    check("3G3B3G", "?3 =6 ?9");
    check("2G400b3BG", "?406");
    check("4G400b3BG", "?3 !408");
    check("2G500b99BG", "=602");
    check("3G9b3B", "?3 =15");
}

#[test]
fn a_success_of_green_ends_the_row_and_what_is_charged_to_nobody_does_not() {
    check("GGgGbG", "");
    check("G12bGg12bG", "");
    check("GG-G", "?4");
    check("3Gg3G", "?3 ?7");
    check("bbbBBBB", "");
}

#[test]
fn promise_5_requests_of_before_a_change_of_the_weight_are_no_evidence_after_it() {
    // As the probe: what was in flight at the weight of before would be far more of green's.
    check("3G/9<G9b", "?3");
    check("3G/9<G20bG", "?3");
    check("3G/9<G20b3G10bG", "?3");
    check("3G/9<G20b3G10b2G", "?3 !47");
    check("3G/20<bG", "?3");
    check("3G/<g20b3G", "?3 ?27");
    check("3G/3<B", "?3 =6");
}

#[test]
fn promise_5_the_rate_that_both_share_may_be_another_after_a_change_of_the_weight() {
    // Everything fails before, nothing after: green's next failures begin from nothing.
    check("5G/9bG9bG", "?3");
    check("5G/9bG9bG9bG9bG9bG", "?3 !55");
    // What was known before is carried over.
    check("2G20bG/9bG9bG", "?23 !43");
}

#[test]
fn the_more_rows_have_begun_the_more_evidence_the_next_one_needs() {
    let at_five = StreakTrigger { at_least: 5, ..RULE };
    check_by(&at_five, &format!("{}4G27bG", "Gg".repeat(6)), "!44");
    check_by(&at_five, &format!("{}4G27bG", "Gg".repeat(200)), "?432");
    check_by(&at_five, &format!("{}4G60bG20bG", "Gg".repeat(200)), "?465 !486");
    check_by(&at_five, &format!("{}4G60bG20bG20bG", "Gg".repeat(5_000)), "?10065 !10107");
}

#[test]
fn a_row_of_one_endpoint_among_three_or_more_says_nothing_of_the_version() {
    let of = |endpoints: &[usize]| -> Vec<Answer> {
        let mut failing = endpoints.iter();
        let mut answers = requests("G20bG20bG20bG20bG20bG20bG");
        let green = answers.iter_mut().filter(|answer| answer.version == Version::Green);
        green.for_each(|answer| answer.endpoint = failing.next().copied());
        answers
    };
    let signals = |endpoints: &[usize]| -> Vec<char> {
        play(&of(endpoints), &Rule::new(&RULE)).into_iter().map(|(_, signal, _)| signal).collect()
    };
    assert_eq!(signals(&[1; 7]), Vec::<char>::new());
    assert_eq!(signals(&[1, 1, 1, 1, 1, 1, 2]), ['!']);
    assert_eq!(signals(&[1, 2, 1]), ['?', '!']);
}

#[test]
fn a_streak_that_is_the_users_own_word_counts_to_its_number_and_asks_only_whether_blue_did_too() {
    let by_count = StreakTrigger { conviction: Conviction::ByCount, ..RULE };
    check_by(&by_count, "3G", "!3");
    check_by(&by_count, "2G2BG", "!5");
    check_by(&by_count, "2G3BG", "=6");
    check_by(&by_count, "2G9b3BG", "=15");
}

#[test]
fn a_row_tells_what_it_was_decided_on_and_how_surely() {
    let at_five = StreakTrigger { at_least: 5, ..RULE };
    let row = |text: &str| play(&requests(text), &Rule::new(&at_five)).pop().expect("a signal").2;
    let convicted = row("4G27bG");
    assert_eq!((convicted.failures, convicted.at_weight, convicted.blue), (5, 5, Tally { bad: 0, units: 27 }));
    let (n, k) = (5.0_f64, 27.0_f64);
    let chance = (n / (n + k)).powf(n) * (k / (n + k)).powf(k);
    assert!((convicted.ln_evidence + chance.ln()).abs() < 1e-9, "{convicted:?}");
    let lowered = row("5G/9bG9bG9bG9bG9bG");
    assert_eq!((lowered.failures, lowered.at_weight, lowered.blue.units), (10, 5, 45));
}

#[test]
fn requests_of_an_earlier_epoch_change_nothing_and_a_later_epoch_starts_afresh() {
    let rule = Rule::new(&RULE);
    let failed = |epoch: u32| Answer {
        version: Version::Green,
        charge: Charge::Failed,
        routed: Routed { epoch: Epoch::from(epoch), change: 0 },
        endpoint: None,
    };
    let (streak, _) = Streak::opened(Epoch::from(5)).observe(failed(5), &rule);
    assert_eq!(streak.observe(failed(4), &rule), (streak, Signal::Nothing));
    let (later, _) = streak.observe(failed(6), &rule);
    assert_eq!((later.failures, later.rows), (1, 1));
    let (opened, _) = Streak::opened(Epoch::from(5 + 200)).observe(failed(205), &rule);
    assert_eq!(opened.failures, 1, "however many epochs have passed without a request");
}

/// Both versions fail alike in draws of our own: how often any row of an epoch convicts, at several rates and weights.
#[test]
fn promise_5_versions_that_fail_alike_at_random_are_hardly_ever_told_apart() {
    let rule = Rule::new(&StreakTrigger { at_least: 5, ..RULE });
    for (seed, (rate, weight)) in [(0.3, 0.5), (0.5, 0.5), (0.5, 0.1), (0.1, 0.1), (0.8, 0.5)].into_iter().enumerate() {
        let mut random = fastrand::Rng::with_seed(seed as u64);
        let mut convicted = 0;
        for epoch in 1..=100 {
            let mut streak = Streak::opened(Epoch::from(epoch));
            for _ in 0..20_000 {
                let version = if random.f64() < weight { Version::Green } else { Version::Blue };
                let charge = if random.f64() < rate { Charge::Failed } else { Charge::Served };
                let routed = Routed { epoch: Epoch::from(epoch), change: 0 };
                let (next, signal) = streak.observe(Answer { version, charge, routed, endpoint: None }, &rule);
                streak = next;
                convicted += u32::from(matches!(signal, Signal::Convict(_)));
            }
        }
        assert_eq!(convicted, 0, "rate {rate}, weight {weight}");
    }
}

#[test]
fn a_request_that_changes_nothing_is_told_from_the_packed_state() {
    let answer = |text: &str| requests(text)[0];
    let epoch = Epoch::from(0x1_05);
    let idle = Streak::opened(epoch);
    let of = |answer: Answer, epoch: Epoch| Answer { routed: Routed { epoch, change: 0 }, ..answer };
    for untouched in ["g", "b", "B", "-"] {
        assert!(Streak::is_untouched(idle.pack(), &of(answer(untouched), epoch)), "{untouched}");
        assert!(!Streak::is_untouched(idle.pack(), &of(answer(untouched), epoch.next())), "{untouched}");
    }
    assert!(!Streak::is_untouched(idle.pack(), &of(answer("G"), epoch)));
    let rule = Rule::new(&RULE);
    let (begun, _) = idle.observe(of(answer("G"), epoch), &rule);
    assert!(!Streak::is_untouched(begun.pack(), &of(answer("b"), epoch)));
    let (ended, _) = begun.observe(of(answer("g"), epoch), &rule);
    assert!(Streak::is_untouched(ended.pack(), &of(answer("b"), epoch)), "only the count of rows is left");
}
