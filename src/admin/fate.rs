//! `GET /v1/gate`: what has become of a release, for pipelines.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};

use super::Context;
use super::problem::Problem;
use super::releases;
use crate::config;
use crate::control::status::Status;
use crate::journal::{Archive, Outcome};
use crate::release::Epoch;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// How long to wait for the end of the release, as `30s`.
    wait: Option<String>,
    /// The release that is asked about; the one of the moment unless said.
    epoch: Option<u32>,
}

/// What has become of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Fate {
    /// It has completed: green's version is the new blue.
    Promoted,
    RolledBack,
    /// It is under way, or there is none.
    Undecided,
}

#[derive(Serialize)]
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
pub(super) async fn gate(
    State(context): State<Context>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Answer>, Problem> {
    let wrong = |field: &str, detail: String| Problem::Field { field: field.to_owned(), detail };
    let Query(Asked { wait, epoch }) = asked.map_err(|rejection| wrong("query", rejection.body_text()))?;
    let wait = wait.map_or(Ok(Duration::ZERO), |text| config::duration(&text, Duration::ZERO..=LONGEST_WAIT));
    let wait = wait.map_err(|detail| wrong("wait", format!("wait: {detail}")))?;
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
    let kept = match releases::read(context, Archive::releases).await {
        Ok(releases) => releases.into_iter().find(|release| release.epoch == of.number()),
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
