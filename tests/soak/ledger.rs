//! What happened when: who had which request, and every reason for which one may fail. A failure that none of them covers is a
//! fault of the proxy.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// From one start of an endpoint to its next death.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Life {
    pub of_green: bool,
    number: u64,
}

#[derive(Default)]
pub struct Ledger {
    numbers: AtomicU64,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// Whose handlers began with a request, in their order; until its client has judged what came.
    taken: HashMap<u64, Vec<Life>>,
    /// When each was gone; none while it is being killed.
    killed: HashMap<Life, Option<Instant>>,
    rollbacks: Vec<Instant>,
    /// Of each, and when the process that was replaced had drained.
    takeovers: Vec<(Instant, Option<Instant>)>,
    tally: Tally,
}

/// What became of all requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub answered: BTreeMap<&'static str, u64>,
    /// Given up on purpose.
    pub aborted: u64,
    pub explained: BTreeMap<(&'static str, Cause), u64>,
    pub unexplained: Vec<String>,
}

/// Why a request may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Green was told to fail, and the answer is green's own and says so.
    GreenFailed,
    /// Every endpoint's life that began with the request ended by a kill, or none began and one was being killed while the
    /// request was under way, or so shortly before that the proxy need not have heard of it; and the answer says that the endpoint closed the connection, or broke off behind its head. It was not
    /// taken twice unless it is idempotent.
    Killed,
    /// A tunnel that was told to end by 1012 while a process that has been replaced drained, or after a rollback where it was
    /// green's.
    ToldToEnd,
    /// GOAWAY crossed the request on its way and says that nothing was done with it, while a process that has been replaced
    /// drained; no endpoint had it. Clients send it again (RFC 9113, section 6.8).
    Unprocessed,
    /// A connection on which nothing was sent for `drain.wait` was closed by a process that has been replaced, as the
    /// client used it; no endpoint had the request.
    Rested,
}

/// A request that is under way.
pub struct Asked {
    pub id: u64,
    pub kind: &'static str,
    pub began: Instant,
    pub idempotent: bool,
    /// How long its connection had been silent.
    pub rested: Duration,
}

/// How one failed, as its client sees it, with words for who reads of it.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "the words are read by `Debug`")]
pub enum Failure {
    /// Marked by green as its own.
    OfGreen,
    /// The proxy says that the endpoint closed the connection.
    Terminated,
    /// Behind the head.
    BrokeOff(String),
    /// A close frame with 1012.
    Restart,
    /// GOAWAY without an error, and the stream is not among those that it names.
    Unprocessed,
    /// Without a head, or a head that nobody should have sent.
    Other(String),
}

/// `drain.wait` of the proxy.
pub const WAIT: Duration = Duration::from_secs(3);

/// So long may it take until a busy machine has told the proxy that an endpoint is dead.
const HEARD: Duration = Duration::from_secs(1);

/// How many failures without a cause are told.
const TOLD: usize = 20;

impl Ledger {
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub fn life(&self, of_green: bool) -> Life {
        Life { of_green, number: self.number() }
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().expect("no panic with it")
    }

    pub fn take(&self, id: u64, life: Life) {
        self.book().taken.entry(id).or_default().push(life);
    }

    pub fn is_taken(&self, id: u64) -> bool {
        self.book().taken.contains_key(&id)
    }

    /// Said before it dies.
    pub fn kills(&self, life: Life) {
        self.book().killed.insert(life, None);
    }

    /// Said once it is dead.
    pub fn has_died(&self, life: Life) {
        self.book().killed.insert(life, Some(Instant::now()));
    }

    /// Said before it is asked for.
    pub fn rolls_back(&self) {
        self.book().rollbacks.push(Instant::now());
    }

    /// Said before it begins.
    pub fn takes_over(&self) {
        self.book().takeovers.push((Instant::now(), None));
    }

    /// Take-over `number`, counted from 0, is over: the process that was replaced has drained.
    pub fn has_drained(&self, number: usize) {
        self.book().takeovers[number].1.get_or_insert_with(Instant::now);
    }

    pub fn ask(&self, kind: &'static str, idempotent: bool) -> Asked {
        Asked { id: self.number(), kind, began: Instant::now(), idempotent, rested: Duration::ZERO }
    }

    pub fn abort(&self, asked: Asked) {
        let mut book = self.book();
        book.taken.remove(&asked.id);
        book.tally.aborted += 1;
    }

    pub fn judge(&self, asked: Asked, came: Result<(), Failure>) {
        let mut book = self.book();
        let taken = book.taken.remove(&asked.id).unwrap_or_default();
        let twice = taken.len() > 1 && !asked.idempotent;
        match came {
            Ok(()) if !twice => *book.tally.answered.entry(asked.kind).or_default() += 1,
            Err(failure) if !twice && book.cause(&asked, &taken, &failure).is_some() => {
                let cause = book.cause(&asked, &taken, &failure).expect("it has just been found");
                *book.tally.explained.entry((asked.kind, cause)).or_default() += 1;
            }
            came => {
                let Asked { id, kind, began, rested, .. } = asked;
                let told =
                    format!("{kind} {id}: {came:?} after {:?}, rested {rested:?}, taken by {taken:?}", began.elapsed());
                book.tally.unexplained.push(told);
            }
        }
    }

    pub fn tally(&self) -> Tally {
        self.book().tally.clone()
    }
}

impl Book {
    fn cause(&self, asked: &Asked, taken: &[Life], failure: &Failure) -> Option<Cause> {
        let drains = self.takeovers.iter().any(|(_, until)| until.is_none_or(|until| until >= asked.began));
        let rolled_back = self.rollbacks.iter().any(|at| *at >= asked.began);
        let killed = match taken {
            [] => self.killed.values().any(|gone| gone.is_none_or(|gone| gone + HEARD >= asked.began)),
            lives => lives.iter().all(|life| self.killed.contains_key(life)),
        };
        let of_green = taken.iter().any(|life| life.of_green);
        match failure {
            Failure::OfGreen => of_green.then_some(Cause::GreenFailed),
            Failure::Terminated | Failure::BrokeOff(_) => killed.then_some(Cause::Killed),
            Failure::Restart => (drains || of_green && rolled_back).then_some(Cause::ToldToEnd),
            Failure::Unprocessed => (drains && taken.is_empty()).then_some(Cause::Unprocessed),
            Failure::Other(_) => (drains && taken.is_empty() && asked.rested >= WAIT).then_some(Cause::Rested),
        }
    }
}

impl Tally {
    pub fn print(&self) {
        let answered: u64 = self.answered.values().sum();
        println!("{answered} answered, {} given up on", self.aborted);
        self.answered.iter().for_each(|(kind, number)| println!("  {kind}: {number}"));
        for ((kind, cause), number) in &self.explained {
            println!("  explained: {kind}, {cause:?}: {number}");
        }
    }

    #[track_caller]
    pub fn assert_explained(&self) {
        let (failures, told) = (self.unexplained.len(), &self.unexplained[..self.unexplained.len().min(TOLD)]);
        assert_eq!(failures, 0, "{told:#?}");
    }
}
