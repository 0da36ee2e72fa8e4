//! The requests of an action, and what their answers mean.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use jiff::Timestamp;
use serde_json::Value;

use super::context::Context;
use crate::config::runbook::Unrendered;

/// What a kind wants, seeing the answers that this attempt has got so far.
#[derive(Debug)]
pub enum Next {
    Send(Box<Request>),
    Delivered {
        /// What was done, for people.
        sentence: String,
        /// For later actions of the release, which find it by this one's name.
        remembered: BTreeMap<String, String>,
    },
    /// Another attempt may help, after this time where somebody said one.
    Retry {
        why: String,
        after: Option<Duration>,
    },
    Failed {
        why: String,
    },
}

/// A request. It may hold secrets; [`Context::masked`] covers them.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What came back. The body is read up to [`MOST_ANSWER_BYTES`].
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Of an answer. What is longer is cut.
pub const MOST_ANSWER_BYTES: usize = 64 * 1024;

/// Of what an answer says, in sentences.
const MOST_SAID: usize = 200;

/// The header that makes a request count once (IETF draft httpapi-idempotency-key-header).
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Marks what `portcullis runbook test --send` sends.
pub const TEST: HeaderName = HeaderName::from_static("portcullis-test");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

impl Request {
    pub fn new(method: Method, url: &str) -> Result<Request, Unrendered> {
        let uri: Uri = url.parse().map_err(|_| Unrendered::new("its `url` does not become an address"))?;
        if uri.host().is_none() || !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(Unrendered::new("its `url` does not become an address with `https://` and a host"));
        }
        Ok(Request { method, uri, headers: HeaderMap::new(), body: Bytes::new() })
    }

    pub fn post(url: &str) -> Result<Request, Unrendered> {
        Request::new(Method::POST, url)
    }

    pub fn header(mut self, name: HeaderName, value: &str) -> Result<Request, Unrendered> {
        let wrong = |_| Unrendered::new(format!("`{name}` becomes what no header may have"));
        self.headers.insert(name.clone(), HeaderValue::try_from(value).map_err(wrong)?);
        Ok(self)
    }

    pub fn bearer(self, token: &str) -> Result<Request, Unrendered> {
        self.header(AUTHORIZATION, &format!("Bearer {token}"))
    }

    pub fn json(mut self, body: &Value) -> Request {
        self.headers.entry(CONTENT_TYPE).or_insert(JSON);
        self.body = body.to_string().into();
        self
    }

    pub fn text(mut self, body: String) -> Request {
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&body).is_ok();
        self.headers.entry(CONTENT_TYPE).or_insert(if is_json { JSON } else { TEXT });
        self.body = body.into();
        self
    }

    /// As people read it, without secrets.
    pub fn shown(&self, context: &Context) -> String {
        let field = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()))
        };
        let fields: String = self.headers.iter().map(field).collect();
        let body = match serde_json::from_slice::<Value>(&self.body) {
            _ if self.body.is_empty() => String::new(),
            Ok(value) => format!("\n{value:#}\n"),
            Err(_) => format!("\n{}\n", String::from_utf8_lossy(&self.body)),
        };
        let shown = format!("{} {}\n{fields}{body}", self.method, self.uri);
        context.masked(&shown)
    }
}

impl Answer {
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The beginning of what it says, on one line.
    pub fn said(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(4 * MOST_SAID)]).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").chars().filter(|letter| !letter.is_control()).take(MOST_SAID).collect()
    }

    /// What an answer other than 2xx means: 408, 425, 429 and 5xx may be better another time, the others will not.
    pub fn judge(&self) -> Result<(), Next> {
        if self.status.is_success() { Ok(()) } else { Err(self.refused()) }
    }

    /// What an answer means that is not what was wanted.
    pub fn refused(&self) -> Next {
        let said = self.said();
        let why = match self.headers.get(LOCATION).filter(|_| self.status.is_redirection()) {
            Some(_) => format!("it was redirected ({}), which is not followed", self.status),
            None if said.is_empty() => format!("the answer was {}", self.status),
            None => format!("the answer was {}: {said}", self.status),
        };
        let again = matches!(self.status.as_u16(), 408 | 425 | 429) || self.status.is_server_error();
        if again { Next::Retry { why, after: retry_after(&self.headers) } } else { Next::Failed { why } }
    }
}

/// In seconds, or as a date (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = Timestamp::try_from(httpdate::parse_http_date(value).ok()?).ok()?;
    Some(Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_in_seconds_or_by_a_date_when_to_come_again() {
        let after =
            |value: &'static str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]));
        assert_eq!((after("120"), after("soon")), (Some(Duration::from_secs(120)), None));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO), "it is over");
        assert!(after("Tue, 01 Jan 2999 00:00:00 GMT") > Some(Duration::from_secs(1 << 30)));
    }

    #[test]
    fn a_text_that_is_json_is_sent_as_json_and_whoever_says_what_it_is_knows_better() {
        let kind = |text: &str, said: Option<&str>| {
            let request = Request::post("https://x").expect("an address");
            let request = match said {
                Some(said) => request.header(CONTENT_TYPE, said).expect("a header"),
                None => request,
            };
            request.text(text.to_owned()).headers[CONTENT_TYPE].to_str().expect("text").to_owned()
        };
        assert_eq!(kind("{\"a\": 1}", None), "application/json");
        assert_eq!(kind("{a", None), "text/plain; charset=utf-8");
        assert_eq!(kind("{\"a\": 1}", Some("application/vnd.a+json")), "application/vnd.a+json");
    }
}
