//! `portcullis status`: where the release is.

use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::client::Admin;
use super::output::{Output, harmless};
use super::resource::{self, Resource};
use crate::gate::verdict::duration;

/// Show where the release is
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    resource: Resource,
}

impl Show {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        if let Some(named) = self.resource.named() {
            return self.output.show_as(resource::lines, named.status());
        }
        self.output.show(self.admin.call(Method::GET, "/v1/status", None))
    }
}

/// Prints a status for people.
pub(super) fn print(status: &Value) {
    lines(status).iter().for_each(|line| anstream::println!("{}", harmless(line)));
}

/// A status for people: the release, both versions, the verdict, and more where there is more to say.
pub(super) fn lines(status: &Value) -> Vec<String> {
    let mut lines = vec![format!(
        "{}: {}, green at {} %{} (epoch {})",
        text(&status["service"]),
        text(&status["state"]),
        status["weight"].as_f64().unwrap_or_default(),
        status["maxWeight"].as_f64().map_or_else(String::new, |most| format!(" of at most {most} %")),
        status["epoch"]
    )];
    for version in ["blue", "green"] {
        let of = &status[version];
        lines.push(format!(
            "  {version:5} {}: {} requests, {} failed ({:.2} %){}, P50 {}, P95 {}, P99 {}{}, {} of {} endpoints healthy",
            text(&of["version"]),
            of["requests"],
            of["failures"],
            of["errorRate"].as_f64().unwrap_or_default() * 100.0,
            shielded(of),
            millis(&of["p50"]),
            millis(&of["p95"]),
            millis(&of["p99"]),
            if of["warmingUp"].is_number() { " (warming up: no evidence yet)" } else { "" },
            of["healthyEndpoints"],
            of["endpoints"]
        ));
    }
    lines.push(format!("  {}: {}", text(&status["verdict"]["kind"]), text(&status["verdict"]["sentence"])));
    lines.extend(taken_back(status));
    lines.extend(routes(status));
    lines.extend(mirror(status));
    lines.extend(cohorts(status));
    lines.extend(exposure(status));
    lines.extend(step(status));
    lines.extend(terms(status));
    if let Some(awaited) = awaited(status) {
        lines.push(format!("  approval: {awaited}"));
    }
    if let Some(pause) = status["pause"].as_str() {
        lines.push(format!("  paused: {pause}"));
    }
    lines.extend(ramp(status));
    if let Some(rollback) = status.get("rollback").filter(|rollback| rollback.is_object()) {
        lines.push(format!("  rolled back at {}: {}", text(&rollback["at"]), text(&rollback["reason"])));
    }
    lines
}

/// What clients saw, where that is not what the version did.
fn shielded(of: &Value) -> String {
    match of["shielded"].as_u64() {
        None | Some(0) => String::new(),
        Some(shielded) => {
            let felt = of["effectiveSuccessRate"].as_f64().unwrap_or_default() * 100.0;
            format!(", {shielded} of them answered by blue ({felt:.2} % of clients served)")
        }
    }
}

/// The routes that go to blue although the release goes on.
fn taken_back(status: &Value) -> Vec<String> {
    let routes = status["routes"].as_array().into_iter().flatten();
    let line = |route: &Value| {
        let why = route["takenBack"].as_str()?;
        Some(format!("  route {} is taken back to blue: {why}", text(&route["route"])))
    };
    routes.filter_map(line).collect()
}

/// The routes on which green has failed, those with most failures first.
pub(super) fn routes(status: &Value) -> Vec<String> {
    const SHOWN: usize = 5;
    let failures = |route: &&Value| route["green"]["failures"].as_u64().unwrap_or_default();
    let mut failing: Vec<&Value> = status["routes"].as_array().into_iter().flatten().collect();
    failing.retain(|route| failures(route) > 0);
    failing.sort_by_key(|route| std::cmp::Reverse(failures(route)));
    let line = |route: &Value| {
        let [blue, green] = [&route["blue"], &route["green"]];
        format!(
            "  route {}: green failed {} of {}, blue {} of {}",
            text(&route["route"]),
            green["failures"],
            green["requests"],
            blue["failures"],
            blue["requests"]
        )
    };
    failing.into_iter().take(SHOWN).map(line).collect()
}

/// How blue takes what came back to it, while that lasts or where it could not.
fn ramp(status: &Value) -> Option<String> {
    let ramp = status.get("ramp").filter(|ramp| ramp.is_object())?;
    let (refused, is_over) = (ramp["refused"].as_u64()?, ramp["left"].as_f64()? == 0.0);
    let left = if is_over { "over".to_owned() } else { format!("{} left", seconds(&ramp["left"])) };
    match (ramp["limit"].as_u64(), ramp["suffering"].as_str()) {
        (Some(limit), Some(suffering)) => {
            Some(format!("  ramp: {left}, {suffering}: at most {limit} requests wait, {refused} were refused"))
        }
        _ if refused > 0 => Some(format!("  ramp: {left}, {refused} requests were refused")),
        _ => (!is_over).then(|| format!("  ramp: {left}, blue takes everything")),
    }
}

fn step(status: &Value) -> Option<String> {
    let number = status["step"].as_u64()?;
    let steps = status["plan"]["steps"].as_array()?;
    let step = steps.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
    let (baked, bake) = (seconds(&status["baked"]), seconds(&step["bake"]));
    let weight = step["weight"].as_f64()?;
    let share = match (step["mirror"].as_f64(), step["cohort"].as_str()) {
        (Some(mirror), _) => format!("mirror {mirror} %"),
        (None, Some(cohort)) => format!("cohort {cohort}"),
        (None, None) => format!("{weight} %"),
    };
    Some(format!("  step {number} of {}: {share}, {baked} of {bake}{}", steps.len(), approval(step)))
}

/// The cohorts that are on green, or were in this release.
fn cohorts(status: &Value) -> impl Iterator<Item = String> {
    let all = status["cohorts"].as_array().into_iter().flatten();
    let any = |cohort: &&Value| cohort["onGreen"] == true || cohort["requests"] != 0;
    all.filter(any).map(|cohort| {
        let on = if cohort["onGreen"] == true { "on green" } else { "no longer on green" };
        let (name, requests, failures) = (text(&cohort["cohort"]), &cohort["requests"], &cohort["failures"]);
        format!("  cohort {name}: {on}, {requests} requests in this release, {failures} failed")
    })
}

/// What became of copies, where there are any.
fn mirror(status: &Value) -> Option<String> {
    let mirror = status.get("mirror").filter(|mirror| mirror.is_object())?;
    let copies = &mirror["green"];
    Some(format!(
        "  mirror {} % of blue's requests: {} copies, {} failed ({:.2} %), P50 {}, P95 {}, P99 {}; of {} compared {} had \
         another status and {} another length",
        mirror["share"].as_f64().unwrap_or_default(),
        copies["requests"],
        copies["failures"],
        copies["errorRate"].as_f64().unwrap_or_default() * 100.0,
        millis(&copies["p50"]),
        millis(&copies["p95"]),
        millis(&copies["p99"]),
        mirror["compared"],
        mirror["otherStatus"],
        mirror["otherLength"]
    ))
}

/// What the release has cost.
fn exposure(status: &Value) -> Option<String> {
    let of = &status["exposure"];
    let (budget, harmed) = (of["budget"].as_u64()?, of["harmed"].as_u64()?);
    Some(format!("  exposure: {harmed} harmed requests (at most {}) of a budget of {budget}", of["atMost"]))
}

/// What sets this release apart from others.
fn terms(status: &Value) -> Vec<String> {
    let plan = &status["plan"];
    let own = (plan["source"] == "release").then(|| "  plan: of this release alone".to_owned());
    let irreversible = plan["irreversible"].as_str().map(|reason| format!("  irreversible: {reason}"));
    own.into_iter().chain(irreversible).collect()
}

/// What comes after the bake of this step of the plan, if it is an approval.
pub(super) fn approval(step: &Value) -> String {
    let deadline = &step["approvalDeadline"];
    match (&step["approval"], deadline["otherwise"].as_str()) {
        (Value::Bool(true), Some(otherwise)) => {
            format!(", then an approval within {}, otherwise {}", seconds(&deadline["within"]), comes(otherwise))
        }
        (Value::Bool(true), None) => ", then an approval".to_owned(),
        _ => String::new(),
    }
}

/// Until when the step's approval is waited for, and what comes otherwise; none when that is without end.
pub(super) fn awaited(status: &Value) -> Option<String> {
    let awaited = &status["approval"];
    let otherwise = comes(awaited["otherwise"].as_str()?);
    Some(match awaited["by"].as_str() {
        Some(by) => format!("until {by}, otherwise {otherwise}"),
        None => format!("{} are left when the release goes on, otherwise {otherwise}", seconds(&awaited["left"])),
    })
}

fn comes(otherwise: &str) -> &str {
    match otherwise {
        "pause" => "a pause",
        "rollback" => "a rollback",
        other => other,
    }
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}

fn millis(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |millis| format!("{millis:.1} ms"))
}

/// A number of seconds, as a duration without what nobody reads.
pub(super) fn seconds(value: &Value) -> String {
    let seconds = Duration::try_from_secs_f64(value.as_f64().unwrap_or_default()).unwrap_or_default();
    let whole = if seconds < Duration::from_secs(10) { 100 } else { 1_000 };
    duration(Duration::from_millis(seconds.as_millis() as u64 / whole * whole))
}

/// A time without its fractions of a second.
pub(super) fn second(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.to_owned(),
    }
}
