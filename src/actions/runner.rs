//! The thread that carries actions out. It makes attempts and decides nothing: whoever asked hears how each ended.

use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::context::Context;
use super::deliver::{Attempt, deliver};
use super::outbox::Order;
use super::reach::Reach;
use crate::live::Live;
use crate::resolve::Lookups;
use crate::routing::Routing;

/// Where attempts are asked for. Whoever asks never waits.
#[derive(Debug)]
pub struct Runner {
    words: mpsc::Sender<Word>,
    ended: mpsc::Receiver<Ended>,
}

/// How an attempt ended; none where it was broken off.
#[derive(Debug)]
pub struct Ended {
    pub epoch: u32,
    pub number: u32,
    pub attempt: Option<Attempt>,
}

#[derive(Debug)]
enum Word {
    Do(Box<Order>),
    /// Nothing shall be under way any more.
    BreakOff,
}

/// Attempts at a time: more than a runbook has, so that a few that hang hold up nobody.
pub const AT_A_TIME: usize = 32;

/// Starts the thread, which ends with whoever has the [`Runner`].
pub fn start(lookups: Lookups, routing: Arc<Routing<Live>>) -> io::Result<Runner> {
    let (words, heard) = mpsc::channel(AT_A_TIME + 1);
    let (tell, ended) = mpsc::channel(AT_A_TIME);
    std::thread::Builder::new().name("portcullis-actions".to_owned()).spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = runtime.expect("whoever cannot have a poll of its own cannot serve either");
        runtime.block_on(run(heard, tell, lookups, routing));
    })?;
    Ok(Runner { words, ended })
}

impl Runner {
    /// One that carries nothing out.
    pub fn nowhere() -> Runner {
        Runner { words: mpsc::channel(1).0, ended: mpsc::channel(1).1 }
    }

    /// How many orders it takes at once.
    pub fn room(&self) -> usize {
        self.words.capacity().saturating_sub(1)
    }

    /// False where there is no room, or nobody to do it.
    pub fn order(&self, order: Order) -> bool {
        self.words.try_send(Word::Do(Box::new(order))).is_ok()
    }

    /// Every attempt that is under way ends as broken off.
    pub fn break_off(&self) {
        if self.words.try_send(Word::BreakOff).is_err() {
            tracing::debug!("nobody carries actions out");
        }
    }

    /// The next that has ended; never, where nobody carries anything out. Cancel safe.
    pub async fn ended(&mut self) -> Ended {
        match self.ended.recv().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }
}

async fn run(
    mut words: mpsc::Receiver<Word>,
    tell: mpsc::Sender<Ended>,
    lookups: Lookups,
    routing: Arc<Routing<Live>>,
) {
    let mut under_way: JoinSet<()> = JoinSet::new();
    let mut orders: Vec<(tokio::task::Id, u32, u32)> = Vec::new();
    loop {
        let word = tokio::select! {
            word = words.recv(), if under_way.len() < AT_A_TIME => word,
            Some(ended) = under_way.join_next_with_id() => {
                let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, ())| *id);
                let place = orders.iter().position(|(known, ..)| *known == id);
                let order = place.map(|place| orders.swap_remove(place));
                // What ends well has told so itself.
                if let (Err(_), Some((_, epoch, number))) = (&ended, order)
                    && tell.send(Ended { epoch, number, attempt: None }).await.is_err()
                {
                    return;
                }
                continue;
            }
        };
        match word {
            Some(Word::Do(order)) => {
                let reach = Reach::new(lookups.clone(), Arc::clone(&order.runbook.allow), Arc::clone(&routing));
                let (epoch, number, tell) = (order.epoch, order.number, tell.clone());
                let handle = under_way.spawn_local(async move {
                    let attempt = Some(attempt(*order, &reach).await);
                    // An error means that nobody wants to know any more.
                    tell.send(Ended { epoch, number, attempt }).await.ok();
                });
                orders.push((handle.id(), epoch, number));
            }
            Some(Word::BreakOff) => under_way.abort_all(),
            None => return,
        }
    }
}

async fn attempt(order: Order, reach: &Reach) -> Attempt {
    let Order { action, runbook, facts, now, earlier, .. } = order;
    let context = Context::new(facts, now, earlier, &runbook);
    deliver(&action, &context, reach).await
}
