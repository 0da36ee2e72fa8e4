//! A tick as one replica tells it to another: the slots of the journal, which are exact both ways, with what of a tick no
//! replay needs and people are shown.
//!
//! Whoever unpacks trusts nothing: what could not have been counted is refused whole, before it reaches anybody who relies on it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::slots;
use crate::gate::{ByVersion, Evidence};
use crate::journal::slot::{self, Buckets, Counted, Input, Slot};
use crate::measure::clients::Keys;
use crate::measure::replicas::Drawers;
use crate::measure::{Compared, InEpoch, Mirrored, Tick};
use crate::release::Epoch;

/// Changes with every change of what is packed; replicas of two formats leave each other out.
pub const FORMAT: u32 = 1;

/// Bytes of a tick: four thousand sticky clients of both versions and of the arm, and some hundreds on each route, take less.
pub const LONGEST: usize = 1 << 20;

/// What is counted, what is shown, and what is beside them.
const MOST_SLOTS: usize = 3;

/// What a tick has beside its counts; all of it is rare.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Beside {
    /// Of the failures that are shown of green, those that blue answered in its place.
    #[serde(skip_serializing_if = "is_zero")]
    shielded: u64,
    /// Failures that blue was given, has answered, and has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    to_blue: Option<[u64; 3]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mirrored: Option<Copies>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overridden: Option<slot::Tick>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Keyed>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Copies {
    compared: [u64; Compared::ALL.len()],
    samples: slot::Tick,
}

/// Where clients are sticky.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keyed {
    blue: Marks,
    green: Marks,
    arm: Marks,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    routes: Vec<[Marks; 2]>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Marks(Vec<u16>, u64);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

pub fn pack(tick: &Tick, drawers: &Drawers) -> Vec<u8> {
    let mut counted = slots::tick(tick, ByVersion::default());
    // Whose clients are whose is told by their keys.
    without_clients(&mut counted);
    let shown = shown(&tick.shown);
    let is_shown_as_counted = shown == as_counted(&counted);
    let beside = beside(tick, drawers);
    let tick = |tick| Slot { after: Duration::ZERO, input: Input::Tick(Box::new(tick)) };
    let mut slots = vec![tick(counted)];
    if !is_shown_as_counted {
        slots.push(tick(shown));
    }
    if beside != Beside::default() {
        let value = serde_json::to_value(&beside).expect("counts are plain data");
        slots.push(Slot { after: Duration::ZERO, input: Input::Other(value) });
    }
    slot::plain(&slots)
}

/// None where `packed` is not what [`pack`] makes, or holds what nobody can have counted in so many routes. Mirrored requests are
/// of `epoch`.
pub fn unpack(packed: &[u8], routes: usize, epoch: Epoch) -> Option<(Tick, Drawers)> {
    if packed.len() > LONGEST {
        return None;
    }
    let mut slots = slot::of_plain(packed, MOST_SLOTS)?.into_iter().map(|slot| slot.input).peekable();
    let Some(Input::Tick(counted)) = slots.next() else { return None };
    let shown = slots.next_if(|input| matches!(input, Input::Tick(_)));
    let beside = match slots.next() {
        None => Beside::default(),
        Some(Input::Other(value)) => serde_json::from_value::<Beside>(value).ok()?,
        Some(Input::Tick(_)) => return None,
    };
    let sound = slots.next().is_none() && is_sound(&counted, routes) && beside.is_sound(routes);
    let shown = match shown {
        Some(Input::Tick(shown)) if is_sound(&shown, 0) => *shown,
        Some(_) => return None,
        None => as_counted(&counted),
    };
    sound.then(|| {
        let drawers = beside.drawers(&counted)?;
        let mut tick = slots::counted(&counted);
        tick.shown = shown_of(&shown);
        tick.shown.green.shielded = beside.shielded;
        let [given, answered, failed] = beside.to_blue.unwrap_or_default();
        tick.shielded = InEpoch { given, answered, failed };
        tick.mirrored = beside
            .mirrored
            .map(|Copies { compared, samples }| Box::new(Mirrored::told(epoch, compared, slots::samples(&samples))));
        tick.overridden = beside.overridden.map(|samples| Box::new(slots::samples(&samples)));
        Some((tick, drawers))
    })?
}

fn without_clients(tick: &mut slot::Tick) {
    let of_routes = tick.routes.iter_mut().flat_map(|on| [&mut on.blue, &mut on.green]);
    let arm = tick.beside.as_mut().map(|beside| &mut beside.arm);
    for counted in [&mut tick.blue, &mut tick.green].into_iter().chain(arm).chain(of_routes) {
        counted.clients = None;
    }
    tick.beside.take_if(|beside| *beside == slot::Beside::default());
}

fn shown(shown: &ByVersion<Evidence>) -> slot::Tick {
    let of = |evidence: &Evidence| Counted {
        requests: evidence.requests,
        failures: evidence.failures,
        head: slots::buckets(&evidence.latency),
        ..Counted::default()
    };
    slot::Tick { blue: of(&shown.blue), green: of(&shown.green), ..slot::Tick::default() }
}

fn shown_of(shown: &slot::Tick) -> ByVersion<Evidence> {
    ByVersion { blue: slots::evidence(&shown.blue), green: slots::evidence(&shown.green) }
}

/// What is shown where nothing else is than what is evidence, which is so nearly always.
fn as_counted(tick: &slot::Tick) -> slot::Tick {
    let of = |counted: &Counted| Counted {
        requests: counted.requests,
        failures: counted.failures,
        head: counted.head.clone(),
        ..Counted::default()
    };
    slot::Tick { blue: of(&tick.blue), green: of(&tick.green), ..slot::Tick::default() }
}

fn beside(tick: &Tick, drawers: &Drawers) -> Beside {
    let InEpoch { given, answered, failed } = tick.shielded;
    let marks = |keys: &Keys| Marks(keys.marks().to_vec(), keys.single());
    let all = || {
        let routes = drawers.routes.iter().flat_map(|keys| [&keys.blue, &keys.green]);
        [&drawers.versions.blue, &drawers.versions.green].into_iter().chain(routes)
    };
    let keyed = all().any(|keys| !keys.marks().is_empty());
    Beside {
        shielded: tick.shown.green.shielded,
        to_blue: (tick.shielded != InEpoch::default()).then_some([given, answered, failed]),
        mirrored: tick.mirrored.as_deref().map(|mirrored| Copies {
            compared: Compared::ALL.map(|compared| mirrored.compared(compared)),
            samples: slots::kept(&mirrored.samples),
        }),
        overridden: tick.overridden.as_deref().map(slots::kept),
        keys: keyed.then(|| Keyed {
            blue: marks(&drawers.versions.blue),
            green: marks(&drawers.versions.green),
            arm: marks(&drawers.arm),
            routes: drawers.routes.iter().map(|keys| [marks(&keys.blue), marks(&keys.green)]).collect(),
        }),
    }
}

/// No replica has so many requests in a tick, not even in one that is ten seconds late; and a histogram, which counts in 32 bits,
/// has room for some dozen of them in one bucket.
const MOST: u64 = 1 << 26;

impl Beside {
    fn is_sound(&self, routes: usize) -> bool {
        let samples = self.mirrored.iter().map(|copies| &copies.samples).chain(&self.overridden);
        let numbers = self.to_blue.iter().flatten().chain(self.mirrored.iter().flat_map(|copies| &copies.compared));
        let keyed_routes = self.keys.as_ref().map_or(0, |keys| keys.routes.len());
        samples.into_iter().all(|tick| is_sound(tick, 0))
            && numbers.chain([&self.shielded]).all(|number| *number <= MOST)
            && keyed_routes <= routes
    }

    /// None where marks do not rise.
    fn drawers(&self, counted: &slot::Tick) -> Option<Drawers> {
        let keys = |Marks(marks, single): &Marks| Keys::new(marks.clone(), (*single).min(MOST));
        let singles = |counted: &Counted| Keys::new(Vec::new(), counted.requests);
        match &self.keys {
            Some(Keyed { blue, green, arm, routes }) => Some(Drawers {
                versions: ByVersion { blue: keys(blue)?, green: keys(green)? },
                arm: keys(arm)?,
                routes: routes
                    .iter()
                    .map(|[blue, green]| Some(ByVersion { blue: keys(blue)?, green: keys(green)? }))
                    .collect::<Option<_>>()?,
            }),
            None => {
                let mut routes = Vec::new();
                for on in &counted.routes {
                    routes.resize(usize::from(on.number) + 1, ByVersion::default());
                    routes[usize::from(on.number)] = ByVersion { blue: singles(&on.blue)?, green: singles(&on.green)? };
                }
                let arm = counted.beside.as_ref().map(|beside| &beside.arm);
                Some(Drawers {
                    versions: ByVersion { blue: singles(&counted.blue)?, green: singles(&counted.green)? },
                    arm: arm.map_or(Some(Keys::default()), singles)?,
                    routes,
                })
            }
        }
    }
}

/// Whether it can have been counted at all.
fn is_sound(tick: &slot::Tick, routes: usize) -> bool {
    let slot::Tick { blue, green, beside, routes: on_routes } = tick;
    let nothing = slot::Beside::default();
    let slot::Beside { late_blue, late_green, arm, held } = beside.as_ref().unwrap_or(&nothing);
    let rise = on_routes.is_sorted_by(|one, next| one.number < next.number);
    let exist = on_routes.last().is_none_or(|last| usize::from(last.number) < routes);
    let of_routes = on_routes.iter().flat_map(|on| [&on.blue, &on.green]);
    [blue, green, late_blue, late_green, arm].into_iter().chain(of_routes).all(counts_are_sound)
        && is_part(arm, blue)
        && *held <= MOST
        && rise
        && exist
}

fn counts_are_sound(counted: &Counted) -> bool {
    let Counted { requests, failures, head, whole, waiting, .. } = counted;
    let buckets = [Some(head), whole.as_ref(), Some(waiting)].into_iter().flatten();
    failures <= requests && *requests <= MOST && buckets.flat_map(Buckets::iter).all(|(_, count)| count <= MOST)
}

/// Whether `part` can have been drawn from `whole`: the rest is tested against it.
fn is_part(part: &Counted, whole: &Counted) -> bool {
    let fits = |part: &Buckets, whole: &Buckets| {
        let mut whole = whole.iter();
        part.iter().all(|(edge, count)| whole.any(|(known, all)| known == edge && count <= all))
    };
    let successes = |counted: &Counted| counted.requests - counted.failures;
    part.requests <= whole.requests
        && part.failures <= whole.failures
        && successes(part) <= successes(whole)
        && fits(&part.head, &whole.head)
        && fits(&part.waiting, &whole.waiting)
}

#[cfg(test)]
mod tests;
