//! Values with a unit and addresses, from text. Each refusal says what would be right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use jiff::SignedDuration;

use super::Authority;
use super::raw::{Count, Quantity};
use super::report::Wrong;
use crate::gate::trigger::{Quantile, Share, Times};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Values are shown up to this many characters.
const LONGEST_SHOWN: usize = 60;

/// The value as messages show it.
pub(super) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(LONGEST_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().count() > LONGEST_SHOWN { format!("`{shown}…`") } else { format!("`{shown}`") }
}

/// A duration as a configuration writes it.
pub(super) fn shown(duration: Duration) -> String {
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
        let signed = match text.trim().parse::<SignedDuration>() {
            Ok(signed) => signed,
            Err(_) if decimal(text.trim().trim_start_matches('-')).is_some() => {
                let number = text.trim().trim_start_matches('-');
                let label = format!("write `{number}s` or `{number}ms`");
                return Err(Wrong::new(format!("{} has no unit", quoted(&text)), label));
            }
            Err(_) => {
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
    let Some(percent) = text.trim().strip_suffix('%').map(str::trim_end) else {
        return Err(match decimal(text.trim()) {
            Some(number) if number <= 1.0 => {
                let percent = (number * 1e6).round() / 1e4;
                Wrong::new(format!("{} has no percent sign", quoted(text)), format!("write `{percent}%`"))
            }
            Some(_) => Wrong::new(format!("{} has no percent sign", quoted(text)), format!("write `{}%`", text.trim())),
            None => Wrong::new(format!("{} is not a share", quoted(text)), "write a share like `10%` or `0.5%`"),
        });
    };
    if percent.starts_with('-') {
        return Err(Wrong::new(format!("{} is negative", quoted(text)), "a share is from 0% to 100%"));
    }
    let Some(number) = decimal(percent) else {
        return Err(Wrong::new(format!("{} is not a share", quoted(text)), "write a share like `10%` or `0.5%`"));
    };
    if percent.split_once('.').is_some_and(|(_, decimals)| decimals.len() > 4) {
        return Err(Wrong::new(format!("{} is too fine", quoted(text)), "a share has at most four decimals"));
    }
    Share::try_from(number / 100.0)
        .map_err(|_| Wrong::new(format!("{} is above 100%", quoted(text)), "a share is from 0% to 100%"))
}

pub(super) fn quantile(Quantity(text): Quantity) -> Result<Quantile, Wrong> {
    let label = match decimal(text.trim().trim_start_matches(['p', 'P']).trim_end_matches('%')) {
        Some(percent) if percent > 1.0 && percent < 100.0 => {
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

/// An address to listen on.
pub(super) fn socket(text: String) -> Result<SocketAddr, Wrong> {
    let text = text.as_str();
    text.parse().map_err(|_| {
        let (message, label) = if text.contains("://") {
            ("has a scheme", "write the address alone, like `127.0.0.1:8080`".to_owned())
        } else if text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4()) {
            ("has no port", format!("write `{text}:8080`"))
        } else if text.parse::<IpAddr>().is_ok() {
            ("has no port", format!("write `[{text}]:8080`"))
        } else if let Some(port) = text.strip_prefix("localhost:") {
            ("is not an IP address with a port", format!("write `127.0.0.1:{port}`"))
        } else if let Ok(port) = text.trim_start_matches([':', '*']).parse::<u16>() {
            ("has no IP address", format!("write `127.0.0.1:{port}`, or `0.0.0.0:{port}` for all interfaces"))
        } else {
            ("is not an IP address with a port", "write an address like `127.0.0.1:8080` or `[::1]:8080`".to_owned())
        };
        Wrong::new(format!("{} {message}", quoted(text)), label)
    })
}

/// Addresses of proxies.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    let network = text.parse::<IpNet>().map_err(|_| {
        let label = match text.parse::<IpAddr>() {
            Ok(address) => format!("write `{}`", IpNet::from(address)),
            Err(_) => "write a network like `10.0.0.0/8`".to_owned(),
        };
        Wrong::new(format!("{} is not a network", quoted(text)), label)
    })?;
    if network.trunc() != network {
        let message = format!("{} has bits set beyond its prefix", quoted(text));
        return Err(Wrong::new(message, format!("write `{}`, or a longer prefix", network.trunc())));
    }
    Ok(network)
}

/// Where an endpoint is reached.
pub(super) fn authority(text: &str) -> Result<Authority, Wrong> {
    let wrong = |message: &str, label: String| Err(Wrong::new(format!("{} {message}", quoted(text)), label));
    const SHAPE: &str = "write `host:port`, the host a name or an IP address";
    if let Some((_, rest)) = text.split_once("://") {
        let label = match rest.split('/').next() {
            Some(rest) if authority(rest).is_ok() => format!("write `{rest}` alone"),
            _ => SHAPE.to_owned(),
        };
        return wrong("has a scheme", label);
    }
    if text.is_empty() {
        return wrong("is empty", SHAPE.to_owned());
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return wrong("has no port", format!("an IPv6 address stands in brackets, write `[{text}]:8080`"));
    }
    let Some((host, port)) = text.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) else {
        return wrong("has no port", format!("write `{text}:8080`"));
    };
    let Ok(port) = port.parse::<u16>() else {
        return wrong("has no usable port", "write `host:port`, with a port from 1 to 65535".to_owned());
    };
    if port == 0 {
        return wrong("has port 0", "an endpoint has a port from 1 to 65535".to_owned());
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return match inner.parse::<Ipv6Addr>() {
            Ok(address) => Ok(Authority { host: address.to_string(), port }),
            Err(_) => wrong("is not an IPv6 address in brackets", "write an address like `[::1]:8080`".to_owned()),
        };
    }
    if host.parse::<Ipv6Addr>().is_ok() {
        return wrong("is ambiguous", format!("an IPv6 address stands in brackets, write `[{host}]:{port}`"));
    }
    if host.parse::<Ipv4Addr>().is_err() && !is_domain_name(host) {
        return wrong("has no usable host", SHAPE.to_owned());
    }
    Ok(Authority { host: host.to_ascii_lowercase(), port })
}

/// RFC 1123 §2.1, with underscores, which cluster-internal names have. A last label of digits is a mistyped IPv4 address.
fn is_domain_name(host: &str) -> bool {
    let labels: Vec<&str> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    let is_label = |label: &&str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &&str| label.bytes().all(|byte| byte.is_ascii_digit());
    host.len() <= 253 && labels.iter().all(is_label) && !labels.last().is_some_and(is_number)
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
        bytes if bytes >= MIB && bytes.is_multiple_of(MIB) => format!("{}MiB", bytes / MIB),
        bytes if bytes >= KIB && bytes.is_multiple_of(KIB) => format!("{}KiB", bytes / KIB),
        bytes => format!("{bytes} bytes"),
    }
}
