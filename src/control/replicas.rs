//! What several replicas of one proxy tell each other of what they count: [`published`] is what this one tells, [`packed`] how
//! it is written, and here is what becomes of what others tell.
//!
//! A proxy that is alone does nothing of all this. Who the others are, and who adds up, somebody else finds out and says
//! through a [`Link`]; `control` waits for nobody.

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub mod packed;
pub mod published;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::event::Event;
use super::{Control, PROXY};
use crate::course::{Input, Voice};
use crate::gate::Routes;
use crate::measure::Tick;
use crate::measure::replicas::{Account, Counted, Drawers, Replicas as Others, Split};
use crate::release::Kind;
use published::Published;

/// What is heard of the replicas.
#[derive(Clone, Debug)]
pub enum Word {
    /// What voice this one has: it adds the others up where it speaks for the sum.
    Voice(Voice),
    /// One has counted this, in order; each tick with how old it was when it was received.
    Counted { replica: String, received: Instant, routes: Arc<[String]>, ticks: Vec<(Duration, Counted)> },
    /// One is left out from here on, for this reason, until it is heard of again.
    Silent { replica: String, why: String },
    /// One is no longer one of them, or has started anew.
    Gone { replica: String },
}

/// The ends that others have: to tell `control`, and to read what it publishes.
#[derive(Clone, Debug)]
pub struct Link {
    words: mpsc::Sender<Word>,
    pub published: Published,
}

/// The end of `control`.
pub struct Replicas {
    words: mpsc::Receiver<Word>,
    published: Published,
    others: Others,
    /// By name.
    standing: BTreeMap<String, Standing>,
    /// Of the last tick's settings.
    routes: (u16, Arc<[String]>),
}

/// Whether one is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    Counted,
    LeftOut { why: String },
}

/// Another replica, as the one that adds up sees it.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    pub replica: String,
    /// What it counts is in the sum.
    pub counted: bool,
    /// Why not; null where it is.
    pub why: Option<String>,
    /// Seconds that the newest that it counted was old when it was added.
    pub lag: f64,
    /// Ticks that were taken as of the present, as of before the weight last changed, and not at all: of another epoch or too old.
    pub present: u64,
    pub late: u64,
    pub dropped: u64,
}

/// Words of one moment of some dozen replicas. Whoever says more waits.
const WORDS: usize = 256;

/// Both ends.
pub fn link() -> (Link, Replicas) {
    let (send, words) = mpsc::channel(WORDS);
    let published = Published::default();
    let link = Link { words: send, published: published.clone() };
    let (others, standing) = (Others::default(), BTreeMap::new());
    (link, Replicas { words, published, others, standing, routes: (0, Arc::default()) })
}

impl Link {
    /// Waits while `control` has more to read than it should. An error means that the proxy ends.
    pub async fn tell(&self, word: Word) -> Result<(), mpsc::error::SendError<Word>> {
        self.words.send(word).await
    }
}

impl Replicas {
    pub(crate) async fn heard(&mut self) -> Option<Word> {
        self.words.recv().await
    }
}

impl Control {
    pub(super) fn heard_of_replicas(&mut self, word: Word) {
        let adds_up = self.course.voice() == Voice::Sum;
        match word {
            Word::Voice(voice) if voice == self.course.voice() => {}
            Word::Voice(voice) => {
                if voice != Voice::Sum {
                    self.inputs.replicas.others.forget_all();
                    self.inputs.replicas.standing.clear();
                }
                self.feed(&Input::Voice(voice), None).expect("no operator asks for it");
            }
            // What was still under way when this one had the sum.
            Word::Counted { .. } | Word::Silent { .. } | Word::Gone { .. } if !adds_up => {}
            Word::Counted { replica, received, routes, ticks } => {
                let here = &self.config.policy.routes;
                let received = self.clock.now().saturating_sub(received.elapsed());
                for (age, mut counted) in ticks {
                    if !names(here).eq(routes.iter().map(String::as_str)) {
                        counted.renumber(&numbers(&routes, here), here.places());
                    }
                    self.inputs.replicas.others.take(&replica, received.saturating_sub(age), counted);
                }
                self.stands(replica, Standing::Counted);
            }
            Word::Silent { replica, why } => self.stands(replica, Standing::LeftOut { why }),
            Word::Gone { replica } => {
                self.inputs.replicas.others.forget(&replica);
                self.inputs.replicas.standing.remove(&replica);
            }
        }
    }

    /// People are told when one is left out, and when it is counted again.
    fn stands(&mut self, replica: String, standing: Standing) {
        let before = self.inputs.replicas.standing.insert(replica.clone(), standing.clone());
        let (kind, sentence) = match (before, standing) {
            (None | Some(Standing::Counted), Standing::Counted) => return,
            (Some(Standing::LeftOut { .. }), Standing::LeftOut { .. }) => return,
            (None | Some(Standing::Counted), Standing::LeftOut { why }) => (
                Kind::ReplicaLeftOut,
                format!(
                    "what replica {replica} counts is left out until it answers, and it judges that by itself: {why}"
                ),
            ),
            (Some(Standing::LeftOut { .. }), Standing::Counted) => {
                (Kind::ReplicaBack, format!("what replica {replica} counts is added up again"))
            }
        };
        let event = Event::new(kind, PROXY.to_owned(), sentence, self.course.state());
        self.record(vec![event], None, None, self.clock.now());
    }

    /// Tells the others what was counted here, and adds what they have told.
    pub(super) fn with_replicas<'t>(&mut self, own: &'t Tick) -> Cow<'t, Tick> {
        let voice = self.course.voice();
        if voice == Voice::Alone {
            return Cow::Borrowed(own);
        }
        let table = self.inputs.routing.table();
        let split =
            Split { epoch: self.course.epoch(), weight: table.weight(), taken_back: self.course.taken_back().len() };
        let drawers = self.inputs.collectors.drawers();
        self.publish_counted(own, split, &drawers);
        if voice != Voice::Sum {
            return Cow::Borrowed(own);
        }
        let mut sum = own.clone();
        self.inputs.replicas.others.add_to(&mut sum, &drawers, split, self.clock.now());
        Cow::Owned(sum)
    }

    fn publish_counted(&mut self, own: &Tick, split: Split, drawers: &Drawers) {
        let Replicas { published, routes: (edition, known), .. } = &mut self.inputs.replicas;
        if *edition != own.routes.edition || known.len() != own.routes.places.len() {
            let all: Vec<String> = names(&self.config.policy.routes).map(str::to_owned).collect();
            (*edition, *known) = (own.routes.edition, all.into());
        }
        let counted = Counted { split, tick: own.clone(), drawers: drawers.clone() };
        published.push(&counted, known);
    }

    /// Empty where this one does not add up others.
    pub(super) fn replica_status(&self) -> Vec<ReplicaStatus> {
        let replicas = &self.inputs.replicas;
        let of = |(replica, standing): (&String, &Standing)| {
            let Account { present, late, of_other_epoch, too_old, lag } = replicas.others.account(replica);
            let why = match standing {
                Standing::Counted => None,
                Standing::LeftOut { why } => Some(why.clone()),
            };
            ReplicaStatus {
                replica: replica.clone(),
                counted: why.is_none(),
                why,
                lag: lag.as_secs_f64(),
                present,
                late,
                dropped: of_other_epoch + too_old,
            }
        };
        replicas.standing.iter().map(of).collect()
    }
}

/// By number, with what is on none of them.
fn names(routes: &Routes) -> impl Iterator<Item = &str> {
    routes.numbered().map(|number| routes.name(number))
}

/// The number here of every route there: each learns its own. What is no route here is on none.
fn numbers(there: &[String], here: &Routes) -> Vec<usize> {
    there.iter().map(|name| here.numbered_as(name).unwrap_or_else(|| here.other()).index()).collect()
}
