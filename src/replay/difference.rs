//! Whether a replay decides what was decided.

use serde_json::Value;

use super::{Decided, Replayed};
use crate::control::felt::CLIENTS;
use crate::control::ramping::RAMP;
use crate::journal::DecisionRecord;
use crate::release::Kind;
impl Replayed {
    /// The first decision that did not come out as it was recorded, if any: as a sentence.
    ///
    /// What a person did after the release had ended is left out, because the evidence ends with the release, and so
    /// is what the proxy itself had to say of it.
    pub fn difference(&self, recorded: &[DecisionRecord]) -> Option<String> {
        let skipped = recorded.first().map_or(0, |first| first.seq as usize);
        let mut replayed = self.decided.iter().skip(skipped);
        let of_release = recorded.iter().take_while(|record| record.state != IDLE && record.after <= self.last);
        for record in of_release.filter(|record| is_of_course(record)) {
            let was = Decided::from(record);
            match replayed.next() {
                Some(is) if is.agrees_with(&was) => {}
                Some(is) => return Some(differs(&was, is)),
                None => return Some(format!("`{}` was decided, but not in the replay", told(&was))),
            }
        }
        replayed.next().map(|is| format!("the replay decides `{}`, which was not decided", told(is)))
    }
}

impl Decided {
    /// Whether it is what was recorded, as far as that goes: an older program recorded less of the evidence.
    fn agrees_with(&self, recorded: &Decided) -> bool {
        holds(&self.evidence, &recorded.evidence)
            && Decided { evidence: Value::Null, ..self.clone() }
                == Decided { evidence: Value::Null, ..recorded.clone() }
    }
}

/// Whether `whole` has everything that `part` has.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, part)| whole.get(key).is_some_and(|whole| holds(whole, part)))
        }
        (whole, part) => whole == part,
    }
}

/// The proxy speaks for itself of how blue takes traffic back, of other replicas, and of what is done elsewhere.
fn is_of_course(record: &DecisionRecord) -> bool {
    const BESIDE: [Kind; 8] = [
        Kind::Shedding,
        Kind::Ramped,
        Kind::ReplicaLeftOut,
        Kind::ReplicaBack,
        Kind::ActionDone,
        Kind::ActionFailed,
        Kind::ActionSkipped,
        Kind::ActionForPeople,
    ];
    !BESIDE.map(Kind::name).contains(&record.kind.as_str())
}

/// There the deciding core decides nothing.
const IDLE: &str = "idle";

fn differs(was: &Decided, is: &Decided) -> String {
    if told(was) != told(is) {
        return format!("`{}` was decided, but in the replay `{}`", told(was), told(is));
    }
    if was.after != is.after {
        return format!("`{}` was decided after {:?}, but in the replay after {:?}", told(was), was.after, is.after);
    }
    format!("`{}` was decided on {}, but in the replay on {}", told(was), was.evidence, is.evidence)
}

fn told(decided: &Decided) -> String {
    let Decided { kind, actor, sentence, state, weight, .. } = decided;
    format!("{kind} by {actor}, {state} at {} %: {sentence}", f64::from(*weight) / 100.0)
}

impl From<&DecisionRecord> for Decided {
    fn from(record: &DecisionRecord) -> Decided {
        Decided {
            after: record.after,
            kind: record.kind.clone(),
            actor: record.actor.clone(),
            sentence: record.sentence.clone(),
            state: record.state.clone(),
            weight: record.weight,
            evidence: decided_on(&record.evidence),
        }
    }
}

/// Without what clients felt and what was refused, which the inputs of the deciding core do not tell.
fn decided_on(evidence: &Value) -> Value {
    let mut evidence = evidence.clone();
    if let Value::Object(members) = &mut evidence {
        members.remove(CLIENTS);
        members.remove(RAMP);
    }
    evidence
}
