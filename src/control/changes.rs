//! What changes while the process runs: the green of a release, the endpoints of a version, the configuration.
//!
//! What the file declares and what holds are two things: a release makes its green the new blue, and the file is what
//! people wrote. The journal has both, and what is recorded holds until the file says something else.

use std::sync::Arc;

use super::Control;
use super::command::{Again, Candidate, NewEndpoints, NewRelease, Refused, Reload, Reply};
use super::restore::{declared, difference};
use crate::config::{Config, Endpoint};
use crate::course::{Changed, Input};
use crate::gate::trigger::StreakTrigger;
use crate::gate::{Action, Policy, Version};
use crate::journal::{VersionRecord, Versions};
use crate::live::{Addresses, Live};
use crate::release::{self, Kind, Plan, Planned, State, Weight};
use crate::resolve::Found;
use crate::routing::Roles;

/// Done, or the refusal and where it goes.
pub(super) type Done = Result<(), (Refused, Option<Reply>)>;

impl Control {
    /// Opens a release: of the green that is named, or of the one that the file declares; where that is blue by now, of the
    /// version that was blue before.
    pub(super) fn release(&mut self, wanted: NewRelease, found: &Addresses, reply: Reply) -> Done {
        let NewRelease { green, terms, actor, reason } = wanted;
        if let Some(refused) = green.as_ref().and_then(|green| self.refuses(green)) {
            return Err((refused, Some(reply)));
        }
        if self.course.state().run().is_none() {
            let Some(planned) = terms.over(self.config.plan.as_ref()) else {
                return Err((Refused::NothingToKeep, Some(reply)));
            };
            self.plan_by(planned);
            match green {
                Some(Candidate { version, endpoints, .. }) => self.name_green(&version, &endpoints, found),
                None => self.name_declared(found),
            }
        }
        self.operate(release::Input::Start { actor, reason }, reply)
    }

    pub(super) fn operate(&mut self, input: release::Input, reply: Reply) -> Done {
        if let release::Input::SetWeight { weight, .. } = input {
            if let Some(refused) = self.refuses_weight(weight) {
                return Err((refused, Some(reply)));
            }
            if matches!(self.course.state(), State::Idle { .. } | State::Completed { .. }) {
                self.plan_by(Planned::Configured(self.config.plan.clone()));
            }
        }
        let done = self.feed(&Input::Operator(input), Some(reply));
        done.map_err(|(refusal, reply)| (refusal.into(), reply))
    }

    /// What green has already it may keep, and less.
    fn refuses_weight(&self, asked: Weight) -> Option<Refused> {
        let most = self.config.versions.green.max_weight;
        (asked > most && asked > self.course.state().weight()).then_some(Refused::AboveMost { asked, most })
    }

    fn name_declared(&mut self, found: &Addresses) {
        let green = self.config.versions.green.clone();
        if Version::BOTH.iter().all(|version| self.name(*version) != green.version) {
            self.name_green(&green.version, &green.endpoints, found);
        }
    }

    /// What the next release goes by. Not while one is open.
    pub(super) fn plan_by(&mut self, planned: Planned) {
        let planned = planned.with_gates(self.config.runbook.gates());
        if *self.course.planned() != planned {
            self.course.plan_by(planned);
            self.inputs.routing.judge_by(streak(&self.config.policy, self.course.plan()));
        }
    }

    fn refuses(&self, Candidate { version: asked, again, .. }: &Candidate) -> Option<Refused> {
        let (asked, green) = (asked.clone(), self.name(Version::Green).to_owned());
        if let Some(run) = self.course.state().run() {
            return (green != asked).then_some(Refused::OtherGreen { epoch: run.epoch, green, asked });
        }
        if asked == self.name(Version::Blue) {
            return Some(Refused::IsBlue { asked });
        }
        let (version, reason) = self.rolled_back.clone().filter(|(version, _)| *version == asked)?;
        (*again == Again::No).then_some(Refused::RolledBackBefore { version, reason })
    }

    /// Nothing may be released while this is called: green gets no requests.
    fn name_green(&mut self, version: &str, endpoints: &[Endpoint], found: &Addresses) {
        let section = self.section(Version::Green);
        self.names.set(section, version.to_owned());
        let mut live = self.inputs.routing.live().with_endpoints(section, endpoints, found);
        *live.names.of_mut(section) = version.into();
        live.health_checks.of_mut(section).clone_from(&self.config.versions.green.health_check);
        live.transports.of_mut(section).clone_from(&self.config.versions.green.transport);
        self.serve(live.balanced_by(section, self.config.versions.green.balance.as_ref()));
    }

    /// Changes the endpoints of a version, also while it is released.
    pub(super) fn change_endpoints(&mut self, wanted: NewEndpoints, found: &Addresses, reply: Reply) {
        let NewEndpoints { version, endpoints, actor, reason } = wanted;
        let before = self.inputs.routing.live();
        let section = self.section(version);
        self.serve(before.with_endpoints(section, &endpoints, found));
        let name = self.name(version);
        let (was, is) = (before.upstreams.declared(section).len(), list(&endpoints));
        let mut sentence =
            format!("{version} ({name}) has {} endpoints, {was} before: {is}; by {actor}", endpoints.len());
        if !reason.is_empty() {
            sentence = format!("{sentence}: {reason}");
        }
        self.tell_of(Kind::EndpointsChanged, actor, sentence, Some(reply));
    }

    /// Goes over to another configuration, all or nothing.
    pub(super) fn reload(&mut self, reload: Reload, found: &Addresses, reply: Reply) -> Done {
        let Reload { mut config, actor } = reload;
        config.learn(self.learnt());
        if let Some(refused) = self.refuses_to_load(&config) {
            return Err((refused, Some(reply)));
        }
        let (live, mut changed) = self.with_versions_of(&config, found);
        let policy = config.policy != self.config.policy;
        if policy {
            changed.push("gate".to_owned());
        }
        if config.plan != self.config.plan {
            changed.push(match self.course.state().run() {
                Some(_) => "release (from the next one on)".to_owned(),
                None => "release".to_owned(),
            });
        }
        if config.routes != self.config.routes {
            changed.push("routes".to_owned());
        }
        if config.runbook != self.config.runbook {
            changed.push("runbook".to_owned());
        }
        let text_is_the_same = config.text == self.config.text;
        let routes_are_the_same =
            config.policy.routes == self.config.policy.routes && config.routes == self.config.routes;
        self.config = *config;
        self.deeds.outbox.follow(Arc::clone(&self.config.runbook));
        self.serve(live.with_settings(&self.config));
        self.memory.bound_by(self.config.limits.memory);
        // The release under way goes on by its own plan.
        self.inputs.routing.judge_by(streak(&self.config.policy, self.course.plan()));
        self.inputs.ledger.configured(&self.config.text);
        self.outputs.wanted.send_modify(|wanted| wanted.nameservers.clone_from(&self.config.nameservers));
        let what = if changed.is_empty() { "settings".to_owned() } else { changed.join(", ") };
        let changed = Changed {
            kind: Kind::Reloaded,
            sentence: format!("configuration loaded by {actor}; what changed: {what}"),
            actor,
        };
        if !routes_are_the_same {
            self.follow_routes();
        }
        let input = match policy {
            true => Input::Rules { policy: Box::new(self.config.policy.clone()), changed },
            false if text_is_the_same => {
                self.answer(reply);
                return Ok(());
            }
            false => Input::Changed(changed),
        };
        self.feed(&input, Some(reply)).expect("no operator asks for it");
        Ok(())
    }

    /// Takes what the file says of a version where it says something new. Returns what is to be served, and what changed.
    fn with_versions_of(&mut self, config: &Config, found: &Addresses) -> (Live, Vec<String>) {
        let (mut live, mut changed) = (Live::clone(&self.inputs.routing.live()), Vec::new());
        for version in Version::BOTH {
            let (was, is) = (self.config.versions.of(version), config.versions.of(version));
            let section = self.section(version);
            if was.health_check != is.health_check {
                live.health_checks.of_mut(section).clone_from(&is.health_check);
                changed.push(format!("{version}.healthCheck"));
            }
            if was.transport != is.transport {
                live.transports.of_mut(section).clone_from(&is.transport);
                changed.push(format!("{version} (how it is connected to)"));
            }
            if was.balance != is.balance {
                live = live.balanced_by(section, is.balance.as_ref());
                changed.push(format!("{version}.balance"));
            }
            if self.says_anew(config, version) {
                live = live.with_endpoints(section, &is.endpoints, found);
                changed.push(format!("{version} ({} at {})", is.version, list(&is.endpoints)));
                self.names.set(section, is.version.clone());
                *live.names.of_mut(section) = is.version.as_str().into();
            }
        }
        (live, changed)
    }

    /// Whether `config` says something of a version that the file did not say before.
    fn says_anew(&self, config: &Config, version: Version) -> bool {
        let (was, is) = (self.config.versions.of(version), config.versions.of(version));
        was.endpoints != is.endpoints || was.version != is.version
    }

    fn refuses_to_load(&self, config: &Config) -> Option<Refused> {
        let was = &self.config;
        let fixed = [
            ("listen", was.listen != config.listen),
            ("workers", was.workers != config.workers),
            ("admin.listen", was.admin.listen != config.admin.listen),
            ("service", was.service != config.service),
            ("journal", was.journal != config.journal),
        ];
        let fixed: Vec<&str> = fixed.iter().filter_map(|(key, changed)| changed.then_some(*key)).collect();
        if !fixed.is_empty() {
            return Some(Refused::Fixed { keys: fixed.join(", ") });
        }
        let run = self.course.state().run()?;
        if let Some(refused) = Control::forgets_routes(run, config) {
            return Some(refused);
        }
        // Also where only its endpoints are new: they are those of another version than the one that serves.
        let renames = |version: &&Version| {
            self.says_anew(config, **version) && config.versions.of(**version).version != self.name(**version)
        };
        let version = Version::BOTH.iter().find(renames)?;
        let wanted = config.versions.of(*version).version.clone();
        Some(Refused::VersionOfOpen { epoch: run.epoch, version: *version, is: self.name(*version).to_owned(), wanted })
    }

    /// Serves by `live` from the next request on.
    pub(super) fn serve(&mut self, live: Live) {
        let (before, live) = (self.inputs.routing.live(), Arc::new(live));
        let cohorts = self.inputs.routing.table().cohorts;
        let cohorts = if self.keeps_beside() { cohorts } else { self.cohorts(&live.settings) };
        let taken_back = self.taken_back(&live);
        self.inputs.routing.serve_with(&live, self.course.epoch(), cohorts, taken_back);
        self.served(&before, &live);
    }

    /// Tells of what `live` has and `before` had not, and the other way round.
    pub(super) fn served(&mut self, before: &Live, live: &Live) {
        for version in Version::BOTH {
            let section = self.section(version);
            let (was, is) = (&before.upstreams, &live.upstreams);
            for number in 0..was.numbers(section).max(is.numbers(section)) {
                let (was, is) = (was.numbered(section, number), is.numbered(section, number));
                if was.map(Arc::as_ptr) != is.map(Arc::as_ptr) {
                    let left = was.map(ToString::to_string);
                    self.endpoint_left(version, number, left);
                }
            }
        }
        let names = live.upstreams.names();
        self.outputs.wanted.send_if_modified(|wanted| std::mem::replace(&mut wanted.names, names) != wanted.names);
    }

    /// A name that is wanted has been looked up.
    pub(super) fn resolved(&mut self, found: &Found) {
        let live = self.inputs.routing.live();
        if let Some(live) = live.with_addresses(&found.name, &found.addresses) {
            self.serve(live);
        }
    }

    fn tell_of(&mut self, kind: Kind, actor: String, sentence: String, reply: Option<Reply>) {
        let changed = Changed { kind, actor, sentence };
        self.feed(&Input::Changed(changed), reply).expect("no operator asks for it");
    }

    /// Nothing has changed, and that is the answer.
    pub(super) fn answer(&self, reply: Reply) {
        if reply.send(Ok(self.status())).is_err() {
            tracing::debug!("whoever asked did not wait for the answer");
        }
    }

    pub(super) fn section(&self, version: Version) -> Version {
        self.inputs.routing.table().roles.section(version)
    }

    pub(super) fn name(&self, version: Version) -> &str {
        self.names.of(self.section(version))
    }

    /// What holds, by role.
    pub(super) fn versions(&self) -> Versions {
        self.versions_by(self.inputs.routing.table().roles)
    }

    pub(super) fn versions_by(&self, roles: Roles) -> Versions {
        let live = self.inputs.routing.live();
        let of = |version: Version| VersionRecord {
            version: self.names.of(roles.section(version)).to_owned(),
            endpoints: live.upstreams.declared(roles.section(version)).map(Endpoint::to_string).collect(),
        };
        Versions { blue: of(Version::Blue), green: of(Version::Green) }
    }

    /// Where what holds is not what the file declares: which of the two it is.
    pub(super) fn difference(&self) -> Option<String> {
        difference(&self.versions(), &declared(&self.config))
    }

    /// A release that ends in a rollback is remembered by its version, unless a newer one has taken its place.
    pub(super) fn remember_rollback(&mut self) {
        if let State::RolledBack { cause, .. } = self.course.state()
            && !cause.is_superseded()
        {
            self.rolled_back = Some((self.name(Version::Green).to_owned(), cause.reason.clone()));
        }
    }
}

/// The streak that the workers act on. Of an irreversible release they only tell, and `control` calls people.
pub fn streak(policy: &Policy, plan: Option<&Plan>) -> Option<StreakTrigger> {
    let irreversible = plan.is_some_and(|plan| plan.irreversible.is_some());
    let action = |streak: &StreakTrigger| if irreversible { Action::Pause } else { streak.action };
    policy.streak.as_ref().map(|streak| StreakTrigger { action: action(streak), ..streak.clone() })
}

fn list(endpoints: &[Endpoint]) -> String {
    if endpoints.is_empty() {
        return "none".to_owned();
    }
    endpoints.iter().map(Endpoint::to_string).collect::<Vec<_>>().join(", ")
}
