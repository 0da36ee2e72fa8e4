//! Whether a release may go on: the actions of a moment before something happens, carried out one after the other until one
//! does not pass.
//!
//! None of it is in the outbox: a process that starts anew asks anew. A question ends the one before it, whose answer nobody
//! waits for any more.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};

use super::context::{Context, Remembered};
use super::deliver::{Attempt, End, Said, deliver};
use super::facts::{Facts, Now};
use super::outbox::key;
use super::reach::Reach;
use crate::config::Runbook;
use crate::config::runbook::kind::Kind;
use crate::config::runbook::{Action, OnFailure, back_off};
use crate::release::{Answer, Answered, Question};

/// A question, and what is known when it is asked.
#[derive(Debug)]
pub struct Ask {
    pub question: Question,
    pub facts: Facts,
    pub runbook: Arc<Runbook>,
}

/// Questions that wait to be taken up. Of a release one is open at a time.
const WAITING: usize = 16;

/// Of whoever asks to wait and does not say how long.
const WAIT: Duration = Duration::from_secs(30);

/// How a program says that it does not know yet (`EX_TEMPFAIL` of sysexits.h).
const NOT_YET: i32 = 75;

/// The end of whoever asks.
pub struct Asking {
    pub questions: mpsc::Sender<Ask>,
    pub answers: mpsc::Receiver<Answered>,
}

/// The other end.
pub struct Answering {
    questions: mpsc::Receiver<Ask>,
    answers: mpsc::Sender<Answered>,
}

pub fn channel() -> (Asking, Answering) {
    let (question, questions) = mpsc::channel(WAITING);
    let (answer, answers) = mpsc::channel(WAITING);
    (Asking { questions: question, answers }, Answering { questions, answers: answer })
}

impl Answering {
    /// Finds out what is asked, on a thread of its own, by what `reach` makes of a runbook.
    pub fn spawn(self, reach: impl Fn(&Runbook) -> Reach + Send + 'static) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("portcullis-gates".to_owned());
        thread.spawn(move || LocalSet::new().block_on(&runtime, self.serve(reach)))?;
        Ok(())
    }

    async fn serve(mut self, reach: impl Fn(&Runbook) -> Reach) {
        let mut under_way = JoinSet::new();
        while let Some(ask) = self.questions.recv().await {
            under_way.shutdown().await;
            let (reach, answers) = (reach(&ask.runbook), self.answers.clone());
            under_way.spawn_local(async move {
                let answered = Answered { question: ask.question, answer: find_out(&ask, &reach).await };
                if answers.send(answered).await.is_err() {
                    tracing::debug!("the proxy has ended before it was known whether the release may go on");
                }
            });
        }
    }
}

/// How one action stands.
enum Found {
    Passed(Option<Remembered>),
    Ends(Answer),
}

async fn find_out(Ask { question, facts, runbook }: &Ask, reach: &Reach) -> Answer {
    let moment = question.moment;
    let actions: Vec<&Arc<Action>> = runbook.at(moment.into()).collect();
    if actions.is_empty() {
        // Promise 3: nobody has looked.
        let sentence = format!("the configuration has no `{}` any more", moment.name());
        return Answer::Refuse { sentence };
    }
    let mut earlier = Vec::new();
    for action in &actions {
        match look(action, *question, facts, &earlier, runbook, reach).await {
            Found::Passed(remembered) => earlier.extend(remembered),
            Found::Ends(answer) => return answer,
        }
    }
    let names: Vec<String> = actions.iter().map(|action| format!("`{}`", action.name)).collect();
    Answer::Pass { sentence: names.join(", ") }
}

async fn look(
    action: &Action,
    question: Question,
    facts: &Facts,
    earlier: &[Remembered],
    runbook: &Runbook,
    reach: &Reach,
) -> Found {
    let mut attempt = 0;
    let (kind, name) = (action.kind.name(), &action.name);
    let remembered = |result: &str, values| {
        let (name, kind) = (name.clone(), kind.to_owned());
        Remembered { name, kind, moment: question.moment.into(), result: result.to_owned(), values }
    };
    loop {
        // Of the question as well, by the time of its facts.
        let now = Now {
            key: format!("{}:0", key(&action.name, facts, 0)),
            occurrence: 0,
            minutes: 0,
            resolved: false,
            test: false,
        };
        let context = Context::new(facts.clone(), now, earlier.to_vec(), runbook);
        let done = deliver(action, &context, reach).await;
        if let Some((time, why)) = waits(action, &done) {
            return Found::Ends(Answer::Wait { time, sentence: format!("`{name}`: {why}") });
        }
        let why = match done.end {
            End::Delivered { remembered: values, .. } => return Found::Passed(Some(remembered("done", values))),
            End::Skipped { .. } => return Found::Passed(None),
            End::Retry { .. } if attempt < action.retries => {
                tokio::time::sleep(back_off(attempt)).await;
                attempt += 1;
                continue;
            }
            End::Retry { why, .. } | End::Failed { why } => why,
            // People go past it when it is done.
            End::Task { sentence } => {
                return Found::Ends(Answer::Refuse { sentence: format!("`{name}` is for people: {sentence}") });
            }
        };
        return match action.on_failure {
            OnFailure::Continue => Found::Passed(Some(remembered("failed", BTreeMap::new()))),
            OnFailure::Stop => Found::Ends(Answer::Refuse { sentence: format!("`{name}`: {why}") }),
        };
    }
}

/// How long an action asks to wait, and why; none where it does not.
fn waits(action: &Action, Attempt { end, said }: &Attempt) -> Option<(Duration, String)> {
    let why = || match end {
        End::Delivered { sentence, .. } | End::Task { sentence } => sentence.clone(),
        End::Retry { why, .. } | End::Failed { why } | End::Skipped { why } => why.clone(),
    };
    let time = match (&action.kind, end, said) {
        (Kind::ChangeWindow(_), End::Retry { after, .. }, _) => after.unwrap_or(WAIT),
        (_, _, Said::Answer { status: StatusCode::ACCEPTED, retry_after }) => retry_after.unwrap_or(WAIT),
        (_, End::Retry { .. }, Said::Answer { retry_after: Some(time), .. }) => *time,
        (_, _, Said::Exit(Some(NOT_YET))) => WAIT,
        _ => return None,
    };
    Some((time, why()))
}
