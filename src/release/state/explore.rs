//! Every path through the state machine, over a small plan and a clock of whole seconds.
//!
//! From the first state, breadth first, everything that can happen does: each input of operators and of the gate, a second
//! that passes, a crash after which the state comes back from the journal, and the workers, who latch and lower the table
//! by themselves between any two inputs. The table is the real [`Routing`]. Times above every bound of the plan are one
//! time and epochs end with the third, so the states are finitely many, and the search ends when there is no new one:
//! what [`rules`] says holds on paths of every length, not to a depth.

mod gates;
mod key;
mod paths;
mod plans;
mod routes;
mod rules;

use std::collections::HashSet;

use super::*;
use crate::gate::streak::Answer;
use crate::gate::trigger::{Action as TriggerAction, Conviction, StreakTrigger};
use crate::gate::{Charge, Version};
use crate::release::Acknowledged;
use crate::release::input::{GATE, Held, Judged};
use crate::release::run::Consent;
use crate::routing::{Roles, Route, Routing, Table};
use gates::Said;
use key::Want;
use routes::{Taking, taken_back};

const SECOND: Duration = Duration::from_secs(1);

/// Above every bound of the plan.
const LATE: Duration = Duration::from_secs(4);

/// Longer than the bake, so that an approval is asked for again after a crash.
const WITHIN: Duration = Duration::from_secs(3);

const LAST_EPOCH: u32 = 3;

/// What can happen between two states.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Happening {
    Take(Input),
    SecondPasses,
    /// The process dies, and starts anew with the state that the journal has.
    Crash,
    /// A worker latches the epoch of a request of so many epochs ago; `control` has yet to learn of it.
    WorkerLatches {
        epochs_ago: u32,
    },
    /// A worker lowers the weight by itself.
    WorkerProbes,
    /// Whoever was asked answers: what is asked now, or what was asked before.
    Answers(Said),
}

/// A state, and what the workers route by.
#[derive(Clone, Debug)]
struct Node {
    state: State,
    table: Table,
    /// The roles when the release began: what a rollback must come back to.
    roles: Roles,
    now: Duration,
}

/// What made a transition.
struct Done {
    before: Node,
    happening: Happening,
    /// None when it was no input.
    result: Option<Result<Vec<Effect>, Refusal>>,
    after: Node,
}

impl Node {
    /// What happens, when it can.
    fn after(&self, happening: &Happening, plan: Option<&Plan>) -> Option<Done> {
        let mut after = self.clone();
        let epoch = self.state.epoch();
        let opens = matches!(happening, Happening::Take(Input::Start { .. } | Input::SetWeight { .. }));
        let by_worker = plan.is_none_or(|plan| plan.irreversible.is_none());
        let latched = self.table.route == Route::Latched;
        let result = match happening {
            Happening::Take(_) if opens && self.state.run().is_none() && epoch == Epoch::from(LAST_EPOCH) => {
                return None;
            }
            // The gate does not judge a completed release: only a worker's notice can come late.
            Happening::Take(Input::RollBack(_)) if matches!(self.state, State::Completed { .. }) && !latched => {
                return None;
            }
            Happening::Take(input) => Some(after.take(input.clone(), plan)),
            Happening::Answers(said) => Some(after.take(said.about(&self.state)?, plan)),
            Happening::SecondPasses => {
                after.now += SECOND;
                None
            }
            Happening::Crash => {
                after.crash();
                Some(after.take(Input::Restarted, plan))
            }
            Happening::WorkerLatches { .. } | Happening::WorkerProbes if !by_worker => return None,
            Happening::WorkerLatches { epochs_ago } => {
                let of = Epoch::from(epoch.number().checked_sub(*epochs_ago)?);
                after.table = routed(self.table, |routing| _ = routing.latch(of));
                None
            }
            Happening::WorkerProbes => {
                let fails = |routing: &Routing| {
                    routing.observe(Answer::of(Version::Green, Charge::Failed, self.table.routed()));
                };
                after.table = routed(self.table, fails);
                None
            }
        };
        Some(Done { before: self.clone(), happening: happening.clone(), result, after })
    }

    fn take(&mut self, input: Input, plan: Option<&Plan>) -> Result<Vec<Effect>, Refusal> {
        match self.state.clone().apply(input, plan, self.now) {
            Ok((state, effects)) => {
                self.state = state;
                self.carry_out(&effects, plan);
                Ok(effects)
            }
            Err((state, refusal)) => {
                self.state = state;
                Err(refusal)
            }
        }
    }

    fn carry_out(&mut self, effects: &[Effect], plan: Option<&Plan>) {
        for effect in effects {
            let mut overtaken = false;
            let roles = self.table.roles;
            self.table = routed(self.table, |routing| match effect {
                Effect::Latch { epoch } => _ = routing.latch(*epoch),
                Effect::Revert { epoch } => _ = routing.revert(*epoch),
                Effect::Route { epoch, weight } => _ = routing.route(*epoch, *weight),
                Effect::TakeBack { epoch, routes } => _ = routing.take_back(*epoch, taken_back(routes)),
                Effect::Complete { epoch } => overtaken = !routing.complete(*epoch),
                Effect::Begin { .. }
                | Effect::Tell { .. }
                | Effect::Notify { .. }
                | Effect::Ask(_)
                | Effect::Try { .. } => {}
            });
            if matches!(effect, Effect::Begin { .. }) {
                self.roles = roles;
            }
            // A worker's latch was there first, and its notice comes before anything else does.
            if overtaken {
                self.take(Input::RollBack(bad()), plan).expect("the gate is never refused");
                return;
            }
        }
    }

    /// What the journal and `control` make of the state when the process starts anew.
    fn crash(&mut self) {
        let route = match &self.state {
            State::Idle { .. } => Route::Split(Weight::ZERO),
            State::Open(run) => Route::Split(run.weight),
            State::Completed { .. } => Route::Completed,
            State::RolledBack { .. } => Route::Latched,
        };
        let routes = self.state.run().map(|run| run.holds.taken_back.as_slice()).unwrap_or_default();
        let names: Vec<String> = routes.iter().map(|taken| taken.route.clone()).collect();
        let taken_back = taken_back(&names);
        self.table = Table { epoch: self.state.epoch(), route, taken_back, ..self.table };
        if let State::Open(run) = self.state.clone() {
            let waited = run.waited(self.now);
            let Run { epoch, stage, weight, holds, .. } = run;
            self.state = State::Open(Run::restored(epoch, stage, weight, holds, waited, self.now));
        }
    }
}

/// The table after `change`, with a streak of one failure, which is no evidence. How often the weight has changed would make
/// the states infinitely many, and matters to none of the rules.
fn routed(table: Table, change: impl FnOnce(&Routing)) -> Table {
    let (notices, _kept) = tokio::sync::mpsc::channel(1);
    let (name, conviction) = ("streak".to_owned(), Conviction::ByEvidence);
    let trigger = StreakTrigger { name, at_least: 1, conviction, action: TriggerAction::Rollback };
    let routing = Routing::new(table, Some(trigger), notices);
    change(&routing);
    Table { change: 0, ..routing.table() }
}

fn percent(percent: f64) -> Weight {
    Weight::from_percent(percent).expect("a weight")
}

fn bad() -> Cause {
    Cause { trigger: "dead".to_owned(), reason: String::new(), actor: GATE.to_owned() }
}

fn happenings(plan: Option<&Plan>) -> Vec<Happening> {
    let (actor, reason) = (String::new, String::new);
    let held = || Held { by: String::new(), sentence: String::new() };
    let weight = |weight| Input::SetWeight { weight: percent(weight), actor: actor(), reason: reason() };
    let withdraw = |acknowledged| Input::Withdraw { actor: actor(), reason: reason(), acknowledged };
    let inputs = [
        Input::Start { actor: actor(), reason: reason() },
        weight(0.0),
        weight(5.0),
        weight(60.0),
        weight(100.0),
        Input::Pause { actor: actor(), reason: reason() },
        Input::Resume { actor: actor(), reason: reason() },
        Input::Approve { actor: actor(), reason: reason() },
        Input::Promote { actor: actor(), reason: reason() },
        withdraw(Acknowledged::No),
        withdraw(Acknowledged::Yes),
        Input::Supersede { actor: actor(), reason: reason() },
        Input::RollBack(bad()),
        Input::Hold(held()),
        Input::Probe(held()),
        Input::Acquit { sentence: String::new() },
        Input::Freeze { sentence: String::new() },
        Input::Thaw,
        Input::Judged(Judged::Pass),
        Input::Judged(Judged::TooFew { sentence: String::new() }),
        Input::Judged(Judged::Wait),
        Input::Judged(Judged::Fail),
    ];
    let latches = [0, 1].map(|epochs_ago| Happening::WorkerLatches { epochs_ago });
    let others = [Happening::SecondPasses, Happening::Crash, Happening::WorkerProbes];
    let expose = |weight| Input::Expose { weight: percent(weight), sentence: String::new() };
    let exposes = [expose(5.0), expose(60.0), expose(100.0), Input::UsedUp(held())];
    let exposes = exposes.into_iter().filter(|_| plan.is_some_and(|plan| plan.budget.is_some()));
    let answers = gates::happenings(plan);
    inputs.into_iter().chain(exposes).map(Happening::Take).chain(latches).chain(others).chain(answers).collect()
}

/// How far a search went.
#[derive(Debug, PartialEq, Eq)]
struct Extent {
    nodes: usize,
    transitions: usize,
    /// Happenings on the way to the farthest node.
    depth: usize,
}

/// How a node was come to.
struct Way {
    from: usize,
    happening: Happening,
}

/// Visits every node that can be reached, and checks every transition.
fn search(plan: Option<&Plan>, taking: Taking) -> Extent {
    let state = State::Idle { epoch: Epoch::default() };
    let first = Node { state, table: Table::default(), roles: Roles::default(), now: Duration::ZERO };
    let mut found = HashSet::from([first.key()]);
    let mut nodes = vec![(first, None)];
    let mut happenings = happenings(plan);
    happenings.extend(taking.happening());
    let mut seen = rules::Seen::default();
    let (mut at, mut transitions) = (0, 0);
    while at < nodes.len() {
        for happening in &happenings {
            let Some(done) = nodes[at].0.after(happening, plan) else { continue };
            transitions += 1;
            if let Err(rule) = rules::hold(&done, plan) {
                panic!("{rule}\n{:#?}\nthen {happening:?} leads to {:#?}", path(&nodes, at), done.after);
            }
            seen.note(&done);
            if found.insert(done.after.key()) {
                nodes.push((done.after, Some(Way { from: at, happening: happening.clone() })));
            }
        }
        at += 1;
    }
    seen.check(plan, taking);
    Extent { nodes: nodes.len(), transitions, depth: path(&nodes, nodes.len() - 1).len() }
}

fn path(nodes: &[(Node, Option<Way>)], mut at: usize) -> Vec<&Happening> {
    let mut path = Vec::new();
    while let Some(Way { from, happening }) = &nodes[at].1 {
        path.push(happening);
        at = *from;
    }
    path.reverse();
    path
}

const DEADLINE: Option<Duration> = Some(Duration::from_secs(3));

fn check(plan: Option<Plan>, [nodes, transitions, depth]: [usize; 3]) {
    assert_eq!(search(plan.as_ref(), Taking::Nothing), Extent { nodes, transitions, depth });
}

fn check_routes(plan: Option<Plan>, [nodes, transitions, depth]: [usize; 3]) {
    assert_eq!(search(plan.as_ref(), Taking::Routes), Extent { nodes, transitions, depth });
}
