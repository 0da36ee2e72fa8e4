//! Header fields: what belongs to one hop, what tells where a request came from, and what passes as it is.

use serde_json::json;

use crate::support::{Head, Proxy, Request, Upstream, config};

/// What blue gets when a client sends `fields`.
#[track_caller]
fn forwarded(rest: &str, fields: &str) -> Request {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, rest);
    let response = proxy.client().send(format!("GET / HTTP/1.1\r\nHost: test:80\r\n{fields}\r\n")).response();
    assert_eq!(response.status, 200);
    blue.only_request()
}

/// What a client gets when blue answers with `fields`.
#[track_caller]
fn answered(fields: &str) -> Head {
    let blue = Upstream::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n"));
    Proxy::before(&blue).get("/").head
}

/// Field names, in lower case and sorted.
fn names(head: &Head) -> Vec<String> {
    let mut names: Vec<String> = head.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    names
}

const ADDED: [&str; 5] = ["host", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

#[test]
fn row_28_fields_of_one_hop_do_not_reach_the_endpoint() {
    let request = forwarded(
        "",
        "Connection: keep-alive, X-Hop\r\nConnection: x-other\r\nX-Hop: 1\r\nX-Other: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic YTpi\r\nTE: gzip\r\nUpgrade: websocket\r\n",
    );
    assert_eq!(names(&request.head), ADDED);
}

#[test]
fn a_member_of_connection_that_is_no_text_hid_the_others() {
    let fields = "Connection: keep-alive, X-Hop, é\r\nX-Hop: 1\r\nTE: trailers, é\r\n";
    let head = forwarded("", fields).head;
    assert_eq!(names(&head), ["host", "te", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]);
}

#[test]
fn row_28_fields_of_one_hop_do_not_reach_the_client() {
    let head = answered(
        "Connection: X-Hop\r\nConnection: x-other, keep-alive\r\nX-Hop: 1\r\nX-Other: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-End: 1\r\n",
    );
    assert_eq!(names(&head), ["content-length", "date", "x-end"]);
}

#[test]
fn row_28_te_is_written_anew_as_trailers_or_left_out() {
    for fields in [
        "TE: trailers\r\nConnection: close\r\n",
        "Connection: TE\r\nTE: Trailers\r\n",
        "TE: trailers, deflate;q=0.5\r\n",
        "TE: trailers\r\nTE: gzip\r\n",
    ] {
        assert_eq!(forwarded("", fields).head.one("te"), "trailers", "{fields}");
    }
    for fields in ["TE: gzip\r\n", "TE:\r\nTE: deflate\r\n", "TE: xtrailers\r\n"] {
        assert_eq!(names(&forwarded("", fields).head), ADDED, "{fields}");
    }
}

#[test]
fn row_29_connection_does_not_take_out_what_the_request_is_made_of() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: test\r\nConnection: host, content-length, x-forwarded-for, x-forwarded-host\r\n\
         Connection: X-Forwarded-Proto, via, transfer-encoding\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_eq!(client.response().status, 200);
    let request = blue.only_request();
    assert_eq!(request.body, b"hello");
    assert_eq!(request.head.one("content-length"), "5");
    for name in ADDED {
        request.head.one(name);
    }
}

#[test]
fn row_30_what_an_untrusted_client_says_of_its_way_is_overwritten() {
    let head = forwarded(
        "",
        "X-Forwarded-For: 1.2.3.4\r\nx-forwarded-for: 5.6.7.8\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: elsewhere\r\nForwarded: for=1.2.3.4\r\n",
    )
    .head;
    assert_eq!(head.one("x-forwarded-for"), "127.0.0.1");
    assert_eq!(head.one("x-forwarded-proto"), "http");
    assert_eq!(head.one("x-forwarded-host"), "test:80");
    assert!(!head.has("forwarded"));
}

#[test]
fn row_30_what_a_trusted_proxy_says_is_kept_and_its_address_added() {
    let trusted = "trustedProxies: [\"127.0.0.0/8\"]";
    let head = forwarded(
        trusted,
        "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: outside\r\nForwarded: for=1.2.3.4\r\n",
    )
    .head;
    assert_eq!(head.one("x-forwarded-for"), "1.2.3.4, 127.0.0.1");
    assert_eq!(head.one("x-forwarded-proto"), "https");
    assert_eq!(head.one("x-forwarded-host"), "outside");
    assert_eq!(head.one("forwarded"), "for=1.2.3.4");

    let head = forwarded(trusted, "Connection: forwarded\r\nForwarded: for=1.2.3.4\r\n").head;
    assert_eq!(head.one("forwarded"), "for=1.2.3.4");
    let head = forwarded(trusted, "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n").head;
    assert_eq!(head.all("x-forwarded-for").join(", "), "1.2.3.4, 5.6.7.8, 127.0.0.1");

    let head = forwarded(trusted, "").head;
    assert_eq!(head.one("x-forwarded-for"), "127.0.0.1");
    assert_eq!(head.one("x-forwarded-proto"), "http");
    assert_eq!(head.one("x-forwarded-host"), "test:80");

    let head = forwarded("trustedProxies: [\"10.0.0.0/8\"]", "X-Forwarded-For: 1.2.3.4\r\n").head;
    assert_eq!(head.one("x-forwarded-for"), "127.0.0.1");
}

/// Without the digits that each process draws.
fn is_ours(via: &str) -> bool {
    let digits = via.strip_prefix("1.1 portcullis-").unwrap_or_default();
    digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[test]
fn via_names_us_behind_whoever_was_before() {
    assert!(is_ours(&forwarded("", "").head.one("via")));
    let via = forwarded("", "Via: 1.0 first\r\nVia: 1.1 second\r\n").head.all("via").join(", ");
    let ours = via.strip_prefix("1.0 first, 1.1 second, ").expect("those before");
    assert!(is_ours(ours), "{via}");
}

#[test]
fn row_31_a_request_that_comes_back_is_508_charged_to_nobody_and_has_its_reason() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "accessLog: true");
    let mut client = proxy.client();
    client.get("/");
    let ours = blue.only_request().head.one("via");
    for (number, via) in [
        format!("Via: {ours}"),
        format!("VIA: 1.0 first, {ours} (a comment), 1.1 last"),
        format!("Via: 1.1 first\r\nVia: {}", ours.replace("1.1", "2")),
    ]
    .iter()
    .enumerate()
    {
        let response = client.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{via}\r\n\r\n")).response();
        let said = (response.status, response.head.one("proxy-status"));
        assert_eq!(said, (508, "portcullis; error=proxy_loop_detected".to_owned()), "{via}");
        assert_eq!(response.text(), "the request has come through this proxy already\n");
        let counted = ["version=\"none\"", "outcome=\"refused_by_us\"", "code=\"508\""];
        proxy.until_metric("portcullis_requests_total", &counted, number as f64 + 1.0);
    }
    let reasons: Vec<_> =
        proxy.until_logged_times("request", 4).iter().skip(1).map(|line| line["reason"].clone()).collect();
    assert_eq!(reasons, ["proxy_loop"; 3]);
    proxy.until_charged(1, 0);
    assert_eq!(client.get("/").status, 200, "the connection goes on");
    for others in ["1.1 portcullis", "1.1 portcullis-0000000000000000", "1.1 PORTCULLIS"] {
        let response = client.send(format!("GET / HTTP/1.1\r\nHost: test\r\nVia: {others}\r\n\r\n")).response();
        assert_eq!(response.status, 200, "{others}");
    }
}

#[test]
fn row_31_a_proxy_that_is_its_own_endpoint_answers_508_after_one_round() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let endpoints = json!({ "endpoints": [proxy.listen.to_string()] });
    assert_eq!(proxy.call("PUT", "/v1/versions/blue/endpoints", &endpoints).status, 200);
    assert_eq!(proxy.get("/").status, 508);
    proxy.until_metric("portcullis_requests_total", &["code=\"508\"", "version=\"none\""], 1.0);
    proxy.until_metric("portcullis_requests_total", &["code=\"508\"", "version=\"blue\""], 1.0);
    assert_eq!(blue.count(), 0);
}

#[test]
fn row_31_two_proxies_in_a_row_of_one_service_are_no_loop() {
    let blue = Upstream::ok();
    let sidecar = Proxy::before_with(&blue, "service: checkout");
    let nobody = ([127, 0, 0, 1], 1).into();
    let edge = Proxy::start(&config(&[sidecar.listen], &[nobody], "service: checkout"));
    assert_eq!(edge.get("/").text(), "GET /");
    let via = blue.only_request().head.all("via").join(", ");
    let hops: Vec<&str> = via.split(", ").collect();
    assert!(hops.len() == 2 && hops.iter().all(|hop| is_ours(hop)) && hops[0] != hops[1], "{via}");
}

/// Overrides, which would be the proxy's own fields, do not exist: none of these is known, and a name of the proxy's that
/// a client uses is one like any other.
#[test]
fn row_19_no_field_of_a_client_chooses_its_version() {
    let (blue, green) = (Upstream::ok(), Upstream::ok());
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], "sticky: { cookie: session }"));
    let mut client = proxy.client();
    for (percent, wanted) in [(0.0, "green"), (100.0, "blue")] {
        proxy.set_weight(percent);
        let before = [blue.count(), green.count()];
        for field in ["X-Portcullis-Version", "X-Portcullis-Override", "Portcullis-Version", "X-Version", "X-Canary"] {
            for value in [wanted, "always", "v1", "v2"] {
                let fields = format!("{field}: {value}\r\nCookie: portcullis={value}; session={value}");
                let head = format!("GET /?version={value} HTTP/1.1\r\nHost: test\r\n{fields}\r\n\r\n");
                assert_eq!(client.send(head).response().status, 200);
            }
        }
        let came = [blue.count() - before[0], green.count() - before[1]];
        assert_eq!(came, if percent == 0.0 { [20, 0] } else { [0, 20] });
    }
}

#[test]
fn an_http_1_0_request_without_host_gets_that_of_the_endpoint() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    proxy.client().send("GET / HTTP/1.0\r\nX-Forwarded-Host: elsewhere\r\n\r\n").response();
    let head = blue.only_request().head;
    assert_eq!(head.one("host"), blue.address.to_string());
    assert!(!head.has("x-forwarded-host"));
}

#[test]
fn row_32_repeated_empty_and_obs_text_fields_pass_both_ways() {
    let blue = Upstream::answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a=1\r\nX-Empty:\r\nset-cookie: b=2\r\nX-Bytes: \xe9\xff\r\n\r\n",
    );
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send(b"GET / HTTP/1.1\r\nHost: test\r\nX-A: 1\r\nX-EMPTY:\r\nx-a: 2\r\nX-Bytes: \xe9\xff\r\nX-A: 1\r\n\r\n");
    let head = client.response().head;
    assert_eq!(head.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(head.one("x-empty"), "");
    assert!(head.fields.contains(&("x-bytes".to_owned(), b"\xe9\xff".to_vec())));

    let head = blue.only_request().head;
    assert_eq!(head.all("x-a"), ["1", "2", "1"]);
    assert_eq!(head.one("x-empty"), "");
    assert!(head.fields.contains(&("x-bytes".to_owned(), b"\xe9\xff".to_vec())));
}

#[test]
fn row_26_an_upgrade_to_http_2_is_not_forwarded() {
    for upgrade in ["h2c", "H2C", "h2", "h2c, websocket", "h2c, é"] {
        let fields =
            format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABk\r\n");
        assert_eq!(names(&forwarded("", &fields).head), ADDED, "{upgrade}");
    }
}
