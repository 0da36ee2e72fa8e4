//! What is made of a command: the change, or the refusal that it is answered with.

use super::Control;
use super::command::{Change, Command, NewRelease, Refused, Reply};
use crate::course::Input;
use crate::release::{self, Terms};

impl Control {
    pub(super) fn obey(&mut self, command: Command) {
        self.look_whether_it_stood_still();
        self.catch_up();
        let Some(command) = self.is_for_us(command) else { return };
        let Command { change, found, seen, reply } = command;
        if let Some(refused) = self.refuses_unseen(&seen) {
            refuse(reply, refused);
            return;
        }
        let done = match change {
            Change::Operator(release::Input::Start { actor, reason }) => {
                let wanted = NewRelease { green: None, terms: Terms::Configured, actor, reason };
                self.release(wanted, &found, reply)
            }
            Change::Operator(input) => self.operate(input, reply),
            Change::Signal(posted) => {
                self.feed(&Input::Signal(posted), Some(reply)).map_err(|(refusal, reply)| (refusal.into(), reply))
            }
            Change::Release(wanted) => self.release(wanted, &found, reply),
            Change::Endpoints(wanted) => {
                self.change_endpoints(wanted, &found, reply);
                Ok(())
            }
            Change::Reload(reload) => self.reload(reload, &found, reply),
        };
        if let Err((refused, Some(reply))) = done {
            refuse(reply, refused);
        }
        self.catch_up();
    }
}

pub(super) fn refuse(reply: Reply, refused: Refused) {
    if reply.send(Err(refused)).is_err() {
        tracing::debug!("whoever asked did not wait for the answer");
    }
}
