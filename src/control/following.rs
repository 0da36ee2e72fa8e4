//! What becomes of the state that the replicas share: carried out where it is another's, written where it is this one's.

use tokio::time::Instant;

use super::acting::to_do;
use super::command::{Change, Command, Refused, Reply};
use super::event::Event;
use super::obeying::refuse;
use super::together::{Among, Body, Held, LONGEST_WAIT, MOST_WAITING, Order, Told, Word};
use super::{Control, PROXY};
use crate::course::{Input, Steps};
use crate::release::{self, Effect, Kind, Weight};
use crate::replica::{self, Decision, Lease};
use crate::routing::{Cohorts, Route, Table};

impl Control {
    /// Somebody has told something of the other replicas.
    pub(super) fn hear(&mut self, word: Word) {
        self.look_whether_it_stood_still();
        self.catch_up();
        let Some(among) = self.inputs.together.others_mut() else { return };
        let now = among.now();
        let effects = match word {
            Word::Owes(owed) => {
                among.owed = owed;
                vec![]
            }
            Word::Heard(heard) => among.replica.heard(*heard, now),
            Word::Wrote { by, written } => among.replica.wrote(by, written, now),
            Word::Leads { until } => {
                let lease = among.lease(until);
                among.replica.lease(lease, now)
            }
            Word::Follows { leader } => {
                among.leader = leader;
                among.has_begun = false;
                among.replica.lease(Lease::Lost, now)
            }
        };
        self.act(effects);
        self.look_whether_it_stood_still();
        self.begin_to_lead();
        if let Some(among) = self.inputs.together.others_mut() {
            among.is_placed();
        }
    }

    /// After a stop of the process nothing that was known is to be gone by.
    pub(super) fn look_whether_it_stood_still(&mut self) {
        let Some(among) = self.inputs.together.others_mut() else { return };
        if among.has_stood_still() {
            among.ticks();
            let effects = among.replica.woke();
            tracing::warn!("the process stood still: green gets nothing until the state has been read");
            self.act(effects);
        }
    }

    pub(super) fn act(&mut self, effects: Vec<replica::Effect<String, Body>>) {
        for effect in effects {
            match effect {
                replica::Effect::Follow(body) => self.follow(body),
                replica::Effect::Go => self.go(),
                replica::Effect::Kept => self.kept(),
                replica::Effect::Begin => self.begin_to_share(),
                replica::Effect::ServeBlue => self.serve_blue(),
                replica::Effect::Write(write) => self.order(Order::Write(Box::new(write))),
                replica::Effect::Read(number) => self.order(Order::Read(number)),
            }
        }
    }

    /// There is nothing that others have written: what holds here is what all go by, as after a restart without others.
    fn begin_to_share(&mut self) {
        let record = self.state_record();
        let began = self.deeds.began(record.epoch);
        self.follow(Body { record, told: None, began, to_do: Vec::new() });
        self.share(Decision::Keeps, None);
    }

    fn order(&mut self, order: Order) {
        if let Some(among) = self.inputs.together.others_mut() {
            among.order(order);
        }
    }

    /// Takes the release over, once all that is known of it is followed: as after a restart.
    fn begin_to_lead(&mut self) {
        let Some(among) = self.inputs.together.others_mut() else { return };
        if !among.has_begun && among.held.is_none() && among.replica.may_step(among.now()) {
            among.has_begun = true;
            tracing::info!("this replica takes the steps from here on");
            if self.course.state().run().is_some() {
                self.feed(&Input::Restarted, None).expect("no operator asks for it");
            }
        }
    }

    pub(super) fn steps(&self) -> Steps {
        match self.inputs.together.others() {
            None => Steps::Taken,
            Some(among) if among.may_step() => Steps::Taken,
            Some(among) if among.leads() && among.has_begun => Steps::Waiting,
            Some(_) => Steps::Followed,
        }
    }

    /// What is to be shared of these effects; none where they change nothing, or there is nobody to share it with.
    pub(super) fn decision(&self, effects: &[Effect]) -> Option<Decision> {
        let among = self.inputs.together.others()?;
        let table = self.inputs.routing.table();
        let mut decision = None;
        for effect in effects {
            match effect {
                Effect::Latch { .. } | Effect::Revert { .. } => return Some(Decision::Latches),
                Effect::Begin { .. } | Effect::Complete { .. } => decision = Some(Decision::Raises),
                Effect::Tell { kind: Kind::Stepped | Kind::Promoted, .. } => decision = Some(Decision::Raises),
                Effect::Route { epoch, weight } if *epoch > table.epoch || *weight > table.weight() => {
                    decision = Some(Decision::Raises);
                }
                Effect::Route { .. } | Effect::TakeBack { .. } | Effect::Ask(_) | Effect::Tell { .. } => {
                    decision = decision.or(Some(Decision::Keeps));
                }
                Effect::Try { .. } | Effect::Notify { .. } => {}
            }
        }
        decision.map(|decision| if among.held.is_some() { Decision::Raises } else { decision })
    }

    /// Keeps an effect back that is not to be before it is written; gives the others back, to be carried out at once.
    pub(super) fn hold_back(&mut self, effect: Effect) -> Option<Effect> {
        let table = self.inputs.routing.table();
        let Some(among) = self.inputs.together.others_mut() else { return Some(effect) };
        let held = among.held.get_or_insert_with(Held::default);
        if let Effect::Route { .. } = effect {
            held.effects.retain(|held| !matches!(held, Effect::Route { .. }));
        }
        match effect {
            Effect::Route { epoch, weight } if epoch == table.epoch && weight <= table.weight() => Some(effect),
            Effect::Route { .. } | Effect::Complete { .. } | Effect::Ask(_) => {
                held.effects.push(effect);
                None
            }
            Effect::Latch { .. }
            | Effect::Revert { .. }
            | Effect::TakeBack { .. }
            | Effect::Begin { .. }
            | Effect::Try { .. }
            | Effect::Tell { .. }
            | Effect::Notify { .. } => Some(effect),
        }
    }

    /// Has what was decided here written, and what was told of it acted on by whoever gets it written.
    pub(super) fn share(&mut self, decision: Decision, told: Option<&Event>) {
        if self.inputs.together.is_alone() {
            return;
        }
        if decision == Decision::Latches {
            // What waits for its write was of the release that ends here.
            self.let_go();
        }
        let told =
            told.map(|event| Told { kind: event.kind, actor: event.actor.clone(), sentence: event.sentence.clone() });
        let record = self.state_record_by(self.table_to_be());
        let began = self.deeds.began(record.epoch);
        let to_do = match decision {
            Decision::Latches => to_do(self.course.state(), self.deeds.outbox.runbook()),
            Decision::Raises | Decision::Keeps => Vec::new(),
        };
        let Some(among) = self.inputs.together.others_mut() else { return };
        let now = among.now();
        let effects = among.replica.decide(decision, Body { record, told, began, to_do }, now);
        self.act(effects);
    }

    /// The table once what is held back holds.
    fn table_to_be(&self) -> Table {
        let table = self.inputs.routing.table();
        let held = self.inputs.together.others().and_then(|among| among.held.as_ref());
        let completes =
            held.is_some_and(|held| held.effects.iter().any(|held| matches!(held, Effect::Complete { .. })));
        if completes { Table { roles: table.roles.exchanged(), route: Route::Completed, ..table } } else { table }
    }

    /// Nothing of it holds before it is written.
    pub(super) fn wait_for_write(&mut self, events: Vec<Event>, reply: Option<Reply>) {
        let told = events.last().cloned();
        if let Some(among) = self.inputs.together.others_mut() {
            let held = among.held.get_or_insert_with(Held::default);
            held.events.extend(events);
            held.replies.extend(reply);
        }
        self.share(Decision::Raises, told.as_ref());
    }

    /// What waited for its write holds.
    fn go(&mut self) {
        let Some(among) = self.inputs.together.others_mut() else { return };
        let Some(Held { effects, mut events, replies }) = among.held.take() else { return };
        among.told = among.replica.turn();
        let (decided, now) = (Instant::now(), self.clock.now());
        for effect in effects {
            self.carry_out(effect, decided, now, &mut events);
        }
        self.beside();
        self.look_whether_it_was_in_time();
        let mut replies = replies.into_iter();
        let first = replies.next();
        self.keep_to_act_on(&events);
        self.decided(events, first, now);
        replies.for_each(|reply| self.answer(reply));
        self.kept();
    }

    /// The process may have stood still on the way to what was just routed, and the lease run out.
    fn look_whether_it_was_in_time(&mut self) {
        if let Some(among) = self.inputs.together.others_mut() {
            let effects = among.replica.went(among.now());
            self.act(effects);
        }
    }

    pub(super) fn keep_to_act_on(&mut self, events: &[Event]) {
        let is_found_bad = self.course.state().is_found_bad();
        if let Some(among) = self.inputs.together.others_mut() {
            if is_found_bad && events.iter().any(|event| event.kind == Kind::RolledBack) {
                among.unwritten = Some(Instant::now());
            }
            among.to_act_on.extend_from_slice(events);
        }
    }

    /// It was this replica that got it written, so it is this one that acts on it.
    fn kept(&mut self) {
        let Some(among) = self.inputs.together.others_mut() else { return };
        among.told = among.replica.turn();
        among.unwritten = None;
        let events = std::mem::take(&mut among.to_act_on);
        if events.is_empty() {
            return;
        }
        self.happen(&events);
        let state = self.state_record();
        if let Err(error) = self.inputs.ledger.keep(state, crate::journal::Durable::Later) {
            self.journal_failed(&error);
        }
    }

    /// What waited for its write never was.
    pub(super) fn let_go(&mut self) {
        let Some(among) = self.inputs.together.others_mut() else { return };
        let Some(Held { replies, .. }) = among.held.take() else { return };
        self.deeds.begins = false;
        replies.into_iter().for_each(|reply| refuse(reply, Refused::Overtaken));
    }

    fn serve_blue(&mut self) {
        self.let_go();
        let routing = &self.inputs.routing;
        let table = routing.table();
        if matches!(table.route, Route::Split(_)) {
            routing.beside(table.epoch, table.mirror.map(|_| Weight::ZERO), Cohorts::NONE);
            routing.route(table.epoch, Weight::ZERO);
        }
        if let Some(among) = self.inputs.together.others_mut() {
            among.serves_blue = true;
        }
    }

    /// Whether what is beside the weight has to wait as well.
    pub(super) fn keeps_beside(&self) -> bool {
        self.inputs.together.others().is_some_and(|among| among.held.is_some() || among.serves_blue)
    }

    /// The command, if it is to be obeyed here and at once.
    pub(super) fn is_for_us(&mut self, command: Command) -> Option<Command> {
        let weight = self.inputs.routing.table().weight();
        let is_open = self.course.state().run().is_some();
        let Some(among) = self.inputs.together.others_mut() else { return Some(command) };
        let refused = match &command.change {
            Change::Operator(release::Input::Withdraw { .. }) | Change::Endpoints(_) | Change::Reload(_) => {
                return Some(command);
            }
            _ if !among.leads() => Refused::Follows { leader: among.leader.clone() },
            _ if among.may_step() => return Some(command),
            Change::Operator(release::Input::Pause { .. }) if among.may_keep() => return Some(command),
            Change::Operator(release::Input::SetWeight { weight: asked, .. })
                if among.may_keep() && is_open && *asked <= weight =>
            {
                return Some(command);
            }
            Change::Operator(_) | Change::Signal(_) | Change::Release(_) if among.waiting.len() < MOST_WAITING => {
                among.waiting.push_back((Instant::now(), command));
                return None;
            }
            Change::Operator(_) | Change::Signal(_) | Change::Release(_) => Refused::Unsure,
        };
        refuse(command.reply, refused);
        None
    }

    /// Obeys what has waited, as far as that is possible by now.
    pub(super) fn obey_waiting(&mut self) {
        loop {
            let Some(among) = self.inputs.together.others_mut() else { return };
            let may_go_on = among.may_step() || !among.leads();
            let is_due = |(since, _): &(Instant, Command)| may_go_on || since.elapsed() > LONGEST_WAIT;
            if !among.waiting.front().is_some_and(is_due) {
                return;
            }
            let Some((_, command)) = among.waiting.pop_front() else { return };
            if may_go_on {
                self.obey(command);
            } else {
                refuse(command.reply, Refused::Unsure);
            }
        }
    }

    /// What is told of a state that another replica has decided.
    pub(super) fn told_by_another(&mut self, told: Option<Told>) -> Option<Event> {
        let among: &mut Among = self.inputs.together.others_mut()?;
        let is_news = std::mem::replace(&mut among.told, among.replica.turn()) != among.told;
        let Told { kind, actor, sentence } = told.filter(|_| is_news)?;
        let actor = if actor.is_empty() { PROXY.to_owned() } else { actor };
        Some(Event::new(kind, actor, sentence, self.course.state()))
    }
}
