use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::conditions;
use super::*;
use crate::control::replicas::published::TickTold;
use crate::control::replicas::{Replicas, link};
use crate::measure::Tick;
use crate::measure::replicas::Drawers;
use crate::release::{Epoch, Weight};

fn tick(number: u64) -> TickTold {
    let packed = data_encoding::BASE64.encode(&packed::pack(&Tick::default(), &Drawers::default()));
    TickTold { number, age_millis: 100, epoch: Epoch::from(1), weight: Weight::ZERO, taken_back: 0, packed }
}

fn told(session: &str, numbers: &[u64]) -> Told {
    Told {
        format: packed::FORMAT,
        session: session.to_owned(),
        newest: numbers.last().copied().unwrap_or_default(),
        routes: Arc::default(),
        ticks: numbers.iter().map(|number| tick(*number)).collect(),
    }
}

/// `gone`, and how many ticks were counted.
fn made(told: Told, known: &mut Option<Known>) -> Result<(Vec<&'static str>, usize), String> {
    let words = words("b", told, known).map_err(|unheard| unheard.to_string())?;
    let counted = words.iter().map(|word| if let Word::Counted { ticks, .. } = word { ticks.len() } else { 0 }).sum();
    Ok((words.iter().filter(|word| matches!(word, Word::Gone { .. })).map(|_| "gone").collect(), counted))
}

#[test]
fn every_tick_of_a_replica_is_counted_once_and_another_process_begins_anew() {
    let mut known = None;
    assert_eq!(made(told("one", &[7]), &mut known), Ok((vec![], 1)));
    assert_eq!(made(told("one", &[]), &mut known), Ok((vec![], 0)));
    assert_eq!(made(told("one", &[8, 9]), &mut known), Ok((vec![], 2)));
    assert_eq!(known.as_ref().map(|known| known.number), Some(9), "from where it is asked next");
    for again in [&[9][..], &[10, 10]] {
        let refused = made(told("one", again), &mut known).expect_err("it was counted");
        assert!(refused.contains("once more"), "{refused}");
    }
    assert_eq!(known.as_ref().map(|known| known.number), Some(9), "nothing of a bad answer counts");
    // What was lost in between is lost.
    assert_eq!(made(told("one", &[12]), &mut known), Ok((vec![], 1)));
    assert_eq!(made(told("other", &[3]), &mut known), Ok((vec!["gone"], 1)));
    assert_eq!(known.map(|known| (known.session, known.number)), Some(("other".to_owned(), 3)));
}

#[test]
fn what_another_version_packs_and_what_cannot_have_been_counted_is_taken_by_nobody() {
    let mut known = Some(Known { session: "one".to_owned(), number: 1 });
    let other = Told { format: packed::FORMAT + 1, ..told("one", &[2]) };
    let refused = made(other, &mut known).expect_err("of another format");
    assert!(refused.contains("they are of different versions"), "{refused}");
    let mut unsound = told("one", &[2, 3]);
    unsound.ticks[1].packed = "////".to_owned();
    let refused = made(unsound, &mut known).expect_err("it holds nothing");
    assert!(refused.contains("tick 3 holds what cannot be"), "{refused}");
    assert_eq!(made(told("one", &[2, 3]), &mut known), Ok((vec![], 2)), "both are counted when they come as they are");
}

fn asking() -> Asking {
    Asking { hop: Hop::by(&conditions::tests::config()), token: None }
}

/// Somebody who can be asked, and what he is called.
async fn listener(name: &str) -> (TcpListener, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let admin = format!("http://{}", listener.local_addr().expect("it is bound"));
    (listener, Peer { name: name.to_owned(), admin })
}

fn among(place: Place, others: &[&Peer]) -> Among {
    Among { place, others: others.iter().map(|peer| (*peer).clone()).collect() }
}

/// The next word that is not of the voice.
async fn word(replicas: &mut Replicas) -> Word {
    loop {
        match replicas.heard().await.expect("the link is held") {
            Word::Voice(_) => {}
            word => return word,
        }
    }
}

#[tokio::test]
async fn who_leads_asks_each_where_it_is_now_and_who_follows_asks_nobody() {
    let ((first, at_first), (second, at_second)) = (listener("b").await, listener("b").await);
    let ((third, other), (link, mut replicas)) = (listener("c").await, link());
    let (tell, told) = watch::channel(among(Place::Follows, &[&at_first, &other]));
    let following = tokio::spawn(follow(told, asking(), link));
    let Some(Word::Voice(Voice::Own { among: 2 })) = replicas.heard().await else { panic!("it follows, of three") };
    tell.send_replace(among(Place::Leads, &[&at_second]));
    second.accept().await.expect("it is asked");
    let asked = |listener: &TcpListener| {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        listener.poll_accept(&mut context).is_ready()
    };
    assert!(!asked(&first) && !asked(&third), "while it followed");
    tell.send_replace(among(Place::Leads, &[&at_first]));
    let Word::Gone { replica } = word(&mut replicas).await else { panic!("what it had told waits no more") };
    assert_eq!(replica, "b");
    first.accept().await.expect("it is asked where it is");
    tell.send_replace(among(Place::Leads, &[]));
    assert!(matches!(word(&mut replicas).await, Word::Gone { .. }));
    drop(tell);
    following.await.expect("it ends with who knows the others");
}

#[tokio::test]
async fn one_that_answers_and_counts_nothing_is_left_out() {
    let ((listener, peer), (link, mut replicas)) = (listener("b").await, link());
    let answering = tokio::spawn(async move {
        let body = serde_json::to_string(&told("one", &[])).expect("plain data");
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 1024];
            while let Ok(1..) = stream.read(&mut asked).await {
                // As one that has nothing new does.
                sleep(Duration::from_millis(100)).await;
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    let (_tell, told) = watch::channel(among(Place::Leads, &[&peer]));
    let following = tokio::spawn(follow(told, asking(), link));
    let Word::Silent { replica, why } = word(&mut replicas).await else { panic!("it has counted nothing") };
    assert_eq!((replica.as_str(), why.as_str()), ("b", "it answers, and has counted nothing for 2 s"));
    following.abort();
    answering.abort();
}
