//! The verdict and its sentence. Promise 6: every decision explains itself with its numbers.

use std::fmt::Write as _;
use std::time::Duration;

use libm::{exp, log10, pow};
use schemars::JsonSchema;
use serde::Serialize;

use super::crossing::Tally;
use super::evidence::Evidence;
use super::route::on_route;
use super::streak::Row;
use super::trigger::{Condition, Quantile, Rate, Share, StreakTrigger, Trigger};
use super::version::{ByVersion, Version};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Pass,
    /// Not enough evidence, or both versions are bad.
    Wait,
    Fail,
}

/// Odds beyond this are shown as this.
const LONGEST_ODDS: f64 = 1e9;

/// Whether green may go on, and why.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Verdict {
    pub kind: Kind,
    pub sentence: String,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Pass, Kind::Wait, Kind::Fail];

    pub const fn name(self) -> &'static str {
        match self {
            Kind::Pass => "pass",
            Kind::Wait => "wait",
            Kind::Fail => "fail",
        }
    }
}

impl Verdict {
    pub fn pass(sentence: impl Into<String>) -> Verdict {
        Verdict { kind: Kind::Pass, sentence: sentence.into() }
    }

    pub fn wait(sentence: impl Into<String>) -> Verdict {
        Verdict { kind: Kind::Wait, sentence: sentence.into() }
    }

    pub fn fail(sentence: impl Into<String>) -> Verdict {
        Verdict { kind: Kind::Fail, sentence: sentence.into() }
    }
}

/// How both versions stand at the bound of `trigger`.
pub fn describe(trigger: &Trigger, evidence: ByVersion<&Evidence>) -> String {
    let ByVersion { blue, green } = evidence;
    let window = duration(trigger.window);
    let mut sentence = match trigger.condition {
        Condition::FailuresAbove { share, written: Rate::Errors } => {
            format!("{}, above {}; {}", green_failed(green, &window), share_of(share), blue_failed(blue))
        }
        Condition::FailuresAbove { share, written: Rate::Successes } => format!(
            "green succeeded with {} of {} requests ({}) in the last {window}, below {}; {}",
            count(green.requests - green.failures),
            count(green.requests),
            percent(1.0 - green.error_rate()),
            share_of(share.rest()),
            blue_failed(blue),
        ),
        Condition::FailuresAboveBlue { times, floor } => format!(
            "{}, above {} times blue's rate and above {}; {}",
            green_failed(green, &window),
            times.factor(),
            share_of(floor),
            blue_failed(blue),
        ),
        Condition::LatencyAbove { quantile, bound, .. } => {
            format!(
                "{}, above {}; {}",
                green_took(green, quantile, &window),
                duration(bound),
                blue_took(blue, quantile)
            )
        }
        Condition::LatencyAboveBlue { quantile, times, floor, .. } => format!(
            "{}, above {} times blue's and above {}; {}",
            green_took(green, quantile, &window),
            times.factor(),
            duration(floor),
            blue_took(blue, quantile),
        ),
    };
    if !trigger.sustained.is_zero() {
        write!(sentence, "; the bound is for {} sustained", duration(trigger.sustained))
            .expect("a String takes it all");
    }
    on_route(trigger.route.as_ref(), sentence)
}

/// Why a streak ends in a rollback. `row` is what it was decided on, unless that got lost on the way.
pub fn streak_convicts(streak: &StreakTrigger, row: Option<&Row>) -> String {
    match row {
        None => format!("green failed at least {} requests in a row, and blue did not", streak.at_least),
        Some(row) => format!("{}{}", row_of(row), alike(row)),
    }
}

/// Why a streak that does not convict lowers the weight.
pub fn streak_probes(streak: &StreakTrigger, row: Option<&Row>) -> String {
    let row = row.map_or_else(|| format!("green failed {} requests in a row", streak.at_least), row_of);
    format!("{row}: that does not show yet that green fails more than blue, and what comes will tell")
}

/// Why a streak of both versions blames nobody.
pub fn streak_is_common(streak: &StreakTrigger, row: Option<&Row>) -> String {
    let row = row
        .map_or_else(|| format!("green and blue both failed {} requests since green's first", streak.at_least), row_of);
    format!("{row}: not caused by the version")
}

/// Why one endpoint gets no requests, and its version no blame.
pub fn endpoint_is_out(version: Version, endpoint: &str, own: Tally, others: Tally) -> String {
    let failed = endpoint_failed(version, endpoint, own, others);
    format!("{failed}: it is ejected, and its failures are not held against {version}")
}

/// Why a second bad endpoint is the version's fault.
pub fn another_endpoint_is_bad(version: Version, endpoint: &str, own: Tally, others: Tally) -> String {
    let failed = endpoint_failed(version, endpoint, own, others);
    format!("{failed}: it is the second of {version}'s that goes this way, so the fault is not one endpoint's")
}

fn endpoint_failed(version: Version, endpoint: &str, own: Tally, others: Tally) -> String {
    let [bad, units, others_bad, others_units] = [own.bad, own.units, others.bad, others.units].map(count);
    format!(
        "{version}'s endpoint {endpoint} failed {bad} of {units} requests while the others failed {others_bad} of \
         {others_units}"
    )
}

fn row_of(row: &Row) -> String {
    let Row { failures, at_weight, blue, .. } = row;
    let mut sentence = format!("green failed {} requests in a row", count(*failures));
    if at_weight < failures {
        write!(sentence, ", {} of them at this weight", count(*at_weight)).expect("a String takes it all");
    }
    match blue.units {
        0 => sentence.push_str("; blue had none in the same time"),
        units => {
            let (bad, units) = (count(blue.bad), count(units));
            write!(sentence, "; in the same time blue failed {bad} of {units}").expect("a String takes it all");
        }
    }
    sentence
}

/// The chance of the row, to two digits and never too small.
fn alike(row: &Row) -> String {
    if row.ln_evidence <= 0.0 {
        return String::new();
    }
    let once_in = once_in(exp(row.ln_evidence));
    format!("; if both failed alike, that would come by chance less than once in {once_in} times")
}

/// Odds to two digits, and never rarer than they are: `1,800,000`.
pub fn once_in(times: f64) -> String {
    let times = times.min(LONGEST_ODDS);
    let digit = pow(10.0, (log10(times) - 1.0).floor().max(0.0));
    count(((times / digit).floor() * digit) as u64)
}

fn green_failed(green: &Evidence, window: &str) -> String {
    format!(
        "green failed {} of {} requests ({}) in the last {window}",
        count(green.failures),
        count(green.requests),
        percent(green.error_rate())
    )
}

fn blue_failed(blue: &Evidence) -> String {
    format!("blue failed {} of {}", count(blue.failures), count(blue.requests))
}

fn green_took(green: &Evidence, quantile: Quantile, window: &str) -> String {
    format!(
        "green's {} was {} over {} requests in the last {window}",
        quantile_name(quantile),
        latency(green, quantile),
        count(green.latency.len())
    )
}

fn blue_took(blue: &Evidence, quantile: Quantile) -> String {
    if blue.latency.is_empty() {
        return "blue had no request".to_owned();
    }
    format!("blue's was {} over {}", latency(blue, quantile), count(blue.latency.len()))
}

fn latency(evidence: &Evidence, quantile: Quantile) -> String {
    evidence.latency.quantile(quantile).map_or_else(|| "unknown".to_owned(), duration)
}

fn quantile_name(quantile: Quantile) -> String {
    format!("P{}", trimmed(quantile.fraction() * 100.0, 4))
}

/// `1234567` as `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `0.1167` as `11.7 %`.
pub fn percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    if percent > 0.0 && percent < 0.1 { format!("{percent:.2} %") } else { format!("{percent:.1} %") }
}

/// A bound as the user would write it: `10 %`, `0.05 %`.
fn share_of(share: Share) -> String {
    format!("{} %", trimmed(share.fraction() * 100.0, 4))
}

/// In the largest unit that keeps it readable: `5 min`, `10 s`, `1.5 s`, `412 ms`, `0.8 ms`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if duration.subsec_nanos() == 0 && seconds >= 60.0 {
        let whole = duration.as_secs();
        return match (whole % 3600, whole % 60) {
            (0, _) => format!("{} h", whole / 3600),
            (_, 0) => format!("{} min", whole / 60),
            _ => format!("{whole} s"),
        };
    }
    if seconds >= 1.0 {
        return format!("{} s", trimmed(seconds, 2));
    }
    let millis = seconds * 1000.0;
    format!("{} ms", trimmed(millis, if millis < 10.0 { 2 } else { 0 }))
}

/// A time to be waited for, which nobody wants to know to the second where it is long.
pub fn wait(time: Duration) -> String {
    let minutes = time.as_secs().div_ceil(60);
    match (minutes / 60, minutes % 60) {
        _ if time < Duration::from_secs(60) => duration(time),
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

fn trimmed(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_080), "1,080");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(percent(0.1167), "11.7 %");
        assert_eq!(percent(0.0003), "0.03 %");
        for (given, expected) in [
            (Duration::from_micros(800), "0.8 ms"),
            (Duration::from_millis(412), "412 ms"),
            (Duration::from_millis(1500), "1.5 s"),
            (Duration::from_secs(10), "10 s"),
            (Duration::from_secs(90), "90 s"),
            (Duration::from_secs(300), "5 min"),
            (Duration::from_secs(7200), "2 h"),
        ] {
            assert_eq!(duration(given), expected);
        }
        for (given, expected) in [
            (Duration::from_millis(1500), "1.5 s"),
            (Duration::from_secs(60), "1 min"),
            (Duration::from_millis(90_500), "2 min"),
            (Duration::from_secs(7200), "2 h"),
            (Duration::from_millis(231_945_320), "64 h 26 min"),
        ] {
            assert_eq!(wait(given), expected);
        }
        assert_eq!(quantile_name(Quantile::try_from(0.999).expect("in range")), "P99.9");
    }
}
