//! Green's pods, which nobody may take away while requests are under way on them.

use std::time::Duration;

use crate::config::quantity::shown;
use crate::config::report::{Scope, Wrong};
use crate::config::runbook::kind::kubernetes::Does;
use crate::config::runbook::{After, Kind, Moment, Runbook};

/// Refuses to scale anything to zero before what was under way at the rollback may have ended; `scope` is the runbook's.
pub(super) fn refuse_early(scope: &mut Scope<'_, '_>, runbook: &Runbook, drain: Duration) {
    let mut scope = scope.key(Moment::RolledBack.name());
    for (index, action) in runbook.at(Moment::RolledBack).enumerate() {
        let Kind::Kubernetes(kubernetes) = &action.kind else { continue };
        let (Does::Scale { deployment, replicas: 0 }, After::Delay(after)) = (&kubernetes.does, &action.after) else {
            continue;
        };
        if *after < drain {
            let message = format!(
                "scales {deployment} to 0 {} after the rollback, when requests may be under way on it until {} after it",
                shown(*after),
                shown(drain)
            );
            let label = format!("write `after: {}`, or less into `afterRollback.drain`", shown(drain));
            scope.index(index).wrong_here(Wrong::new(message, label));
        }
    }
}
