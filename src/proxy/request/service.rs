//! What one worker answers requests with: its view of the table, its draws, its endpoints and its records.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::choose::Draw;
use super::client_share::ClientShare;
use super::records::Records;
use crate::gate::ByVersion;
use crate::measure::shard::Recorder;
use crate::proxy::lifecycle::Phase;
use crate::proxy::settings::Settings;
use crate::proxy::upstream::{Dialer, Endpoint, Upstreams};
use crate::routing::{Routing, Table, View};

pub(in crate::proxy) struct Service {
    pub settings: Settings,
    pub routing: Arc<Routing>,
    view: RefCell<View>,
    pub draw: RefCell<Draw>,
    /// Which of blue's requests stand in for green where blue is compared with itself.
    pub arm_draw: RefCell<Draw>,
    pub client_share: RefCell<ClientShare>,
    pub endpoints: ByVersion<Vec<Rc<Endpoint>>>,
    pub random: RefCell<fastrand::Rng>,
    pub dialer: Dialer,
    pub records: Records,
    pub phase: Cell<Phase>,
}

impl Service {
    pub(in crate::proxy) fn new(
        settings: Settings,
        routing: Arc<Routing>,
        upstreams: &Arc<Upstreams>,
        recorder: Recorder,
    ) -> Service {
        let mut random = fastrand::Rng::new();
        let (share, seed) = (settings.counting.client_share, random.u64(..));
        let client_share = match settings.sticky {
            None => ClientShare::of_all(share, seed),
            Some(_) => ClientShare::of_each_version(share, seed),
        };
        let records = Records::new(recorder);
        Service {
            settings,
            view: RefCell::new(routing.view()),
            routing,
            draw: RefCell::new(Draw::new(random.u64(..))),
            arm_draw: RefCell::new(Draw::new(random.u64(..))),
            client_share: RefCell::new(client_share),
            endpoints: ByVersion::build(|version| Endpoint::all(upstreams, version)),
            random: RefCell::new(random),
            dialer: Dialer { sends: Rc::default(), open: Rc::clone(&records.upstreams) },
            records,
            phase: Cell::new(Phase::Serving),
        }
    }

    /// The table as of now.
    pub(super) fn table(&self) -> Table {
        **self.view.borrow_mut().load()
    }

    pub(in crate::proxy) fn hand_over(&self) {
        self.records.hand_over(self.table().routed());
    }
}
