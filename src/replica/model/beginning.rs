//! Where the search begins.

use std::collections::BTreeSet;

use stateright::Model;

use super::node::At;
use super::world::{Action, Bounds, State, World};

impl State {
    fn begin(bounds: &Bounds) -> State {
        let mut state = State {
            now: 0,
            history: Vec::new(),
            lease: None,
            nodes: Vec::new(),
            air: BTreeSet::new(),
            raises: 0,
            convictions: 0,
            holds: 0,
            misfortunes: 0,
            processes: 0,
            broken: None,
        };
        for _ in 0..bounds.replicas {
            let node = state.started();
            state.nodes.push(node);
        }
        state
    }

    /// At the first step of a release: the search is about what comes then, new starts among it.
    pub(super) fn under_way(world: &World) -> State {
        let mut state = State::begin(&world.bounds);
        let does = |state: State, action| world.next_state(&state, action).expect("it changes something");
        let settled = |mut state: State| {
            while let Some(action) = state.next_of_all() {
                state = does(state, action);
            }
            state
        };
        state = settled(state);
        for action in [Action::Renews as fn(usize) -> Action, Action::Opens] {
            let leader = state.lease.map_or(0, |(holder, _)| holder);
            state = settled(does(state, action(leader)));
        }
        state
    }

    /// What is under way, one after the other.
    fn next_of_all(&self) -> Option<Action> {
        let arrives = self.air.first().cloned().map(Action::Arrives);
        let of_nodes = || {
            let mut nodes = self.nodes.iter().enumerate();
            nodes.find_map(|(number, node)| match node.at {
                At::Raise => Some(Action::Raises(number)),
                At::Look => Some(Action::Looks(number)),
                At::Rest if usize::from(node.watched) < self.history.len() => Some(Action::Watches(number)),
                At::Rest => {
                    let asks = node.replica.reading.is_some() && !self.is_answered(node.replica.process);
                    asks.then_some(Action::Reads(number))
                }
            })
        };
        arrives.or_else(of_nodes)
    }
}
