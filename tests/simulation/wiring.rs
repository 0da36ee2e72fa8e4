//! The real control task, and what it works on.

use std::sync::Arc;

use jiff::Timestamp;
use portcullis::actions::asking;
use portcullis::actions::runner::Runner;
use portcullis::config::Config;
use portcullis::control::command::Commands;
use portcullis::control::event::{Event, Events};
use portcullis::control::ledger::Ledger;
use portcullis::control::replicas;
use portcullis::control::restore::Beginning;
use portcullis::control::series::Series;
use portcullis::control::status::{Names, Status};
use portcullis::control::{Control, Inputs, Outputs};
use portcullis::course::Course;
use portcullis::live::{Addresses, Live};
use portcullis::measure::Collectors;
use portcullis::measure::shard::Collector;
use portcullis::resolve::Wanted;
use portcullis::routing::{NOTICES, Routing};
use portcullis::telemetry::Telemetry;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;

/// A control task that runs, and the ends that others have of it.
pub struct Wired {
    pub routing: Arc<Routing<Live>>,
    pub commands: Commands,
    pub status: watch::Receiver<Arc<Status>>,
    pub events: broadcast::Receiver<Event>,
    pub task: JoinHandle<()>,
}

pub fn wire(config: &Config, beginning: Beginning, ledger: Ledger, collectors: Vec<Collector>) -> Wired {
    let (notify, notices) = mpsc::channel(NOTICES);
    let (commands, commanded) = Commands::channel();
    let live = Arc::new(Live::new(config, &Addresses::default()));
    let upstreams = Arc::clone(&live.upstreams);
    let routing = Arc::new(Routing::to(live, beginning.table, config.policy.streak.clone(), notify));
    let course = Course::new(config.policy.clone(), config.plan.clone(), beginning.state.clone(), beginning.clock);
    let rollback = beginning.rollback.clone();
    let (names, at, now) = (Names::new(config), Timestamp::now(), beginning.clock);
    let first = Status::new(&names, &course, beginning.table, &upstreams, rollback, at, now);
    let (publish, status) = watch::channel(Arc::new(first));
    let events = Events::default();
    let listener = events.listen();
    let telemetry = Telemetry::new(&config.policy).expect("constant buckets");
    let collectors = Collectors::new(collectors);
    let routed = Arc::clone(&routing);
    let (_, lending) = mpsc::channel(1);
    let ((_, found), (wanted, _)) = (mpsc::channel(1), watch::channel(Wanted::default()));
    let runner = Runner::nowhere();
    let (asking, _) = asking::channel();
    let inputs = Inputs {
        routing: routed,
        collectors,
        notices,
        commands: commanded,
        found,
        telemetry,
        ledger,
        runner,
        lending,
        asking,
        together: portcullis::control::together::Together::Alone,
        replicas: replicas::link().1,
    };
    let outputs = Outputs { status: publish, events, series: Series::default(), wanted };
    let task = tokio::spawn(Control::new(config, beginning, inputs, outputs).run());
    Wired { routing, commands, status, events: listener, task }
}
