//! Charts as SVG: lines with gaps where nothing was measured, the bound, green's share and the decision drawn in. Colours, line
//! styles and marks are told apart without seeing colours; what they look like stands in `report.css`.

use std::fmt::Write;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::charts::{Charts, Measured, Point};
use super::html::escape;
use super::text::{clock, since, words};
use crate::course::grounds::{Bound, Measure};

/// Everything is placed in these units, which are pixels where nothing is scaled.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 704.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 250.0;

/// Points with more neighbours than these are lines without marks.
const MOST_MARKS: usize = 60;

/// A label of a time, or of a share, takes about so much of the width.
const TIME_LABEL: f64 = 80.0;
const SHARE_LABEL: f64 = 36.0;

/// What is drawn in one chart.
struct Chart {
    title: &'static str,
    /// With its unit.
    axis: String,
    lines: Vec<Line>,
    bound: Option<f64>,
    unit: &'static str,
}

struct Line {
    name: String,
    class: &'static str,
    mark: Mark,
    /// One of each slice.
    values: Vec<Option<f64>>,
}

#[derive(Clone, Copy)]
enum Mark {
    Circle,
    Square,
    None,
}

/// Where a time and a value are.
struct Scale<'c> {
    charts: &'c Charts,
    first: Timestamp,
    /// In seconds.
    span: f64,
    values: Values,
}

/// How the axis of the values is divided.
#[derive(Clone, Copy)]
enum Values {
    /// From 0, a label each `step`.
    Even { step: f64, top: f64 },
    /// Between two powers of ten.
    Log { least: f64, top: f64 },
}

/// The charts of a report: error rate, and latency.
pub(super) fn figures(charts: &Charts) -> [String; 2] {
    [error_rate(charts), latency(charts)].map(|chart| {
        let mut svg = String::new();
        draw(charts, &chart, &mut svg).expect("a string takes everything");
        svg
    })
}

fn error_rate(charts: &Charts) -> Chart {
    let rate = |measured: &Measured| measured.error_rate.map(|rate| rate * 100.0);
    let bound = match charts.bound {
        Some(Bound::ErrorRate { above }) => Some(above * 100.0),
        Some(Bound::Latency { .. }) | None => None,
    };
    Chart {
        title: "Error rate",
        axis: "failed requests (%)".to_owned(),
        lines: vec![
            line(charts, "blue".to_owned(), "blue", Mark::Circle, |point| point.blue.as_ref().and_then(rate)),
            line(charts, "green".to_owned(), "green", Mark::Square, |point| point.green.as_ref().and_then(rate)),
        ],
        bound,
        unit: "%",
    }
}

fn latency(charts: &Charts) -> Chart {
    let bound = match charts.bound {
        Some(Bound::Latency { above, .. }) => Some(above),
        Some(Bound::ErrorRate { .. }) | None => None,
    };
    let name = percentile(charts.quantile);
    let mut lines = vec![
        line(charts, format!("blue {name}"), "blue", Mark::Circle, |point| point.blue.as_ref()?.at_quantile),
        line(charts, format!("green {name}"), "green", Mark::Square, |point| point.green.as_ref()?.at_quantile),
    ];
    if charts.quantile > 0.5 {
        lines.push(line(charts, "blue P50".to_owned(), "blue median", Mark::None, |point| point.blue.as_ref()?.p50));
        lines.push(line(charts, "green P50".to_owned(), "green median", Mark::None, |point| point.green.as_ref()?.p50));
    }
    let axis = match charts.measure {
        Measure::Head => "response head after (ms)",
        Measure::Whole => "answered whole after (ms)",
    };
    Chart { title: "Latency", axis: axis.to_owned(), lines, bound, unit: LATENCY_UNIT }
}

fn line(charts: &Charts, name: String, class: &'static str, mark: Mark, value: impl Fn(&Point) -> Option<f64>) -> Line {
    Line { name, class, mark, values: charts.slices.iter().map(value).collect() }
}

fn draw(charts: &Charts, chart: &Chart, to: &mut String) -> std::fmt::Result {
    let (first, last) = charts.ends();
    let span = seconds(last.duration_since(first));
    let scale = Scale { charts, first, span, values: Values::of(chart) };
    let Chart { title, .. } = chart;
    writeln!(to, r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#, escape(&told(charts, chart)))?;
    writeln!(to, r#"<text class="name" x="{LEFT}" y="16">{title}</text>"#)?;
    axes(chart, &scale, to)?;
    marks(&scale, to)?;
    for line in &chart.lines {
        path(line, &scale, to)?;
    }
    if let Some(bound) = chart.bound {
        let y = scale.y(bound);
        writeln!(to, r#"<line class="bound" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1}" y2="{y:.1}"/>"#)?;
        let beside = if y - TOP < 14.0 { y + 12.0 } else { y - 4.0 };
        writeln!(
            to,
            r#"<text class="told" x="{}" y="{beside:.1}">bound {} {}</text>"#,
            LEFT + 4.0,
            number(bound),
            chart.unit
        )?;
    }
    legend(chart, to)?;
    to.push_str("</svg>\n");
    Ok(())
}

/// The chart in a sentence, for whom it is read to.
fn told(charts: &Charts, chart: &Chart) -> String {
    let (first, last) = charts.ends();
    let highest = |line: &Line| {
        let most = line.values.iter().flatten().copied().reduce(f64::max);
        most.map_or_else(
            || format!("{} has no values", line.name),
            |most| format!("{} at most {}", line.name, number(most)),
        )
    };
    let lines: Vec<String> = chart.lines.iter().map(highest).collect();
    let bound = chart.bound.map_or_else(String::new, |bound| format!("; the bound is {}", number(bound)));
    format!(
        "{}, {}, from {} to {} UTC: {}{bound}",
        chart.title,
        chart.axis,
        clock(first),
        clock(last),
        lines.join(", ")
    )
}

fn axes(chart: &Chart, scale: &Scale<'_>, to: &mut String) -> std::fmt::Result {
    for value in scale.values.labels() {
        let y = scale.y(value);
        writeln!(to, r#"<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1}" y2="{y:.1}"/>"#)?;
        writeln!(to, r#"<text class="end" x="{}" y="{:.1}">{}</text>"#, LEFT - 6.0, y + 4.0, number(value))?;
    }
    let every = TIMES.into_iter().find(|every| scale.span / every * TIME_LABEL <= RIGHT - LEFT);
    let every = every.unwrap_or(TIMES[TIMES.len() - 1]);
    // On whole multiples of the day's time.
    let behind = f64::from(scale.first.subsec_nanosecond()) / 1e9 + (scale.first.as_second().rem_euclid(86_400)) as f64;
    let mut offset = (behind / every).ceil() * every - behind;
    while offset <= scale.span {
        let at = since(scale.first, Duration::from_secs_f64(offset));
        let x = scale.x(at);
        writeln!(to, r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{BOTTOM}" y2="{}"/>"#, BOTTOM + 4.0)?;
        writeln!(to, r#"<text class="middle" x="{x:.1}" y="{}">{}</text>"#, BOTTOM + 17.0, clock(at))?;
        offset += every;
    }
    let (middle, half) = (f64::midpoint(LEFT, RIGHT), f64::midpoint(TOP, BOTTOM));
    writeln!(to, r#"<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}"/>"#)?;
    writeln!(to, r#"<line class="axis" x1="{LEFT}" x2="{LEFT}" y1="{TOP}" y2="{BOTTOM}"/>"#)?;
    writeln!(to, r#"<text class="middle" x="{middle}" y="{}">time (UTC)</text>"#, BOTTOM + 34.0)?;
    let logarithmic = if matches!(scale.values, Values::Log { .. }) { ", log scale" } else { "" };
    writeln!(
        to,
        r#"<text class="middle" transform="translate(14 {half}) rotate(-90)">{}{logarithmic}</text>"#,
        chart.axis
    )
}

/// Green's shares, and the decision.
fn marks(scale: &Scale<'_>, to: &mut String) -> std::fmt::Result {
    let mut free = LEFT;
    let moment = scale.charts.moment.as_ref();
    for mark in &scale.charts.weights {
        let x = scale.x(mark.at);
        if moment.is_some_and(|moment| moment.at == mark.at) {
            continue;
        }
        writeln!(to, r#"<line class="share" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{BOTTOM}"/>"#)?;
        if x >= free {
            writeln!(to, r#"<text x="{x:.1}" y="{}">{} %</text>"#, TOP - 4.0, mark.weight)?;
            free = x + SHARE_LABEL;
        }
    }
    if let Some(moment) = moment {
        let x = scale.x(moment.at);
        writeln!(to, r#"<line class="moment" x1="{x:.1}" x2="{x:.1}" y1="{}" y2="{BOTTOM}"/>"#, TOP - 12.0)?;
        let (anchor, beside) = if x > f64::midpoint(LEFT, RIGHT) { ("told end", x - 4.0) } else { ("told", x + 4.0) };
        let what = words(&moment.kind);
        writeln!(
            to,
            r#"<text class="{anchor}" x="{beside:.1}" y="{}">{} {}</text>"#,
            TOP - 16.0,
            escape(&what),
            clock(moment.at)
        )?;
    }
    Ok(())
}

fn path(line: &Line, scale: &Scale<'_>, to: &mut String) -> std::fmt::Result {
    let half = scale.charts.slice() / 2;
    let place =
        |(point, value): (&Point, &Option<f64>)| value.map(|value| (scale.x(since(point.at, half)), scale.y(value)));
    let places: Vec<Option<(f64, f64)>> = scale.charts.slices.iter().zip(&line.values).map(place).collect();
    let mut path = String::new();
    for run in places.split(Option::is_none) {
        for (index, (x, y)) in run.iter().flatten().enumerate() {
            write!(path, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' })?;
        }
        if let [Some((x, _))] = run {
            // Round ends make a dot of a line without length.
            write!(path, "H{x:.1}")?;
        }
    }
    writeln!(to, r#"<path class="{}" d="{path}"/>"#, line.class)?;
    if places.len() <= MOST_MARKS {
        places.into_iter().flatten().try_for_each(|(x, y)| mark(line, x, y, to))?;
    }
    Ok(())
}

fn mark(line: &Line, x: f64, y: f64, to: &mut String) -> std::fmt::Result {
    match line.mark {
        Mark::None => Ok(()),
        Mark::Circle => writeln!(to, r#"<circle class="{}" cx="{x:.1}" cy="{y:.1}" r="2.5"/>"#, line.class),
        Mark::Square => {
            let (x, y) = (x - 2.5, y - 2.5);
            writeln!(to, r#"<rect class="{}" x="{x:.1}" y="{y:.1}" width="5" height="5"/>"#, line.class)
        }
    }
}

fn legend(chart: &Chart, to: &mut String) -> std::fmt::Result {
    const EACH: f64 = 112.0;
    let mut x = RIGHT - EACH * chart.lines.len() as f64;
    for line in &chart.lines {
        writeln!(to, r#"<path class="{}" d="M{x:.1} 12H{:.1}"/>"#, line.class, x + 24.0)?;
        mark(line, x + 12.0, 12.0, to)?;
        writeln!(to, r#"<text x="{:.1}" y="16">{}</text>"#, x + 30.0, escape(&line.name))?;
        x += EACH;
    }
    Ok(())
}

impl Scale<'_> {
    fn x(&self, at: Timestamp) -> f64 {
        let share = seconds(at.duration_since(self.first)) / self.span.max(f64::MIN_POSITIVE);
        LEFT + (RIGHT - LEFT) * share.clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        let share = match self.values {
            Values::Even { top, .. } => value / top,
            Values::Log { least, top } => libm::log10(value.max(least) / least) / libm::log10(top / least),
        };
        BOTTOM - (BOTTOM - TOP) * share.clamp(0.0, 1.0)
    }
}

impl Values {
    /// Even, but where that would press most of the latencies flat.
    fn of(chart: &Chart) -> Values {
        const FLAT: f64 = 20.0;
        let values = || chart.lines.iter().flat_map(|line| &line.values).flatten().copied().chain(chart.bound);
        let most = values().fold(1.0, f64::max);
        let least = values().filter(|value| *value > 0.0).fold(most, f64::min);
        if chart.unit == LATENCY_UNIT && most > FLAT * least {
            let power = |value: f64| libm::pow(10.0, value);
            return Values::Log { least: power(libm::log10(least).floor()), top: power(libm::log10(most).ceil()) };
        }
        let step = nice(most / 4.0);
        Values::Even { step, top: (most / step).ceil() * step }
    }

    fn labels(self) -> Vec<f64> {
        match self {
            Values::Even { step, top } => {
                (0..=(top / step).round() as u32).map(|index| f64::from(index) * step).collect()
            }
            Values::Log { least, top } => {
                let powers = libm::log10(top / least).round() as u32;
                (0..=powers).map(|power| least * libm::pow(10.0, f64::from(power))).collect()
            }
        }
    }
}

const LATENCY_UNIT: &str = "ms";

/// What may lie between two labels of the time, in seconds.
const TIMES: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

fn seconds(duration: SignedDuration) -> f64 {
    duration.as_secs_f64()
}

/// The next of 1, 2 and 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let power = libm::pow(10.0, libm::log10(step).floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|nice| *nice >= step).unwrap_or(step)
}

/// With as many digits as a reader wants.
fn number(value: f64) -> String {
    let text = if value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(super) fn percentile(quantile: f64) -> String {
    format!("P{}", number(quantile * 100.0))
}
