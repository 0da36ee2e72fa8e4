//! Routing as another replica does.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic;

use super::{Roles, Route, Routing, Shared, Table};
use crate::gate::route::RouteSet;
use crate::gate::streak::Streak;
use crate::release::{Epoch, Weight};

impl<L> Routing<L> {
    /// Begins `epoch` with everything on blue, if it is not there yet.
    pub fn open_shut(&self, epoch: Epoch) {
        if self.table().epoch < epoch {
            self.route(epoch, Weight::ZERO);
        }
    }

    /// Routes to `live` as another replica does, unless that is of an earlier epoch, or would open one that is latched here.
    pub fn follow(&self, live: &Arc<L>, epoch: Epoch, roles: Roles, route: Route) -> bool {
        self.replace(|shared| {
            let before = shared.table;
            let table = match before.epoch.cmp(&epoch) {
                Ordering::Equal => before.followed(roles, route)?,
                Ordering::Less => {
                    self.streak.store(Streak::opened(epoch).pack(), atomic::Ordering::Release);
                    let mirror = matches!(route, Route::Split(_)).then_some(Weight::ZERO);
                    Table { epoch, roles, route, mirror, ..Table::default() }
                }
                Ordering::Greater => return None,
            };
            Some(Shared { table, live: Arc::clone(live), ..shared.clone() })
        })
    }
}

impl Table {
    /// As another replica routes in the same epoch; none where it has yet to hear of what is known here.
    fn followed(self, roles: Roles, route: Route) -> Option<Table> {
        match (self.route, route) {
            (Route::Split(_), Route::Split(weight)) => Some(self.weighed(weight)),
            (Route::Split(_), Route::Completed) => {
                Some(Table { roles, route, taken_back: RouteSet::default(), ..self })
            }
            (Route::Completed, Route::Completed) | (_, Route::Latched) => Some(Table { roles, route, ..self }),
            (Route::Latched, Route::Split(_) | Route::Completed) | (Route::Completed, Route::Split(_)) => None,
        }
    }
}
