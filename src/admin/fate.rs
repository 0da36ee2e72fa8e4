//! `GET /v1/gate`: what has become of a release, for pipelines.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::Uri;
use schemars::JsonSchema;
use serde::Serialize;

use super::Context;
use super::problem::Problem;
use super::query::Parameters;
use super::releases;
use crate::config;
use crate::control::status::Status;
use crate::journal::Outcome;
use crate::release::Epoch;

/// What has become of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
enum Fate {
    /// It has completed: green's version is the new blue.
    Promoted,
    RolledBack,
    /// It is under way, or there is none.
    Undecided,
}

/// What has become of a release, in a word and in a sentence.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Gate")]
pub(super) struct Answer {
    outcome: Fate,
    /// Of the outcome; undecided is only the release of the moment.
    epoch: Epoch,
    /// The state of the moment.
    state: &'static str,
    sentence: String,
}

/// Longer than this no answer is held back: whoever wants to wait longer asks again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Answers as soon as the fate is known, at the latest after `wait`.
pub(super) async fn gate(State(context): State<Context>, uri: Uri) -> Result<Json<Answer>, Problem> {
    let parameters = Parameters::of(&uri, &["wait", "epoch"])?;
    let epoch = parameters.number("epoch", 0..=u32::MAX)?;
    let wait = parameters.text("wait").map(|text| config::duration(text, Duration::ZERO..=LONGEST_WAIT));
    let wait = wait.unwrap_or(Ok(Duration::ZERO)).map_err(|detail| Problem::field("wait", detail))?;
    let _seat = if wait.is_zero() { None } else { Some(context.seat()?) };
    let mut status = context.status.clone();
    let first = status.borrow_and_update().clone();
    // In front of a release the next one is meant.
    let of = epoch.map(Epoch::from).or((first.state != IDLE).then_some(first.epoch));
    // Another green version ends a release without a new epoch.
    let is_past = |of: Epoch, status: &Status| of != status.epoch || status.state == IDLE;
    let settled = |status: &Arc<Status>| of.is_some_and(|of| is_past(of, status)) || fate(status) != Fate::Undecided;
    let status = {
        let waited = tokio::time::timeout(wait, status.wait_for(settled)).await;
        waited.ok().and_then(Result::ok).map(|status| status.clone())
    };
    let status = status.unwrap_or_else(|| context.status.borrow().clone());
    match of.filter(|of| is_past(*of, &status)) {
        Some(of) => Ok(Json(past(&context, of, &status).await?)),
        None => Ok(Json(Answer {
            outcome: fate(&status),
            epoch: status.epoch,
            state: status.state,
            sentence: sentence(&status),
        })),
    }
}

const IDLE: &str = "idle";

fn fate(status: &Status) -> Fate {
    match status.state {
        "completed" => Fate::Promoted,
        "rolledBack" => Fate::RolledBack,
        _ => Fate::Undecided,
    }
}

fn sentence(status: &Status) -> String {
    let why = status.rollback.as_ref().map(|rollback| rollback.reason.clone()).or_else(|| status.pause.clone());
    match fate(status) {
        Fate::Promoted => format!("{} has all the traffic and is the new blue", status.blue.version),
        Fate::RolledBack | Fate::Undecided => why.unwrap_or_else(|| status.verdict.sentence.clone()),
    }
}

/// The fate of a release that is not the one of the moment.
async fn past(context: &Context, of: Epoch, status: &Status) -> Result<Answer, Problem> {
    let kept = match releases::read(context, move |archive| archive.header(of.number())).await {
        Ok(kept) => kept,
        Err(Problem::NoJournal) => None,
        Err(problem) => return Err(problem),
    };
    let outcome = match kept.map(|release| release.outcome) {
        Some(Outcome::Promoted) => Fate::Promoted,
        Some(Outcome::RolledBack) => Fate::RolledBack,
        // The end of a release that another green version ended is about to be written.
        Some(Outcome::Open) if of == status.epoch => Fate::RolledBack,
        Some(Outcome::Open) | None => Fate::Undecided,
    };
    let since = match status.state {
        IDLE => "no release is open".to_owned(),
        _ => format!("epoch {} has begun since", status.epoch),
    };
    let sentence = match outcome {
        Fate::Promoted => format!("release {of} has completed; {since}"),
        Fate::RolledBack => format!("release {of} was rolled back; {since}"),
        Fate::Undecided => format!("epoch {} is here, and nothing is known of release {of}", status.epoch),
    };
    let epoch = if outcome == Fate::Undecided { status.epoch } else { of };
    Ok(Answer { outcome, epoch, state: status.state, sentence })
}
