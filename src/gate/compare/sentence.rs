//! What a finding says to the person on call, with its numbers.

use std::fmt::Write as _;
use std::time::Duration;

use super::Settings;
use super::mixture::Since;
use super::numbers::{exp, ln};
use super::pass::Pass;
use crate::gate::crossing::Tally;
use crate::gate::verdict::{count, duration, percent};
use crate::gate::{ByVersion, Version};

/// One of the things that are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Measure {
    Errors,
    /// Which quantile's tail, and what counts as slow.
    Slow {
        quantile: &'static str,
        bounds: ByVersion<Duration>,
    },
}

/// Odds beyond this are not shown: nobody has seen so many releases.
const SHOWN: u64 = 1_000_000;

/// The difference between the versions, with the odds of seeing it by chance. `healthy` is the bound that blue is not
/// above if it is well.
pub(super) fn difference(
    measure: Measure,
    since: &Since,
    ln_evidence: f64,
    settings: &Settings,
    healthy: f64,
    now: Duration,
) -> String {
    let ByVersion { blue, green } = since.counted;
    let (of_green, of_blue) = match measure {
        Measure::Errors => (format!("green failed {}", of(green, "requests")), format!("failed {}", of(blue, ""))),
        Measure::Slow { bounds, .. } => (
            format!("green was slower than {} in {}", duration(bounds.green), of(green, "requests")),
            format!("was slower than {} in {}", duration(bounds.blue), of(blue, "")),
        ),
    };
    let mut sentence = of_green;
    if let Some(first) = since.first_bad.filter(|first| *first < now) {
        let what = if measure == Measure::Errors { "failure" } else { "slow one" };
        write!(sentence, ", {} after the first {what}", duration(now - first)).expect("a String takes it all");
    }
    write!(
        sentence,
        "; in the same moments blue {of_blue}; a green within limits ({}) would look this bad in {} releases",
        limits(measure, settings),
        odds(ln_evidence)
    )
    .expect("a String takes it all");
    if measure == Measure::Errors && blue.rate() <= healthy {
        sentence.push_str("; blue was healthy, so it is not an outside cause");
    }
    sentence
}

/// Why green's weight is lowered, or its steps stop, before anybody is to blame.
pub(super) fn suspected(green: Tally, bound: f64) -> String {
    format!(
        "green failed {}, clearly more than {}; blue's answers in the same moments will say whether that is green's fault",
        of(green, "requests"),
        percent(bound)
    )
}

pub(super) fn common(counted: ByVersion<Tally>) -> String {
    format!("green failed {}, blue {}: not caused by the version", of(counted.green, "requests"), of(counted.blue, ""))
}

pub(super) fn acquitted(window: ByVersion<Tally>, bound: f64) -> String {
    format!(
        "green failed {} since it was suspected or in the last minute, within {} again; blue failed {}",
        of(window.green, "requests"),
        percent(bound),
        of(window.blue, "")
    )
}

pub(super) fn unresolved(counted: ByVersion<Tally>) -> String {
    format!(
        "green failed {}, blue {}, and 15 min did not show whether green is to blame: withdrawn without blame",
        of(counted.green, "requests"),
        of(counted.blue, "")
    )
}

pub(super) fn no_data(silent: Version, time: Duration) -> String {
    format!(
        "{silent} has had no request for {} although it should have: nothing can be said of green",
        duration(Duration::from_secs(time.as_secs()))
    )
}

/// Why nothing that is measured is believed.
pub(super) fn untrusted(measure: Measure, since: &Since, ln_evidence: f64) -> String {
    let ByVersion { blue: rest, green: drawn } = since.counted;
    let (what, bound) = match measure {
        Measure::Errors => ("failed", String::new()),
        Measure::Slow { bounds, .. } => ("was slower than ", duration(bounds.green)),
    };
    format!(
        "two random parts of blue differ: one {what}{bound} {}{}, the other {}, as in {} releases by chance; the measuring is not to be \
         trusted, and the comparison convicts nobody until they agree again",
        if bound.is_empty() { "" } else { "in " },
        of(drawn, "requests"),
        of(rest, ""),
        odds(ln_evidence)
    )
}

/// Green has earned its next step.
pub(super) fn clear(pass: &Pass) -> String {
    format!(
        "green failed {} at this weight: clearly less than {}, and no more than blue allows",
        of(pass.counted(), "requests"),
        percent(pass.unacceptable())
    )
}

/// What is still missing.
pub(super) fn undecided(pass: &Pass, expected: f64) -> String {
    let missing = pass.missing(expected);
    let more = if missing == 1 { "request" } else { "requests" };
    format!(
        "green failed {} at this weight: {} more {more} without a failure would show that it fails less than {}",
        of(pass.counted(), "requests"),
        count(missing),
        percent(pass.unacceptable())
    )
}

fn limits(measure: Measure, settings: &Settings) -> String {
    match measure {
        Measure::Errors => {
            format!("at most {} times blue's rate plus {} points", settings.ratio, rounded(settings.margin * 100.0))
        }
        Measure::Slow { quantile, .. } => {
            format!("its {quantile} at most {} % above blue's", rounded(settings.slower * 100.0))
        }
    }
}

/// How often chance alone would bring so much evidence.
fn odds(ln_evidence: f64) -> String {
    if ln_evidence >= ln(SHOWN as f64) {
        return format!("fewer than 1 of {}", count(SHOWN));
    }
    format!("at most 1 of {}", count(exp(ln_evidence).max(1.0) as u64))
}

fn of(Tally { bad, units }: Tally, what: &str) -> String {
    let what = if what.is_empty() { String::new() } else { format!(" {what}") };
    format!("{} of {}{what} ({})", count(bad), count(units), percent(Tally { bad, units }.rate()))
}

/// Without the digits that binary fractions leave behind.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}
