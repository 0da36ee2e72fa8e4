//! One tick: the gate and the comparison look at what was counted, and the plan goes on or does not.

use std::time::Duration;

use super::grounds::Grounds;
use super::mirroring::OF_COPIES;
use super::warming::Missing;
use super::{Course, Trust};
use crate::gate::compare::{Counted, Finding};
use crate::gate::refuge;
use crate::gate::trigger::Span;
use crate::gate::verdict::Kind;
use crate::gate::{ByVersion, Evidence, Health, Judgement, Look, Order, Stands, Trigger, Verdict};
use crate::measure::shard::Sample;
use crate::measure::window::STATUS_WINDOW;
use crate::measure::{Part, Tick};
use crate::release::input::{COMPARISON, UNRESOLVED};
use crate::release::{self, Effect, Held, Judged, State, Weight};

/// How long nobody may raise the weight after both versions failed in a row.
const COMMON_STREAK_FREEZES: Duration = Duration::from_secs(10);

/// A probe that no comparison has begun ends after so long and so many requests of green without anything against it.
const PROBE_TIME: Duration = Duration::from_secs(60);
const PROBE_REQUESTS: u64 = 50;

impl Course {
    pub(super) fn tick(&mut self, counted: &Tick, health: ByVersion<Health>, now: Duration) -> Vec<Effect> {
        self.count(counted, now);
        if self.state.run().is_none() {
            return self.look_at_blue(counted, health, now);
        }
        self.warming.take(counted, now);
        let against_blue = refuge::lost(health.blue, self.windows.evidence(STATUS_WINDOW, Span::Head));
        let finding = self.compare(counted, now).map(|finding| spared(finding, against_blue.as_deref()));
        let judgement = self.judge(health, against_blue.as_deref(), now);
        let taken_back = self.taken_back().len();
        let mut effects = vec![];
        let gate_says = judgement.verdict.clone();
        for order in judgement.orders.clone() {
            effects.extend(self.carry_out(order, now));
        }
        effects.extend(self.look_at_trials(counted, against_blue.as_deref(), now));
        if let Some(finding) = &finding {
            effects.extend(self.tell_of_trust(finding));
            effects.extend(self.follow(finding, now));
        }
        let of_copies = self.mirrors().then(|| self.judge_copies(against_blue.as_deref(), now));
        if let Some(of_copies) = &of_copies {
            effects.extend(self.order_by_copies(of_copies, now));
        }
        effects.extend(self.freeze(&judgement, finding.as_ref(), now));
        effects.extend(self.acquit(&judgement, finding.as_ref(), now));
        let Some(run) = self.state.run() else { return effects };
        if self.taken_back().len() != taken_back {
            // What convicted green on a route says nothing of the rest.
            self.verdict = Verdict::wait(run.held_by().unwrap_or_default());
            return effects;
        }
        let of_cohort = self.judge_cohort(against_blue.as_deref(), now);
        let (verdict, judged) = match of_copies {
            Some(of_copies) => self.sum_beside(gate_says, &judgement, finding, (OF_COPIES.to_owned(), of_copies)),
            None if let Some(beside) = of_cohort => {
                let (verdict, judged) = self.sum_beside(gate_says, &judgement, finding, beside);
                self.complete(verdict, judged, counted.held.green)
            }
            None => {
                let (verdict, judged) = self.sum(gate_says, &judgement, finding);
                let (verdict, judged) = self.complete(verdict, judged, counted.held.green);
                self.warmed(verdict, judged, now)
            }
        };
        self.verdict = self.trying(verdict);
        // A plan that gives up would send everything to blue as well; one that waits at a gate does not.
        let at_gate = self.state.run().is_some_and(|run| run.holds.shut_gate().is_some());
        if judged == Judged::Pass || against_blue.is_none() || at_gate {
            effects.extend(self.expose(&judged, now));
            effects.extend(self.order(release::Input::Judged(judged), now));
        }
        effects
    }

    /// Adds a tick to the windows.
    pub(super) fn count(&mut self, counted: &Tick, now: Duration) {
        for part in [&counted.samples, &counted.late] {
            let of_blue = self.of_before(part);
            let samples = of_blue.as_ref().unwrap_or(part).as_ref();
            self.windows.add(samples, now);
            self.history.add(samples, now);
        }
        self.count_routes(&counted.routes, now);
        self.count_exposure(counted, now);
        let ByVersion { blue, green } = &counted.shown;
        if matches!(self.state, State::Completed { .. }) {
            let none = Evidence::default();
            self.windows.show(ByVersion { blue, green: &none }, now);
            self.windows.show(ByVersion { blue: green, green: &none }, now);
        } else {
            self.windows.show(ByVersion { blue, green }, now);
        }
        self.windows.advance(now);
    }

    /// What was green when it was routed is blue once the release has completed, and nothing goes to the green of then.
    fn of_before(&self, samples: &ByVersion<Sample>) -> Option<ByVersion<Sample>> {
        let ByVersion { blue, green } = samples;
        if !matches!(self.state, State::Completed { .. }) || green.evidence.requests == 0 {
            return None;
        }
        let mut blue = blue.clone();
        blue.add(green);
        Some(ByVersion { blue, green: Sample::default() })
    }

    fn compare(&mut self, counted: &Tick, now: Duration) -> Option<Finding> {
        let weight = self.weight();
        let of = ByVersion::build(|version| Counted {
            evidence: &counted.samples.of(version).evidence,
            waiting: counted.waiting.of(version),
            clients: *counted.clients.of(version),
        });
        let Part { sample, waiting, clients } = &counted.arm;
        let arm = Counted { evidence: &sample.evidence, waiting, clients: *clients };
        let arm = (weight > Weight::ZERO).then_some(arm);
        self.comparison.as_mut().map(|comparison| {
            Course::compare_routes(comparison, &counted.routes, now);
            comparison.tick(of, arm, weight, now)
        })
    }

    fn judge(&mut self, health: ByVersion<Health>, against_blue: Option<&str>, now: Duration) -> Judgement {
        let suspicion = self.suspicion();
        self.testers.advance(now);
        let with_testers: Vec<Option<ByVersion<Evidence>>> =
            self.policy.triggers.iter().map(|trigger| self.with_testers(trigger)).collect();
        let taken_back: Vec<String> = self.taken_back().iter().map(|taken| taken.route.clone()).collect();
        let Course { gate, windows, signals, policy, .. } = self;
        let windows = |trigger: &Trigger| {
            let seen = policy.triggers.iter().zip(&with_testers).find(|(known, _)| known.name == trigger.name);
            match seen.and_then(|(_, seen)| seen.as_ref()) {
                Some(seen) => seen.as_ref().into(),
                None => windows.of(trigger),
            }
        };
        let taken_back = &taken_back;
        gate.judge(&Look { windows, health, signals, suspicion, against_blue, taken_back }, now)
    }

    pub(super) fn carry_out(&mut self, order: Order, now: Duration) -> Vec<Effect> {
        if self.state.run().is_none() {
            return vec![];
        }
        let (Order::Rollback { trigger, .. }
        | Order::Pause { trigger, .. }
        | Order::Probe { trigger, .. }
        | Order::Notify { trigger, .. }) = &order;
        self.grounds = self.grounds_of(trigger);
        match order {
            Order::Rollback { trigger, sentence } => {
                if let Some(tried) = self.try_first(&trigger, &sentence, now) {
                    return tried;
                }
                let route = self.route_of(&trigger);
                self.convict_on(route.as_deref(), trigger, sentence, now)
            }
            Order::Pause { trigger, sentence } => self.order(release::Input::Hold(Held { by: trigger, sentence }), now),
            Order::Probe { trigger, sentence } => {
                self.order(release::Input::Probe(Held { by: trigger, sentence }), now)
            }
            Order::Notify { trigger, sentence } => vec![Effect::Notify { trigger, sentence }],
        }
    }

    /// People are told once when blue differs from itself, and once when it agrees again.
    fn tell_of_trust(&mut self, finding: &Finding) -> Option<Effect> {
        let trust = match finding {
            Finding::Untrusted { .. } => Trust::Lost,
            _ => Trust::Kept,
        };
        if std::mem::replace(&mut self.trust, trust) == trust {
            return None;
        }
        let sentence = match finding {
            Finding::Untrusted { sentence } => sentence.clone(),
            _ => "random parts of blue agree again: the comparison begins anew".to_owned(),
        };
        Some(Effect::Notify { trigger: COMPARISON.to_owned(), sentence })
    }

    fn follow(&mut self, finding: &Finding, now: Duration) -> Vec<Effect> {
        if self.state.run().is_none() {
            return vec![];
        }
        if matches!(finding, Finding::Convict { .. }) {
            let comparison = self.comparison.as_ref();
            self.grounds = comparison.map(|comparison| Grounds::of_difference(&comparison.heaviest()));
        }
        match finding {
            Finding::Convict { route, sentence } => {
                self.convict_on(route.as_deref(), COMPARISON.to_owned(), sentence.clone(), now)
            }
            Finding::Unresolved { sentence } => self.convict(UNRESOLVED.to_owned(), sentence.clone(), now),
            Finding::Probe { sentence } => {
                let held = Held { by: COMPARISON.to_owned(), sentence: sentence.clone() };
                self.order(release::Input::Probe(held), now)
            }
            Finding::Acquitted { sentence } => self.order(release::Input::Acquit { sentence: sentence.clone() }, now),
            Finding::Untrusted { .. }
            | Finding::External { .. }
            | Finding::Hold { .. }
            | Finding::NoData { .. }
            | Finding::Clear { .. }
            | Finding::Undecided { .. } => vec![],
        }
    }

    /// Freezes the weight for as long as both versions are bad.
    fn freeze(&mut self, judgement: &Judgement, finding: Option<&Finding>, now: Duration) -> Vec<Effect> {
        let compared = finding.and_then(|finding| match finding {
            Finding::External { sentence } => Some(sentence.clone()),
            _ => None,
        });
        let streak = self.common_streak.as_ref().filter(|(at, _)| now - *at < COMMON_STREAK_FREEZES);
        let wanted = judgement.freeze.clone().or(compared).or_else(|| streak.map(|(_, sentence)| sentence.clone()));
        let Some(run) = self.state.run() else { return vec![] };
        match (wanted, &run.holds.common) {
            (Some(sentence), None) => self.order(release::Input::Freeze { sentence }, now),
            (None, Some(_)) => self.order(release::Input::Thaw, now),
            (Some(_), Some(_)) | (None, None) => vec![],
        }
    }

    /// Ends a probe that a trigger or the streak began, once nothing has spoken against green for a while. Without a
    /// comparison to say so an operator ends it.
    fn acquit(&mut self, judgement: &Judgement, finding: Option<&Finding>, now: Duration) -> Vec<Effect> {
        let probing = self.state.run().is_some_and(|run| run.holds.probe.is_some() && run.holds.common.is_none());
        let at_ease = matches!(finding, Some(Finding::Clear { .. } | Finding::Undecided { .. }));
        let accused = match judgement.standing {
            Stands::Within | Stands::TooFew | Stands::NothingGates => false,
            Stands::Pending | Stands::Common | Stands::Fires => true,
        };
        let green = self.windows.evidence(STATUS_WINDOW, Span::Head).green;
        let seen = now - self.probed_at >= PROBE_TIME && green.requests >= PROBE_REQUESTS;
        if !probing || !at_ease || accused || !seen {
            return vec![];
        }
        let sentence = format!(
            "green failed {} of {} requests since the weight was lowered, and nothing speaks against it",
            green.failures, green.requests
        );
        self.order(release::Input::Acquit { sentence }, now)
    }

    /// Promise 3: no step passes while nothing is known of green's latency, whatever the plan says of low traffic.
    fn warmed(&self, verdict: Verdict, judged: Judged, now: Duration) -> (Verdict, Judged) {
        let Some(missing) = self.warming.missing(&self.policy.counting.warm_up, now) else { return (verdict, judged) };
        let sentence = missing.sentence();
        match (judged, missing) {
            (Judged::Pass | Judged::TooFew { .. }, Missing::Time(_)) => (Verdict::wait(sentence), Judged::Wait),
            (Judged::Pass, Missing::Latencies(_)) => (Verdict::wait(sentence.clone()), Judged::TooFew { sentence }),
            (judged, _) => (verdict, judged),
        }
    }

    /// No step passes without one of green's endpoints, or while it is not known whose a failure is.
    fn complete(&self, verdict: Verdict, judged: Judged, held: u64) -> (Verdict, Judged) {
        match (&self.missing, judged) {
            (Some(sentence), Judged::Pass | Judged::TooFew { .. }) => (Verdict::wait(sentence.clone()), Judged::Wait),
            (None, Judged::Pass) if held > 0 => {
                let failures = if held == 1 { "one failure".to_owned() } else { format!("{held} failures") };
                let sentence = format!("{failures} of one of green's endpoints may be the endpoint's or the version's");
                (Verdict::wait(sentence), Judged::Wait)
            }
            (_, judged) => (verdict, judged),
        }
    }

    /// One verdict of what the gate and the comparison say, and what it means for the plan.
    pub(super) fn sum(&self, gate: Verdict, judgement: &Judgement, finding: Option<Finding>) -> (Verdict, Judged) {
        let held = self.state.run().and_then(release::Run::held_by);
        let convicted = match (&finding, gate.kind) {
            (_, Kind::Fail) => Some(gate.clone()),
            (Some(Finding::Convict { sentence, .. } | Finding::Unresolved { sentence }), _) => {
                Some(Verdict::fail(sentence.clone()))
            }
            (Some(_) | None, Kind::Pass | Kind::Wait) => None,
        };
        if let Some(verdict) = convicted {
            return (verdict, Judged::Fail);
        }
        if let Some(held) = held {
            return (Verdict::wait(held), Judged::Wait);
        }
        match judgement.standing {
            Stands::Pending | Stands::Common | Stands::Fires => return (gate, Judged::Wait),
            Stands::TooFew => {
                let sentence = gate.sentence.clone();
                return (gate, Judged::TooFew { sentence });
            }
            Stands::NothingGates if finding.is_none() => return (gate, Judged::Wait),
            Stands::NothingGates | Stands::Within => {}
        }
        match finding {
            None => (gate, Judged::Pass),
            Some(Finding::Clear { sentence }) => {
                let sentence = match judgement.standing {
                    Stands::Within => format!("{}; {sentence}", gate.sentence),
                    _ => sentence,
                };
                (Verdict::pass(sentence), Judged::Pass)
            }
            Some(Finding::NoData { sentence } | Finding::Undecided { sentence }) => {
                (Verdict::wait(sentence.clone()), Judged::TooFew { sentence })
            }
            Some(
                Finding::Hold { sentence }
                | Finding::Untrusted { sentence }
                | Finding::External { sentence }
                | Finding::Acquitted { sentence }
                | Finding::Probe { sentence }
                | Finding::Convict { sentence, .. }
                | Finding::Unresolved { sentence },
            ) => (Verdict::wait(sentence), Judged::Wait),
        }
    }
}

/// What the comparison finds, as long as blue is no place to go.
fn spared(finding: Finding, against_blue: Option<&str>) -> Finding {
    match (finding, against_blue) {
        (Finding::Convict { .. } | Finding::Unresolved { .. } | Finding::Probe { .. }, Some(of_blue)) => {
            Finding::External { sentence: refuge::spared(of_blue) }
        }
        (finding, _) => finding,
    }
}
