//! What one thread owns, and its housekeeping.

use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, LocalOptions};
use tokio::time::Instant;

use super::client::{self, CALLED_WITHIN, Connections};
use super::lifecycle::{Lifecycle, Phase};
use super::request::Service;
use crate::gate::Version;
use crate::live::Live;
use crate::measure::shard::Recorder;
use crate::routing::Routing;
use crate::spans::Spans;

/// Twice a tick of the control thread, so that what it reads is at most half a tick old.
const HAND_OVER_EVERY: Duration = Duration::from_millis(50);

const _: () = assert!(HAND_OVER_EVERY.as_millis() < CALLED_WITHIN.as_millis(), "they are called then");

const SWEEP_EVERY: Duration = Duration::from_secs(5);

const HALF_MINUTE: Duration = Duration::from_secs(30);

/// Starts the thread of one worker. It ends when the phase is [`Phase::Closing`] and its last connection has ended.
pub fn spawn(
    number: usize,
    listener: std::net::TcpListener,
    routing: Arc<Routing<Live>>,
    recorder: Recorder,
    spans: Spans,
    lifecycle: Lifecycle,
) -> std::io::Result<JoinHandle<std::io::Result<()>>> {
    std::thread::Builder::new().name(format!("portcullis-{number}")).spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(async move {
            let service = Rc::new(Service::new(routing, recorder, spans));
            run(&service, listener, lifecycle).await
        })
    })
}

async fn run(service: &Rc<Service>, listener: std::net::TcpListener, mut lifecycle: Lifecycle) -> std::io::Result<()> {
    #[expect(deprecated, reason = "a listener keeps its descriptor for as long as it lives; the other way is unsafe")]
    let listener = AsyncFd::with_interest(listener, Interest::READABLE)?;
    let connections = Rc::new(Connections::new(Rc::clone(service)));
    let accepting = tokio::task::spawn_local(client::accept(Rc::clone(&connections), listener, lifecycle.clone()));
    tokio::task::spawn_local(Rc::clone(&service.dialer.sends).flush());
    let mut hand_over = tokio::time::interval(HAND_OVER_EVERY);
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    let mut half_minute = tokio::time::interval(HALF_MINUTE);
    loop {
        tokio::select! {
            changed = lifecycle.changed() => {
                let phase = *lifecycle.borrow_and_update();
                connections.enter(if changed.is_ok() { phase } else { Phase::Closing });
                if service.phase.get() == Phase::Closing {
                    break;
                }
            }
            _ = hand_over.tick() => {
                connections.look();
                service.hand_over();
            }
            _ = half_minute.tick() => service.client_share.borrow_mut().half_minute_passed(),
            _ = sweep.tick() => {
                let (serving, now) = (service.serving(), Instant::now());
                for section in Version::BOTH {
                    serving.endpoints.of(section).iter().for_each(|endpoint| endpoint.sweep(now));
                }
            }
        }
    }
    accepting.await.map_err(std::io::Error::other)?;
    while !connections.is_empty() {
        hand_over.tick().await;
        connections.look();
        service.hand_over();
    }
    service.hand_over();
    Ok(())
}
