//! What one worker has counted and not handed over yet, and the requests that still wait for an answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use crate::gate::streak::Routed;
use crate::gate::{ByVersion, RouteMark, Version};
use crate::measure::shard::{Arm, Record, Recorder, Unanswered};
use crate::measure::{Copied, Gauges, Handshake, Overridden, ProxyHeader, Shed, Shielded, mirrored};
use crate::proxy::wire::Progress;

pub(in crate::proxy) struct Records {
    recorder: RefCell<Recorder>,
    /// Requests to each version that have begun and that have ended, as numbers that wrap.
    pub begun: ByVersion<Cell<u32>>,
    pub ended: ByVersion<Cell<u32>>,
    /// Of those to blue, the ones that green had before.
    in_place: Cell<u32>,
    /// Those that will be evidence of latency.
    pub waiting: RefCell<Slab<Waiting>>,
    /// Open connections of clients, and to endpoints.
    pub clients: Rc<Cell<u32>>,
    pub upstreams: Rc<Cell<u32>>,
}

/// A request that has no response head yet.
pub(in crate::proxy) struct Waiting {
    pub progress: Rc<Progress>,
    pub version: Version,
    pub arm: Arm,
    pub routed: Routed,
    pub route: Option<RouteMark>,
}

impl Records {
    pub(in crate::proxy) fn new(recorder: Recorder) -> Records {
        Records {
            recorder: RefCell::new(recorder),
            begun: ByVersion::default(),
            ended: ByVersion::default(),
            in_place: Cell::default(),
            waiting: RefCell::default(),
            clients: Rc::default(),
            upstreams: Rc::default(),
        }
    }

    /// Requests that blue has had of its own, as a number that wraps.
    pub(super) fn own_of_blue(&self) -> u32 {
        self.begun.blue.get().wrapping_sub(self.in_place.get())
    }

    /// Of clients and to endpoints, tunnels' ends among them.
    pub(in crate::proxy) fn connections(&self) -> usize {
        self.clients.get() as usize + self.upstreams.get() as usize
    }

    pub(super) fn record(&self, record: &Record) {
        self.recorder.borrow_mut().record(record);
    }

    /// A connection to an endpoint of `version` was made.
    pub(super) fn connected(&self, version: Version, took: Duration) {
        self.recorder.borrow_mut().connected(version, took);
    }

    /// A TLS handshake with a client ended.
    pub(in crate::proxy) fn shook_hands(&self, handshake: Handshake) {
        self.recorder.borrow_mut().shook_hands(handshake);
    }

    /// A connection that has to begin with a header of the PROXY protocol did, or did not.
    pub(in crate::proxy) fn read_proxy_header(&self, header: ProxyHeader) {
        self.recorder.borrow_mut().read_proxy_header(header);
    }

    /// A request asked for a version.
    pub(super) fn overridden(&self, came_to: Overridden) {
        self.recorder.borrow_mut().overridden(came_to);
    }

    /// What became of a copy.
    pub(super) fn copied(&self, copied: Copied) {
        self.recorder.borrow_mut().mirrored().copied(copied);
    }

    /// A request and its copy have ended.
    pub(super) fn mirrored(&self, pair: &mirrored::Pair) {
        self.recorder.borrow_mut().mirrored().ended(pair);
    }

    /// Something was refused for want of memory.
    pub(in crate::proxy) fn shed(&self, what: Shed) {
        self.recorder.borrow_mut().shed(what);
    }

    /// Blue gets a request that green had.
    pub(super) fn begins_in_place(&self) {
        self.in_place.set(self.in_place.get().wrapping_add(1));
    }

    /// As [`Recorder::gave_to_blue`].
    pub(super) fn gave_to_blue(&self, failed: Option<Routed>) {
        self.recorder.borrow_mut().gave_to_blue(failed);
    }

    /// As [`Recorder::shielded`].
    pub(super) fn shielded(&self, shielded: Shielded, failed: Option<Routed>) {
        self.recorder.borrow_mut().shielded(shielded, failed);
    }

    /// A request on no route was for `path`.
    pub(super) fn saw(&self, path: &str) {
        self.recorder.borrow_mut().saw(path);
    }

    pub(in crate::proxy) fn panicked(&self) {
        self.recorder.borrow_mut().panicked();
    }

    /// Gives away what was counted. `routed` is how requests are routed by now.
    pub(in crate::proxy) fn hand_over(&self, routed: Routed) {
        let now = Instant::now();
        let waiting = self.waiting.borrow();
        let of = |version: Version| waiting.iter().filter(|(_, request)| request.version == version).count() as u32;
        let gauges = Gauges {
            in_flight: ByVersion::build(|version| {
                self.begun.of(version).get().wrapping_sub(self.ended.of(version).get())
            }),
            waiting: ByVersion::build(of),
            client_connections: self.clients.get(),
            upstream_connections: self.upstreams.get(),
        };
        let unanswered = waiting.iter().filter_map(|(_, request)| request.unanswered(routed, now));
        self.recorder.borrow_mut().hand_over(gauges, routed, unanswered);
    }
}

impl Waiting {
    /// For how long the version has been waited for, of a request that was routed by the table `routed`; none while it is not
    /// sent, or when it is the client's body that is waited for.
    fn unanswered(&self, routed: Routed, now: Instant) -> Option<Unanswered> {
        let waits = self.routed == routed && !self.progress.is_awaiting_body();
        let age = self.progress.of_version(now).filter(|_| waits)?;
        Some(Unanswered { version: self.version, arm: self.arm, route: self.route, age })
    }
}
