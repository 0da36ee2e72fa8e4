//! A message with its signature (Standard Webhooks 1.0).

use std::collections::BTreeMap;

use data_encoding::BASE64;
use http::HeaderName;
use jiff::Timestamp;
use ring::hmac;
use serde_json::json;

use crate::actions::context::Context;
use crate::actions::exchange::{Answer, Next, Request};
use crate::config::runbook::Unrendered;
use crate::config::runbook::kind::Webhook;
use crate::config::runbook::kind::webhook::SigningKey;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

pub(super) fn next(webhook: &Webhook, context: &Context, answers: &[Answer]) -> Result<Next, Unrendered> {
    let Some(answer) = answers.last() else {
        return Ok(Next::Send(Box::new(request(webhook, context, Timestamp::now())?)));
    };
    Ok(match answer.judge() {
        Ok(()) => {
            Next::Delivered { sentence: format!("it was answered {}", answer.status), remembered: BTreeMap::new() }
        }
        Err(next) => next,
    })
}

fn request(webhook: &Webhook, context: &Context, now: Timestamp) -> Result<Request, Unrendered> {
    let data = match &webhook.data {
        Some(data) => context.json(data)?,
        // Without what other actions have answered meanwhile: a message is the same in every attempt.
        None => context.facts.with(&context.now),
    };
    let kind = format!("portcullis.release.{}", context.facts.moment.name());
    let body = json!({ "type": kind, "timestamp": context.facts.at.to_string(), "data": data });
    let mut request = Request::post(&context.fill(&webhook.url)?)?.json(&body);
    for (name, value) in &webhook.headers {
        request = request.header(name.clone(), &context.fill(value)?)?;
    }
    let (id, seconds) = (&context.now.key, now.as_second());
    request = request.header(ID, id)?.header(TIMESTAMP, &seconds.to_string())?;
    match &webhook.key {
        Some(key) => {
            let signature = signature(key, id, seconds, &request.body);
            request.header(SIGNATURE, &signature)
        }
        None => Ok(request),
    }
}

fn signature(SigningKey(key): &SigningKey, id: &str, seconds: i64, body: &[u8]) -> String {
    let signed = [format!("{id}.{seconds}.").as_bytes(), body].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &signed);
    format!("v1,{}", BASE64.encode(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_as_the_example_of_the_specification_is() {
        // From the reference libraries of standard-webhooks.
        let key = BASE64.decode(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let signature =
            signature(&SigningKey(key), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
