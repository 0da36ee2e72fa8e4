//! The thread that owns the database, and the bounded way to it.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::error::WriteError;
use super::place::Lock;
use super::record::{ActionRecord, DecisionRecord, OccasionRecord, ReleaseRecord, StateRecord};
use super::slot::Chunk;
use super::store::Store;

/// Everything that one decision, or one stretch of evidence, adds.
#[derive(Clone, Debug)]
pub struct Write {
    /// The caller's own, to know the answer by.
    pub number: u64,
    /// The clock on the wall, which the age of evidence is told by.
    pub at: Timestamp,
    pub state: StateRecord,
    /// When a release starts or ends; it replaces the release of its epoch.
    pub release: Option<ReleaseRecord>,
    pub decisions: Vec<DecisionRecord>,
    /// A chunk that is sent again under its number replaces the one that was there.
    pub evidence: Vec<Chunk>,
    pub doing: Doing,
    pub durable: Durable,
}

/// What is new of actions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Doing {
    pub actions: Vec<ActionRecord>,
    pub occasions: Vec<OccasionRecord>,
    /// Those that everything has been done about.
    pub passed: Vec<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    /// On the disk before it is answered, and everything before it as well.
    Now,
    /// With the next one that is [`Durable::Now`]; lost if the process dies before.
    Later,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub number: u64,
    pub result: Result<(), WriteError>,
}

/// Writes that wait for the disk, or whose answers wait to be read. A disk that hangs for longer than so many
/// decisions fails them.
const QUEUE: usize = 64;

/// A write with the place that its answer has in the channel, so that the thread never waits for who reads it.
#[derive(Debug)]
pub struct Queued {
    pub write: Write,
    place: mpsc::OwnedPermit<Answer>,
}

/// Where queued writes come out.
#[derive(Debug)]
pub struct Queue(Receiver<Queued>);

#[derive(Debug)]
pub(super) struct Writer {
    queue: SyncSender<Queued>,
    answer: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
    /// None where somebody else takes the writes.
    thread: Option<JoinHandle<Store>>,
}

impl Queue {
    /// The oldest write that waits.
    pub fn next(&self) -> Option<Queued> {
        self.0.try_recv().ok()
    }
}

impl Queued {
    pub fn answer(self, result: Result<(), WriteError>) {
        let number = self.write.number;
        self.place.send(Answer { number, result });
    }
}

impl Writer {
    /// A writer without a thread, and the end where its writes come out.
    pub(super) fn pair() -> (Writer, Queue) {
        let (queue, queued) = sync_channel(QUEUE);
        let (answer, answers) = mpsc::channel(QUEUE);
        (Writer { queue, answer, answers, thread: None }, Queue(queued))
    }

    /// The lock is held until the database is closed.
    pub(super) fn start(store: Store, lock: Lock) -> Writer {
        let (writer, queue) = Writer::pair();
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || run(store, &queue, lock))
            .expect("a thread can be started while the proxy starts");
        Writer { thread: Some(thread), ..writer }
    }

    pub(super) fn send(&self, write: Write) -> Result<(), Answer> {
        let number = write.number;
        let refused = |error| Answer { number, result: Err(error) };
        let place = self.answer.clone().try_reserve_owned().map_err(|_| refused(WriteError::QueueFull(QUEUE)))?;
        self.queue.try_send(Queued { write, place }).map_err(|error| match error {
            TrySendError::Full(_) => refused(WriteError::QueueFull(QUEUE)),
            TrySendError::Disconnected(_) => refused(WriteError::Closed),
        })
    }

    pub(super) async fn answer(&mut self) -> Answer {
        self.answers.recv().await.expect("the writer keeps a sender of its own")
    }

    /// Writes what is queued, and gives the closed database back; none where there is no thread.
    pub(super) fn close(self) -> Option<Store> {
        drop(self.queue);
        self.thread.map(|thread| thread.join().expect("the thread catches every panic of the database"))
    }
}

fn run(mut store: Store, queue: &Queue, lock: Lock) -> Store {
    for Queued { write, place } in &queue.0 {
        let number = write.number;
        let result = store.write(write).map_err(WriteError::from);
        place.send(Answer { number, result });
    }
    store.close();
    drop(lock);
    store
}
