//! Sliding windows: one ring of slots for each window length and latency span that the policy names.
//!
//! A ring keeps at most 61 slots of evidence for both versions, their running sum, and what of it came since the weight last
//! changed or green's latencies began. A slot takes 2 × 10.5 KiB at most, so a ring is at most 1.4 MiB, whatever the traffic and
//! whatever the length of the window. It is a fifth of that where the slowest requests take ten times as long as the quickest.

use std::collections::VecDeque;
use std::time::Duration;

use super::routes::{RouteTick, RouteTicks};
use super::shard::Sample;
use crate::gate::trigger::Span;
use crate::gate::{ByVersion, Evidence, Policy, RouteNumber, Trigger, Version, Window};

mod history;

pub(super) use history::HISTORY;
pub use history::History;

/// Slots in a window; its edge moves by one slot at a time.
const SLOTS: u32 = 60;

/// No slot is shorter than a tick of the control thread.
pub const SHORTEST_SLOT: Duration = Duration::from_millis(100);

/// The window that status shows.
pub const STATUS_WINDOW: Duration = Duration::from_secs(60);

/// All windows of one policy.
#[derive(Clone, Debug)]
pub struct Windows {
    rings: Vec<Ring>,
    /// What status shows, which is no evidence.
    shown: Ring,
}

#[derive(Clone, Debug)]
pub(super) struct Ring {
    length: Duration,
    span: Span,
    /// What is looked at; none for the whole of both versions.
    route: Option<RouteNumber>,
    slot_length: Duration,
    /// Oldest first.
    slots: VecDeque<Slot>,
    total: ByVersion<Evidence>,
    /// Since the weight last changed, or green's latencies began, with the slot of that moment; none once all of the window is.
    since_change: Option<(u128, ByVersion<Evidence>)>,
    /// A slot that left the window, kept for the next one.
    spare: Option<Slot>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    number: u128,
    evidence: ByVersion<Evidence>,
}

impl Windows {
    /// One ring for each different window of `policy`, and the one that status shows.
    pub fn new(policy: &Policy) -> Windows {
        let mut windows = Windows { rings: Vec::new(), shown: Ring::new(STATUS_WINDOW, Span::Head) };
        windows.want(STATUS_WINDOW, Span::Head, None);
        if !policy.watch.is_zero() {
            windows.want(watch_window(policy), Span::Head, None);
        }
        for trigger in &policy.triggers {
            windows.want(trigger.window, trigger.condition.span(), route_of(trigger));
        }
        windows
    }

    fn want(&mut self, length: Duration, span: Span, route: Option<RouteNumber>) {
        if !self.rings.iter().any(|ring| ring.is(length, span, route)) {
            self.rings.push(Ring { route, ..Ring::new(length, span) });
        }
    }

    /// Forgets what it holds of routes, whose numbers are given anew.
    pub fn forget_routes(&mut self) {
        self.rings.retain(|ring| ring.route.is_none());
    }

    /// Looks at the windows of `policy` and no others. One that was looked at before keeps what it holds.
    pub fn follow(&mut self, policy: &Policy) {
        let mut wanted = Windows::new(policy);
        for ring in &mut wanted.rings {
            if let Some(at) = self.rings.iter().position(|old| old.is(ring.length, ring.span, ring.route)) {
                *ring = self.rings.swap_remove(at);
            }
        }
        self.rings = wanted.rings;
    }

    /// Adds what was counted up to `now`, and drops what is too old by then.
    pub fn add(&mut self, sample: ByVersion<&Sample>, now: Duration) {
        for ring in self.rings.iter_mut().filter(|ring| ring.route.is_none()) {
            ring.add(sample, now);
        }
    }

    /// Adds what was counted by route. Call it beside [`Windows::add`].
    pub fn add_routes(&mut self, routes: &RouteTicks, now: Duration) {
        let nothing = RouteTick::default();
        for ring in &mut self.rings {
            if let Some(route) = ring.route {
                ring.add_evidence(routes.of(route).unwrap_or(&nothing).judged.as_ref(), now);
            }
        }
    }

    /// Adds what people are shown of the time up to `now`.
    pub fn show(&mut self, shown: ByVersion<&Evidence>, now: Duration) {
        self.shown.add_evidence(shown, now);
    }

    /// What both versions did in the last minute, as people are shown it.
    pub fn shown(&self) -> ByVersion<&Evidence> {
        self.shown.total.as_ref()
    }

    /// Drops what is too old by `now`. Call it every tick, before reading.
    pub fn advance(&mut self, now: Duration) {
        self.shown.advance(now);
        for ring in &mut self.rings {
            ring.advance(now);
        }
    }

    /// What is added from here on comes of another weight. `now` is the moment of the last tick, or later.
    pub fn weight_changed(&mut self, now: Duration) {
        for ring in &mut self.rings {
            ring.since_change = Some((ring.number(now), ByVersion::default()));
        }
    }

    /// Forgets all evidence, and nothing that people are shown.
    pub fn begin_anew(&mut self) {
        self.rings.iter_mut().for_each(|ring| *ring = Ring { route: ring.route, ..Ring::new(ring.length, ring.span) });
    }

    /// Forgets everything; for a new epoch.
    pub fn clear(&mut self) {
        self.begin_anew();
        self.shown = Ring::new(STATUS_WINDOW, Span::Head);
    }

    /// Green has become the new blue, or is no longer: what was counted of a version stays with it.
    pub fn exchange(&mut self) {
        self.rings.iter_mut().chain([&mut self.shown]).for_each(Ring::exchange);
    }

    /// A window that [`Windows::new`] was asked for.
    pub fn window(&self, length: Duration, span: Span) -> Window<'_> {
        self.looked_at(length, span, None)
    }

    /// The one that a trigger of the policy names.
    pub fn of(&self, trigger: &Trigger) -> Window<'_> {
        self.looked_at(trigger.window, trigger.condition.span(), route_of(trigger))
    }

    fn looked_at(&self, length: Duration, span: Span, route: Option<RouteNumber>) -> Window<'_> {
        let ring = self.rings.iter().find(|ring| ring.is(length, span, route));
        let ring = ring.expect("the policy named this window");
        let since_change = ring.since_change.as_ref().map(|(_, evidence)| evidence.as_ref());
        Window { total: ring.total.as_ref(), since_change }
    }

    /// All evidence of such a window.
    pub fn evidence(&self, length: Duration, span: Span) -> ByVersion<&Evidence> {
        self.window(length, span).total
    }

    /// Every window with its evidence, and the route that it is of.
    pub fn each(&self) -> impl Iterator<Item = (Duration, Span, Option<RouteNumber>, ByVersion<&Evidence>)> {
        self.rings.iter().map(|ring| (ring.length, ring.span, ring.route, ring.total.as_ref()))
    }
}

/// What is looked at of blue after a rollback: the last minute, or the whole of a shorter watch.
pub fn watch_window(policy: &Policy) -> Duration {
    if policy.watch.is_zero() { STATUS_WINDOW } else { policy.watch.min(STATUS_WINDOW) }
}

fn route_of(trigger: &Trigger) -> Option<RouteNumber> {
    trigger.route.as_ref().map(|route| route.number)
}

impl Ring {
    fn new(length: Duration, span: Span) -> Ring {
        Ring { span, ..Ring::in_slots(length, SLOTS) }
    }

    /// Of latencies to the head, in so many slots.
    pub(super) fn in_slots(length: Duration, slots: u32) -> Ring {
        Ring {
            length,
            span: Span::Head,
            route: None,
            slot_length: (length / slots).max(SHORTEST_SLOT),
            slots: VecDeque::new(),
            total: ByVersion::default(),
            since_change: None,
            spare: None,
        }
    }

    fn is(&self, length: Duration, span: Span, route: Option<RouteNumber>) -> bool {
        self.length == length && self.span == span && self.route == route
    }

    pub(super) fn total(&self) -> ByVersion<&Evidence> {
        self.total.as_ref()
    }

    pub(super) fn add_evidence(&mut self, evidence: ByVersion<&Evidence>, now: Duration) {
        self.open_slot(now);
        self.mark_beginning(!evidence.green.latency.is_empty(), now);
        let slot = self.slots.back_mut().expect("one is open");
        for version in Version::BOTH {
            let since_change = self.since_change.as_mut().map(|(_, since)| since.of_mut(version));
            let parts = [self.total.of_mut(version), slot.evidence.of_mut(version)].into_iter().chain(since_change);
            parts.for_each(|part| part.add(evidence.of(version)));
        }
    }

    fn open_slot(&mut self, now: Duration) {
        self.advance(now);
        let number = self.number(now);
        if self.slots.back().is_none_or(|slot| slot.number < number) {
            let mut slot = self.spare.take().unwrap_or_default();
            slot.number = number;
            self.slots.push_back(slot);
        }
    }

    /// Where green's latencies begin, as after its warm-up, all that blue has is of other times, as where the weight changes.
    fn mark_beginning(&mut self, green_has_latencies: bool, now: Duration) {
        if green_has_latencies && self.total.green.latency.is_empty() {
            self.since_change = Some((self.number(now), ByVersion::default()));
        }
    }

    fn add(&mut self, sample: ByVersion<&Sample>, now: Duration) {
        self.open_slot(now);
        let latencies = match self.span {
            Span::Head => &sample.green.evidence.latency,
            Span::Whole => &sample.green.whole,
        };
        self.mark_beginning(!latencies.is_empty(), now);
        let slot = self.slots.back_mut().expect("one is open");
        for version in Version::BOTH {
            let Sample { evidence, whole } = sample.of(version);
            let since_change = self.since_change.as_mut().map(|(_, since)| since.of_mut(version));
            for into in [self.total.of_mut(version), slot.evidence.of_mut(version)].into_iter().chain(since_change) {
                match self.span {
                    Span::Head => into.add(evidence),
                    Span::Whole => {
                        into.requests += evidence.requests;
                        into.failures += evidence.failures;
                        into.latency.add(whole);
                    }
                }
            }
        }
    }

    pub(super) fn exchange(&mut self) {
        let since_change = self.since_change.as_mut().map(|(_, evidence)| evidence);
        let of_slots = self.slots.iter_mut().map(|slot| &mut slot.evidence);
        for ByVersion { blue, green } in of_slots.chain([&mut self.total]).chain(since_change) {
            std::mem::swap(blue, green);
        }
    }

    /// The slot of a moment.
    const fn number(&self, at: Duration) -> u128 {
        at.as_nanos() / self.slot_length.as_nanos()
    }

    fn advance(&mut self, now: Duration) {
        let slot_nanos = self.slot_length.as_nanos();
        let oldest = now.as_nanos().saturating_sub(self.length.as_nanos());
        while self.slots.front().is_some_and(|slot| (slot.number + 1) * slot_nanos <= oldest) {
            let mut slot = self.slots.pop_front().expect("there is a front");
            for version in Version::BOTH {
                self.total.of_mut(version).subtract(slot.evidence.of(version));
                slot.evidence.of_mut(version).clear();
            }
            self.spare = Some(slot);
        }
        let first = self.slots.front().map_or(u128::MAX, |slot| slot.number);
        self.since_change.take_if(|(changed, _)| first > *changed);
    }
}

#[cfg(test)]
mod tests;
