//! What people, and other systems, are told.

use super::{ACTIONS, NOTIFICATIONS, Telemetry};

impl Telemetry {
    pub fn notified(&self, trigger: &str) {
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(NOTIFICATIONS, "trigger" => trigger.to_owned()).increment(1);
        });
    }

    /// An action of the runbook has ended.
    pub fn acted(&self, action: &str, result: &'static str) {
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(ACTIONS, "action" => action.to_owned(), "result" => result).increment(1);
        });
    }
}
