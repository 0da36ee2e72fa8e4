//! What is fuzzed of the configuration; [`crate::fuzzing`] says how.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderValue, Uri};
use serde_json::Value;

use super::raw::Quantity;
use super::reference::{masked, resolved, unmasked};
use super::validate::{NamedFiles, label, parse_with};
use super::{Environment, Faults, References, plan, quantity, terms};
use crate::gate::Policy;
use crate::release::Weight;

/// A text of one of the kinds that people write, the first byte says which: a configuration, a plan, or the terms of a release
/// in a request. What is taken says the same without its references, and each fault of what is not has its place.
pub fn configuration(bytes: &[u8]) {
    let [which, bytes @ ..] = bytes else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let environment =
        Environment::from_iter([("PORT", "8080"), ("EMPTY", ""), ("LIST", "[a, b]"), ("LINES", "a\nb: c")]);
    let faults = match which % 3 {
        0 => match parse_with(text, "fuzzed", References::To(&environment), NamedFiles::Unread) {
            Ok(config) => {
                let again = parse_with(&config.text, "again", References::Text, NamedFiles::Unread);
                let again = again.unwrap_or_else(|faults| panic!("{faults}\nin {}", config.text));
                let shown = |config: &super::Config| {
                    format!(
                        "{:?}",
                        super::Config { text: "".into(), warnings: super::Warnings::default(), ..config.clone() }
                    )
                };
                assert_eq!(shown(&config), shown(&again));
                return;
            }
            Err(faults) => faults,
        },
        1 => match plan(text, "fuzzed", References::To(&environment)) {
            // Whether it suits the gate is another question.
            Ok(taken) => return drop(terms(Some(taken), None, &Policy::default(), Weight::FULL)),
            Err(faults) => faults,
        },
        _ => {
            let Ok(Value::Object(mut said)) = serde_json::from_str(text) else { return };
            match terms(said.remove("plan"), said.remove("irreversible"), &Policy::default(), Weight::FULL) {
                Ok(_) => return,
                Err(faults) => return shows(&faults, ""),
            }
        }
    };
    shows(&faults, text);
}

fn shows(faults: &Faults, text: &str) {
    let lines = text.split('\n').count();
    assert!(!faults.to_string().is_empty() && !faults.styled().is_empty());
    for fault in faults.iter() {
        assert!(fault.position().is_none_or(|(line, column)| (1..=lines).contains(&line) && column > 0), "{fault:?}");
    }
}

/// One value with a unit or an address, the first byte says of which kind: what is taken is in its range, and is the same
/// when it is written as we write it.
pub fn values(bytes: &[u8]) {
    let [which, bytes @ ..] = bytes else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match which % 8 {
        0 => duration(text),
        1 => size(text),
        2 => numbers(text),
        3 => endpoint(text),
        4 => addresses(text),
        5 => references(text),
        6 => _ = label(text.to_owned()).map(|name| assert!(!name.trim().is_empty() && name.chars().count() <= 100)),
        _ => {
            let shown = quantity::quoted(text);
            assert!(shown.chars().count() <= 60 * 10 + 3 && !shown.contains(char::is_control), "{shown}");
        }
    }
}

fn quantity(text: &str) -> Quantity {
    Quantity(text.to_owned())
}

fn duration(text: &str) {
    // Far longer than any that may be configured.
    const THOUSAND_YEARS: Duration = Duration::from_secs(1000 * 365 * 24 * 3600);
    let any = Duration::ZERO..=THOUSAND_YEARS;
    let Ok(duration) = quantity::duration(any.clone())(quantity(text)) else { return };
    let shown = quantity::shown(duration);
    let again = quantity::duration(any)(quantity(&shown));
    let again = again.unwrap_or_else(|wrong| panic!("{shown} of {text:?}: {}", wrong.message));
    // As fine as configurations are.
    let lost = duration.checked_sub(again).expect("it is rounded down");
    assert!(lost < Duration::from_millis(1), "{text:?} is shown as {shown}");
    if let Ok(bounded) = quantity::duration(Duration::from_secs(1)..=Duration::from_secs(60))(quantity(text)) {
        assert!(bounded == duration && (1..=60).contains(&bounded.as_secs()));
    }
}

fn size(text: &str) {
    let Ok(size) = quantity::size(0..=usize::MAX)(quantity(text)) else { return };
    assert_eq!(quantity::size(size..=size)(quantity(&size.to_string())).ok(), Some(size), "{text:?}");
    assert_eq!(quantity::size(size..=size)(quantity(&format!("{size} B"))).ok(), None);
}

fn numbers(text: &str) {
    if let Ok(share) = quantity::share(text) {
        assert!((0.0..=1.0).contains(&share.fraction()), "{text:?}");
    }
    if let Ok(weight) = quantity::weight(quantity(text)) {
        let again = quantity::weight(quantity(&format!("{}%", weight.percent()))).expect("it is a weight");
        assert!(weight.basis_points() <= 10_000 && again == weight, "{text:?}");
    }
    if let Ok(fraction) = quantity::fraction(0.1..=0.5)(quantity(text)) {
        assert!((0.1..=0.5).contains(&fraction), "{text:?}");
    }
    if let Ok(number) = quantity::number(0.5..=1e6)(quantity(text)) {
        let again = quantity::number(0.5..=1e6)(quantity(&number.to_string()));
        assert_eq!(again.ok(), Some(number), "{text:?}");
    }
    if let Ok(quantile) = quantity::quantile(quantity(text)) {
        assert!(quantile.fraction() > 0.0 && quantile.fraction() < 1.0, "{text:?}");
    }
    _ = quantity::times(quantity(text)).map(|times| assert!(times.factor() >= 1.0 && times.factor().is_finite()));
}

/// An endpoint is what checks and requests can be sent to.
fn endpoint(text: &str) {
    let Ok(endpoint) = quantity::endpoint(text) else { return };
    let shown = endpoint.to_string();
    assert_eq!(quantity::endpoint(&shown).ok(), Some(endpoint.clone()), "{text:?} is {shown}");
    assert!(!shown.contains(['@', ' ', '?', '#']) || shown.starts_with("unix:"), "{shown}");
    let host = HeaderValue::from_str(&endpoint.host()).expect("a host is a header value");
    let uri = Uri::builder().scheme("http").authority(host.as_bytes()).path_and_query("/");
    uri.build().unwrap_or_else(|error| panic!("{error}: {host:?} of {text:?}"));
}

fn addresses(text: &str) {
    if let Ok(address) = quantity::socket(text.to_owned()) {
        assert_eq!(address.to_string().parse::<SocketAddr>().ok(), Some(address));
    }
    if let Ok(network) = quantity::network(text) {
        assert!(network == network.trunc() && network.contains(&network.addr()), "{text:?}");
        assert_eq!(quantity::network(&network.to_string()).ok(), Some(network));
    }
    if let Ok(server) = quantity::nameserver(text) {
        assert_ne!(server.port(), 0);
        assert_eq!(quantity::nameserver(&server.to_string()).ok(), Some(server));
    }
}

/// Masking changes nothing but what YAML sees, and a text whose dollar signs are doubled stands for itself.
fn references(text: &str) {
    match masked(text) {
        Cow::Borrowed(same) => assert_eq!(same, text),
        Cow::Owned(masked) => {
            assert_eq!(masked.chars().count(), text.chars().count(), "{text:?}");
            assert_eq!(unmasked(&masked), text);
        }
    }
    let environment = Environment::from_iter([("A", "$B${C}"), ("E", "")]);
    let doubled = text.replace('$', "$$");
    assert_eq!(resolved(&doubled, &environment).ok().as_deref(), Some(text));
    match resolved(text, &environment) {
        Ok(Cow::Borrowed(same)) => assert_eq!(same, text),
        Ok(Cow::Owned(resolved)) => assert!(text.contains('$') && resolved != text),
        Err(broken) => assert!(broken.iter().all(|broken| text.contains(broken.written) && !broken.written.is_empty())),
    }
}
