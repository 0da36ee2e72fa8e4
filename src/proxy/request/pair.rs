//! An original and its copy, which are compared when both have ended.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::service::Service;
use crate::gate::{ByVersion, Charge, Outcome};
use crate::measure::shard::Took;
use crate::measure::{Compared, mirrored};
use crate::release::Epoch;

/// An original and its copy: whoever ends last is compared with the other.
pub(super) struct Pair {
    pub service: Rc<Service>,
    pub epoch: Epoch,
    original: Cell<Option<Half>>,
    copy: Cell<Option<Half>>,
}

/// What one of them came to.
#[derive(Clone, Copy)]
pub(super) struct Half {
    pub outcome: Outcome,
    pub charge: Charge,
    pub status: u16,
    /// Of the answer's body; none where it was not read to its end.
    pub bytes: Option<u64>,
    pub judged: Took,
    /// To the response head, also where it is not judged.
    pub head: Option<Duration>,
}

impl Half {
    fn compared(&self, other: &Half) -> Compared {
        let is_whole = |half: &Half| {
            matches!(
                half.outcome,
                Outcome::Success | Outcome::ClientError | Outcome::ServerError | Outcome::GrpcFailure
            )
        };
        match (self.bytes, other.bytes) {
            _ if !is_whole(self) || !is_whole(other) => Compared::Not,
            _ if self.status != other.status => Compared::Status,
            (Some(own), Some(others)) if own == others => Compared::Same,
            (Some(_), Some(_)) => Compared::Length,
            (None, _) | (_, None) => Compared::Not,
        }
    }
}

impl Pair {
    pub(super) fn new(service: &Rc<Service>, epoch: Epoch) -> Rc<Pair> {
        let (original, copy) = (Cell::new(None), Cell::new(None));
        Rc::new(Pair { service: Rc::clone(service), epoch, original, copy })
    }

    pub(super) fn original_came(&self, half: Half) {
        self.original.set(Some(half));
        self.compare();
    }

    pub(super) fn copy_came(&self, half: Half) {
        self.copy.set(Some(half));
        self.compare();
    }

    fn compare(&self) {
        let (Some(original), Some(copy)) = (self.original.get(), self.copy.get()) else { return };
        let of = |half: Half| (half.charge, half.judged);
        self.service.records.mirrored(&mirrored::Pair {
            epoch: self.epoch,
            came: ByVersion { blue: of(original), green: of(copy) },
            compared: original.compared(&copy),
            copy_head: copy.head,
        });
    }
}
