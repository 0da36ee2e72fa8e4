use super::*;
use crate::measure::Tick as Counts;
use crate::measure::replicas::Drawers;

fn split(epoch: u32, percent: f64) -> Split {
    let weight = Weight::from_percent(percent).expect("a weight");
    Split { epoch: Epoch::from(epoch), weight, taken_back: 2 }
}

fn routes(names: &[&str]) -> Arc<[String]> {
    names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().into()
}

fn push(published: &Published, split: Split, routes: &Arc<[String]>) {
    published.push(&Counted { split, tick: Counts::default(), drawers: Drawers::default() }, routes);
}

fn numbers(told: &Told) -> Vec<u64> {
    told.ticks.iter().map(|tick| tick.number).collect()
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_the_first_time_is_told_the_newest_tick_alone_and_then_each_once() {
    let (published, none) = (Published::default(), routes(&[]));
    (0..5).for_each(|_| push(&published, split(3, 10.0), &none));
    assert_eq!(numbers(&published.told(None).await), [5], "what was before somebody else has added up");
    assert_eq!(numbers(&published.told(Some(3)).await), [4, 5]);
    // A number of another process: here it is the future.
    assert_eq!(numbers(&published.told(Some(99)).await), [5]);
    assert_ne!(published.told(None).await.session, Published::default().told(None).await.session);
}

#[tokio::test(start_paused = true)]
async fn who_has_heard_everything_is_answered_with_the_next_tick_or_after_a_second() {
    let (published, none) = (Published::default(), routes(&[]));
    push(&published, split(3, 10.0), &none);
    let began = Instant::now();
    let told = published.told(Some(1)).await;
    assert_eq!((numbers(&told), told.newest), (vec![], 1));
    assert!((LONGEST_WAIT..LONGEST_WAIT * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    let began = Instant::now();
    let (told, ()) = tokio::join!(published.told(Some(1)), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        push(&published, split(3, 10.0), &none);
    });
    assert_eq!(numbers(&told), [2]);
    assert!(began.elapsed() < LONGEST_WAIT, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_tick_is_told_with_its_age_and_with_what_requests_were_routed_by() {
    let (published, none) = (Published::default(), routes(&[]));
    push(&published, split(3, 10.0), &none);
    tokio::time::advance(Duration::from_millis(1_500)).await;
    push(&published, split(4, 20.0), &none);
    let told = published.told(Some(0)).await;
    let ages: Vec<u64> = told.ticks.iter().map(|tick| tick.age_millis).collect();
    assert_eq!(ages, [1_500, 0]);
    let splits: Vec<Split> = told.ticks.iter().map(|tick| tick.counted(0).expect("it was counted").split).collect();
    assert_eq!(splits, [split(3, 10.0), split(4, 20.0)]);
}

#[tokio::test(start_paused = true)]
async fn a_minute_is_kept_and_nothing_that_was_counted_on_other_routes() {
    let (published, some) = (Published::default(), routes(&["a", "other"]));
    (0..MOST_TICKS + 5).for_each(|_| push(&published, split(3, 10.0), &some));
    let first = numbers(&published.told(Some(0)).await);
    assert_eq!((first.first().copied(), first.len()), (Some(6), MOST_TOLD), "the rest is told when it is asked for");
    push(&published, split(3, 10.0), &routes(&["b", "a", "other"]));
    let told = published.told(Some(0)).await;
    assert_eq!((numbers(&told), told.routes.len()), (vec![MOST_TICKS as u64 + 6], 3));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_bounded_in_bytes_too_and_what_has_gone_makes_room() {
    let published = Published::default();
    let keys = |number: u16| {
        let marks = (0..u16::MAX).filter(|mark| mark % 3 == number % 3).collect();
        crate::measure::clients::Keys::new(marks, 0).expect("they rise")
    };
    let mut kept = Vec::new();
    for number in 0..60 {
        let mut drawers = Drawers::default();
        drawers.versions.green = keys(number);
        published.push(&Counted { split: split(3, 10.0), tick: Counts::default(), drawers }, &routes(&[]));
        let ring = published.ring();
        assert!(
            ring.bytes <= MOST_BYTES && ring.bytes == ring.ticks.iter().map(|tick| tick.packed.len()).sum::<usize>()
        );
        kept.push(ring.ticks.len());
    }
    let most = kept.iter().copied().max().unwrap_or_default();
    assert!(most < 60 && kept.last().is_some_and(|last| *last + 1 >= most), "{kept:?}");
}
