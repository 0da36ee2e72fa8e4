//! The body of a request: JSON, one object, each of its fields as the schema says.

use std::fmt;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::{HeaderMap, header};
use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};
use serde_path_to_error::Segment;

use super::Context;
use super::problem::Problem;
use super::words::{self, Wrong};

/// A whole body, as it was received.
#[derive(Clone, Debug)]
pub(super) struct Received(pub Bytes);

/// What a body says that has to be there.
pub(super) struct Sent<T>(pub T);

/// A body that is read after something else was looked at.
pub(super) struct Unread {
    headers: HeaderMap,
    bytes: Bytes,
}

/// What a body says that may be left out.
pub(super) struct Perhaps<T>(pub T);

impl<T: DeserializeOwned + JsonSchema> FromRequest<Context> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Context) -> Result<Sent<T>, Problem> {
        parse(request.headers(), received(&request)?).map(Sent)
    }
}

impl FromRequest<Context> for Unread {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Context) -> Result<Unread, Problem> {
        let bytes = received(&request)?.clone();
        Ok(Unread { headers: request.into_parts().0.headers, bytes })
    }
}

impl Unread {
    pub(super) fn read<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, Problem> {
        parse(&self.headers, &self.bytes)
    }
}

impl<T: DeserializeOwned + JsonSchema + Default> FromRequest<Context> for Perhaps<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Context) -> Result<Perhaps<T>, Problem> {
        let bytes = received(&request)?;
        if bytes.is_empty() { Ok(Perhaps(T::default())) } else { parse(request.headers(), bytes).map(Perhaps) }
    }
}

/// What was received before it came to the endpoint.
fn received(request: &Request) -> Result<&Bytes, Problem> {
    request.extensions().get::<Received>().map(|Received(bytes)| bytes).ok_or(Problem::Internal)
}

pub(super) fn parse<T: DeserializeOwned + JsonSchema>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Problem::NotJson);
    }
    // A list would be taken for the fields in their order.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::NotAnObject("it does not begin with {".to_owned()));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let Unambiguous(value) = serde_path_to_error::deserialize(&mut reader).map_err(|fault| broken::<T>(fault))?;
    reader.end().map_err(|fault| Problem::NotAnObject(fault.to_string()))?;
    typed(value)
}

/// An object that was read already, as `T`.
pub(super) fn typed<T: DeserializeOwned + JsonSchema>(value: Value) -> Result<T, Problem> {
    let wrong = words::check(&value, &words::schema::<T>());
    if !wrong.is_empty() {
        return Err(Problem::Fields(wrong));
    }
    // What a schema cannot say.
    serde_path_to_error::deserialize(value)
        .map_err(|fault| Problem::field(fault.path().to_string(), fault.inner().to_string()))
}

/// What is no JSON at all, by the field in which it stops being so.
fn broken<T: JsonSchema>(fault: serde_path_to_error::Error<serde_json::Error>) -> Problem {
    if !matches!(fault.path().iter().next(), Some(Segment::Map { .. })) || fault.inner().is_eof() {
        return Problem::NotAnObject(fault.inner().to_string());
    }
    let field = fault.path().to_string();
    let instead = words::wanted_at(&field, &words::schema::<T>()).map(|wanted| format!("; write {wanted}"));
    let detail = format!("is no JSON: {}{}", fault.inner(), instead.unwrap_or_default());
    Problem::Fields(vec![Wrong::new(field, detail)])
}

/// A value in which no object has a field twice: two readers could take it for two things.
pub(super) struct Unambiguous(pub Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unambiguous, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Unambiguous;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E: Error>(self) -> Result<Unambiguous, E> {
                Ok(Unambiguous(Value::Null))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Unambiguous, E> {
                Ok(Unambiguous(value.into()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Unambiguous, E> {
                Ok(Unambiguous(value.into()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Unambiguous, E> {
                Ok(Unambiguous(value.into()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Unambiguous, E> {
                let number = Number::from_f64(value).ok_or_else(|| E::custom("a number without bounds"))?;
                Ok(Unambiguous(number.into()))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Unambiguous, E> {
                Ok(Unambiguous(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Unambiguous, A::Error> {
                let mut list = Vec::new();
                while let Some(Unambiguous(element)) = elements.next_element()? {
                    list.push(element);
                }
                Ok(Unambiguous(list.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Unambiguous, A::Error> {
                let mut object = Map::new();
                while let Some(name) = fields.next_key::<String>()? {
                    if object.contains_key(&name) {
                        return Err(A::Error::custom(format_args!("duplicate field `{}`", name.escape_debug())));
                    }
                    let Unambiguous(value) = fields.next_value()?;
                    object.insert(name, value);
                }
                Ok(Unambiguous(object.into()))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
