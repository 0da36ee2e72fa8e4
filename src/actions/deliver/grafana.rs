//! Grafana: an annotation (grafana.com/docs/grafana/latest/developer-resources/api-reference/http-api/annotations), which is
//! a region from the start of a release to the last that was told of it.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::talk::talk;
use crate::actions::context::Context;
use crate::actions::exchange::{Answer, Next, Request};
use crate::actions::markup::mrkdwn;
use crate::actions::notice::Notice;
use crate::config::runbook::Unrendered;
use crate::config::runbook::kind::Grafana;

pub(super) fn next(grafana: &Grafana, context: &Context, answers: &[Answer]) -> Result<Next, Unrendered> {
    talk(answers, |talk| {
        let known = context
            .earlier
            .iter()
            .filter(|earlier| earlier.kind == "grafana" && earlier.values.get("url") == Some(&grafana.url))
            .filter(|earlier| earlier.values.get("dashboard") == grafana.dashboard.as_ref())
            .find_map(|earlier| earlier.values.get("annotation")?.parse::<u64>().ok());
        if let Some(id) = known {
            let body = annotation(grafana, context)?;
            let path = format!("annotations/{id}");
            let answer = talk.ask(|| Ok(request(grafana, Method::PATCH, &path, context)?.json(&body)))?;
            // Somebody may have removed it.
            if answer.status != StatusCode::NOT_FOUND {
                answer.judge()?;
                return Ok(delivered(grafana, id, "extended"));
            }
        }
        let mut body = annotation(grafana, context)?;
        if let Some(dashboard) = &grafana.dashboard {
            body["dashboardUID"] = json!(dashboard);
        }
        if let Some(panel) = grafana.panel {
            body["panelId"] = json!(panel);
        }
        let answer = talk.get(|| Ok(request(grafana, Method::POST, "annotations", context)?.json(&body)))?;
        Ok(match answer.json().unwrap_or_default()["id"].as_u64() {
            Some(id) => delivered(grafana, id, "made"),
            None => Next::Failed { why: format!("the answer was {}, and names no annotation", answer.status) },
        })
    })
}

fn delivered(grafana: &Grafana, id: u64, what: &str) -> Next {
    let mut remembered =
        BTreeMap::from([("annotation".to_owned(), id.to_string()), ("url".to_owned(), grafana.url.clone())]);
    if let Some(dashboard) = &grafana.dashboard {
        remembered.insert("dashboard".to_owned(), dashboard.clone());
    }
    Next::Delivered { sentence: format!("annotation {id} was {what}"), remembered }
}

/// The whole region as of this moment, with a text in HTML.
fn annotation(grafana: &Grafana, context: &Context) -> Result<Value, Unrendered> {
    let facts = &context.facts;
    let text = match &grafana.text {
        Some(text) => context.render(text)?,
        None => {
            let notice = Notice::new(context);
            let link = notice.link.as_ref().map(|link| format!(" <a href=\"{}\">Report</a>", attribute(link)));
            format!("{}{}", mrkdwn(&notice.line()), link.unwrap_or_default())
        }
    };
    let own = ["portcullis", &facts.service, facts.moment.name()];
    let tags: Vec<&str> = own.into_iter().chain(grafana.tags.iter().map(String::as_str)).collect();
    Ok(json!({
        "time": facts.started.as_millisecond(),
        "timeEnd": facts.at.as_millisecond(),
        "tags": tags,
        "text": text,
    }))
}

fn request(grafana: &Grafana, method: Method, path: &str, context: &Context) -> Result<Request, Unrendered> {
    Request::new(method, &format!("{}/api/{path}", grafana.url))?.bearer(&context.expose(&grafana.token))
}

fn attribute(text: &str) -> String {
    mrkdwn(text).replace('"', "&quot;")
}
