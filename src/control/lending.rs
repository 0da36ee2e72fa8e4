//! The journal in other hands: a process that takes over gets it, and if it does not come to serve it comes back.
//!
//! Between the two `control` decides nothing, so that no decision is told which the other process does not know. What the
//! workers do by themselves goes on: a streak still sends everything to blue, and the table keeps that for whoever
//! decides next.

use std::ops::ControlFlow;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::ledger::PATIENCE;
use super::{Control, TICK};
use crate::journal::{Journal, Lent, OpenError, WriteError};

/// What `control` is told by whoever deals with the other process.
pub enum Lending {
    Asked(Loan),
    /// What was [`Returned::Missing`] is here.
    Back(Journal),
    /// The process ends, and its journal shall be whole and closed.
    Ended,
}

/// The journal is wanted, whole and closed.
pub struct Loan {
    pub lent: oneshot::Sender<Result<Lent, NotLent>>,
    pub returned: oneshot::Receiver<Returned>,
}

/// What became of a journal that was lent.
pub enum Returned {
    /// The other process has it and decides.
    Never,
    Back(Journal),
    /// It is not to be had at the moment: decisions go on without it, until it is [`Lending::Back`].
    Missing(OpenError),
}

/// Why the journal is not given away. Everything goes on as before.
#[derive(Debug, thiserror::Error)]
pub enum NotLent {
    #[error("there is no journal that works, and so nothing to go on from")]
    None,
    #[error("the journal cannot be brought up to date: {0}")]
    NotWritten(#[from] WriteError),
}

impl Control {
    /// Breaks when another process decides, or none.
    pub(super) async fn lending(&mut self, word: Lending) -> ControlFlow<()> {
        let Loan { lent, returned } = match word {
            Lending::Asked(loan) => loan,
            Lending::Back(journal) => {
                self.take_back(journal);
                return ControlFlow::Continue(());
            }
            Lending::Ended => {
                self.end().await;
                return ControlFlow::Break(());
            }
        };
        let journal = self.lend().await;
        let is_lent = journal.is_ok();
        if lent.send(journal).is_err() {
            tracing::error!("whoever asked for the journal is gone");
        }
        if is_lent { self.until_returned(returned).await } else { ControlFlow::Continue(()) }
    }

    async fn end(&mut self) {
        self.catch_up();
        self.rest_from_deeds().await;
        if let Err(NotLent::NotWritten(error)) = self.settle().await {
            tracing::error!(%error, "the last that was seen of the release is not in the journal");
        }
    }

    async fn lend(&mut self) -> Result<Lent, NotLent> {
        self.catch_up();
        self.rest_from_deeds().await;
        self.settle().await?;
        self.inputs.ledger.lend().ok_or(NotLent::None)
    }

    /// Brings everything that was decided to the disk, and tells what waited for it.
    async fn settle(&mut self) -> Result<(), NotLent> {
        if self.inputs.ledger.archive().is_none() {
            return Err(NotLent::None);
        }
        let state = self.state_record();
        let last = self.inputs.ledger.settle(state)?;
        loop {
            let answer = self.inputs.ledger.answer();
            let answer = timeout(PATIENCE, answer).await.map_err(|_| WriteError::Late(PATIENCE))?;
            let reports = self.inputs.ledger.answered(&answer);
            self.told(reports);
            if let Err(error) = &answer.result {
                self.journal_failed(error);
            }
            if answer.number >= last {
                return Ok(answer.result?);
            }
        }
    }

    async fn until_returned(&mut self, mut returned: oneshot::Receiver<Returned>) -> ControlFlow<()> {
        let mut tick = tokio::time::interval(TICK);
        let returned = loop {
            tokio::select! {
                returned = &mut returned => break returned,
                // Nothing new; whoever looks whether `control` lives shall see that it does.
                _ = tick.tick() => self.outputs.status.send_modify(|_| {}),
            }
        };
        match returned {
            Ok(Returned::Never) => return ControlFlow::Break(()),
            Ok(Returned::Back(journal)) => self.take_back(journal),
            Ok(Returned::Missing(error)) => self.journal_failed(&WriteError::Io(error.to_string())),
            Err(_) => self.journal_failed(&WriteError::Closed),
        }
        ControlFlow::Continue(())
    }

    fn take_back(&mut self, journal: Journal) {
        self.inputs.ledger.take_back(journal);
        self.inputs.ledger.carry(self.deeds.outbox.all());
        tracing::info!("the journal is back");
    }
}
