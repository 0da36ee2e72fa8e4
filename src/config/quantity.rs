//! Values with a unit, from text. Each refusal says what would be right.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};

use super::raw::{Count, Quantity};
use super::report::Wrong;
use crate::gate::trigger::{Quantile, Share, Times};
use crate::release::Weight;

mod address;

pub(super) use address::{endpoint, nameserver, network, socket};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const GIB: usize = 1024 * MIB;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Values are shown up to this many characters.
const LONGEST_SHOWN: usize = 60;

/// The value as messages show it.
pub(super) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(LONGEST_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().count() > LONGEST_SHOWN { format!("`{shown}…`") } else { format!("`{shown}`") }
}

/// A duration as a configuration writes it.
pub(super) fn shown(duration: Duration) -> String {
    if duration > DAY && duration.as_nanos().is_multiple_of(DAY.as_nanos()) {
        return format!("{}d", duration.as_nanos() / DAY.as_nanos());
    }
    let rest = duration.as_millis();
    let parts = [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let (text, _) = parts.iter().fold((String::new(), rest), |(text, rest), (unit, name)| match rest / unit {
        0 => (text, rest),
        count => (format!("{text}{count}{name}"), rest % unit),
    });
    match text.as_str() {
        "" if duration.is_zero() => "0s".to_owned(),
        "" => format!("{}us", duration.as_micros()),
        _ => text,
    }
}

pub(super) fn duration(range: RangeInclusive<Duration>) -> impl FnOnce(Quantity) -> Result<Duration, Wrong> {
    move |Quantity(text)| {
        let signed = match signed(text.trim()) {
            Some(signed) => signed,
            None if decimal(text.trim().trim_start_matches('-')).is_some() => {
                let number = text.trim().trim_start_matches('-');
                let label = format!("write `{number}s` or `{number}ms`");
                return Err(Wrong::new(format!("{} has no unit", quoted(&text)), label));
            }
            None => {
                let label = "write a duration like `500ms`, `30s`, `5m` or `1m30s`";
                return Err(Wrong::new(format!("{} is not a duration", quoted(&text)), label));
            }
        };
        let Ok(duration) = Duration::try_from(signed) else {
            return Err(Wrong::new(
                format!("{} is negative", quoted(&text)),
                format!("a duration is at least {}", shown(*range.start())),
            ));
        };
        within(duration, &range, &quoted(&text), shown)
    }
}

/// A day has 24 hours here, whatever the calendar does.
fn signed(text: &str) -> Option<SignedDuration> {
    let with_days = || text.parse::<Span>().ok()?.to_duration(SpanRelativeTo::days_are_24_hours()).ok();
    text.parse().ok().or_else(with_days)
}

pub(super) fn count(range: RangeInclusive<i64>) -> impl FnOnce(Count) -> Result<u64, Wrong> {
    move |Count(number)| {
        let number = within(number, &range, &format!("`{number}`"), |number| number.to_string())?;
        Ok(number.unsigned_abs())
    }
}

pub(super) fn size(range: RangeInclusive<usize>) -> impl FnOnce(Quantity) -> Result<usize, Wrong> {
    move |Quantity(text)| {
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic()).trim_end();
        let unit = match &text[digits.len()..] {
            "" | "B" => Some(1),
            unit if unit.trim() == "KiB" => Some(KIB),
            unit if unit.trim() == "MiB" => Some(MIB),
            unit if unit.trim() == "GiB" => Some(GIB),
            _ => None,
        };
        let bytes = digits.parse::<usize>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
        let Some(bytes) = bytes else {
            let label = "write a size like `32KiB`, `1MiB` or `32768`";
            return Err(Wrong::new(format!("{} is not a size", quoted(&text)), label));
        };
        within(bytes, &range, &quoted(&text), shown_size)
    }
}

/// A share of all requests, from 0% to 100%.
pub(super) fn share(text: &str) -> Result<Share, Wrong> {
    let (number, decimals) = percent(text, "share")?;
    if decimals > 4 {
        return Err(Wrong::new(format!("{} is too fine", quoted(text)), "a share has at most four decimals"));
    }
    Share::try_from(number / 100.0)
        .map_err(|_| Wrong::new(format!("{} is above 100%", quoted(text)), "a share is from 0% to 100%"))
}

pub(super) fn weight(Quantity(text): Quantity) -> Result<Weight, Wrong> {
    let (number, decimals) = percent(&text, "weight")?;
    if decimals > 2 {
        return Err(Wrong::new(format!("{} is too fine", quoted(&text)), "a weight has at most two decimals"));
    }
    Weight::from_percent(number)
        .map_err(|_| Wrong::new(format!("{} is above 100%", quoted(&text)), "a weight is from 0% to 100%"))
}

/// A share from `range`, as a fraction.
pub(super) fn fraction(range: RangeInclusive<f64>) -> impl FnOnce(Quantity) -> Result<f64, Wrong> {
    move |Quantity(text)| {
        let fraction = share(&text)?.fraction();
        within(fraction, &range, &quoted(&text), |fraction| format!("{}%", fraction * 100.0))
    }
}

/// The number before a percent sign, and how many decimals it is written with.
fn percent(text: &str, kind: &str) -> Result<(f64, usize), Wrong> {
    let not_one =
        || Wrong::new(format!("{} is not a {kind}", quoted(text)), format!("write a {kind} like `10%` or `0.5%`"));
    let Some(percent) = text.trim().strip_suffix('%').map(str::trim_end) else {
        return Err(match decimal(text.trim()) {
            Some(number) if number <= 1.0 => {
                let percent = (number * 1e6).round() / 1e4;
                Wrong::new(format!("{} has no percent sign", quoted(text)), format!("write `{percent}%`"))
            }
            Some(_) => Wrong::new(format!("{} has no percent sign", quoted(text)), format!("write `{}%`", text.trim())),
            None => not_one(),
        });
    };
    if percent.starts_with('-') {
        return Err(Wrong::new(format!("{} is negative", quoted(text)), format!("a {kind} is from 0% to 100%")));
    }
    let number = decimal(percent).ok_or_else(not_one)?;
    Ok((number, percent.split_once('.').map_or(0, |(_, decimals)| decimals.len())))
}

/// A plain number.
pub(super) fn number(range: RangeInclusive<f64>) -> impl FnOnce(Quantity) -> Result<f64, Wrong> {
    move |Quantity(text)| match decimal(text.trim()) {
        Some(number) => within(number, &range, &quoted(&text), |number| number.to_string()),
        None => {
            let label = format!("write a number from {} to {}", range.start(), range.end());
            Err(Wrong::new(format!("{} is not a plain number", quoted(&text)), label))
        }
    }
}

pub(super) fn quantile(Quantity(text): Quantity) -> Result<Quantile, Wrong> {
    let label = match decimal(text.trim().trim_start_matches(['p', 'P']).trim_end_matches('%')) {
        Some(percent) if (10.0..100.0).contains(&percent) => {
            format!("write `{}`", (percent * 1e4).round() / 1e6)
        }
        _ => "a quantile is above 0 and below 1, like `0.99`".to_owned(),
    };
    let quantile = decimal(text.trim()).and_then(|fraction| Quantile::try_from(fraction).ok());
    quantile.ok_or_else(|| Wrong::new(format!("{} is not a quantile", quoted(&text)), label))
}

pub(super) fn times(Quantity(text): Quantity) -> Result<Times, Wrong> {
    let label = "write how many times blue's value green may reach, at least 1, like `2` or `1.5`";
    let times = decimal(text.trim()).and_then(|factor| Times::try_from(factor).ok());
    times.ok_or_else(|| Wrong::new(format!("{} is not a factor of at least 1", quoted(&text)), label))
}

/// Digits with at most one point: no sign, no exponent, no infinity.
fn decimal(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_plain { text.parse().ok() } else { None }
}

fn within<T: PartialOrd + Copy>(
    value: T,
    range: &RangeInclusive<T>,
    written: &str,
    show: impl Fn(T) -> String,
) -> Result<T, Wrong> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (show(*range.start()), show(*range.end()));
    let message = if value < *range.start() {
        format!("{written} is below {least}")
    } else {
        format!("{written} is above {most}")
    };
    Err(Wrong::new(message, format!("from {least} to {most}")))
}

fn shown_size(bytes: usize) -> String {
    match bytes {
        bytes if bytes >= GIB && bytes.is_multiple_of(GIB) => format!("{}GiB", bytes / GIB),
        bytes if bytes >= MIB && bytes.is_multiple_of(MIB) => format!("{}MiB", bytes / MIB),
        bytes if bytes >= KIB && bytes.is_multiple_of(KIB) => format!("{}KiB", bytes / KIB),
        bytes => format!("{bytes} bytes"),
    }
}
