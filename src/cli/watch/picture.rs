//! The picture of a release, in lines that fit: what the dashboard shows, as text.

use std::time::Duration;

use console::{Style, StyledObject, measure_text_width, style};
use serde_json::Value;
use tokio::time::Instant;

use super::seen::{Link, Seen};
use super::shapes::{bar, curve, fitted, wrapped};
use crate::cli::output::harmless;
use crate::cli::status::{self, text};
use crate::gate::verdict::{count, duration, percent};

/// The names of rows take so much, and a bar never more than this.
const NAME: usize = 11;
const WIDEST_BAR: usize = 40;

/// A value beside its curve.
const VALUE: usize = 9;

/// With fewer rows only the present step is shown.
const ROWS_FOR_STEPS: usize = 24;

/// Nothing is heard for so long: that is said. A proxy tells something every second.
const SILENT: Duration = Duration::from_secs(3);

/// Of triggers, routes and endpoints at most so many each.
const MOST: usize = 4;

pub(super) fn lines(seen: &Seen, heard: Instant, (rows, columns): (usize, usize), now: Instant) -> Vec<String> {
    let of = &seen.status;
    let mut lines = heading(of, columns);
    lines.extend(link(seen, heard, columns, now));
    lines.extend(told(of, columns));
    lines.push(String::new());
    let steps = steps(of, columns);
    let present = of["step"].as_u64().and_then(|step| usize::try_from(step).ok()).unwrap_or_default();
    if rows >= ROWS_FOR_STEPS {
        lines.extend(steps);
    } else {
        lines.extend(steps.into_iter().skip(present.saturating_sub(1)).take(1));
    }
    lines.push(String::new());
    lines.extend(versions(seen, columns));
    lines.push(String::new());
    lines.extend(verdict(of, columns));
    lines.extend(bounds(of, columns));
    lines.extend(stand_out(of, columns));
    let free = rows.saturating_sub(lines.len() + 1);
    if free > 0 {
        lines.push(String::new());
        let events = seen.events.iter().rev().flat_map(|event| self::event(event, columns));
        lines.extend(events.take(free));
    }
    lines
}

fn heading(of: &Value, columns: usize) -> Vec<String> {
    let state = text(&of["state"]);
    let weight = of["weight"].as_f64().unwrap_or_default();
    let most = of["maxWeight"].as_f64().map_or_else(String::new, |most| format!(" of at most {most} %"));
    let place = format!("green at {weight} %{most}, epoch {}", of["epoch"]);
    let service = harmless(text(&of["service"]));
    let (name, shown) = (style(service).bold(), style(status_words(state)).fg(colour(state)).bold());
    let line = format!("{name}  {shown}  {place}");
    if measure_text_width(&line) <= columns {
        return vec![line];
    }
    vec![format!("{name}  {shown}"), place]
}

/// `rolledBack` as `ROLLED BACK`: to be read from across the room.
fn status_words(state: &str) -> String {
    let mut words = String::new();
    for letter in state.chars() {
        if letter.is_uppercase() {
            words.push(' ');
        }
        words.extend(letter.to_uppercase());
    }
    words
}

fn colour(state: &str) -> console::Color {
    match state {
        "rolledBack" => console::Color::Red,
        "paused" => console::Color::Yellow,
        "completed" | "promoted" => console::Color::Green,
        _ => console::Color::Cyan,
    }
}

fn link(seen: &Seen, heard: Instant, columns: usize, now: Instant) -> Vec<String> {
    let ago = |since: Instant| duration(Duration::from_secs((now - since).as_secs()));
    let lost = match &seen.link {
        Link::Lost { since, why } => format!("CONNECTION LOST for {}, trying again: {}", ago(*since), harmless(why)),
        Link::Up if now - heard > SILENT => format!("NOTHING HEARD for {}", ago(heard)),
        Link::Up => return vec![],
    };
    coloured(wrapped(&lost, columns, 2), &Style::new().red().bold())
}

/// Why it goes no further.
fn told(of: &Value, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(reason) = of["rollback"]["reason"].as_str() {
        let at = status::second(text(&of["rollback"]["at"]));
        let told = format!("rolled back at {at}: {}", harmless(reason));
        lines.extend(coloured(wrapped(&told, columns, 2), &Style::new().red()));
    }
    if let Some(pause) = of["pause"].as_str() {
        lines.extend(coloured(wrapped(&format!("paused: {}", harmless(pause)), columns, 2), &Style::new().yellow()));
    }
    if let Some(awaited) = status::awaited(of) {
        lines.extend(wrapped(&format!("approval: {awaited}"), columns, 2));
    }
    lines
}

/// A bar for each step, with the time that is left of the present one.
fn steps(of: &Value, columns: usize) -> Vec<String> {
    let steps = of["plan"]["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let present = of["step"].as_u64().and_then(|step| usize::try_from(step).ok()).unwrap_or_default();
    let state = text(&of["state"]);
    let baked = of["baked"].as_f64().unwrap_or_default();
    let line = |(number, step): (usize, &Value)| {
        let bake = step["bake"].as_f64().unwrap_or_default();
        let (share, left) = match state {
            "completed" => (1.0, "done".to_owned()),
            "idle" => (0.0, status::seconds(&step["bake"])),
            "rolledBack" => (0.0, String::new()),
            _ if number < present => (1.0, "done".to_owned()),
            _ if number == present && baked >= bake => (1.0, "baked, waits".to_owned()),
            _ if number == present => {
                let left = status::seconds(&Value::from((bake - baked).max(0.0)));
                (baked / bake.max(f64::MIN_POSITIVE), format!("{left} left"))
            }
            _ => (0.0, status::seconds(&step["bake"])),
        };
        let name = match (step["mirror"].as_f64(), step["cohort"].as_str()) {
            (Some(mirror), _) => format!("mirror {mirror} %"),
            (None, Some(cohort)) => harmless(cohort),
            (None, None) => format!("{} %", step["weight"].as_f64().unwrap_or_default()),
        };
        let behind = if number >= present { status::approval(step) } else { String::new() };
        let width = columns.saturating_sub(NAME + 15).clamp(4, WIDEST_BAR);
        let shape = style(bar(share, width));
        let shape = if number == present { shape.fg(colour(state)) } else { shape.dim() };
        format!("{} {shape} {left}{behind}", fitted(&name, NAME))
    };
    (1..).zip(steps).map(line).collect()
}

/// Both versions side by side, with curves of the last minutes where there is room.
fn versions(seen: &Seen, columns: usize) -> Vec<String> {
    let of = &seen.status;
    let column = columns.saturating_sub(NAME + 2) / 2;
    let row =
        |name: &str, blue: String, green: String| format!("{} {} {green}", fitted(name, NAME), fitted(&blue, column));
    let title = |version: &str, style: Style| {
        let name = harmless(&format!("{version} {}", text(&of[version]["version"])));
        style.bold().apply_to(fitted(&name, column)).to_string()
    };
    let each = |show: &dyn Fn(&str) -> String| ["blue", "green"].map(show);
    let mut lines = vec![format!(
        "{} {} {}",
        fitted("", NAME),
        title("blue", Style::new().blue()),
        title("green", Style::new().green())
    )];
    let [blue, green] = each(&|version| number(&of[version]["requests"]));
    lines.push(row("requests", blue, green));
    let [blue, green] = each(&|version| number(&of[version]["failures"]));
    lines.push(row("failed", blue, green));
    for (name, member) in [("error rate", "errorRate"), ("P50", "p50"), ("P95", "p95"), ("P99", "p99")] {
        let past = ["blue", "green"].map(|version| past(seen, version, member));
        let most = past.iter().flatten().flatten().copied().fold(0.0, f64::max);
        let cell = |version: &str, past: &[Option<f64>]| {
            let value = &of[version][member];
            let shown = match value.as_f64() {
                None => "-".to_owned(),
                Some(rate) if member == "errorRate" => percent(rate),
                Some(millis) => duration(Duration::from_secs_f64((millis / 1e3).max(0.0))),
            };
            let room = column.saturating_sub(VALUE + 1);
            format!("{} {}", fitted(&shown, VALUE.min(column)), curve(past, most, room))
        };
        lines.push(row(name, cell("blue", &past[0]), cell("green", &past[1])));
    }
    let [blue, green] = each(&|version| format!("{} of {}", of[version]["healthyEndpoints"], of[version]["endpoints"]));
    lines.push(row("endpoints", blue, green));
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

/// A value of each second, and none where there was no request.
fn past(seen: &Seen, version: &str, member: &str) -> Vec<Option<f64>> {
    let value = |point: &Value| {
        let of = &point[version];
        of[member].as_f64().filter(|_| of["requests"] != 0)
    };
    seen.points.iter().map(value).collect()
}

fn verdict(of: &Value, columns: usize) -> Vec<String> {
    let kind = text(&of["verdict"]["kind"]);
    let said = format!("{kind}: {}", harmless(text(&of["verdict"]["sentence"])));
    let style = match kind {
        "fail" => Style::new().red(),
        "pass" => Style::new().green(),
        _ => Style::new(),
    };
    coloured(wrapped(&said, columns, 2), &style)
}

/// How far green is from what would end the release: the triggers that are nearest to their bound, and the comparison.
fn bounds(of: &Value, columns: usize) -> Vec<String> {
    let mut rows: Vec<(f64, String, String)> = Vec::new();
    for bound in of["bounds"].as_array().into_iter().flatten() {
        let (Some(green), Some(most)) = (bound["green"].as_f64(), bound["bound"].as_f64()) else { continue };
        let shown = |value: f64| match bound["metric"].as_str() {
            Some("errorRate") => percent(value),
            Some("latency") => duration(Duration::from_secs_f64((value / 1e3).max(0.0))),
            _ => format!("{value}"),
        };
        let share = if most > 0.0 { green / most } else { f64::from(u8::from(green > 0.0)) };
        rows.push((share, harmless(text(&bound["name"])), format!("{} of {}", shown(green), shown(most))));
    }
    rows.sort_by(|one, other| other.0.total_cmp(&one.0));
    rows.truncate(MOST);
    if let Some(convicts) = of["convictsAt"].as_f64() {
        for (name, member) in [("comparison", "lnEvidence"), ("A/A arm", "lnArm")] {
            if let Some(evidence) = of["comparison"][member].as_f64() {
                let evidence = evidence.max(0.0);
                rows.push((evidence / convicts, name.to_owned(), format!("{evidence:.1} of {convicts:.1}")));
            }
        }
    }
    let line = |(share, name, shown): (f64, String, String)| {
        let width = columns.saturating_sub(NAME + 22).clamp(4, WIDEST_BAR);
        let shape = style(bar(share, width));
        format!("{} {} {shown}", fitted(&name, NAME), near(shape, share))
    };
    rows.into_iter().map(line).collect()
}

fn near(shape: StyledObject<String>, share: f64) -> StyledObject<String> {
    match share {
        share if share >= 1.0 => shape.red(),
        share if share >= 0.5 => shape.yellow(),
        _ => shape.dim(),
    }
}

/// Routes on which green fails, and endpoints that get no requests.
fn stand_out(of: &Value, columns: usize) -> Vec<String> {
    let out = of["endpointsOut"].as_array().into_iter().flatten().take(MOST).map(|out| {
        let why = match text(&out["why"]) {
            "ejected" => "is ejected",
            "onTrial" => "is tried again",
            _ => "fails its checks",
        };
        format!("endpoint {} of {} {why}", harmless(text(&out["endpoint"])), text(&out["version"]))
    });
    let told = status::routes(of).into_iter().map(|line| harmless(line.trim())).chain(out);
    told.flat_map(|line| coloured(wrapped(&line, columns, 2), &Style::new().yellow())).collect()
}

/// One event, with who did it.
pub(super) fn event(event: &Value, columns: usize) -> Vec<String> {
    let at = text(&event["at"]);
    let clock = at.split_once('T').map_or(at, |(_, time)| time.get(..8).unwrap_or(time));
    let [kind, actor, sentence] = ["kind", "actor", "sentence"].map(|member| harmless(text(&event[member])));
    let weight = event["weight"].as_f64().unwrap_or_default();
    let told = format!("{clock} {kind} by {actor}, green at {weight} %: {sentence}");
    coloured(wrapped(&told, columns, 9), &tone(&kind))
}

pub(super) fn tone(kind: &str) -> Style {
    match kind {
        "rolledBack" | "routeTakenBack" | "frozen" | "irreversible" => Style::new().red().bold(),
        "promoted" | "completed" => Style::new().green(),
        _ => Style::new(),
    }
}

fn number(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), count)
}

fn coloured(lines: Vec<String>, style: &Style) -> Vec<String> {
    lines.into_iter().map(|line| style.apply_to(line).to_string()).collect()
}

#[cfg(test)]
mod tests;
