//! `GET /v1/replica/evidence`: what this replica has counted, for the one that adds up what all of them count.

use axum::Json;
use axum::extract::State;
use http::Uri;

use super::Context;
use super::problem::Problem;
use super::query::Parameters;
use crate::control::replicas::published::Told;

pub(super) async fn evidence(State(context): State<Context>, uri: Uri) -> Result<Json<Told>, Problem> {
    let parameters = Parameters::of(&uri, &["after"])?;
    let after = parameters.number("after", 0..=u64::MAX)?;
    if !context.counted.is_published() {
        return Err(Problem::NoReplica);
    }
    let _seat = context.seat()?;
    Ok(Json(context.counted.told(after).await))
}
