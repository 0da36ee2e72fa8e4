//! The dashboard: one page of a few small files that are part of the program, and what it draws.
//!
//! [`live`] is the stream that keeps a page up to date, [`past`] what a page shows of the minutes before it was opened. The page
//! itself holds nothing that is worth a token: it is served to everybody, and asks for one. Absent: a build step, and anything from
//! elsewhere.

mod live;
mod past;

use std::io::Write as _;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use super::problem::Problem;
pub(super) use live::live;
pub use past::Past;
pub(super) use past::{follow, series};

/// One file of the page.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

/// An asset as it is sent.
struct Served {
    asset: &'static Asset,
    gzip: Bytes,
    etag: HeaderValue,
}

macro_rules! asset {
    ($name:literal, $media_type:literal) => {
        Asset { name: $name, media_type: $media_type, bytes: include_bytes!(concat!("assets/", $name)) }
    };
}

const PAGE: &str = "index.html";

static ASSETS: [Asset; 9] = [
    asset!("index.html", "text/html; charset=utf-8"),
    asset!("style.css", "text/css; charset=utf-8"),
    asset!("icon.svg", "image/svg+xml"),
    asset!("main.js", "text/javascript; charset=utf-8"),
    asset!("server.js", "text/javascript; charset=utf-8"),
    asset!("words.js", "text/javascript; charset=utf-8"),
    asset!("picture.js", "text/javascript; charset=utf-8"),
    asset!("charts.js", "text/javascript; charset=utf-8"),
    asset!("acts.js", "text/javascript; charset=utf-8"),
];

static SERVED: LazyLock<Vec<Served>> = LazyLock::new(|| ASSETS.iter().map(Served::new).collect());

/// What a browser may do with the page: load its own files and talk to where it came from.
const MAY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                   base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Looked at anew each time, and sent only when it has changed.
const KEPT: &str = "no-cache";

impl Served {
    fn new(asset: &'static Asset) -> Served {
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(asset.bytes)[..8]);
        let etag = HeaderValue::try_from(format!("W/\"{digest}\"")).expect("hexadecimal digits are text");
        Served { asset, gzip: gzip(asset.bytes, Compression::best()), etag }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|known| known.to_str().ok());
        let etag = self.etag.to_str().expect("it was made of text");
        if known.flat_map(|list| list.split(',')).any(|known| [etag, &etag[2..], "*"].contains(&known.trim())) {
            return (StatusCode::NOT_MODIFIED, [(header::ETAG, self.etag.clone())]).into_response();
        }
        let fields = [
            (header::CONTENT_TYPE, HeaderValue::from_static(self.asset.media_type)),
            (header::ETAG, self.etag.clone()),
        ];
        (fields, packed(headers, || self.gzip.clone(), || Bytes::from_static(self.asset.bytes))).into_response()
    }
}

pub(super) async fn page(headers: HeaderMap) -> Result<Response, Problem> {
    named(PAGE, &headers)
}

pub(super) async fn asset(name: Result<Path<String>, PathRejection>, headers: HeaderMap) -> Result<Response, Problem> {
    named(&name.map(|Path(name)| name).unwrap_or_default(), &headers)
}

fn named(name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let served = SERVED.iter().find(|served| served.asset.name == name);
    Ok(served.ok_or(Problem::NotFound)?.answer(headers))
}

/// Adds to every answer of the page what keeps it to itself.
pub(super) async fn guarded(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let fields: [(HeaderName, &'static str); 7] = [
        (header::CONTENT_SECURITY_POLICY, MAY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CACHE_CONTROL, KEPT),
    ];
    for (name, value) in fields {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The first of the two where the client takes gzip, else the other.
fn packed(headers: &HeaderMap, gzip: impl FnOnce() -> Bytes, plain: impl FnOnce() -> Bytes) -> Response {
    let mut response = if takes_gzip(headers) {
        ([(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))], gzip()).into_response()
    } else {
        plain().into_response()
    };
    // What is said of the media type stands beside it.
    response.headers_mut().remove(header::CONTENT_TYPE);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok());
    let mut codings = lists.flat_map(|list| list.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok()) == Some(0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

fn gzip(bytes: &[u8], level: Compression) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).expect("memory takes it all");
    encoder.finish().expect("memory takes it all").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a phone on a bad connection loads.
    const MOST_BYTES: usize = 200_000;

    #[test]
    fn all_files_of_the_page_together_are_small() {
        let bytes: usize = ASSETS.iter().map(|asset| asset.bytes.len()).sum();
        assert!(bytes < MOST_BYTES, "{bytes} bytes");
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accepted, expected) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("br", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            assert_eq!(takes_gzip(&headers), expected, "{accepted}");
        }
    }
}
