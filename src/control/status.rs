//! What the release, the versions and the windows look like from outside.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::config::Config;
use crate::gate::trigger::{Quantile, Span};
use crate::gate::verdict::duration;
use crate::gate::{ByVersion, Evidence, Verdict, Version};
use crate::measure::Windows;
use crate::measure::window::STATUS_WINDOW;
use crate::proxy::Upstreams;
use crate::release::{Cause, Epoch, State, Weight};

/// The answer of `GET /v1/status`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub service: String,
    pub epoch: Epoch,
    pub state: &'static str,
    /// Percent.
    pub weight: Weight,
    /// The step of the plan; null without a plan.
    pub step: Option<u32>,
    /// What is counted below is of this window.
    pub window: String,
    pub blue: VersionStatus,
    pub green: VersionStatus,
    pub verdict: Verdict,
    /// Why the weight stays where it is; null when it does not.
    pub pause: Option<String>,
    pub rollback: Option<Rollback>,
    #[serde(skip)]
    pub windows: Vec<WindowStatus>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionStatus {
    pub version: String,
    #[serde(flatten)]
    pub counted: Counted,
    pub healthy_endpoints: usize,
    pub endpoints: usize,
}

/// One version in one window. Latencies are in milliseconds, null without requests.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    pub requests: u64,
    pub failures: u64,
    pub error_rate: f64,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

/// One window of `GET /v1/evidence`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowStatus {
    pub window: String,
    /// `head` or `whole`.
    pub measure: &'static str,
    pub blue: Counted,
    pub green: Counted,
}

#[derive(Clone, Debug, Serialize)]
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

impl Rollback {
    pub fn new(cause: &Cause, at: Timestamp, reaction: Option<Duration>) -> Rollback {
        let Cause { trigger, reason, actor } = cause.clone();
        Rollback { trigger, reason, actor, at, reaction_micros: reaction.map(|reaction| reaction.as_secs_f64() * 1e6) }
    }
}

impl Status {
    pub fn new(
        names: &Names,
        state: &State,
        weight: Weight,
        windows: &Windows,
        upstreams: &Upstreams,
        verdict: &Verdict,
        rollback: Option<Rollback>,
    ) -> Status {
        let shown = windows.evidence(STATUS_WINDOW, Span::Head);
        let of = |version: Version| VersionStatus {
            version: names.versions.of(version).clone(),
            counted: Counted::new(shown.of(version)),
            healthy_endpoints: upstreams.each(version).filter(|(_, healthy)| *healthy).count(),
            endpoints: upstreams.each(version).count(),
        };
        Status {
            service: names.service.clone(),
            epoch: state.epoch(),
            state: state.name(),
            weight,
            step: None,
            window: duration(STATUS_WINDOW),
            blue: of(Version::Blue),
            green: of(Version::Green),
            verdict: verdict.clone(),
            pause: state.pause().map(|reason| reason.sentence().to_owned()),
            rollback,
            windows: windows.each().map(WindowStatus::new).collect(),
        }
    }
}

impl WindowStatus {
    fn new((window, span, evidence): (Duration, Span, ByVersion<&Evidence>)) -> WindowStatus {
        WindowStatus {
            window: duration(window),
            measure: match span {
                Span::Head => "head",
                Span::Whole => "whole",
            },
            blue: Counted::new(evidence.blue),
            green: Counted::new(evidence.green),
        }
    }
}

impl Counted {
    fn new(evidence: &Evidence) -> Counted {
        let quantile =
            |quantile: Quantile| evidence.latency.quantile(quantile).map(|latency| latency.as_secs_f64() * 1e3);
        Counted {
            requests: evidence.requests,
            failures: evidence.failures,
            error_rate: evidence.error_rate(),
            p50: quantile(Quantile::P50),
            p95: quantile(Quantile::P95),
            p99: quantile(Quantile::P99),
        }
    }
}
