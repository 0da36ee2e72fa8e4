//! Checks of every endpoint of a version, as often as is wanted.

use std::collections::BTreeMap;

use http::Method;

use crate::actions::End;
use crate::actions::exchange::Request;
use crate::actions::reach::Reach;
use crate::config::Transport;
use crate::config::runbook::kind::Smoke;
use crate::config::runbook::kind::smoke::Check;
use crate::live::Known;

/// The host of a request to an endpoint whose own is said when it is sent.
const NOWHERE: &str = "http://endpoint";

pub(super) async fn check(smoke: &Smoke, reach: &Reach) -> End {
    let endpoints = reach.endpoints(smoke.version);
    if endpoints.is_empty() {
        return End::Retry { why: format!("{} has no endpoint", smoke.version), after: None };
    }
    for time in 0..smoke.times {
        if time > 0 {
            tokio::time::sleep(smoke.interval).await;
        }
        for (known, transport) in &endpoints {
            for check in &smoke.checks {
                if let Err(why) = passes(check, known, transport).await {
                    let why = format!("{} of {} at {}: {why}", check.path, smoke.version, known.declared);
                    return End::Retry { why, after: None };
                }
            }
        }
    }
    let sentence = format!(
        "{} checks of {} endpoints of {} passed, {} times",
        smoke.checks.len(),
        endpoints.len(),
        smoke.version,
        smoke.times
    );
    End::Delivered { sentence, remembered: BTreeMap::new() }
}

async fn passes(check: &Check, known: &Known, transport: &Transport) -> Result<(), String> {
    let url = format!("{NOWHERE}{}", check.path);
    let request = Request::new(Method::GET, &url).map_err(|error| error.to_string())?;
    let answer = Reach::ask(known, transport, request).await.map_err(|error| error.to_string())?;
    if answer.status != check.status {
        return Err(format!("the answer was {}, not {}", answer.status, check.status));
    }
    match &check.contains {
        Some(wanted) if !String::from_utf8_lossy(&answer.body).contains(wanted) => {
            Err(format!("the body has no {wanted:?}"))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) fn preview(smoke: &Smoke) -> String {
    let each = |check: &Check| match &check.contains {
        Some(wanted) => format!("GET {} → {}, with {wanted:?} in its body\n", check.path, check.status),
        None => format!("GET {} → {}\n", check.path, check.status),
    };
    let checks: String = smoke.checks.iter().map(each).collect();
    format!("at every endpoint of {}, {} times:\n{checks}", smoke.version, smoke.times)
}
