//! What is asked before a release goes on, as `control` sees it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::Control;
use super::event::Event;
use crate::actions::asking::Ask;
use crate::course::{Course, Input};
use crate::release::gates::{AtGate, Stands};
use crate::release::input::PLAN;
use crate::release::{Answer, Answered, Kind};

/// In `GET /v1/status`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// `beforeStart`, `beforeStep` or `beforePromotion`.
    pub moment: &'static str,
    /// `asked`, `waits`, `refused`, `passed` or `overridden`.
    pub stands: &'static str,
    pub sentence: String,
    /// Seconds since it was first asked.
    pub waited: f64,
    /// Seconds until it has refused for want of an answer, is asked again, or counts as passed no longer; null else.
    pub left: Option<f64>,
}

impl Control {
    /// Has what the core asks found out, once its question has been recorded. Where nobody is there to do that, that is the
    /// answer.
    pub(super) fn ask(&mut self) {
        let Some(question) = self.to_ask.take() else { return };
        let sentence = self.course.state().run().and_then(|run| run.held_by()).unwrap_or_default().to_owned();
        let event = Event::new(Kind::GateAsked, PLAN.to_owned(), sentence, self.course.state());
        let facts = self.facts(question.moment.into(), &event);
        let ask = Ask { question, facts, runbook: self.config.runbook.clone() };
        if let Err(error) = self.inputs.asking.questions.try_send(ask) {
            tracing::error!(%error, moment = question.moment.name(), "nobody finds out whether the release may go on");
            let sentence = "nobody is there to find it out".to_owned();
            self.answered(Answered { question, answer: Answer::Refuse { sentence } });
        }
    }

    pub(super) fn answered(&mut self, answered: Answered) {
        self.catch_up();
        self.feed(&Input::Answered(answered), None).expect("no operator asks for it");
    }
}

impl GateStatus {
    /// Of the gate that the release stands at.
    pub(super) fn of(course: &Course, now: Duration) -> Option<GateStatus> {
        let AtGate { question, since, sentence, stands } = course.state().run()?.holds.gate.as_ref()?;
        let left = match stands {
            Stands::Asked { until } | Stands::Waits { until } | Stands::Passed { until } => Some(*until),
            Stands::Refused | Stands::Overridden => None,
        };
        Some(GateStatus {
            moment: question.moment.name(),
            stands: stands.name(),
            sentence: sentence.clone(),
            waited: now.saturating_sub(*since).as_secs_f64(),
            left: left.map(|until| until.saturating_sub(now).as_secs_f64()),
        })
    }
}
