//! Routes: which requests are on each, and what becomes of them.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::Method;

use super::counting::bare_path;
use super::settings::TIMEOUTS;
use super::trigger::plain_name;
use super::{not_among, too_many, unique};
use crate::config::Timeouts;
use crate::config::quantity::{duration, quoted};
use crate::config::raw::{Mapping, Quantity, RawRoute, RawRouteShield, RawRouteTimeouts, RawTrigger, Switch};
use crate::config::report::{Scope, Wrong};
use crate::config::route::{End, HostPattern, PathTemplate, RouteConfig, RouteShield, Segment};
use crate::gate::route::{Goes, MOST_ROUTES, OTHER, RollbackOf};

/// Of one route.
const MOST_PATTERNS: usize = 32;
const LONGEST_HOST: usize = 253;
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

/// A route, and the triggers that are its own.
pub(super) struct Read {
    pub(super) route: RouteConfig,
    pub(super) triggers: Option<Vec<Option<Mapping<RawTrigger>>>>,
}

/// What is shielded where a route does not say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shielded {
    Nothing,
    Something,
}

/// Every route, by its place in the list; none at the places of those that were at fault.
pub(super) fn routes(
    scope: &mut Scope<'_, '_>,
    raw: Vec<Option<Mapping<RawRoute>>>,
    timeouts: Option<Timeouts>,
    elsewhere: Shielded,
) -> Option<Vec<Option<Read>>> {
    if raw.len() > MOST_ROUTES {
        let wrong = Wrong::new(format!("has {} elements", raw.len()), format!("at most {MOST_ROUTES} are allowed"));
        scope.wrong_here(wrong);
        return None;
    }
    let mut names = vec![];
    let mut read: Vec<Option<Read>> = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let mut scope = scope.index(index);
        let route = raw.and_then(|Mapping(raw)| {
            unique(&mut scope, raw.name.clone(), &mut names);
            route(&mut scope, raw, timeouts, elsewhere)
        });
        if let Some(Read { route, .. }) = &route
            && let Some(hides) = read.iter().flatten().find(|before| before.route.hides(route))
        {
            let message = format!("never matches: whatever is on it is on {} before", quoted(&hides.route.name));
            scope
                .wrong_here(Wrong::new(message, "the first route that matches is the request's; write this one first"));
        }
        read.push(route);
    }
    Some(read)
}

fn route(scope: &mut Scope<'_, '_>, raw: RawRoute, timeouts: Option<Timeouts>, elsewhere: Shielded) -> Option<Read> {
    let name = scope.required("name", raw.name, name);
    let shield = shield(&mut scope.key("shield"), raw.shield);
    if elsewhere == Shielded::Nothing && matches!(shield, Some(RouteShield::Methods(_))) {
        let label = "remove it, or let `shield` be on: its budget and its time hold on every route";
        scope.misplaced("shield", Wrong::new("means nothing while `shield` is off", label));
    }
    let is_open = raw.hosts.is_none() && raw.paths.is_none() && raw.methods.is_none();
    let spoiled = ["hosts", "paths", "methods"].iter().any(|key| scope.report.is_spoiled(&scope.at.key(key)));
    if is_open && !spoiled {
        let label = "name `paths`, `hosts` or `methods`, like `paths: [/checkout, /checkout/*]`";
        scope.wrong_here(Wrong::new("matches every request", label));
    }
    let hosts = patterns(scope, "hosts", raw.hosts, host);
    let paths = patterns(scope, "paths", raw.paths, path);
    let methods = patterns(scope, "methods", raw.methods, method);
    let goes = goes(scope, raw.pin, raw.exclude);
    let rollback = rollback(scope, raw.rollback, goes);
    let own = raw.timeouts.unwrap_or_default().0;
    let timeouts = timeouts.and_then(|timeouts| self::timeouts(&mut scope.key("timeouts"), own, timeouts));
    if let (Some(Goes::Excluded | Goes::ToBlue), Some(_)) = (goes, &raw.triggers) {
        let wrong = Wrong::new("can never fire: what is on the route is no evidence", "remove it");
        scope.misplaced("triggers", wrong);
    }
    let route = RouteConfig {
        name: name?,
        hosts: hosts?,
        paths: paths?,
        methods: methods.filter(|_| !is_open)?,
        goes: goes?,
        timeouts: timeouts?,
        shield: shield?,
        rollback: rollback?,
    };
    Some(Read { route, triggers: raw.triggers })
}

fn name(text: String) -> Result<String, Wrong> {
    let text = plain_name("a route")(text)?;
    if text == OTHER {
        return Err(Wrong::new(
            format!("{} is reserved", quoted(&text)),
            "it is what no route matches, choose another",
        ));
    }
    Ok(text)
}

fn goes(scope: &mut Scope<'_, '_>, pin: Option<String>, exclude: Option<bool>) -> Option<Goes> {
    let pinned = scope.optional("pin", pin, None, |pin| match pin.as_str() {
        "blue" => Ok(Some(Goes::ToBlue)),
        "green" => Err(Wrong::new("`green` is not what a route is pinned to", "a rollback sends everything to blue")),
        other => Err(not_among(other, "what a route is pinned to", &["blue"])),
    })?;
    match (pinned, exclude.unwrap_or_default()) {
        (Some(_), true) => {
            let label = "remove it: what is pinned to blue is no evidence anyway";
            scope.misplaced("exclude", Wrong::new("means nothing beside `pin`", label));
            None
        }
        (Some(pinned), false) => Some(pinned),
        (None, true) => Some(Goes::Excluded),
        (None, false) => Some(Goes::Judged),
    }
}

fn rollback(scope: &mut Scope<'_, '_>, raw: Option<String>, goes: Option<Goes>) -> Option<RollbackOf> {
    if let (Some(Goes::Excluded | Goes::ToBlue), Some(_)) = (goes, &raw) {
        let wrong = Wrong::new("can never come: what is on the route is no evidence", "remove it");
        scope.misplaced("rollback", wrong);
    }
    scope.optional("rollback", raw, RollbackOf::Version, |of| match of.as_str() {
        "version" => Ok(RollbackOf::Version),
        "route" => Ok(RollbackOf::Route),
        other => Err(not_among(other, "what a rollback takes back", &["version", "route"])),
    })
}

fn shield(scope: &mut Scope<'_, '_>, raw: Option<Switch<RawRouteShield>>) -> Option<RouteShield> {
    match raw {
        None | Some(Switch::On) => Some(RouteShield::AsElsewhere),
        Some(Switch::Off) => Some(RouteShield::Off),
        Some(Switch::With(RawRouteShield { methods: None })) => {
            let spoiled = scope.report.is_spoiled(&scope.at.key("methods"));
            if !spoiled {
                let label = "write `methods: [GET, HEAD, POST]`, each of which may be carried out twice";
                scope.wrong_here(Wrong::new("names no methods", label));
            }
            None
        }
        Some(Switch::With(RawRouteShield { methods })) => {
            patterns(scope, "methods", methods, method).map(RouteShield::Methods)
        }
    }
}

fn timeouts(scope: &mut Scope<'_, '_>, raw: RawRouteTimeouts, all: Timeouts) -> Option<Timeouts> {
    let range: RangeInclusive<Duration> = TIMEOUTS;
    let mut own = |key, raw: Option<Quantity>, all| scope.optional(key, raw, all, duration(range.clone()));
    let connect = own("connect", raw.connect, all.connect);
    let response_head = own("responseHead", raw.response_head, all.response_head);
    let body_idle = own("bodyIdle", raw.body_idle, all.body_idle);
    Some(Timeouts { connect: connect?, response_head: response_head?, body_idle: body_idle?, ..all })
}

/// A list of what a request may be; empty where it is not written.
pub(super) fn patterns<T: PartialEq>(
    scope: &mut Scope<'_, '_>,
    key: &str,
    raw: Option<Vec<Option<String>>>,
    parse: impl Fn(&str) -> Result<T, Wrong>,
) -> Option<Vec<T>> {
    let Some(raw) = raw else { return (!scope.report.is_spoiled(&scope.at.key(key))).then(Vec::new) };
    too_many(scope, key, raw.len(), MOST_PATTERNS)?;
    if raw.is_empty() {
        scope.wrong(key, Wrong::new("is empty", "write at least one, or leave it out for all"));
        return None;
    }
    let mut list = scope.key(key);
    let mut patterns = Vec::new();
    let mut whole = true;
    for (index, text) in raw.into_iter().enumerate() {
        let wrong = match text.as_deref().map(|text| (text, parse(text))) {
            Some((text, Ok(pattern))) if patterns.contains(&pattern) => {
                Some(Wrong::new(format!("{} is in the list already", quoted(text)), "remove it"))
            }
            Some((_, Ok(pattern))) => {
                patterns.push(pattern);
                continue;
            }
            Some((_, Err(wrong))) => Some(wrong),
            None => None,
        };
        whole = false;
        if let Some(wrong) = wrong {
            list.wrong_element(index, wrong);
        }
    }
    whole.then_some(patterns)
}

fn method(text: &str) -> Result<Method, Wrong> {
    let upper = text.to_ascii_uppercase();
    if upper != text && METHODS.contains(&upper.as_str()) {
        return Err(Wrong::new(format!("{} is not a method", quoted(text)), format!("write `{upper}`")));
    }
    if matches!(text, "CONNECT" | "TRACE") {
        return Err(Wrong::new(format!("{} is refused anyway", quoted(text)), "remove it"));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| not_among(text, "a method", &METHODS))
}

fn host(text: &str) -> Result<HostPattern, Wrong> {
    let wrong = |message: &str, label: &str| Err(Wrong::new(format!("{} {message}", quoted(text)), label));
    let (bare, below) = text.strip_prefix("*.").map_or((text, false), |bare| (bare, true));
    let is_address = text.starts_with('[') && text.ends_with(']');
    if !is_address && text.contains(':') {
        return wrong("has a port", "a host is compared without its port, write the name alone");
    }
    if bare.contains('*') {
        return wrong(
            "has a `*` in its middle",
            "a `*.` at its beginning stands for any name below, like `*.example.com`",
        );
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_of_address = |byte: u8| byte.is_ascii_hexdigit() || b":.".contains(&byte);
    let fits = match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(address) => address.bytes().all(is_of_address),
        None => bare.bytes().all(is_name) && !bare.starts_with('.'),
    };
    if bare.is_empty() || text.len() > LONGEST_HOST || !fits {
        return wrong("is not a host", "write a name like `shop.example.com` or `*.example.com`");
    }
    let bare = bare.to_ascii_lowercase();
    Ok(if below { HostPattern::Below(format!(".{bare}")) } else { HostPattern::Exact(bare) })
}

pub(super) fn path(text: &str) -> Result<PathTemplate, Wrong> {
    let wrong = |message: &str, label: &str| Err(Wrong::new(format!("{} {message}", quoted(text)), label));
    let path = bare_path(text, "`/checkout` or `/users/{id}/*`")?;
    let (path, prefix) = path.strip_suffix('*').map_or((path, false), |path| (path, true));
    if path.contains('*') {
        return wrong("has a `*` before its end", "a `*` stands for any ending; write `{name}` for any one segment");
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    let last = if prefix { parts.pop().unwrap_or_default() } else { "" };
    let mut segments = Vec::new();
    for part in parts {
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) if is_variable(name) => segments.push(Segment::Any),
            _ if part.contains(['{', '}']) => return wrong("has braces that are not a whole segment", A_VARIABLE),
            _ => segments.push(Segment::Literal(part.to_owned())),
        }
    }
    if last.contains(['{', '}']) {
        return wrong("has braces that are not a whole segment", A_VARIABLE);
    }
    let end = if prefix { End::Prefix(last.to_owned()) } else { End::Nothing };
    Ok(PathTemplate { segments, end })
}

const A_VARIABLE: &str = "write `{name}` between two `/`, in letters, digits and `_`, like `/users/{id}/orders`";

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
