//! The minutes before a page was opened: the last points of the charts and the last events, in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::{gzip, packed};
use crate::admin::Context;
use crate::control::event::Event;
use crate::control::series::{Point, RESOLUTIONS};

/// What is kept. Only the admin thread has it.
#[derive(Clone, Debug, Default)]
pub struct Past(watch::Sender<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Of each resolution, the oldest first.
    points: [VecDeque<Arc<Point>>; RESOLUTIONS.len()],
    events: VecDeque<Event>,
}

/// More than a release has, and all that is worth reading on one page.
const EVENTS: usize = 200;

/// The answer of `GET /v1/series`.
#[derive(Serialize)]
struct Series<'k> {
    resolutions: Vec<Points<'k>>,
    /// Since the process started; the journal has those of before.
    events: &'k VecDeque<Event>,
}

#[derive(Serialize)]
struct Points<'k> {
    /// Seconds.
    every: u64,
    points: &'k VecDeque<Arc<Point>>,
}

impl Kept {
    fn point(&mut self, point: Arc<Point>) {
        let of = RESOLUTIONS.iter().zip(&mut self.points).find(|(known, _)| known.every.as_secs() == point.every);
        let (resolution, points) = of.expect("there are no points of any other");
        keep(points, point, resolution.kept);
    }
}

fn keep<T>(kept: &mut VecDeque<T>, newest: T, most: usize) {
    if kept.len() >= most {
        kept.pop_front();
    }
    kept.push_back(newest);
}

/// Keeps what happens until `control` ends. What it was too slow for is missing.
pub(in crate::admin) async fn follow(context: Context) {
    let (mut points, mut events) = (context.series.listen(), context.events.listen());
    loop {
        tokio::select! {
            point = points.recv() => match point {
                Ok(point) => context.past.0.send_modify(|kept| kept.point(point)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            },
            event = events.recv() => match event {
                Ok(event) => context.past.0.send_modify(|kept| keep(&mut kept.events, event, EVENTS)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            },
        }
    }
}

/// What both versions did in the last minutes, and what happened.
pub(in crate::admin) async fn series(State(context): State<Context>, headers: HeaderMap) -> Response {
    let json = {
        let kept = context.past.0.borrow();
        let resolutions = RESOLUTIONS.iter().zip(&kept.points);
        let resolutions = resolutions.map(|(known, points)| Points { every: known.every.as_secs(), points }).collect();
        serde_json::to_vec(&Series { resolutions, events: &kept.events }).expect("points and events are plain data")
    };
    let json = Bytes::from(json);
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (content_type, packed(&headers, || gzip(&json, Compression::fast()), || json.clone())).into_response()
}
