//! When blue answers in the place of a green that has failed.

use std::time::Duration;

use http::Method;

use super::settings::{DAY, KIB, MIB};
use crate::config::Shield;
use crate::config::quantity::{duration, quoted, share, shown, size};
use crate::config::raw::{Quantity, RawShield, Switch};
use crate::config::report::{Scope, Wrong};
use crate::gate::policy::PathPattern;
use crate::gate::trigger::Share;

/// Those that mean the same twice (RFC 9110, section 9.2.2).
const IDEMPOTENT: [Method; 5] = [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE];

const USUAL: [Method; 2] = [Method::GET, Method::HEAD];

const USUAL_BUDGET: f64 = 0.2;

const USUAL_AFTER: Duration = Duration::from_secs(3);

/// In a list.
const MOST: usize = 1000;

const LONGEST_CALL: usize = 1000;

/// None where something is wrong. Green has up to `response_head` for its head anyway.
#[expect(clippy::option_option, reason = "none of the inner ones is a shield that is off")]
pub(super) fn shield(
    scope: &mut Scope<'_, '_>,
    raw: Option<Switch<RawShield>>,
    response_head: Option<Duration>,
) -> Option<Option<Shield>> {
    let raw = match raw {
        Some(Switch::Off) => return Some(None),
        None | Some(Switch::On) => RawShield::default(),
        Some(Switch::With(raw)) => raw,
    };
    let methods = match raw.methods {
        Some(raw) => each(scope, "methods", raw, method),
        None => Some(USUAL.to_vec()),
    };
    let grpc = each(scope, "grpc", raw.grpc.unwrap_or_default(), call);
    let usual = Share::try_from(USUAL_BUDGET).expect("a fifth is a share");
    let budget = scope.optional("budget", raw.budget, usual, budget);
    let is_written = raw.after.is_some();
    let after = scope.optional("after", raw.after, USUAL_AFTER, duration(Duration::from_millis(1)..=DAY));
    if let (true, Some(after), Some(most)) = (is_written, after, response_head)
        && after >= most
    {
        let message = format!("`{}` is not before `timeouts.responseHead`", shown(after));
        scope.wrong("after", Wrong::new(message, format!("write less than `{}`, or leave it out", shown(most))));
    }
    let body_bytes = scope.optional("bodyBytes", raw.body_bytes, 64 * KIB, size(0..=MIB));
    let (methods, grpc, budget, body_bytes) = (methods?, grpc?, budget?, body_bytes?);
    Some(Some(Shield { methods, grpc, budget, after: after?, body_bytes }))
}

fn budget(Quantity(text): Quantity) -> Result<Share, Wrong> {
    let share = share(&text)?;
    if share.fraction() == 0.0 {
        return Err(Wrong::new(format!("{} shields nothing", quoted(&text)), "write `shield: false` for that"));
    }
    Ok(share)
}

fn method(text: &str) -> Result<Method, Wrong> {
    if let Some(method) = IDEMPOTENT.into_iter().find(|method| method == text) {
        return Ok(method);
    }
    if matches!(text, "POST" | "PATCH") {
        let label = "it could be carried out twice, by green and by blue";
        return Err(Wrong::new(format!("{} is not idempotent", quoted(text)), label));
    }
    Err(super::not_among(text, "an idempotent method", &IDEMPOTENT.each_ref().map(Method::as_str)))
}

/// A method of a service, or all of them. Each is the user's word that it may be called twice.
fn call(text: &str) -> Result<PathPattern, Wrong> {
    let wrong = |message: &str, label: &str| Err(Wrong::new(format!("{} {message}", quoted(text)), label));
    if text.len() > LONGEST_CALL {
        return Err(Wrong::new(format!("{} is too long", quoted(text)), format!("at most {LONGEST_CALL} bytes")));
    }
    let is_plain =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    match text.strip_prefix('/').and_then(|path| path.split_once('/')) {
        Some((service, "*")) if is_plain(service) => Ok(PathPattern::Prefix(format!("/{service}/"))),
        Some((service, method)) if is_plain(service) && is_plain(method) => Ok(PathPattern::Exact(text.to_owned())),
        _ => {
            wrong("is no call of gRPC", "write `/package.Service/Method`, or `/package.Service/*` for all of a service")
        }
    }
}

/// What each element of a list means; none where one is at fault.
fn each<T: PartialEq>(
    scope: &mut Scope<'_, '_>,
    key: &str,
    raw: Vec<Option<String>>,
    parse: impl Fn(&str) -> Result<T, Wrong>,
) -> Option<Vec<T>> {
    super::too_many(scope, key, raw.len(), MOST)?;
    let mut list = scope.key(key);
    let mut all = Some(Vec::new());
    for (index, text) in raw.into_iter().enumerate() {
        let parsed = text.map(|text| (quoted(&text), parse(&text)));
        match (parsed, &mut all) {
            (Some((text, Ok(one))), Some(known)) if known.contains(&one) => {
                list.wrong_element(index, Wrong::new(format!("{text} is in the list already"), "remove it"));
            }
            (Some((_, Ok(one))), Some(known)) => known.push(one),
            (Some((_, Ok(_))), None) => {}
            (Some((_, Err(wrong))), _) => {
                list.wrong_element(index, wrong);
                all = None;
            }
            (None, _) => all = None,
        }
    }
    all
}
