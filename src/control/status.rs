//! What the release, the versions and the windows look like from outside.

mod planned;

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::asking::GateStatus;
use super::cohorts::CohortStatus;
use super::deeds::DeedsStatus;
use super::drawn::Drawn;
use super::mirroring::MirrorStatus;
use super::ramping::RampStatus;
use super::replicas::ReplicaStatus;
use super::revision::Revision;
use super::watching::WatchStatus;
use crate::config::Config;
use crate::course::Course;
use crate::course::evidence::Counted;
use crate::gate::compare::{RouteSummary, Summary};
use crate::gate::exposure::Harm;
use crate::gate::route::Goes;
use crate::gate::trigger::Span;
use crate::gate::verdict::duration;
use crate::gate::{ByVersion, Evidence, RouteNumber, Routes, Verdict, Version};
use crate::live::Upstreams;
use crate::measure::window::STATUS_WINDOW;
use crate::release::input::SUPERSEDED;
use crate::release::{Cause, Epoch, Weight};
use crate::routing::Table;
pub use planned::{AwaitedStatus, DeadlineStatus, PlanStatus, StepStatus};

/// The answer of `GET /v1/status`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub service: String,
    pub epoch: Epoch,
    pub state: &'static str,
    /// Percent.
    pub weight: Weight,
    /// Percent: what green may have at most before an operator promotes it. Null where there is no bound.
    pub max_weight: Option<Weight>,
    /// The step of the plan, from 1; the last is the one at 100 %. Null without a plan, and before its first step.
    pub step: Option<usize>,
    /// Null without a plan.
    pub plan: Option<PlanStatus>,
    /// Seconds that the step has baked, without what passed while the release was held. Null when none is open.
    pub baked: Option<f64>,
    /// The approval that is waited for; null when none is, or when it is waited for without end.
    pub approval: Option<AwaitedStatus>,
    /// The gate that the release stands at: what is asked before it goes on. Null where it stands at none.
    pub gate: Option<GateStatus>,
    /// What is counted below is of this window.
    pub window: String,
    pub blue: VersionStatus,
    pub green: VersionStatus,
    pub verdict: Verdict,
    /// Null where the plan has no exposure budget.
    pub exposure: Option<Harm>,
    /// Why the weight stays where it is; null when it does not.
    pub pause: Option<String>,
    pub rollback: Option<Rollback>,
    /// Whether that has helped; null before a rollback, and where blue is not watched after one.
    pub watch: Option<WatchStatus>,
    /// How blue takes the traffic that came back to it; null until some did, and without `blue.ramp`.
    pub ramp: Option<RampStatus>,
    /// Null where nothing is copied to green.
    pub mirror: Option<MirrorStatus>,
    /// Absent where no cohorts are configured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cohorts: Vec<CohortStatus>,
    /// Where the versions are not those of the file: which of the two holds. Null where they are.
    pub difference: Option<String>,
    /// The signals that fire.
    pub signals: Vec<String>,
    /// What the runbook says and is not done.
    pub actions: DeedsStatus,
    /// Of the same window, what is evidence; absent where no routes are configured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteStatus>,
    /// The other replicas, where this one adds up what all of them count; absent otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<ReplicaStatus>,
    #[serde(skip)]
    pub revision: Revision,
    #[serde(skip)]
    pub windows: Vec<WindowStatus>,
    #[serde(skip)]
    pub comparison: Option<Summary>,
    #[serde(skip)]
    pub compared_routes: Vec<RouteSummary>,
    #[serde(skip)]
    pub drawn: Drawn,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionStatus {
    pub version: String,
    #[serde(flatten)]
    pub counted: Counted,
    /// Of the failures, those that blue answered in green's place.
    pub shielded: u64,
    /// Requests that did not fail, of all; null without requests.
    pub success_rate: Option<f64>,
    /// Requests of which clients saw no failure, of all; null without requests.
    pub effective_success_rate: Option<f64>,
    /// Seconds for which the latencies are no evidence yet; null when they are.
    pub warming_up: Option<f64>,
    pub healthy_endpoints: usize,
    /// A name that no address is known of is one too.
    pub endpoints: usize,
}

/// One route, or what is on none.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteStatus {
    pub route: String,
    /// `judged`, `excluded` or `toBlue`.
    pub goes: &'static str,
    /// Why it goes to blue although the release goes on; left out where it was not taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<String>,
    pub blue: Counted,
    pub green: Counted,
    /// The natural logarithm of the evidence that green is worse on the route; null where it has no verdict of its own.
    pub ln_evidence: Option<f64>,
}

/// One window of `GET /v1/evidence`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowStatus {
    pub window: String,
    /// None for the whole of both versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// `head` or `whole`.
    pub measure: &'static str,
    pub blue: Counted,
    pub green: Counted,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    pub trigger: String,
    pub reason: String,
    pub actor: String,
    pub at: Timestamp,
    /// From the verdict to the replaced table; null if that was not seen.
    pub reaction_micros: Option<f64>,
}

/// What is called how.
#[derive(Clone, Debug)]
pub struct Names {
    service: String,
    versions: ByVersion<String>,
}

impl Names {
    pub fn new(config: &Config) -> Names {
        Names {
            service: config.service.clone(),
            versions: ByVersion::build(|version| config.versions.of(version).version.clone()),
        }
    }
}

impl Names {
    pub fn service(&self) -> &str {
        &self.service
    }

    /// What the version of a section is called.
    pub fn of(&self, section: Version) -> &str {
        self.versions.of(section)
    }

    pub fn set(&mut self, section: Version, version: String) {
        *self.versions.of_mut(section) = version;
    }
}

impl Rollback {
    pub fn new(cause: &Cause, at: Timestamp, reaction: Option<Duration>) -> Rollback {
        let Cause { trigger, reason, actor } = cause.clone();
        Rollback { trigger, reason, actor, at, reaction_micros: reaction.map(|reaction| reaction.as_secs_f64() * 1e6) }
    }
}

impl Status {
    pub fn is_open(&self) -> bool {
        !matches!(self.state, "idle" | "completed" | "rolledBack")
    }

    /// Whether the last rollback was for a newer green.
    pub fn is_superseded(&self) -> bool {
        self.rollback.as_ref().is_some_and(|rollback| rollback.trigger == SUPERSEDED)
    }

    pub fn new(
        names: &Names,
        course: &Course,
        table: Table,
        upstreams: &Upstreams,
        rollback: Option<Rollback>,
        at: Timestamp,
        now: Duration,
    ) -> Status {
        let state = course.state();
        let shown = course.windows().shown();
        let compared_routes = course.compared_routes();
        let of = |version: Version| {
            let section = table.roles.section(version);
            let shown = *shown.of(version);
            VersionStatus {
                version: names.of(section).to_owned(),
                counted: Counted::new(shown),
                shielded: shown.shielded,
                success_rate: shown.success_rate(),
                effective_success_rate: shown.effective_success_rate(),
                warming_up: course.warming_up(now).filter(|_| version == Version::Green).map(|left| left.as_secs_f64()),
                healthy_endpoints: upstreams.of(section).iter().filter(|known| known.takes_requests()).count(),
                endpoints: upstreams.of(section).len() + upstreams.unresolved(section),
            }
        };
        Status {
            service: names.service.clone(),
            epoch: state.epoch(),
            state: state.name(),
            weight: table.weight(),
            max_weight: None,
            step: state.run().and_then(|run| run.step_number(course.plan())),
            plan: PlanStatus::new(course.planned()),
            baked: state.run().map(|run| run.baked(now).as_secs_f64()),
            approval: state.run().and_then(|run| AwaitedStatus::of(run, course.plan(), at, now)),
            gate: GateStatus::of(course, now),
            window: duration(STATUS_WINDOW),
            blue: of(Version::Blue),
            green: of(Version::Green),
            verdict: course.verdict().clone(),
            exposure: course.harm(),
            pause: state.run().and_then(|run| run.held_by()).map(str::to_owned),
            rollback,
            watch: course.watch().map(|watch| WatchStatus::of(watch, now)),
            mirror: None,
            cohorts: vec![],
            ramp: None,
            actions: DeedsStatus::default(),
            difference: None,
            signals: course.signals().each().map(|(name, _)| name.to_owned()).collect(),
            routes: RouteStatus::all(course, &compared_routes),
            replicas: vec![],
            revision: Revision::default(),
            windows: course.windows().each().map(|window| WindowStatus::new(&course.policy().routes, window)).collect(),
            comparison: course.compared(),
            compared_routes,
            drawn: Drawn::new(course, table, upstreams),
        }
    }
}

impl RouteStatus {
    fn all(course: &Course, compared: &[RouteSummary]) -> Vec<RouteStatus> {
        let routes = &course.policy().routes;
        let of = |number: RouteNumber| {
            let route = routes.name(number).to_owned();
            let ByVersion { blue, green } = course.on_route(number)?;
            let ln_evidence = compared.iter().find(|known| known.route == route).map(|known| known.ln_evidence);
            let (blue, green) = (Counted::new(blue), Counted::new(green));
            let taken_back = course.taken_back().iter().find(|taken| taken.route == route);
            let goes = if taken_back.is_some() { Goes::ToBlue } else { routes.goes(number) };
            let taken_back = taken_back.map(|taken| taken.sentence.clone());
            Some(RouteStatus { goes: goes.name(), taken_back, blue, green, ln_evidence, route })
        };
        routes.numbered().filter_map(of).collect()
    }
}

impl WindowStatus {
    fn new(
        routes: &Routes,
        (window, span, route, evidence): (Duration, Span, Option<RouteNumber>, ByVersion<&Evidence>),
    ) -> WindowStatus {
        WindowStatus {
            window: duration(window),
            route: route.map(|route| routes.name(route).to_owned()),
            measure: match span {
                Span::Head => "head",
                Span::Whole => "whole",
            },
            blue: Counted::new(evidence.blue),
            green: Counted::new(evidence.green),
        }
    }
}
