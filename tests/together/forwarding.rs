//! Changes on their way from a follower to the leader.

use serde_json::{Value, json};

use super::{LEASE, LEASES, NAME, ROLLOUTS, Team, half, is_half};
use crate::support::{ApiServer, Authority, Client, Hello, Proxy, Upstream, eventually, folder};

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

/// Whom nobody finds dead while the test runs.
fn lease(name: &str, admin: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "shop", "labels": { "portcullis.dev/rollout": NAME },
            "annotations": { "portcullis.dev/admin": admin } },
        "spec": { "holderIdentity": "ghost", "leaseDurationSeconds": 3600, "renewTime": "2100-01-01T00:00:00.000000Z" },
    })
}

#[test]
fn a_change_is_handed_on_whole_in_the_name_of_its_caller_and_over_one_hop() {
    let (server, blue, files) = (ApiServer::start(), Upstream::ok(), folder());
    let leader = Upstream::answering(
        "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nETag: \"7\"\r\nContent-Length: 13\r\n\r\n{\"weight\": 7}",
    );
    let tokens = files.path().join("tokens.yaml");
    std::fs::write(files.path().join("secret"), "let-me-do-it").expect("a folder can be written");
    let text = "tokens:\n- { name: alice, role: operator, token: \"file:secret\" }\n";
    std::fs::write(&tokens, text).expect("a folder can be written");
    let version = |name: &str| json!({ "version": name, "endpoints": [blue.address.to_string()] });
    let mut elects = lease(NAME, "");
    (elects["metadata"]["labels"], elects["metadata"]["annotations"]) = (json!({}), json!({}));
    server.put(LEASES, elects);
    server.put(LEASES, lease(&format!("{NAME}-ghost"), &format!("http://{}", leader.address)));
    server.put(
        ROLLOUTS,
        json!({
            "apiVersion": "portcullis.dev/v1alpha1", "kind": "GatedRollout",
            "metadata": { "name": NAME, "namespace": "shop" },
            "spec": { "listen": "127.0.0.1:0", "admin": { "listen": "127.0.0.1:0", "tokens": tokens }, "workers": 1,
                "blue": version("v1"), "green": version("v2") },
        }),
    );
    let proxy = Proxy::start_by_resource(&server, NAME, &["--replica", "r0", "--lease", "3s"]);
    let host = format!("Host: {}", proxy.admin);
    let (mine, body) = ("Authorization: Bearer let-me-do-it", "{\"weight\": 7}");
    let change = |fields: &[&str]| {
        let fields = [&[host.as_str(), "Content-Type: application/json"], fields].concat();
        proxy.ask("PUT", "/v1/weight?dry=1", &fields, body)
    };
    // Nobody is asked for who is not known here, whatever the leader would say.
    assert_eq!((change(&[]).status, leader.connections()), (401, 0));
    let origin = format!("Origin: http://{}", proxy.admin);
    let answer = eventually("it knows where the leader is", || {
        let answer = change(&[mine, "Idempotency-Key: 42", "If-Match: \"6\"", &origin, "Connection: close"]);
        (answer.status != 503).then_some(answer)
    });
    assert_eq!((answer.status, answer.text().as_str(), answer.head.one("etag").as_str()), (202, body, "\"7\""));
    let request = leader.only_request();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("PUT", "/v1/weight?dry=1"));
    assert_eq!(String::from_utf8_lossy(&request.body), body);
    let field = |name: &str| request.head.all(name).join(", ");
    assert_eq!(field("host"), leader.address.to_string());
    assert_eq!(
        [field("authorization"), field("idempotency-key"), field("if-match")],
        ["Bearer let-me-do-it", "42", "\"6\""]
    );
    assert_eq!([field("origin"), field("connection")], ["", ""], "of the hop before alone");

    // What has made its hop makes no other: two that take each other for the leader would hand it round for ever.
    let mark = format!("portcullis-forwarded: {}", field("portcullis-forwarded"));
    assert_eq!((change(&[mine, &mark]).status, leader.count()), (503, 1));
    assert_eq!(proxy.ask("GET", "/v1/status", &[&host, mine], "").status, 200, "what is only looked at is this one's");

    // Without a leader nobody does it, and least of all this one.
    server.delete(LEASES, &format!("{NAME}-ghost"));
    eventually("it knows of no leader", || (change(&[mine]).status == 503).then_some(()));
    let status: Value = serde_json::from_slice(&proxy.ask("GET", "/v1/status", &[&host, mine], "").body).expect("JSON");
    assert_eq!(status["weight"], 0.0);
}
