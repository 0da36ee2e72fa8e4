//! What must hold in every state that can be reached, and what must be reachable, so that the search has seen it.

use stateright::Property;

use super::super::Shared;
use super::super::debt::Debt;
use super::node::{At, Node, Release};
use super::world::{LEFT_ALONE, State, World};

pub(super) fn all() -> Vec<Property<World>> {
    vec![
        Property::always(
            "no replica that knows of a latch sends traffic of its epoch to green",
            |_: &World, state: &State| {
                state.nodes.iter().all(|node| node.routed.1 == 0 || node.routed.0 > node.knows_latched)
            },
        ),
        Property::always("green gets nothing that was not written before", |_, state: &State| {
            let was_written = |(epoch, step): (u8, u8)| {
                state.history.iter().any(|shared| shared.body.epoch == epoch && shared.body.step >= step)
            };
            state.nodes.iter().all(|node| node.routed.1 == 0 || was_written(node.routed))
        }),
        Property::always(
            "no replica leaves it at a raise that it has carried out after its lease",
            |_, state: &State| state.nodes.iter().all(|node| !node.is_late || node.at == At::Look),
        ),
        Property::always(
            "when all has been said, every replica does what is written, and a latch is",
            |_, state: &State| !is_quiet(state) || agrees(state),
        ),
        Property::always("no step is skipped or taken twice, and no latch is overwritten", |_, state: &State| {
            state.broken.is_none()
        }),
        Property::sometimes("a release comes to its end", |world: &World, state: &State| {
            state.nodes.iter().all(|node| node.routed == (1, world.bounds.steps))
        }),
        Property::sometimes("a rollback comes to all", |world: &World, state: &State| {
            world.bounds.convictions == 0 || is_quiet(state) && state.nodes.iter().all(|node| node.home.is_latched)
        }),
        Property::sometimes("a latch comes after the end of its release", |world: &World, state: &State| {
            let [.., before, last] = state.history.as_slice() else { return false };
            world.bounds.convictions == 0
                || last.body.is_latched && !before.body.is_latched && before.body.step == world.bounds.steps
        }),
        Property::sometimes("a raise is carried out after its lease", |_, state: &State| {
            state.nodes.iter().any(|node| node.is_late)
        }),
        Property::sometimes("two believe that they lead", |world: &World, state: &State| {
            world.bounds.time < LEFT_ALONE || state.nodes.iter().filter(|node| node.replica.leads()).count() > 1
        }),
        Property::sometimes("a replica has convicted what others went on with", |world: &World, state: &State| {
            let owes = |node: &Node| matches!(node.replica.debt, Debt::Latch { .. }) && node.is_cut;
            let steps = state.history.iter().filter(|shared| shared.body.step > 1).count();
            let cannot = world.bounds.misfortunes == 0 || world.bounds.convictions == 0;
            cannot || steps > 0 && state.nodes.iter().any(owes)
        }),
    ]
}

/// Why no replica may write `next` in the place of `last`.
pub(super) fn breaks(last: Option<&Shared<Release>>, next: &Shared<Release>, world: &World) -> Option<&'static str> {
    let (turn, last) = last.map_or((0, Release::default()), |last| (last.turn, last.body));
    let Shared { turn: next_turn, body: next, .. } = *next;
    if next_turn != turn + 1 {
        return Some("a turn was left out");
    }
    match next.epoch.checked_sub(last.epoch) {
        None => Some("an earlier epoch came back"),
        Some(0) if last.is_latched && !next.is_latched => Some("a latch was lost"),
        Some(0) if next.is_latched => None,
        Some(0) if next.raise == last.raise && next.step == last.step => None,
        Some(0) if next.step == last.step => Some("a step was taken twice"),
        Some(0) if next.step == last.step + 1 && !last.is_held => None,
        Some(0) if next.step == last.step + 1 => Some("a step was taken over a pause"),
        Some(0) => Some("a step was skipped, or taken back"),
        Some(1) if last.epoch > 0 && !world.is_through(last) => Some("a release began in the middle of another"),
        Some(1) if next.step == 1 || next.is_latched => None,
        Some(_) => Some("a release began in its middle, or an epoch was left out"),
    }
}

/// Nobody is cut off, waits for an answer, has something to hear, or could write what it owes.
fn is_quiet(state: &State) -> bool {
    let is_quiet = |node: &Node| {
        let has_heard = usize::from(node.watched) == state.history.len();
        let asks = node.replica.flight.is_some() || node.replica.reading.is_some();
        let waits = matches!(node.replica.debt, Debt::Raise { .. } | Debt::State { .. });
        node.at == At::Rest && !node.is_cut && has_heard && !asks && !waits
    };
    state.nodes.iter().all(is_quiet)
}

fn agrees(state: &State) -> bool {
    let Some(Shared { body, .. }) = state.history.last() else {
        return state.nodes.iter().all(|node| node.routed.1 == 0);
    };
    let routed = (body.epoch, if body.is_latched { 0 } else { body.step });
    let knows = |node: &Node| node.knows_latched < body.epoch.max(1) || body.is_latched;
    state.nodes.iter().all(|node| node.home == *body && node.routed == routed && knows(node))
}
