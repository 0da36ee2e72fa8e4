//! What the other replicas count: asked of each of them, one after the other as long as this one leads, and told to `control`.
//!
//! Who they are is found elsewhere. A replica that does not answer keeps nobody waiting: it is left out, and told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::SendRequest;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::admin::{Hop, Unreachable};
use crate::config::Secret;
use crate::control::replicas::published::Told;
use crate::control::replicas::{Link, Word, packed};
use crate::control::together::Place;
use crate::course::Voice;

/// Another replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub name: String,
    /// The URL of its admin API.
    pub admin: String,
}

/// This replica among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Among {
    /// Whoever leads adds up what all of them count.
    pub place: Place,
    /// All but this one.
    pub others: Arc<[Peer]>,
}

/// How the others are asked.
#[derive(Clone)]
pub struct Asking {
    pub hop: Hop,
    /// What they are shown.
    pub token: Option<Secret>,
}

/// Why nothing was heard.
#[derive(Debug, thiserror::Error)]
enum Unheard {
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    #[error("it gave no answer: {0}")]
    Http(#[from] hyper::Error),
    #[error("it cannot be asked: {0}")]
    Request(#[from] http::Error),
    #[error("it gave no answer within {} s", LONGEST_ANSWER.as_secs())]
    Silent,
    #[error("it answered {0}: {1}")]
    Refused(StatusCode, String),
    #[error("it answered with what no replica tells: {0}")]
    Unsound(String),
    #[error("it packs what it counts by format {0}, and this one by {known}: they are of different versions", known = packed::FORMAT)]
    Format(u32),
    #[error("it answers, and has counted nothing for {} s", PATIENCE.as_secs())]
    StandsStill,
}

/// What a replica has told so far.
struct Known {
    session: String,
    number: u64,
}

/// It answers within a second, whatever happens.
const LONGEST_ANSWER: Duration = Duration::from_secs(3);

/// One that has told nothing for so long is left out. Up to there what it tells is taken as of the present anyway.
const PATIENCE: Duration = Duration::from_secs(2);

const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// As many ticks as are told at once, with thousands of sticky clients in each.
const LARGEST_ANSWER: usize = 16 << 20;

/// Tells `control` what voice this replica has, and what the others count as long as it leads. Ends with the proxy, or with whoever
/// knows the others.
pub async fn follow(mut among: watch::Receiver<Among>, asking: Asking, link: Link) {
    let mut asked: BTreeMap<String, (Peer, AbortHandle)> = BTreeMap::new();
    loop {
        let Among { place, others } = among.borrow_and_update().clone();
        let voice = match place {
            Place::Leads => Voice::Sum,
            // Of the others one leads, and this one follows.
            Place::Follows => Voice::Own { among: u32::try_from(others.len()).unwrap_or(u32::MAX) },
        };
        if link.tell(Word::Voice(voice)).await.is_err() {
            break;
        }
        let wanted: &[Peer] = if place == Place::Leads { &others } else { &[] };
        let gone: Vec<String> =
            asked.iter().filter(|(_, (peer, _))| !wanted.contains(peer)).map(|(name, _)| name.clone()).collect();
        for replica in gone {
            if let Some((_, task)) = asked.remove(&replica) {
                task.abort();
            }
            if link.tell(Word::Gone { replica }).await.is_err() {
                return;
            }
        }
        for peer in wanted {
            asked.entry(peer.name.clone()).or_insert_with(|| {
                let asking = ask(peer.clone(), asking.clone(), link.clone());
                (peer.clone(), tokio::spawn(asking).abort_handle())
            });
        }
        if among.changed().await.is_err() {
            break;
        }
    }
    asked.values().for_each(|(_, task)| task.abort());
}

/// Asks one replica for as long as the proxy runs.
async fn ask(peer: Peer, asking: Asking, link: Link) {
    let (mut connection, mut known) = (None, None);
    let mut heard = Instant::now();
    loop {
        let began = Instant::now();
        let answer = timeout(LONGEST_ANSWER, tell(&peer, &asking, &mut connection, known.as_ref())).await;
        // What lay around while this process stood still is older than it says.
        let answer = match answer {
            Ok(answer) if began.elapsed() <= LONGEST_ANSWER => answer,
            Ok(_) | Err(_) => Err(Unheard::Silent),
        };
        let words = answer.and_then(|told| words(&peer.name, told, &mut known));
        let words = match words {
            Ok(words) if words.iter().any(|word| matches!(word, Word::Counted { .. })) => {
                heard = Instant::now();
                words
            }
            Ok(words) if heard.elapsed() < PATIENCE => words,
            Ok(_) => {
                // Another process may have its address by now, and this one only have kept its connections.
                connection = None;
                vec![Word::Silent { replica: peer.name.clone(), why: Unheard::StandsStill.to_string() }]
            }
            Err(unheard) => {
                tracing::debug!(replica = peer.name, %unheard);
                connection = None;
                sleep(AGAIN_AFTER).await;
                if heard.elapsed() < PATIENCE {
                    continue;
                }
                vec![Word::Silent { replica: peer.name.clone(), why: unheard.to_string() }]
            }
        };
        for word in words {
            if link.tell(word).await.is_err() {
                return;
            }
        }
    }
}

/// What is made of an answer. What is known of the replica goes on by it.
fn words(replica: &str, told: Told, known: &mut Option<Known>) -> Result<Vec<Word>, Unheard> {
    let received = Instant::now();
    let Told { format, session, routes, ticks, .. } = told;
    if format != packed::FORMAT {
        return Err(Unheard::Format(format));
    }
    let mut words = Vec::new();
    if known.as_ref().is_some_and(|known| known.session != session) {
        *known = None;
        words.push(Word::Gone { replica: replica.to_owned() });
    }
    let mut before = known.as_ref().map(|known| known.number);
    let mut counted = Vec::with_capacity(ticks.len());
    for tick in ticks {
        if before.is_some_and(|before| tick.number <= before) {
            return Err(Unheard::Unsound(format!("tick {} once more", tick.number)));
        }
        if let Some(before) = before.filter(|before| tick.number > before + 1) {
            let lost = tick.number - before - 1;
            tracing::warn!(replica, lost, "a replica no longer has what it counted while it was not heard");
        }
        before = Some(tick.number);
        let held = tick.counted(routes.len());
        let held = held.ok_or_else(|| Unheard::Unsound(format!("tick {} holds what cannot be", tick.number)))?;
        counted.push((Duration::from_millis(tick.age_millis), held));
    }
    if let Some(number) = before {
        *known = Some(Known { session, number });
    }
    if !counted.is_empty() {
        words.push(Word::Counted { replica: replica.to_owned(), received, routes, ticks: counted });
    }
    Ok(words)
}

async fn tell(
    peer: &Peer,
    Asking { hop, token }: &Asking,
    connection: &mut Option<(SendRequest<Empty<Bytes>>, Authority)>,
    known: Option<&Known>,
) -> Result<Told, Unheard> {
    let (sender, authority) = match connection {
        Some(known) if !known.0.is_closed() => known,
        _ => connection.insert(hop.connect(&peer.admin).await?),
    };
    sender.ready().await?;
    let after = known.map(|known| format!("?after={}", known.number)).unwrap_or_default();
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(format!("/v1/replica/evidence{after}"))
        .header(header::HOST, authority.as_str());
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
    }
    let request = request.body(Empty::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
    let body = body.map_err(|error| Unheard::Unsound(error.to_string()))?.to_bytes();
    if !status.is_success() {
        let problem: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str()).unwrap_or("no detail was given");
        return Err(Unheard::Refused(status, detail.chars().take(LONGEST_DETAIL).collect()));
    }
    serde_json::from_slice(&body).map_err(|error| Unheard::Unsound(error.to_string()))
}

/// Of what an answer says, in a sentence.
const LONGEST_DETAIL: usize = 200;

#[cfg(test)]
mod tests;
