//! The inputs of the deciding core as the journal keeps them, and back: exact both ways, so that a replay decides alike.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::course::{Changed, Course, EndpointNews, Input, StreakFound, Voice};
use crate::gate::signal::{Posted, Signals};
use crate::gate::{ByVersion, Evidence, Health, Latency, RouteNumber, Version};
use crate::journal::slot::{self, Beside, Buckets, Counted, OnRoute, Slot};
use crate::measure::shard::Sample;
use crate::measure::{Part, RouteTick, RouteTicks, Tick};
use crate::release::{self, Answered, Gates, Plan};

/// What is not a tick, as it stands in the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rare {
    /// What was known when the release began; always the first.
    #[serde(rename_all = "camelCase")]
    Opening {
        /// The beginning on the clock of the deciding core, which slots of evidence are aligned to.
        began_nanos: u64,
        blue: slot::Counted,
        /// Of the routes that had any; without their green.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        routes: Vec<OnRoute>,
        /// The templates that were told apart beside the routes of the configuration.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        learnt: Vec<String>,
        signals: Signals,
        /// None where the release went by the plan of the configuration.
        #[serde(default)]
        own_plan: Option<Box<Plan>>,
        /// What is asked before it goes on.
        #[serde(default, skip_serializing_if = "Gates::none")]
        gates: Gates,
        /// What voice this proxy had among several.
        #[serde(default, skip_serializing_if = "Voice::is_all")]
        voice: Voice,
    },
    /// What was counted before a worker's finding, between two ticks.
    Counted(Box<slot::Tick>),
    /// Of mirrored requests: the originals are blue's, the copies green's.
    Mirrored(Box<slot::Tick>),
    /// Of requests whose version their clients have chosen.
    Overridden(Box<slot::Tick>),
    /// What came in after the rollback: nothing is decided by it, but people want to see how it went on.
    Aftermath(Box<slot::Tick>),
    Streak(StreakFound),
    Operator(release::Input),
    Answered(Answered),
    Signal(Posted),
    Endpoint(EndpointNews),
    Changed(Changed),
    Voice(Voice),
    /// The policy of this configuration holds from here on.
    Rules {
        configuration: String,
        changed: Changed,
    },
    /// The process has started anew; `configuration` is the new text if it is another one than the release began with.
    Restarted {
        configuration: Option<String>,
    },
}

/// One input as a replay takes it.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a replay holds one at a time")]
pub enum Recorded {
    Tick { counted: Box<Tick>, health: ByVersion<Health> },
    Rare(Rare),
}

/// `input` as it is kept; `changed` is the configuration, where it is not the one that the release began with.
pub fn slot(input: &Input<'_>, changed: Option<&str>, after: Duration) -> Slot {
    let input = match input {
        Input::Tick { counted, health } => slot::Input::Tick(Box::new(tick(counted, *health))),
        Input::Counted(counted) => rare(&Rare::Counted(Box::new(tick(counted, ByVersion::default())))),
        Input::Mirrored(samples) => rare(&Rare::Mirrored(Box::new(kept(samples)))),
        Input::Overridden(samples) => rare(&Rare::Overridden(Box::new(kept(samples)))),
        Input::Streak(streak) => rare(&Rare::Streak(*streak)),
        Input::Operator(input) => rare(&Rare::Operator(input.clone())),
        Input::Answered(answered) => rare(&Rare::Answered(answered.clone())),
        Input::Signal(posted) => rare(&Rare::Signal(posted.clone())),
        Input::Endpoint(news) => rare(&Rare::Endpoint(news.clone())),
        Input::Changed(changed) => rare(&Rare::Changed(changed.clone())),
        Input::Voice(voice) => rare(&Rare::Voice(*voice)),
        Input::Rules { changed: told, .. } => {
            let configuration = changed.unwrap_or_default().to_owned();
            rare(&Rare::Rules { configuration, changed: told.clone() })
        }
        Input::Restarted => rare(&Rare::Restarted { configuration: changed.map(str::to_owned) }),
    };
    Slot { after, input }
}

/// How long what comes in after a rollback is kept.
pub const AFTERMATH: Duration = Duration::from_secs(5 * 60);

/// What came in `after` the beginning, when the release had been rolled back.
pub fn aftermath(counted: &Tick, after: Duration) -> Slot {
    Slot { after, input: rare(&Rare::Aftermath(Box::new(tick(counted, ByVersion::default())))) }
}

/// What `course` knew when its release began.
pub fn opening(course: &Course, began: Duration) -> Slot {
    let past = |evidence: &Evidence| slot::Counted {
        requests: evidence.requests,
        failures: evidence.failures,
        head: buckets(&evidence.latency),
        ..slot::Counted::default()
    };
    let blue = past(course.history());
    let on_route = |(number, evidence): (RouteNumber, &Evidence)| OnRoute {
        number: number.index() as u8,
        blue: past(evidence),
        green: slot::Counted::default(),
    };
    let routes = course.route_pasts().map(on_route).collect();
    let learnt = course.policy().routes.learnt();
    let began_nanos = u64::try_from(began.as_nanos()).unwrap_or(u64::MAX);
    let signals = course.signals().clone();
    let own_plan = course.planned().own().cloned().map(Box::new);
    let gates = course.plan().map(|plan| plan.gates).unwrap_or_default();
    let voice = course.voice();
    let opening = Rare::Opening { began_nanos, blue, routes, learnt, signals, own_plan, gates, voice };
    Slot { after: Duration::ZERO, input: rare(&opening) }
}

/// A slot as it was given to the deciding core.
pub fn recorded(slot: Slot) -> Result<Recorded, serde_json::Error> {
    Ok(match slot.input {
        slot::Input::Tick(tick) => {
            let health = ByVersion { blue: health(&tick.blue), green: health(&tick.green) };
            Recorded::Tick { counted: Box::new(counted(&tick)), health }
        }
        slot::Input::Other(value) => Recorded::Rare(serde_json::from_value(value)?),
    })
}

/// What was counted, from how it is kept.
pub fn counted(tick: &slot::Tick) -> Tick {
    let beside = tick.beside.clone().unwrap_or_default();
    let of = |version: Version| match version {
        Version::Blue => &tick.blue,
        Version::Green => &tick.green,
    };
    Tick {
        samples: ByVersion::build(|version| sample(of(version))),
        waiting: ByVersion::build(|version| latency(&of(version).waiting)),
        clients: ByVersion::build(|version| of(version).clients),
        late: ByVersion { blue: sample(&beside.late_blue), green: sample(&beside.late_green) },
        arm: part(&beside.arm),
        held: ByVersion { blue: 0, green: beside.held },
        routes: routes_of(&tick.routes),
        ..Tick::default()
    }
}

/// The evidence that an opening holds of routes.
pub fn pasts(routes: &[OnRoute]) -> impl Iterator<Item = (RouteNumber, Evidence)> {
    let past = |on: &OnRoute| Some((RouteNumber::from_index(usize::from(on.number))?, evidence(&on.blue)));
    routes.iter().filter_map(past)
}

/// What mirrored or overridden requests came to, from how it is kept.
pub fn samples(tick: &slot::Tick) -> ByVersion<Sample> {
    ByVersion { blue: sample(&tick.blue), green: sample(&tick.green) }
}

/// The evidence that an opening holds.
pub fn evidence(counted: &Counted) -> Evidence {
    let Counted { requests, failures, head, .. } = counted;
    Evidence { requests: *requests, failures: *failures, latency: latency(head), ..Evidence::default() }
}

fn rare(rare: &Rare) -> slot::Input {
    slot::Input::Other(serde_json::to_value(rare).expect("an input is plain data"))
}

pub(super) fn tick(tick: &Tick, health: ByVersion<Health>) -> slot::Tick {
    let of = |version: Version| {
        let counted = counted_of(tick.samples.of(version), tick.waiting.of(version), *tick.clients.of(version));
        slot::Counted { health: recorded_health(*health.of(version)), ..counted }
    };
    let routes = on_routes(&tick.routes);
    slot::Tick { blue: of(Version::Blue), green: of(Version::Green), beside: beside(tick), routes }
}

fn on_routes(routes: &RouteTicks) -> Vec<OnRoute> {
    let on_route = |(number, RouteTick { judged, waiting, clients }): (u8, &RouteTick)| {
        let of =
            |version: Version| counted_of(&Sample::from(judged.of(version)), waiting.of(version), *clients.of(version));
        OnRoute { number, blue: of(Version::Blue), green: of(Version::Green) }
    };
    let nothing = slot::Counted::default();
    let had_any = |on: &OnRoute| on.blue != nothing || on.green != nothing;
    (0..).zip(&routes.places).map(on_route).filter(had_any).collect()
}

/// With the places that had any, and those before them.
fn routes_of(routes: &[OnRoute]) -> RouteTicks {
    let mut ticks = RouteTicks::default();
    for OnRoute { number, blue, green } in routes {
        let index = usize::from(*number);
        if ticks.places.len() <= index {
            ticks.places.resize_with(index + 1, RouteTick::default);
        }
        ticks.places[index] = RouteTick {
            judged: ByVersion { blue: evidence(blue), green: evidence(green) },
            waiting: ByVersion { blue: latency(&blue.waiting), green: latency(&green.waiting) },
            clients: ByVersion { blue: blue.clients, green: green.clients },
        };
    }
    ticks
}

pub(super) fn kept(samples: &ByVersion<Sample>) -> slot::Tick {
    let of = |sample: &Sample| counted_of(sample, &Latency::default(), None);
    slot::Tick { blue: of(&samples.blue), green: of(&samples.green), beside: None, routes: Vec::new() }
}

/// None where there is nothing.
fn beside(tick: &Tick) -> Option<Beside> {
    let late = |sample: &Sample| counted_of(sample, &Latency::default(), None);
    let Part { sample, waiting, clients } = &tick.arm;
    let arm = counted_of(sample, waiting, *clients);
    let beside =
        Beside { late_blue: late(&tick.late.blue), late_green: late(&tick.late.green), arm, held: tick.held.green };
    (beside != Beside::default()).then_some(beside)
}

fn counted_of(Sample { evidence, whole }: &Sample, waiting: &Latency, clients: Option<u64>) -> slot::Counted {
    slot::Counted {
        requests: evidence.requests,
        failures: evidence.failures,
        head: buckets(&evidence.latency),
        whole: (!whole.is_empty()).then(|| buckets(whole)),
        waiting: buckets(waiting),
        clients,
        health: None,
    }
}

fn recorded_health(health: Health) -> Option<slot::Health> {
    (health.endpoints > 0).then(|| slot::Health {
        endpoints: u64::from(health.endpoints),
        failing: u64::from(health.failing_for),
        unhealthy: u64::from(health.unhealthy),
    })
}

fn part(counted: &slot::Counted) -> Part {
    Part { sample: sample(counted), waiting: latency(&counted.waiting), clients: counted.clients }
}

fn sample(counted: &slot::Counted) -> Sample {
    Sample { evidence: evidence(counted), whole: counted.whole.as_ref().map(latency).unwrap_or_default() }
}

fn health(counted: &slot::Counted) -> Health {
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    counted.health.map_or_else(Health::default, |health| Health {
        endpoints: number(health.endpoints),
        failing_for: number(health.failing),
        unhealthy: number(health.unhealthy),
    })
}

pub(super) fn buckets(latency: &Latency) -> Buckets {
    latency.buckets().map(|(edge, count)| (micros(edge), count)).collect()
}

fn latency(buckets: &Buckets) -> Latency {
    let mut latency = Latency::default();
    for (micros, count) in buckets.iter() {
        latency.record_many(Duration::from_micros(micros), count);
    }
    latency
}

fn micros(edge: Duration) -> u64 {
    u64::try_from(edge.as_micros()).expect("latencies end at two minutes")
}
