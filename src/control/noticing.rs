//! What the workers did by themselves, and `control` learns afterwards.

use super::Control;
use crate::course::{Input, Streak, StreakFound};
use crate::gate::streak::Row;
use crate::release::State;
use crate::routing::{Notice, Route};

impl Control {
    /// Learns what the workers did before anything else is decided: also when their notice got lost.
    pub(super) fn catch_up(&mut self) {
        while let Ok(notice) = self.inputs.notices.try_recv() {
            self.noticed(notice);
        }
        let table = self.inputs.routing.table();
        let known = matches!(self.course.state(), State::RolledBack { .. });
        if !known && table.epoch == self.course.epoch() && table.route == Route::Latched {
            self.streak(Streak::Convicted, None);
        }
    }

    pub(super) fn noticed(&mut self, notice: Notice) {
        let (Notice::Convicted { epoch, row, .. } | Notice::Probing { epoch, row } | Notice::Common { epoch, row }) =
            notice;
        if epoch != self.course.epoch() {
            return;
        }
        match notice {
            Notice::Convicted { reaction, .. } => {
                let own = self.collect();
                let counted = self.summed(&own);
                self.feed_beside(&counted);
                self.feed(&Input::Counted(&counted), None).expect("no operator asks for it");
                self.streak(Streak::Convicted, Some(row));
                // The table was seen before the worker could tell of it.
                if let Some(rollback) = &mut self.rollback
                    && rollback.reaction_micros.is_none()
                {
                    rollback.reaction_micros = Some(reaction.as_secs_f64() * 1e6);
                    self.inputs.telemetry.reacted(reaction);
                }
            }
            Notice::Probing { .. } => self.streak(Streak::Probing, Some(row)),
            Notice::Common { .. } => self.streak(Streak::Common, Some(row)),
        }
    }

    fn streak(&mut self, came_to: Streak, row: Option<Row>) {
        self.feed(&Input::Streak(StreakFound { came_to, row }), None).expect("no operator asks for it");
    }
}
