//! Every order of things that replicas and their API server can get into, within bounds: the code is the one that runs.
//!
//! Requests are lost or arrive after their sender has given up, what is watched comes late, replicas are cut off, stand still
//! (which is to do nothing while all others go on), and start anew without any memory; leases pass on by time alone, so that
//! two lead for a while, each as far as it knows. An answer is of one moment and heard at another, and between finding that a
//! raise holds and routing it a thread may stand still for longer than its lease.
//!
//! A state stands for all that are like it. `PORTCULLIS_MODEL=large` searches more: three replicas, up to depth 34, in half an hour
//! of one busy core.

mod beginning;
mod likeness;
mod node;
mod properties;
mod world;

use stateright::{Checker, Model};
use tokio::time::Instant;

use world::{Bounds, World};

/// Two replicas, by what goes wrong.
const SMALL: [Bounds; 3] = [
    Bounds { replicas: 2, time: 1, epochs: 1, steps: 2, convictions: 0, holds: 1, misfortunes: 1, writes: 4 },
    Bounds { replicas: 2, time: 2, epochs: 1, steps: 2, convictions: 1, holds: 0, misfortunes: 1, writes: 4 },
    Bounds { replicas: 2, time: 2, epochs: 1, steps: 2, convictions: 1, holds: 1, misfortunes: 0, writes: 4 },
];

const LARGE: [Bounds; 3] = [
    Bounds { replicas: 2, time: 2, epochs: 1, steps: 2, convictions: 1, holds: 1, misfortunes: 1, writes: 5 },
    Bounds { replicas: 2, time: 2, epochs: 2, steps: 1, convictions: 1, holds: 0, misfortunes: 0, writes: 5 },
    Bounds { replicas: 3, time: 2, epochs: 1, steps: 2, convictions: 1, holds: 0, misfortunes: 1, writes: 4 },
];

#[test]
fn in_no_order_of_things_does_a_latched_epoch_get_green_traffic_or_a_step_happen_twice() {
    let is_large = std::env::var("PORTCULLIS_MODEL").is_ok_and(|size| size == "large");
    for bounds in if is_large { LARGE.to_vec() } else { SMALL.to_vec() } {
        let began = Instant::now();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let checker = World::of(bounds).checker().threads(threads).spawn_bfs().join();
        println!(
            "{bounds:?}: {} states, {} of them different, depth {}, {:.1} s",
            checker.state_count(),
            checker.unique_state_count(),
            checker.max_depth(),
            began.elapsed().as_secs_f64()
        );
        assert!(checker.is_done(), "the search has ended before its bounds");
        checker.assert_properties();
    }
}
