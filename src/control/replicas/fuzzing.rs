//! What is fuzzed of what replicas tell each other; [`crate::fuzzing`] says how.

use std::time::Duration;

use super::packed::{self, pack, unpack};
use super::published::{MOST_TOLD, Told};
use crate::gate::route::MOST_ROUTES;
use crate::measure::Tick;
use crate::measure::replicas::{Counted, Drawers, Replicas, Split};
use crate::release::Epoch;

/// An answer, or one tick of it: what is taken can be told again, and be added up.
pub fn replicas(bytes: &[u8]) {
    match bytes {
        [0, routes, packed @ ..] => tick(packed, usize::from(*routes) % (MOST_ROUTES + 2)),
        [_, answer @ ..] => told(answer),
        [] => {}
    }
}

fn told(answer: &[u8]) {
    let Ok(told) = serde_json::from_slice::<Told>(answer) else { return };
    assert!(told.ticks.len() <= MOST_TOLD && told.routes.len() <= MOST_ROUTES + 1);
    let mut counted: Vec<Counted> = told.ticks.iter().filter_map(|tick| tick.counted(told.routes.len())).collect();
    let numbers: Vec<usize> = (0..told.routes.len()).rev().collect();
    counted.iter_mut().for_each(|counted| counted.renumber(&numbers, numbers.len()));
    add_up(counted);
    let again = serde_json::to_vec(&told).expect("it is plain data");
    assert_eq!(format!("{:?}", serde_json::from_slice::<Told>(&again).expect("it is told")), format!("{told:?}"));
}

fn tick(bytes: &[u8], routes: usize) {
    let epoch = Epoch::from(1);
    let Some((tick, drawers)) = unpack(bytes, routes, epoch) else { return };
    assert!(bytes.len() <= packed::LONGEST && tick.routes.places.len() <= routes && drawers.routes.len() <= routes);
    let again = pack(&tick, &drawers);
    let (same, alike) = unpack(&again, routes, epoch).expect("it was taken before");
    assert_eq!(alike, drawers);
    assert_eq!(pack(&same, &alike), again);
    let counted = || Counted { split: Split::default(), tick: tick.clone(), drawers: drawers.clone() };
    add_up(vec![counted(), counted(), counted()]);
}

fn add_up(counted: Vec<Counted>) {
    let mut others = Replicas::default();
    let mut sum = Tick::default();
    sum.routes.places.resize_with(MOST_ROUTES + 1, Default::default);
    let most = counted.iter().map(|counted| counted.tick.samples.green.evidence.requests).sum::<u64>();
    counted.into_iter().for_each(|counted| others.take("other", Duration::ZERO, counted));
    others.add_to(&mut sum, &Drawers::default(), Split::default(), Duration::ZERO);
    assert!(sum.samples.green.evidence.requests <= most);
    assert!(sum.samples.green.evidence.failures <= sum.samples.green.evidence.requests);
    assert!(sum.arm.sample.evidence.requests <= sum.samples.blue.evidence.requests);
}
