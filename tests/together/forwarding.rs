//! Changes on their way from a follower to the leader.

use serde_json::json;

use super::{LEASE, LEASES, NAME, ROLLOUTS, Team, half, is_half};
use crate::support::{Authority, Client, Hello, eventually, folder};

#[test]
fn a_change_at_a_follower_reaches_a_leader_whose_admin_api_is_over_tls() {
    let (folder, authority) = (folder(), Authority::new());
    // For no address, and by nobody whom the system trusts.
    authority.sign(&["portcullis.shop"]).write(folder.path(), "admin");
    let path = |extension: &str| folder.path().join(format!("admin.{extension}")).display().to_string();
    let certificate = json!({ "cert": path("crt"), "key": format!("file:{}", path("key")) });
    let admin = json!({ "listen": "127.0.0.1:0", "tls": { "certificates": [certificate] } });
    let team = Team::with(half(), 200, &json!({ "admin": admin }), &[]);
    team.server.until("the step", ROLLOUTS, NAME, |resource| resource["status"]["weight"] == 50.0);
    let follower = team.follower();
    team.server.until("its address", LEASES, &format!("{NAME}-r{follower}"), |lease| {
        let admin = lease["metadata"]["annotations"]["portcullis.dev/admin"].as_str();
        admin.is_some_and(|admin| admin == format!("https://{}", team.replica(follower).admin))
    });
    let asked = || {
        let hello = Hello { name: "portcullis.shop", ..Hello::new(&authority) };
        let mut client = hello.on(Client::connect(team.replica(follower).admin)).expect("they agree");
        let body = json!({ "weight": 30, "reason": "a test" }).to_string();
        let head = format!("Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
        client.send(format!("PUT /v1/weight HTTP/1.1\r\n{head}\r\n\r\n{body}")).response()
    };
    eventually("it knows where the leader is", || (asked().status == 200).then_some(()));
    team.server.until("the leader has taken it", ROLLOUTS, NAME, |resource| resource["status"]["weight"] == 30.0);
}

#[test]
fn a_follower_that_does_not_reach_the_leader_says_where_to_ask_it() {
    // Where nobody listens.
    let team = Team::with(half(), 200, &json!({}), &["--advertise", "127.0.0.9"]);
    team.until_all(is_half);
    let (leader, follower) = (team.leader(), team.follower());
    let refused = eventually("it knows where the leader should be", || {
        let answered = team.replica(follower).call("PUT", "/v1/weight", &json!({ "weight": 30 }));
        assert_eq!(answered.status, 503, "{} with a lease of {LEASE}", answered.text());
        Some(answered.text()).filter(|text| !text.contains("no replica is known to lead"))
    });
    let at = format!("ask that one itself, at http://127.0.0.9:{}", team.replica(leader).admin.port());
    assert!(refused.contains(&at), "{refused}");
}
