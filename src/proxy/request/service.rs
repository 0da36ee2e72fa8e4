//! What one worker answers requests with: its view of what is shared, its draws, its endpoints and its records.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::budget::Budget;
use super::choose::Draw;
use super::client::Client;
use super::client_share::{ClientShare, origin};
use super::copies::Copies;
use super::records::Records;
use super::respond::Refusal;
use crate::config::{ProxyProtocol, Speaks};
use crate::gate::{ByVersion, Version};
use crate::live::{Balance, Live, Permit, Restraints, Settings, Stage};
use crate::measure::shard::Recorder;
use crate::proxy::lifecycle::Phase;
use crate::proxy::upstream::{Among, Dialer, Endpoint};
use crate::release::Epoch;
use crate::routing::{Route, Routing, Table, View};
use crate::spans::Spans;

pub(in crate::proxy) struct Service {
    pub routing: Arc<Routing<Live>>,
    view: RefCell<View<Live>>,
    serving: RefCell<Rc<Serving>>,
    pub draw: RefCell<Draw>,
    /// Which of blue's requests stand in for green where blue is compared with itself.
    pub arm_draw: RefCell<Draw>,
    pub copies: Copies,
    pub client_share: RefCell<ClientShare>,
    pub random: RefCell<fastrand::Rng>,
    pub dialer: Dialer,
    pub records: Records,
    pub(super) budget: RefCell<Budget>,
    pub spans: Spans,
    pub phase: Cell<Phase>,
    /// Of overload, as of the last look.
    pub stage: Cell<Stage>,
    /// Whether connections outlive the requests that they have.
    pub keeps_alive: Cell<bool>,
    /// Something of the above has changed: for tunnels, which look at nothing by themselves.
    pub changed: Notify,
    seen: Cell<(Option<Table>, Phase)>,
    left: RefCell<Vec<Left>>,
    /// The last epoch that was rolled back, and until when what is under way on its green may go on.
    rolled_back: Cell<Option<(Epoch, Instant)>>,
}

/// An endpoint that is no longer one of its version's, and until when what is under way there may be.
struct Left {
    endpoint: Rc<Endpoint>,
    until: Instant,
}

/// What a request begins with, and ends on whatever becomes of it meanwhile.
pub(in crate::proxy) struct Serving {
    live: Arc<Live>,
    /// Of each section.
    pub endpoints: ByVersion<Vec<Rc<Endpoint>>>,
}

impl Service {
    pub(in crate::proxy) fn new(routing: Arc<Routing<Live>>, recorder: Recorder, spans: Spans) -> Service {
        let mut random = fastrand::Rng::new();
        let serving = Serving::new(routing.live(), &ByVersion::default());
        let client_share = client_share(serving.settings(), random.u64(..));
        let records = Records::new(recorder);
        Service {
            view: RefCell::new(routing.view()),
            routing,
            serving: RefCell::new(Rc::new(serving)),
            draw: RefCell::new(Draw::new(random.u64(..))),
            arm_draw: RefCell::new(Draw::new(random.u64(..))),
            copies: Copies::new(random.u64(..)),
            client_share: RefCell::new(client_share),
            random: RefCell::new(random),
            dialer: Dialer { sends: Rc::default(), open: Rc::clone(&records.upstreams) },
            records,
            budget: RefCell::new(Budget::new(Instant::now())),
            spans,
            phase: Cell::new(Phase::Serving),
            stage: Cell::default(),
            keeps_alive: Cell::new(true),
            changed: Notify::new(),
            seen: Cell::new((None, Phase::Serving)),
            left: RefCell::default(),
            rolled_back: Cell::default(),
        }
    }

    /// The table as of now.
    pub(super) fn table(&self) -> Table {
        self.view.borrow_mut().load().table
    }

    /// What serves as of now.
    pub(in crate::proxy) fn serving(&self) -> Rc<Serving> {
        let mut view = self.view.borrow_mut();
        let live = &view.load().live;
        let mut serving = self.serving.borrow_mut();
        if !Arc::ptr_eq(live, &serving.live) {
            *serving = self.adopt(live, &serving);
        }
        Rc::clone(&serving)
    }

    /// Goes over to `live`: the endpoints that stay keep their connections.
    fn adopt(&self, live: &Arc<Live>, before: &Serving) -> Rc<Serving> {
        let after = Serving::new(Arc::clone(live), &before.endpoints);
        let until = Instant::now() + before.settings().drain.deadline;
        for section in Version::BOTH {
            let stays = |one: &&Rc<Endpoint>| after.endpoints.of(section).iter().any(|other| Rc::ptr_eq(one, other));
            for endpoint in before.endpoints.of(section).iter().filter(|one| !stays(one)) {
                endpoint.retire();
                self.left.borrow_mut().push(Left { endpoint: Rc::clone(endpoint), until });
            }
        }
        let (was, is) = (before.settings(), after.settings());
        if was.counting.client_share != is.counting.client_share || was.sticky.is_some() != is.sticky.is_some() {
            let seed = self.random.borrow_mut().u64(..);
            *self.client_share.borrow_mut() = client_share(is, seed);
        }
        Rc::new(after)
    }

    /// Goes over to what is shared as of now, also where no request asks for it, and ends what has been under way for too
    /// long at endpoints that have left.
    pub(in crate::proxy) fn look(&self) {
        let before = Rc::clone(&self.serving.borrow());
        let table = self.table();
        if !matches!(table.route, Route::Split(_)) {
            self.copies.cut();
        }
        self.drain_green(table);
        let seen = (Some(table), self.phase.get());
        if self.seen.replace(seen) != seen || !Rc::ptr_eq(&before, &self.serving()) {
            self.changed.notify_waiters();
        }
        self.fill_budget();
        self.stage.set(self.serving().live.stage());
        self.keeps_alive.set(self.phase.get() == Phase::Serving && self.stage.get() == Stage::Calm);
        self.left.borrow_mut().retain(|Left { endpoint, until }| {
            if *until <= Instant::now() {
                endpoint.cut();
            }
            // Whoever began before it left may still come here.
            Rc::strong_count(endpoint) > 1
        });
    }

    /// Ends what has been under way on green for too long after a rollback. What a new epoch has sent there is another's.
    fn drain_green(&self, table: Table) {
        if table.route != Route::Latched {
            return;
        }
        let serving = self.serving();
        let until = match self.rolled_back.get() {
            Some((epoch, until)) if epoch == table.epoch => until,
            Some(_) | None => Instant::now() + serving.settings().rollback_drain,
        };
        self.rolled_back.set(Some((table.epoch, until)));
        if until <= Instant::now() {
            let green = serving.endpoints.of(table.roles.section(Version::Green));
            green.iter().for_each(|endpoint| endpoint.cut());
        }
    }

    /// Whether blue may have one more request in green's place.
    pub(super) fn has_budget(&self) -> bool {
        self.fill_budget();
        self.budget.borrow().has_some()
    }

    fn fill_budget(&self) {
        let serving = self.serving();
        let share = serving.settings().shield.as_ref().map_or(0.0, |shield| shield.budget.fraction());
        self.budget.borrow_mut().fill(share, self.records.own_of_blue(), Instant::now());
    }

    pub(in crate::proxy) fn hand_over(&self) {
        self.records.hand_over(self.table().routed());
    }
}

impl Serving {
    fn new(live: Arc<Live>, before: &ByVersion<Vec<Rc<Endpoint>>>) -> Serving {
        let endpoints = ByVersion::build(|section| {
            Endpoint::all(live.upstreams.of(section), live.transports.of(section), before.of(section))
        });
        Serving { live, endpoints }
    }

    pub(in crate::proxy) fn settings(&self) -> &Settings {
        &self.live.settings
    }

    /// What the version of each section is called.
    pub(super) fn names(&self) -> &ByVersion<Arc<str>> {
        &self.live.names
    }

    pub(super) fn proxy_protocol(&self, section: Version) -> Option<ProxyProtocol> {
        self.live.transports.of(section).proxy_protocol
    }

    /// What chooses among the endpoints of `section`; none: the least busy of two serves.
    pub(super) fn balance(&self, section: Version) -> Option<&Balance> {
        self.live.balances.of(section).as_deref()
    }

    /// Which HTTP is spoken with the endpoints of `section`.
    pub(super) fn speaks(&self, section: Version) -> Speaks {
        self.live.transports.of(section).speaks
    }

    /// Leave for a request from wherever `headers`, as they go to the endpoint, and `client` say.
    pub(super) fn admit(&self, headers: &HeaderMap, client: &Client, now: Instant) -> Result<(), Refusal> {
        let Some(Restraints { stage, rates }) = &self.live.restraints else { return Ok(()) };
        if *stage == Stage::Refusing {
            return Err(Refusal::Overload);
        }
        rates.as_ref().map_or(Ok(()), |rates| rates.take(self.origin(headers, client), now).map_err(Refusal::from))
    }

    /// Where a request with these fields comes from: the client itself, or whoever the proxies before it say, if they are
    /// trusted.
    pub(super) fn origin(&self, headers: &HeaderMap, client: &Client) -> IpAddr {
        if client.trusted { origin(headers, client.address, &self.settings().trusted_proxies) } else { client.address }
    }

    /// Leave for a request to `version`, whose endpoints `section` has; none is needed where there is no bound.
    pub(super) fn permit(&self, section: Version, version: Version) -> Result<Option<Permit>, Refusal> {
        let Some(bound) = self.live.bounds.of(version) else { return Ok(None) };
        self.live.upstreams.permit(section, bound).map(Some).map_err(Refusal::from)
    }

    /// The endpoints of `section`, which serve `version`, as the siblings of one of them.
    pub(super) fn among(&self, section: Version, version: Version) -> Among<'_> {
        Among { upstreams: &self.live.upstreams, section, version }
    }
}

fn client_share(settings: &Settings, seed: u64) -> ClientShare {
    let share = settings.counting.client_share;
    match settings.sticky {
        None => ClientShare::of_all(share, seed),
        Some(_) => ClientShare::of_each_version(share, seed),
    }
}
