//! `GET /v1/releases/{id}/report`: a release told in the form that is asked for.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderMap, HeaderValue, Uri};
use jiff::Timestamp;

use super::Context;
use super::problem::Problem;
use super::query::Parameters;
use super::releases::{Id, read};
use crate::journal::{Archive, ReadError};
use crate::report::trace::Trace;
use crate::report::{self, Report};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Markdown,
    Html,
    Json,
}

const FORMS: [(&str, &str, Form); 3] = [
    ("markdown", "text/markdown", Form::Markdown),
    ("html", "text/html", Form::Html),
    ("json", "application/json", Form::Json),
];

/// Longer `Accept` fields are taken for no wish.
const ACCEPT_BYTES: usize = 1024;

pub(super) async fn report(
    State(context): State<Context>,
    id: Id,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let parameters = Parameters::of(&uri, &["format"])?;
    let form = match parameters.text("format") {
        None => accepted(headers.get_all(ACCEPT).iter()),
        Some(name) => FORMS.into_iter().find(|(known, ..)| *known == name).map(|(.., form)| form).ok_or_else(|| {
            Problem::field("format", format!("there is no form {name:?}; write markdown, html or json"))
        })?,
    };
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let wanted = id.clone();
    let told = read(&context, move |archive| tell(archive, &wanted)).await?.ok_or(Problem::UnknownRelease(id))?;
    let mut response = match form {
        Form::Markdown => ([(CONTENT_TYPE, "text/markdown; charset=utf-8")], told.markdown()).into_response(),
        Form::Html => {
            let headers = [
                (CONTENT_TYPE, "text/html; charset=utf-8"),
                (CONTENT_SECURITY_POLICY, report::POLICY),
                (X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (X_FRAME_OPTIONS, "DENY"),
            ];
            (headers, told.html()).into_response()
        }
        Form::Json => Json(told).into_response(),
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

fn tell(archive: &Archive, id: &str) -> Result<Option<Report>, ReadError> {
    let now = Timestamp::now();
    let Some(release) = archive.release(id)? else { return Ok(None) };
    let window = report::window(&release, now);
    let slots = archive.slots_from(release.record.header.epoch, window.from)?;
    // A release is told without its evidence rather than not at all.
    let trace = Trace::read(window, slots).inspect_err(|error| tracing::warn!(%error, id, "no charts in the report"));
    Ok(Some(Report::new(release, trace.ok().as_ref(), now)))
}

/// What the fields prefer: RFC 9110, section 12.5.1. Of what they prefer alike the first of [`FORMS`].
fn accepted<'h>(fields: impl Iterator<Item = &'h HeaderValue>) -> Form {
    let fields: Vec<&str> = fields.filter_map(|field| field.to_str().ok()).collect();
    let all = fields.join(",");
    if all.len() > ACCEPT_BYTES {
        return Form::Markdown;
    }
    let quality = |media_type: &str| {
        let wishes = all.split(',').filter_map(|range| wish(range, media_type));
        wishes.max_by_key(|(closeness, _)| *closeness).map_or(0.0, |(_, quality)| quality)
    };
    let mut best = (0.0, Form::Markdown);
    for (_, media_type, form) in FORMS {
        let quality = quality(media_type);
        if quality > best.0 {
            best = (quality, form);
        }
    }
    best.1
}

/// How closely a range names the media type, and how much it is wanted; none where it does not name it.
fn wish(range: &str, media_type: &str) -> Option<(u8, f64)> {
    let mut parts = range.split(';').map(str::trim);
    let named = parts.next()?;
    let whole = media_type.split('/').next()?;
    let closeness = match named.split_once('/')? {
        ("*", "*") => 0,
        (group, "*") if group.eq_ignore_ascii_case(whole) => 1,
        _ if named.eq_ignore_ascii_case(media_type) => 2,
        _ => return None,
    };
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some((closeness, quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[&str], expected: Form) {
        let fields: Vec<HeaderValue> =
            fields.iter().map(|field| HeaderValue::from_str(field).expect("a value")).collect();
        assert_eq!(accepted(fields.iter()), expected, "{fields:?}");
    }

    #[test]
    fn the_form_is_the_one_that_is_wanted_most_and_markdown_where_that_is_all_the_same() {
        check(&[], Form::Markdown);
        check(&["*/*"], Form::Markdown);
        check(&["image/png"], Form::Markdown);
        check(&["application/json"], Form::Json);
        check(&["text/*"], Form::Markdown);
        check(&["TEXT/HTML"], Form::Html);
        check(&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], Form::Html);
        check(&["text/html;q=0.2", "application/json;q=0.7"], Form::Json);
        check(&["text/*;q=0.9, text/markdown;q=0.1"], Form::Html);
        check(&["*/*, text/markdown;q=0, text/html;q=0"], Form::Json);
        check(&["text/html;q=x, application/json;q=0.1"], Form::Json);
        check(&["application/json", &", */*".repeat(400)], Form::Markdown);
    }
}
