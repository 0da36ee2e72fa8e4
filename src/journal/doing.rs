//! What is to be done about releases, as it is stored.

use std::collections::BTreeSet;

use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::error::Failure;
use super::record::{ActionRecord, OccasionRecord};
use super::seal::{seal, unseal};
use super::table::{ACTIONS, OUTBOX};
use super::writer::Doing;

/// An action by its epoch and number.
pub(super) type Sealed = ((u32, u32), Vec<u8>);

/// A moment by its epoch and number; none: everything has been done about it.
pub(super) type Moment = ((u32, u32), Option<Vec<u8>>);

/// The moments with something to do, and the actions of their releases and of `epoch`.
pub(super) fn to_do(
    transaction: &ReadTransaction,
    epoch: u32,
) -> Result<(Vec<OccasionRecord>, Vec<ActionRecord>), Failure> {
    let outbox = transaction.open_table(OUTBOX)?;
    let occasions = outbox.iter()?.map(|occasion| unseal(occasion?.1.value()));
    let occasions = occasions.collect::<Result<Vec<OccasionRecord>, Failure>>()?;
    let epochs: BTreeSet<u32> = occasions.iter().map(|occasion| occasion.epoch).chain([epoch]).collect();
    let table = transaction.open_table(ACTIONS)?;
    let mut actions = Vec::new();
    for epoch in epochs {
        for action in table.range((epoch, 0)..=(epoch, u32::MAX))? {
            actions.push(unseal(action?.1.value())?);
        }
    }
    Ok((occasions, actions))
}

pub(super) fn occasions(doing: &Doing) -> Result<Vec<Moment>, Failure> {
    let open = doing.occasions.iter().map(|occasion| Ok(((occasion.epoch, occasion.number), Some(seal(occasion)?))));
    open.chain(doing.passed.iter().map(|key| Ok((*key, None)))).collect()
}

pub(super) fn actions(doing: &Doing) -> Result<Vec<Sealed>, Failure> {
    doing.actions.iter().map(|action| Ok(((action.epoch, action.number), seal(action)?))).collect()
}

pub(super) fn put(transaction: &WriteTransaction, actions: &[Sealed], occasions: &[Moment]) -> Result<(), Failure> {
    let mut table = transaction.open_table(ACTIONS)?;
    for (key, action) in actions {
        table.insert(key, action.as_slice())?;
    }
    let mut outbox = transaction.open_table(OUTBOX)?;
    for (key, occasion) in occasions {
        match occasion {
            Some(occasion) => outbox.insert(key, occasion.as_slice())?,
            None => outbox.remove(key)?,
        };
    }
    Ok(())
}

/// All of one release.
pub(super) fn forget(transaction: &WriteTransaction, epoch: u32) -> Result<(), Failure> {
    let of_epoch = (epoch, 0)..=(epoch, u32::MAX);
    transaction.open_table(ACTIONS)?.retain_in(of_epoch.clone(), |_, _| false)?;
    transaction.open_table(OUTBOX)?.retain_in(of_epoch, |_, _| false)?;
    Ok(())
}
