//! The replicas, the API server, what is between them, and everything that can happen next.

use std::collections::BTreeSet;
use std::time::Duration;

use stateright::{Model, Property};

use super::super::{Decision, Effect, Heard, How, Lease, Replica, Shared, Write, Written};
use super::node::{At, Node, Packet, Release};
use super::properties;

/// Of the search. Misfortunes are answers that are given up, cuts, long stops and crashes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub replicas: usize,
    pub time: u8,
    pub epochs: u8,
    pub steps: u8,
    pub convictions: u8,
    pub holds: u8,
    pub misfortunes: u8,
    pub writes: usize,
}

/// How long whoever has the lease relies on it, and how long others leave it alone.
const RELIES: u8 = 1;
pub(super) const LEFT_ALONE: u8 = 2;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub now: u8,
    /// Every state that the API server had; its version is how many they are.
    pub history: Vec<Shared<Release>>,
    /// Who has the lease, and since when.
    pub lease: Option<(usize, u8)>,
    pub nodes: Vec<Node>,
    pub air: BTreeSet<Packet>,
    pub raises: u8,
    pub convictions: u8,
    pub holds: u8,
    pub misfortunes: u8,
    pub processes: u32,
    /// What must not have happened, and did.
    pub broken: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Arrives(Packet),
    Reads(usize),
    Watches(usize),
    TimePasses,
    Raises(usize),
    Looks(usize),
    Renews(usize),
    LearnsThatItsLeaseIsLost(usize),
    Opens(usize),
    Steps(usize),
    Holds(usize),
    Convicts(usize),
    GivesUp(usize),
    IsCutOff(usize),
    IsBack(usize),
    Wakes(usize),
    StartsAnew(usize),
}

pub(super) struct World {
    pub bounds: Bounds,
}

impl World {
    pub(super) const fn of(bounds: Bounds) -> World {
        World { bounds }
    }

    pub(super) const fn is_through(&self, release: Release) -> bool {
        release.is_latched || release.step == self.bounds.steps
    }
}

impl State {
    pub(super) fn is_answered(&self, process: u32) -> bool {
        self.air.iter().any(|packet| matches!(packet, Packet::Answer { process: of, .. } if *of == process))
    }

    pub(super) fn started(&mut self) -> Node {
        self.processes += 1;
        let (replica, effects) = Replica::new(self.processes);
        let (home, watched) = (Release::default(), self.history.len() as u8);
        let mut node = Node {
            replica,
            home,
            waits: false,
            routed: (0, 0),
            knows_latched: 0,
            at: At::Rest,
            is_late: false,
            is_cut: false,
            watched,
        };
        node.carry_out(effects, &mut self.air, self.now);
        node
    }

    pub(super) fn now(&self) -> Duration {
        seconds(self.now)
    }

    /// The epoch that the API server has a latch of. Whoever starts, or wakes, after that has to know it before green gets
    /// anything.
    fn latched(&self) -> u8 {
        self.history.last().map(|shared| shared.body).filter(|body| body.is_latched).map_or(0, |body| body.epoch)
    }

    fn node_of(&self, process: u32) -> Option<usize> {
        self.nodes.iter().position(|node| node.replica.process == process)
    }

    /// Something reaches the API server, or a replica.
    fn arrive(&mut self, packet: Packet, world: &World) {
        self.air.remove(&packet);
        let node = self.node_of(packet.process());
        match packet {
            Packet::Write(Write { version, shared }) => {
                let by = shared.by;
                let written = if usize::from(version) == self.history.len() {
                    self.broken = self.broken.or(properties::breaks(self.history.last(), &shared, world));
                    self.history.push(shared);
                    Written::Done(version + 1)
                } else {
                    Written::Conflict
                };
                if node.is_some() {
                    self.air.insert(Packet::Wrote { by, written });
                }
            }
            Packet::Wrote { by, written } => {
                self.with(node, |node, now| node.replica.wrote(by, written, now));
            }
            Packet::Answer { heard, .. } => self.hear(node, heard),
        }
    }

    fn hear(&mut self, node: Option<usize>, heard: Heard<u8, Release>) {
        let latched = heard.shared.map(|shared| shared.body).filter(|body| body.is_latched).map(|body| body.epoch);
        self.with(node, |node, now| {
            node.knows_latched = node.knows_latched.max(latched.unwrap_or(0));
            node.replica.heard(heard, now)
        });
    }

    fn with(&mut self, node: Option<usize>, does: impl FnOnce(&mut Node, Duration) -> Vec<Effect<u8, Release>>) {
        let Some(node) = node else { return };
        let node = &mut self.nodes[node];
        let effects = does(node, seconds(self.now));
        node.carry_out(effects, &mut self.air, self.now);
    }

    /// Green is to get more: of an epoch that is open, or of a new one.
    fn raise(&mut self, number: usize, release: Release) {
        self.raises += 1;
        if self.lease.is_none_or(|(holder, _)| holder != number) {
            self.broken = self.broken.or(Some("a step was decided by a replica while another had the lease"));
        }
        let release = Release { raise: self.raises, ..release };
        self.with(Some(number), |node, now| {
            node.home = release;
            node.waits = true;
            node.replica.decide(Decision::Raises, release, now)
        });
    }

    fn may_renew(&self, number: usize) -> bool {
        match self.lease {
            None => true,
            Some((holder, since)) if holder == number => since < self.now,
            Some((_, since)) => self.now >= since + LEFT_ALONE,
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::under_way(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let Bounds { time, epochs, steps, convictions, holds, misfortunes, .. } = self.bounds;
        for packet in &state.air {
            let node = state.node_of(packet.process()).map(|node| &state.nodes[node]);
            let is_heard = matches!(packet, Packet::Write(_)) || node.is_none_or(|node| node.at == At::Rest);
            if is_heard && node.is_none_or(|node| !node.is_cut) {
                actions.push(Action::Arrives(packet.clone()));
            }
        }
        if state.now < time {
            actions.push(Action::TimePasses);
        }
        for (number, node) in state.nodes.iter().enumerate() {
            let Node { replica, home, .. } = node;
            match node.at {
                At::Rest => {}
                At::Raise => actions.push(Action::Raises(number)),
                At::Look => actions.push(Action::Looks(number)),
            }
            if node.at != At::Rest {
                continue;
            }
            if !node.is_cut && replica.reading.is_some() && !state.is_answered(replica.process) {
                actions.push(Action::Reads(number));
            }
            if !node.is_cut && usize::from(node.watched) < state.history.len() {
                actions.push(Action::Watches(number));
            }
            if !node.is_cut && state.may_renew(number) {
                actions.push(Action::Renews(number));
            }
            if replica.leads() && state.lease.is_some_and(|(holder, _)| holder != number) {
                actions.push(Action::LearnsThatItsLeaseIsLost(number));
            }
            let may_step = replica.may_step(state.now()) && !node.waits;
            if may_step && home.epoch < epochs && (home.epoch == 0 || self.is_through(*home)) {
                actions.push(Action::Opens(number));
            }
            if may_step && home.epoch > 0 && !home.is_held && !home.is_latched && home.step < steps {
                actions.push(Action::Steps(number));
            }
            let is_open = home.epoch > 0 && !home.is_latched;
            if replica.leads() && is_open && !home.is_held && state.holds < holds {
                actions.push(Action::Holds(number));
            }
            if is_open && node.routed.1 > 0 && node.routed.0 == home.epoch && state.convictions < convictions {
                actions.push(Action::Convicts(number));
            }
            if node.is_cut {
                actions.push(Action::IsBack(number));
            }
            if state.misfortunes == misfortunes {
                continue;
            }
            if replica.flight.is_some() {
                actions.push(Action::GivesUp(number));
            }
            if !node.is_cut {
                actions.push(Action::IsCutOff(number));
            }
            actions.extend([Action::Wakes(number), Action::StartsAnew(number)]);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match &action {
            Action::GivesUp(_) | Action::IsCutOff(_) | Action::Wakes(_) | Action::StartsAnew(_) => {
                state.misfortunes += 1;
            }
            _ => {}
        }
        match action {
            Action::Arrives(packet) => state.arrive(packet, self),
            Action::Reads(number) => {
                let replica = &state.nodes[number].replica;
                let how = How::Read(replica.reading.expect("it is asked"));
                let (process, version) = (replica.process, state.history.len() as u8);
                let heard = Heard { version, shared: state.history.last().copied(), how };
                state.air.insert(Packet::Answer { process, heard });
            }
            Action::Watches(number) => {
                state.nodes[number].watched += 1;
                let version = state.nodes[number].watched;
                let shared = Some(state.history[usize::from(version) - 1]);
                state.hear(Some(number), Heard { version, shared, how: How::Watched });
            }
            Action::TimePasses => state.now += 1,
            Action::Raises(number) => {
                let now = state.now();
                let node = &mut state.nodes[number];
                (node.at, node.waits) = (At::Look, false);
                node.routed = (node.home.epoch, node.home.step);
                node.is_late = !node.replica.leads_surely(now);
            }
            Action::Looks(number) => {
                state.nodes[number].at = At::Rest;
                state.with(Some(number), |node, now| node.replica.went(now));
            }
            Action::Renews(number) => {
                state.lease = Some((number, state.now));
                let until = seconds(state.now + RELIES);
                state.with(Some(number), |node, now| node.replica.lease(Lease::Held { until }, now));
            }
            Action::LearnsThatItsLeaseIsLost(number) => {
                state.with(Some(number), |node, now| node.replica.lease(Lease::Lost, now));
            }
            Action::Opens(number) => {
                let epoch = state.nodes[number].home.epoch + 1;
                state.raise(number, Release { epoch, step: 1, ..Release::default() });
            }
            Action::Steps(number) => {
                let home = state.nodes[number].home;
                state.raise(number, Release { step: home.step + 1, ..home });
            }
            Action::Holds(number) => {
                state.holds += 1;
                state.with(Some(number), |node, now| {
                    node.home.is_held = true;
                    node.replica.decide(Decision::Keeps, node.home, now)
                });
            }
            Action::Convicts(number) => {
                state.convictions += 1;
                state.with(Some(number), |node, now| {
                    node.home.is_latched = true;
                    node.waits = false;
                    node.routed.1 = 0;
                    node.knows_latched = node.home.epoch;
                    node.replica.decide(Decision::Latches, node.home, now)
                });
            }
            Action::GivesUp(number) => state.with(Some(number), |node, now| {
                let by = node.replica.flight.as_ref().expect("it is what is given up").by;
                node.replica.wrote(by, Written::Unknown, now)
            }),
            Action::IsCutOff(number) => state.nodes[number].is_cut = true,
            Action::IsBack(number) => state.nodes[number].is_cut = false,
            Action::Wakes(number) => {
                let latched = state.latched();
                state.with(Some(number), |node, _| {
                    node.knows_latched = node.knows_latched.max(latched);
                    node.replica.woke()
                });
            }
            Action::StartsAnew(number) => {
                let is_cut = state.nodes[number].is_cut;
                let mut node = state.started();
                (node.is_cut, node.knows_latched) = (is_cut, state.latched());
                state.nodes[number] = node;
                let living: Vec<u32> = state.nodes.iter().map(|node| node.replica.process).collect();
                // A write goes on without its sender; nothing else matters to anybody.
                state.air.retain(|packet| matches!(packet, Packet::Write(_)) || living.contains(&packet.process()));
            }
        }
        let state = state.alike();
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<World>> {
        properties::all()
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.history.len() <= self.bounds.writes
    }
}

pub(super) const fn seconds(time: u8) -> Duration {
    Duration::from_secs(time as u64)
}
