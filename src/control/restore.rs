//! What a proxy goes on from: the last durable decision, or blue.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::status::{Names, Rollback};
use crate::config::{self, Config, Endpoint, VersionConfig};
use crate::course::Course;
use crate::course::recovering::Watch;
use crate::gate::exposure::Known;
use crate::gate::route::RouteSet;
use crate::gate::{ByVersion, Version};
use crate::journal::{Latch, StateRecord, VersionRecord, Versions};
use crate::live::FIRST_EDITION;
use crate::release::input::JOURNAL;
use crate::release::{Cause, Epoch, Held, Holds, Plan, Planned, Run, Stage, State, Weight};
use crate::routing::{Roles, Route, Table};

/// Where a proxy begins.
#[derive(Clone, Debug)]
pub struct Beginning {
    pub table: Table,
    pub state: State,
    /// What the clock of the deciding core shows.
    pub clock: Duration,
    /// When the release began that the state is of.
    pub began: Duration,
    pub rollback: Option<Rollback>,
    pub found: Found,
    /// The versions that hold where they are not those of the file.
    pub versions: Option<ByVersion<VersionConfig>>,
    /// The version that was rolled back last, and why.
    pub rolled_back: Option<String>,
    /// The plan that the release of the state brought along.
    pub own_plan: Option<Plan>,
    /// What it has cost, where it has an exposure budget.
    pub exposed: Option<Known>,
    /// Of blue after the rollback.
    pub watch: Option<Watch>,
}

/// What the journal said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is none, or it is new.
    Nothing,
    /// The state of before, which goes on.
    State,
    /// The release under way was of another green version: it has ended.
    Superseded,
    Unreadable,
}

/// What the journal keeps for the deciding core.
#[derive(Serialize, Deserialize)]
struct Resume {
    /// The open release; none in any other state.
    open: Option<OpenRun>,
    clock_nanos: u64,
    began_nanos: u64,
    reaction_micros: Option<f64>,
    /// The plan that the stage is of.
    plan: String,
    /// That plan, where the release brought it along.
    #[serde(default)]
    own_plan: Option<Plan>,
    #[serde(default)]
    exposed: Option<Known>,
    #[serde(default)]
    watch: Option<Watch>,
}

#[derive(Serialize, Deserialize)]
struct OpenRun {
    stage: Stage,
    holds: Holds,
    /// How long the stage's approval has been waited for.
    #[serde(default)]
    waited_nanos: Option<u64>,
}

/// Who holds a release whose plan was changed under it.
const CONFIGURATION: &str = "configuration";

impl Default for Beginning {
    /// In front of everything: all traffic to blue, and no release yet.
    fn default() -> Beginning {
        Beginning {
            table: Table::default(),
            state: State::Idle { epoch: Epoch::default() },
            clock: Duration::ZERO,
            began: Duration::ZERO,
            rollback: None,
            found: Found::Nothing,
            versions: None,
            rolled_back: None,
            own_plan: None,
            exposed: None,
            watch: None,
        }
    }
}

impl Beginning {
    /// The state cannot be read: blue gets everything until somebody starts a release.
    pub fn unreadable(reason: String) -> Beginning {
        Beginning::latched(Epoch::default(), Roles::AsConfigured, reason)
    }

    /// As [`Beginning::unreadable`], where it is known at least which version is trusted, and the epoch, which never falls
    /// back.
    fn latched(epoch: Epoch, roles: Roles, reason: String) -> Beginning {
        let cause = Cause { trigger: JOURNAL.to_owned(), reason, actor: JOURNAL.to_owned() };
        Beginning {
            table: Table { epoch, roles, route: Route::Latched, ..Table::default() },
            rollback: Some(Rollback::new(&cause, Timestamp::now(), None)),
            state: State::RolledBack { epoch, cause },
            found: Found::Unreadable,
            ..Beginning::default()
        }
    }

    /// Goes on from what the journal remembers, as far as the configuration is still about the same versions.
    pub fn restored(record: StateRecord, config: &Config) -> Beginning {
        let versions = holding(&record, config);
        let rolled_back = record.rolled_back.clone();
        let holding =
            Config { versions: versions.clone().unwrap_or_else(|| config.versions.clone()), ..config.clone() };
        Beginning { versions, rolled_back, ..Beginning::under(record, &holding) }
    }

    /// The configuration with the versions that hold.
    pub fn holding(&self, config: &Config) -> Config {
        let versions = self.versions.clone().unwrap_or_else(|| config.versions.clone());
        Config { versions, ..config.clone() }
    }

    /// Where what holds is not what the file declares: which of the two it is.
    pub fn difference(&self, config: &Config) -> Option<String> {
        let Versions { blue, green } = declared(&self.holding(config));
        let holds = if self.table.roles == Roles::Exchanged {
            Versions { blue: green, green: blue }
        } else {
            Versions { blue, green }
        };
        difference(&holds, &declared(config))
    }

    /// What the release goes by.
    pub fn planned(&self, config: &Config) -> Planned {
        let planned = self.own_plan.clone().map_or_else(|| Planned::Configured(config.plan.clone()), Planned::Own);
        planned.with_gates(config.runbook.gates())
    }

    /// Where the versions are those of `config`.
    pub(super) fn under(record: StateRecord, config: &Config) -> Beginning {
        let configured = |version: Version| config.versions.of(version).version.as_str();
        let exchanged = configured(Version::Green) == record.stable && configured(Version::Blue) != record.stable;
        let roles = if exchanged { Roles::Exchanged } else { Roles::AsConfigured };
        let [blue, green] = Version::BOTH.map(|version| configured(roles.section(version)));
        let epoch = Epoch::from(record.epoch);
        let completed = record.state == "completed";
        let Ok(resume) = serde_json::from_value::<Resume>(record.resume) else {
            let reason = "the state in the journal is not one of this program's".to_owned();
            return Beginning::latched(epoch, roles, reason);
        };
        let of = |state: State, route: Route, rollback: Option<Rollback>, found: Found| Beginning {
            table: Table { epoch, roles, route, taken_back: taken_back(&state, config), ..Table::default() },
            own_plan: resume.own_plan.clone().filter(|_| !matches!(state, State::Idle { .. })),
            exposed: resume.exposed,
            watch: resume.watch.clone(),
            state,
            clock: Duration::from_nanos(resume.clock_nanos),
            began: Duration::from_nanos(resume.began_nanos),
            rollback,
            found,
            versions: None,
            rolled_back: None,
        };
        let nothing = Route::Split(Weight::ZERO);
        // A completed release goes back to the version that was blue before it, and to no other.
        if record.green != green || completed && record.blue != blue {
            let found = if resume.open.is_some() { Found::Superseded } else { Found::State };
            return of(State::Idle { epoch }, nothing, None, found);
        }
        match (record.latch, resume.open) {
            (Some(Latch { trigger, reason, actor, at }), _) => {
                let cause = Cause { trigger, reason, actor };
                let mut rollback = Rollback::new(&cause, at, None);
                rollback.reaction_micros = resume.reaction_micros;
                of(State::RolledBack { epoch, cause }, Route::Latched, Some(rollback), Found::State)
            }
            (None, Some(OpenRun { stage, holds, waited_nanos })) => {
                let clock = Duration::from_nanos(resume.clock_nanos);
                let Some(weight) = Weight::from_basis_points(record.weight) else {
                    return Beginning::latched(epoch, roles, format!("the journal has a weight of {}", record.weight));
                };
                let (stage, holds) = match &resume.own_plan {
                    Some(_) => (stage, holds),
                    None => under(config.plan.as_ref(), stage, holds, &resume.plan),
                };
                let waited = waited_nanos.map(Duration::from_nanos);
                let run = Run::restored(epoch, stage, weight, holds, waited, clock);
                of(State::Open(run), Route::Split(weight), None, Found::State)
            }
            (None, None) if completed => of(State::Completed { epoch }, Route::Completed, None, Found::State),
            (None, None) => of(State::Idle { epoch }, nothing, None, Found::State),
        }
    }
}

/// The routes that go to blue alone, for workers who begin with these settings.
fn taken_back(state: &State, config: &Config) -> RouteSet {
    let taken_back = state.run().map(|run| run.holds.taken_back.as_slice()).unwrap_or_default();
    RouteSet::named(taken_back.iter().map(|taken| taken.route.as_str()), &config.policy.routes, FIRST_EDITION)
}

/// The versions that are recorded, as long as the file says of them what it said then.
fn holding(record: &StateRecord, config: &Config) -> Option<ByVersion<VersionConfig>> {
    let recorded = record.versions.as_ref().filter(|_| record.declared == Some(declared(config)))?;
    let of = |VersionRecord { version, endpoints }: &VersionRecord, of: Version| {
        let endpoints: Result<Vec<_>, _> =
            endpoints.iter().map(|endpoint| config::recorded_endpoint(endpoint)).collect();
        let declared = config.versions.of(of).clone();
        Some(VersionConfig { version: version.clone(), endpoints: endpoints.ok()?, ..declared })
    };
    Some(ByVersion { blue: of(&recorded.blue, Version::Blue)?, green: of(&recorded.green, Version::Green)? })
}

/// The sentence for two that differ.
pub fn difference(holds: &Versions, declared: &Versions) -> Option<String> {
    let of = |name: &str, holds: &VersionRecord, declared: &VersionRecord| {
        let told = |record: &VersionRecord| format!("{} at [{}]", record.version, record.endpoints.join(", "));
        (holds != declared).then(|| format!("{name} is {}, and {} in the file", told(holds), told(declared)))
    };
    let blue = of("blue", &holds.blue, &declared.blue);
    let green = of("green", &holds.green, &declared.green);
    let both: Vec<String> = blue.into_iter().chain(green).collect();
    let holds = "what releases and operators made of it holds, until the file says something new of it";
    (!both.is_empty()).then(|| format!("{}: {holds}", both.join("; ")))
}

/// What the file says of the versions.
pub fn declared(config: &Config) -> Versions {
    let of = |version: Version| {
        let VersionConfig { version, endpoints, .. } = config.versions.of(version);
        VersionRecord { version: version.clone(), endpoints: endpoints.iter().map(Endpoint::to_string).collect() }
    };
    Versions { blue: of(Version::Blue), green: of(Version::Green) }
}

/// The stage and the holds under the plan of today: a stage of another plan means nothing any more.
pub fn under(today: Option<&Plan>, stage: Stage, mut holds: Holds, plan: &str) -> (Stage, Holds) {
    if stage == Stage::Manual || plan == shown(today) {
        return (stage, holds);
    }
    let sentence = "the plan was changed while its release ran; an operator goes on by weight, or promotes".to_owned();
    holds.paused = Some(Held { by: CONFIGURATION.to_owned(), sentence });
    (Stage::Manual, holds)
}

/// A plan as a text that tells it from every other plan.
pub fn shown(plan: Option<&Plan>) -> String {
    format!("{plan:?}")
}

/// The state as the journal keeps it.
pub fn record(course: &Course, table: Table, names: &Names, times: Times, rollback: Option<&Rollback>) -> StateRecord {
    let state = course.state();
    let name = |version: Version| names.of(table.roles.section(version)).to_owned();
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let open = state.run().map(|run| OpenRun {
        stage: run.stage,
        holds: run.holds.clone(),
        waited_nanos: run.waited(times.now).map(nanos),
    });
    let resume = Resume {
        open,
        clock_nanos: nanos(times.now),
        began_nanos: nanos(times.began),
        reaction_micros: rollback.and_then(|rollback| rollback.reaction_micros),
        plan: shown(course.plan()),
        own_plan: course.planned().own().cloned(),
        exposed: course.exposed(),
        watch: course.watch().cloned(),
    };
    StateRecord {
        epoch: state.epoch().number(),
        latch: match state {
            State::RolledBack { cause, .. } => Some(Latch {
                trigger: cause.trigger.clone(),
                reason: cause.reason.clone(),
                actor: cause.actor.clone(),
                at: rollback.map_or_else(Timestamp::now, |rollback| rollback.at),
            }),
            State::Idle { .. } | State::Open(_) | State::Completed { .. } => None,
        },
        state: state.name().to_owned(),
        weight: state.weight().basis_points(),
        step: state
            .run()
            .and_then(|run| run.step_number(course.plan()))
            .and_then(|number| u32::try_from(number - 1).ok()),
        blue: name(Version::Blue),
        green: name(Version::Green),
        stable: name(Version::Blue),
        versions: None,
        declared: None,
        rolled_back: None,
        resume: serde_json::to_value(resume).expect("plain data"),
    }
}

/// Two times on the clock of the deciding core.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub now: Duration,
    pub began: Duration,
}

/// The clock of the deciding core: it goes on over restarts, and never back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    before: Duration,
}

impl Clock {
    pub fn from(before: Duration) -> Clock {
        Clock { started: Instant::now(), before }
    }

    pub fn now(&self) -> Duration {
        self.before + self.started.elapsed()
    }

    /// Goes on from `time`, unless it is there already.
    pub fn is_at_least(&mut self, time: Duration) {
        if self.now() < time {
            *self = Clock::from(time);
        }
    }
}

#[cfg(test)]
mod tests;
