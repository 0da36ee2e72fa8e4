//! Going over to a state that another replica has written, as a restart goes on from the journal.

use std::time::Duration;

use jiff::Timestamp;

use super::Control;
use super::changes::streak;
use super::restore::Beginning;
use super::status::PlanStatus;
use super::together::Body;
use crate::config::{self, Config, Endpoint, VersionConfig};
use crate::course::Followed;
use crate::gate::{ByVersion, Version};
use crate::journal::{Outcome, ReleaseHeader, StateRecord, VersionRecord};
use crate::live::{Addresses, Live};
use crate::release::{Run, State, TakenBack};
use crate::routing::Roles;

impl Control {
    pub(super) fn follow(&mut self, body: Body) {
        // What a worker has latched outlives what others have not heard of.
        self.catch_up();
        let Body { record, told, began, .. } = body;
        let is_latched_here = matches!(self.course.state(), State::RolledBack { .. });
        if is_latched_here && record.epoch == self.course.epoch().number() && record.latch.is_none() {
            return;
        }
        if record.epoch > self.course.epoch().number() {
            self.tell_alone();
        }
        self.let_go();
        if let Some(began) = began {
            self.deeds.began_at(record.epoch, began);
        }
        if let Some(among) = self.inputs.together.others_mut() {
            among.to_act_on.clear();
            among.unwritten = None;
            among.serves_blue = false;
        }
        let before = self.inputs.routing.live();
        let live = self.named_as_in(&record);
        let was_latched = is_latched_here && record.epoch == self.course.epoch().number();
        let is_new = record.epoch > self.course.epoch().number();
        let beginning = Beginning::under(record, &self.named(&live));
        self.clock.is_at_least(beginning.clock);
        let now = self.clock.now();
        let mut state = beginning.state.clone();
        self.keep_taken_back(&mut state);
        let table = beginning.table;
        if self.inputs.routing.follow(&live, table.epoch, table.roles, table.route) {
            self.served(&before, &live);
        } else {
            self.serve(Live::clone(&live));
        }
        self.rollback.clone_from(&beginning.rollback);
        let planned = beginning.planned(&self.config);
        self.course.adopt(Followed { state, planned, exposed: beginning.exposed }, now);
        self.inputs.routing.judge_by(streak(&self.config.policy, self.course.plan()));
        if is_new && self.course.state().run().is_some() {
            self.begin_to_record(now);
        }
        let epoch = self.course.epoch();
        self.inputs.routing.take_back(epoch, self.taken_back(&live));
        self.beside();
        if let State::RolledBack { cause, .. } = self.course.state()
            && !was_latched
        {
            self.inputs.telemetry.rolled_back(&cause.trigger, None);
            self.remember_rollback();
        }
        if let Some(event) = self.told_by_another(told) {
            let ended = self.outcome().map(|outcome| (Timestamp::now(), outcome));
            self.record(vec![event], ended, None, now);
        }
    }

    /// The recording of the release that has begun.
    pub(super) fn begin_to_record(&mut self, now: Duration) {
        self.ramping.begin();
        let (epoch, name) = (self.course.epoch().number(), |version| self.name(version).to_owned());
        let green = name(Version::Green);
        let header = ReleaseHeader {
            epoch,
            id: ReleaseHeader::id_of(&green, epoch),
            blue: name(Version::Blue),
            green,
            started: self.deeds.began(epoch).unwrap_or_else(Timestamp::now),
            ended: None,
            outcome: Outcome::Open,
        };
        let plan = serde_json::to_value(PlanStatus::new(self.course.planned())).expect("a plan is plain data");
        self.inputs.ledger.begin(header, plan, &self.course, now);
    }

    /// Routes that this replica has found green bad on stay with blue.
    fn keep_taken_back(&self, state: &mut State) {
        let (State::Open(run), Some(own)) = (state, self.course.state().run()) else { return };
        if own.epoch == run.epoch {
            let Run { holds, .. } = run;
            let is_news = |taken: &&TakenBack| holds.taken_back.iter().all(|known| known.route != taken.route);
            let news: Vec<TakenBack> = own.holds.taken_back.iter().filter(is_news).cloned().collect();
            holds.taken_back.extend(news);
        }
    }

    /// What is to be served where the versions are called as they are there: sections that are called so stay as they are.
    fn named_as_in(&mut self, record: &StateRecord) -> std::sync::Arc<Live> {
        let roles = self.inputs.routing.table().roles;
        let is = |roles: Roles, version: Version, name: &str| self.names.of(roles.section(version)) == name;
        let (blue, green) = (&record.blue, &record.green);
        let either = [roles, roles.exchanged()];
        let whole = either.iter().find(|roles| is(**roles, Version::Blue, blue) && is(**roles, Version::Green, green));
        if whole.is_some() {
            return self.inputs.routing.live();
        }
        let of_blue = either.into_iter().find(|roles| is(*roles, Version::Blue, blue));
        let mut live = Live::clone(&self.inputs.routing.live());
        if of_blue.is_none() {
            live = self.rename(live, roles.section(Version::Blue), Version::Blue, record);
        }
        let section = of_blue.unwrap_or(roles).section(Version::Green);
        self.rename(live, section, Version::Green, record).into()
    }

    /// By the configuration where that names the version, else by the record.
    fn rename(&mut self, live: Live, section: Version, version: Version, record: &StateRecord) -> Live {
        let name = if version == Version::Blue { &record.blue } else { &record.green };
        let declared = Version::BOTH.iter().map(|version| self.config.versions.of(*version));
        let endpoints: Vec<Endpoint> = match declared.clone().find(|declared| declared.version == *name) {
            Some(declared) => declared.endpoints.clone(),
            None => {
                let recorded = record.versions.as_ref().map(|versions| match version {
                    Version::Blue => &versions.blue,
                    Version::Green => &versions.green,
                });
                let of = |record: &VersionRecord| {
                    record.endpoints.iter().filter_map(|endpoint| config::endpoint(endpoint).ok()).collect()
                };
                recorded.map(of).unwrap_or_default()
            }
        };
        if endpoints.is_empty() {
            tracing::warn!(version = name, "no endpoints are known of it");
        }
        self.names.set(section, name.clone());
        let VersionConfig { health_check, transport, balance, .. } = self.config.versions.of(version);
        let mut live = live.with_endpoints(section, &endpoints, &Addresses::default());
        *live.names.of_mut(section) = name.as_str().into();
        live.health_checks.of_mut(section).clone_from(health_check);
        live.transports.of_mut(section).clone_from(transport);
        live.balanced_by(section, balance.as_ref())
    }

    /// The configuration, with the versions that the sections have.
    fn named(&self, live: &Live) -> Config {
        let versions = ByVersion::build(|section| VersionConfig {
            version: self.names.of(section).to_owned(),
            endpoints: live.upstreams.declared(section).cloned().collect(),
            ..self.config.versions.of(section).clone()
        });
        Config { versions, ..self.config.clone() }
    }
}
