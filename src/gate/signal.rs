//! What others tell of the service: an alert manager, a synthetic test, a person.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The signals that fire, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signals(BTreeMap<String, Firing>);

/// One signal from its first post until it is resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firing {
    pub since: Duration,
    /// What the last post said.
    pub sentence: String,
    pub actor: String,
}

/// One post about a signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Posted {
    pub signal: String,
    pub state: Posting,
    pub sentence: String,
    pub actor: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Posting {
    Firing,
    Resolved,
}

impl Signals {
    /// A signal that fires already keeps its beginning. Only those of a policy are posted.
    pub fn take(&mut self, posted: Posted, now: Duration) {
        let Posted { signal, state, sentence, actor } = posted;
        let since = self.firing(&signal).map(|firing| firing.since);
        match (state, since) {
            (Posting::Resolved, _) => _ = self.0.remove(&signal),
            (Posting::Firing, since) => {
                self.0.insert(signal, Firing { since: since.unwrap_or(now), sentence, actor });
            }
        }
    }

    pub fn firing(&self, signal: &str) -> Option<&Firing> {
        self.0.get(signal)
    }

    pub fn each(&self) -> impl Iterator<Item = (&str, &Firing)> {
        self.0.iter().map(|(signal, firing)| (signal.as_str(), firing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posted(signal: &str, state: Posting, sentence: &str) -> Posted {
        Posted { signal: signal.to_owned(), state, sentence: sentence.to_owned(), actor: "alice".to_owned() }
    }

    #[test]
    fn a_signal_fires_from_its_first_post_until_it_is_resolved() {
        let mut signals = Signals::default();
        let at = Duration::from_secs;
        signals.take(posted("checkout", Posting::Resolved, "well"), at(1));
        assert_eq!(signals, Signals::default());
        signals.take(posted("checkout", Posting::Firing, "down"), at(2));
        signals.take(posted("checkout", Posting::Firing, "still down"), at(3));
        let firing = Firing { since: at(2), sentence: "still down".to_owned(), actor: "alice".to_owned() };
        assert_eq!((signals.firing("checkout"), signals.firing("other")), (Some(&firing), None));
        signals.take(posted("checkout", Posting::Resolved, "up"), at(4));
        assert_eq!(signals.firing("checkout"), None);
        signals.take(posted("checkout", Posting::Firing, "down"), at(5));
        assert_eq!(signals.firing("checkout").map(|firing| firing.since), Some(at(5)));
    }
}
