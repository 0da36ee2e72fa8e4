//! What is written down, who hears of it, and what is left of it after a crash.

use std::time::Duration;

use portcullis::config::Config;
use portcullis::control::restore::{self, Beginning, Found, Times};
use portcullis::control::status::Names;
use portcullis::course::{Course, Input};
use portcullis::gate::Version;
use portcullis::journal::StateRecord;
use portcullis::routing::Route;

use super::{Clock, World, routing_of};
use crate::simulation::releases::disk::Saved;
use crate::simulation::releases::recording::Recording;
use crate::simulation::releases::scenario::Crash;
use crate::simulation::releases::witness::Checked;

impl World<'_> {
    fn state_record(&self, at: Duration) -> StateRecord {
        let times = Times { now: self.core(at), began: Duration::ZERO };
        let names = Names::new(&self.config);
        restore::record(&self.course, self.routing.table(), &names, times, self.rollback.as_ref())
    }

    pub(super) fn write(&mut self, at: Duration) {
        let record = self.state_record(at);
        let table = self.routing.table();
        let recorded = self.recording.as_ref().map_or(0, Recording::length);
        let state = self.course.state().clone();
        let green = self.config.versions.green.version.clone();
        let saved = |record| Saved { record, state, table, green, recorded };
        let number = self.disk.send(&record, saved, &mut self.random, at);
        if table.route == Route::Latched {
            self.reports.push_back((number, table.epoch));
        }
    }

    /// Whoever waits for a write hears of it with its answer, or with that of a later one.
    pub(super) fn answers(&mut self, at: Duration) -> Checked {
        for answer in self.disk.answers(&mut self.random, at) {
            let due = self.reports.iter().take_while(|(number, _)| *number <= answer.number).count();
            for (_, epoch) in self.reports.drain(..due) {
                if answer.written {
                    self.witness.reported(epoch);
                }
            }
        }
        Ok(())
    }

    pub(super) fn crash(&mut self, crash: Crash, at: Duration) -> Checked {
        self.report.restarts += 1;
        self.see(match crash {
            Crash::Plain => "restart",
            Crash::Superseding => "restart with another green",
            Crash::Unreadable => "restart with an unreadable state",
        });
        let saved = self.disk.crash(&mut self.random);
        self.reports.clear();
        for version in Version::BOTH {
            self.tick.samples.of_mut(version).evidence.clear();
        }
        if crash == Crash::Superseding {
            self.config.versions.green.version = format!("v{}", 3 + self.report.restarts);
        }
        let beginning = match &saved {
            None => Beginning::default(),
            Some(saved) => {
                let mut record: StateRecord = serde_json::from_str(&saved.record).expect("it was written by us");
                if crash == Crash::Unreadable {
                    record.resume = serde_json::json!({ "open": 7 });
                }
                Beginning::restored(record, &self.config)
            }
        };
        if saved.as_ref().is_some_and(|saved| saved.table != self.routing.table()) {
            self.see("restart that lost a decision");
        }
        let superseded = saved.as_ref().is_some_and(|saved| saved.green != self.config.versions.green.version);
        let crash = if crash == Crash::Plain && superseded { Crash::Superseding } else { crash };
        self.witness.restarted(&beginning, saved.as_ref(), crash, at)?;
        if let Some(recording) = &mut self.recording {
            recording.cut(saved.as_ref().map_or(0, |saved| saved.recorded));
        }
        self.clock = Clock { began: at, shows: beginning.clock };
        self.rollback = beginning.rollback.clone();
        let (routing, notices) = routing_of(self.scenario, &beginning);
        (self.view, self.routing, self.notices) = (routing.view(), routing, notices);
        let Config { policy, plan, .. } = &self.config;
        self.course = Course::new(policy.clone(), plan.clone(), beginning.state.clone(), beginning.clock);
        self.witness.after(&self.course, self.routing.table(), self.core(at))?;
        match beginning.found {
            Found::State if self.course.state().run().is_some() => self.feed(&Input::Restarted, at),
            Found::Superseded | Found::Unreadable => {
                if let Some(recording) = &mut self.recording {
                    recording.end();
                }
                self.write(at);
                Ok(())
            }
            Found::State | Found::Nothing => Ok(()),
        }
    }
}
