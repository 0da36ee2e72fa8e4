//! Leaving HTTP: WebSocket and its like.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, Connection, End, Proxy, Upstream, config, number};

const UPGRADE: &str = "GET /socket HTTP/1.1\r\nHost: test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: x\r\n\r\n";
const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\n";

/// Agrees to every upgrade and sends back what it gets.
fn echo(connection: &mut Connection) {
    if connection.head().is_none() {
        return;
    }
    connection.send(SWITCHING);
    loop {
        let byte = connection.bytes(1);
        if byte.is_empty() {
            return;
        }
        connection.send(byte);
    }
}

#[track_caller]
fn upgrade(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    let head = client.send(UPGRADE).response();
    assert_eq!(head.status, 101);
    client
}

#[test]
fn row_24_an_accepted_upgrade_is_a_tunnel_both_ways() {
    let blue = Upstream::scripted(echo);
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    let response = client.send(UPGRADE).response();
    assert_eq!(response.status, 101);
    assert_eq!(response.head.one("upgrade"), "websocket");
    assert_eq!(response.head.one("connection").to_ascii_lowercase(), "upgrade");
    assert_eq!(response.head.one("sec-websocket-accept"), "y");
    for message in ["one", "\0\r\n\r\nGET / HTTP/1.1\r\n\r\n", "three"] {
        assert_eq!(client.send(message).bytes(message.len()), message.as_bytes());
    }
    client.half_close();
    client.ends();

    let seen = blue.seen();
    let head = String::from_utf8_lossy(&seen[0].bytes).to_ascii_lowercase();
    assert!(head.contains("\r\nupgrade: websocket\r\n") && head.contains("\r\nconnection: upgrade\r\n"), "{head}");
    assert_eq!(blue.until_ended(0), End::Clean);
    proxy.until_outcome("success", 1);
}

#[test]
fn row_24_the_endpoint_may_speak_first_and_end_first() {
    let blue = Upstream::scripted(|connection| {
        connection.head();
        connection.send(format!("{SWITCHING}welcome"));
        connection.send(" and goodbye");
    });
    let proxy = Proxy::before(&blue);
    let mut client = upgrade(&proxy);
    assert_eq!(client.rest(), (b"welcome and goodbye".to_vec(), End::Clean));
}

#[test]
fn row_24_a_refused_upgrade_is_an_answer_like_any_other() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    let response = client.send(UPGRADE).response();
    assert_eq!((response.status, response.text().as_str()), (200, "GET /socket"));
    assert_eq!(client.get("/next").text(), "GET /next");
    assert_eq!(client.send(UPGRADE).response().status, 200);
    proxy.until_outcome("success", 3);
}

#[test]
fn row_24_bytes_sent_before_the_101_reach_the_endpoint_only_behind_it() {
    let blue = Upstream::scripted(|connection| {
        connection.head();
        // What came in the meantime would be an answer to nobody's question.
        let silent = connection.is_silent(Duration::from_millis(200));
        connection.send(SWITCHING);
        connection.send(if silent { "silent " } else { "spoke " });
        let early = connection.bytes(5);
        connection.send(early);
    });
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send(format!("{UPGRADE}early"));
    assert_eq!(client.response().status, 101);
    let (rest, _) = client.rest();
    assert_eq!(String::from_utf8_lossy(&rest), "silent early");
}

#[test]
fn row_24_early_bytes_behind_a_refused_upgrade_are_no_second_answer() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send(format!("{UPGRADE}\u{81}\u{5}hello\r\n\r\n"));
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().status, 400);
    client.ends();
    assert_eq!(blue.count(), 1);
}

/// `PORTCULLIS_TEST_UPGRADES=10000` makes as many as the rule has.
#[test]
fn row_25_none_of_many_upgrades_in_a_row_is_torn_down() {
    let upgrades = number("PORTCULLIS_TEST_UPGRADES").unwrap_or(1_000);
    let blue = Upstream::scripted(echo);
    let proxy = Proxy::before(&blue);
    for number in 0..upgrades {
        let mut client = upgrade(&proxy);
        assert_eq!(client.send("hello").bytes(5), b"hello", "{number}");
    }
    proxy.until_outcome("success", upgrades);
    proxy.until_metric("portcullis_connections", &["side=\"upstream\""], 0.0);
}

#[test]
fn row_27_a_tunnel_in_which_nothing_moves_is_closed() {
    let blue = Upstream::scripted(echo);
    let proxy = Proxy::before_with(&blue, "timeouts: { tunnelIdle: 200ms }");
    upgrade(&proxy).rest();
    blue.until_ended(0);
    proxy.until_metric("portcullis_connections", &[], 0.0);
}

#[test]
fn row_27_a_tunnel_in_which_something_moves_now_and_then_is_kept() {
    let blue = Upstream::scripted(echo);
    let proxy = Proxy::before_with(&blue, "timeouts: { tunnelIdle: 3s }");
    let mut client = upgrade(&proxy);
    // Together longer than the timeout, each much shorter.
    for _ in 0..8 {
        client.pause(Duration::from_millis(450));
        assert_eq!(client.send("a").bytes(1), b"a");
    }
}

#[test]
fn a_tunnel_ends_when_either_side_resets() {
    let blue = Upstream::scripted(echo);
    let proxy = Proxy::before(&blue);
    upgrade(&proxy).reset();
    blue.until_ended(0);

    let blue = Upstream::scripted(|connection| {
        connection.head();
        connection.send(SWITCHING);
        connection.bytes(1);
        connection.reset();
    });
    let proxy = Proxy::before(&blue);
    let mut client = upgrade(&proxy);
    client.send("a").rest();
    proxy.until_metric("portcullis_connections", &["side=\"client\""], 0.0);
}

/// What a client is told: 1012, "service restart".
const RESTARTS: &[u8] = &[0x88, 0x02, 0x03, 0xf4];

fn in_front_of(blue: &Upstream, green: &Upstream) -> Proxy {
    let policy = "drain: { wait: 0s, deadline: 300ms }\ngate: { triggers: [{ name: alerts, metric: external }] }";
    Proxy::start(&config(&[blue.address], &[green.address], policy))
}

#[test]
fn row_27_a_websocket_is_told_of_a_drain_and_cut_at_the_deadline() {
    let (blue, green) = (Upstream::scripted(echo), Upstream::ok());
    let mut proxy = in_front_of(&blue, &green);
    let mut client = upgrade(&proxy);
    proxy.sigterm();
    assert_eq!(client.bytes(4), RESTARTS);
    assert_eq!(client.rest().0, b"");
    blue.until_ended(0);
    assert!(proxy.wait_exit().success());
}

#[test]
fn row_98_a_websocket_on_green_is_told_of_a_rollback_between_two_frames_and_cut_at_the_deadline() {
    let (blue, green) = (Upstream::scripted(echo), Upstream::scripted(echo));
    let proxy = in_front_of(&blue, &green);
    proxy.set_weight(100.0);
    let (mut idle, mut busy) = (upgrade(&proxy), upgrade(&proxy));
    // A frame of four bytes, of which half has passed.
    assert_eq!(busy.send(b"\x82\x04ab").bytes(4), b"\x82\x04ab");
    assert_eq!(proxy.post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
    assert_eq!(idle.bytes(4), RESTARTS);
    assert_eq!(busy.send(b"cd\x82\x01e").bytes(6), [b"cd", RESTARTS].concat());
    for client in [&mut idle, &mut busy] {
        assert_eq!(client.rest().0, b"", "nothing follows the close");
    }
    green.until_ended(1);
}

#[test]
fn row_98_tunnels_of_blue_live_on_through_weights_releases_rollbacks_and_reloads() {
    let (blue, green) = (Upstream::scripted(echo), Upstream::scripted(echo));
    let proxy = in_front_of(&blue, &green);
    let mut on_blue = upgrade(&proxy);
    proxy.set_weight(100.0);
    let mut on_green = upgrade(&proxy);
    proxy.set_weight(0.0);
    let endpoints = json!({ "endpoints": [blue.address.to_string(), "127.0.0.1:1"] });
    assert_eq!(proxy.call("PUT", "/v1/versions/blue/endpoints", &endpoints).status, 200);
    assert_eq!(proxy.post("/v1/config/reload", &Value::Null).status, 200);
    assert_eq!(on_green.send(b"\x82\x01a").bytes(3), b"\x82\x01a", "a weight of 0 is no rollback");
    assert_eq!(proxy.post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
    assert_eq!(on_green.bytes(4), RESTARTS);
    on_green.rest();
    assert_eq!(on_blue.send("b").bytes(1), b"b");
}

#[test]
fn row_98_tunnels_to_an_endpoint_that_has_left_are_told_and_cut() {
    let (blue, green) = (Upstream::scripted(echo), Upstream::scripted(echo));
    let proxy = in_front_of(&blue, &green);
    let mut client = upgrade(&proxy);
    let endpoints = json!({ "endpoints": [green.address.to_string()] });
    assert_eq!(proxy.call("PUT", "/v1/versions/blue/endpoints", &endpoints).status, 200);
    assert_eq!(client.bytes(4), RESTARTS);
    assert_eq!(client.rest().0, b"");
    blue.until_ended(0);
}
