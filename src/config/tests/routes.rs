use super::*;
use crate::config::RouteShield;
use crate::gate::route::{Goes, RollbackOf};

fn with(rest: &str) -> String {
    format!("{LEAST}{rest}\n")
}

#[test]
fn every_key_of_a_route_arrives() {
    let config = loaded(&with(
        r#"timeouts: { responseHead: 20s }
routes:
- { name: legacy, hosts: [Old.example.com, "*.shop.example"], pin: blue }
- name: checkout
  paths: [/checkout, /checkout/*, "/users/{id}/orders"]
  methods: [POST]
  timeouts: { responseHead: 2m, connect: 3s }
  triggers: [{ name: checkout-errors, metric: errorRate, above: 5%, minimumRequests: 7 }, { name: slow, metric: latency, quantile: 0.5, above: 90s }]
- { name: probes, paths: [/healthz], exclude: true }
gate: { triggers: [{ name: all, metric: errorRate, above: 10% }] }"#,
    ));
    let names: Vec<_> = config.routes.iter().map(|route| (route.name.as_str(), route.goes)).collect();
    assert_eq!(names, [("legacy", Goes::ToBlue), ("checkout", Goes::Judged), ("probes", Goes::Excluded)]);
    let checkout = &config.routes[1];
    assert_eq!(checkout.methods, [http::Method::POST]);
    let Timeouts { connect, response_head, body_idle, .. } = checkout.timeouts;
    let seconds = Duration::from_secs;
    assert_eq!((connect, response_head, body_idle), (seconds(3), seconds(120), seconds(60)));
    assert_eq!(config.routes[0].timeouts.response_head, seconds(20));
    let triggers: Vec<_> = config.policy.triggers.iter().collect();
    let of: Vec<_> = triggers.iter().map(|trigger| trigger.route.as_ref().map(|route| route.name.as_str())).collect();
    assert_eq!(of, [None, Some("checkout"), Some("checkout")]);
    assert_eq!((triggers[1].minimum_requests, triggers[2].minimum_requests), (7, 50));
    let judged: Vec<_> = config.policy.routes.judged().into_iter().map(|route| route.name).collect();
    assert_eq!(judged, ["checkout", "other"]);
}

#[track_caller]
fn check(path: &str, matching: &[&str], others: &[&str]) {
    let config = loaded(&with(&format!("routes: [{{ name: a, paths: [\"{path}\"] }}]")));
    let template = &config.routes[0].paths[0];
    matching.iter().for_each(|matching| assert!(template.matches(matching), "{matching} is on {path}"));
    others.iter().for_each(|other| assert!(!template.matches(other), "{other} is not on {path}"));
}

#[test]
fn a_path_is_compared_as_a_whole_by_its_beginning_or_by_its_segments() {
    check("/", &["/"], &["", "//", "/a", "*"]);
    check("/a", &["/a"], &["/a/", "/A", "/ab", "/"]);
    check("/a/", &["/a/"], &["/a", "/a//"]);
    check("/a/*", &["/a/", "/a/b", "/a//b/c"], &["/a", "/ab"]);
    check("/a*", &["/a", "/ab", "/a/b"], &["/", "/b"]);
    check("/*", &["/", "/a/b"], &["*"]);
    check("/a/{id}", &["/a/1", "/a/%20"], &["/a", "/a/", "/a/1/", "/a/1/b"]);
    check("/a/{id}/b", &["/a/1/b"], &["/a//b", "/a/1/c", "/a/1/b/"]);
    check("/{x}/b/*", &["/1/b/", "/1/b/c/d"], &["/1/b", "//b/"]);
    check("/a/{id}/b*", &["/a/1/b", "/a/1/bc/d"], &["/a/1/", "/a/1"]);
}

#[test]
fn what_is_wrong_with_routes_is_listed_with_its_place() {
    let text = with(
        r#"routes:
- { name: Checkout, paths: [/checkout] }
- { name: other, paths: [checkout, "/a?b", "/a*b", "/{}/a", "/a{b}"] }
- { name: open, timeouts: { keepAlive: 1s } }
- { name: both, paths: [/a], pin: blue, exclude: true }
- { name: green, paths: [], hosts: ["a:80", "*.*", "a b"], methods: [get, TRACE], pin: green }
- { name: pinned, paths: [/b], pin: blue, triggers: [{ name: t, metric: errorRate, above: 5% }] }
- { name: mixed, paths: [/c, /c], triggers: [{ name: s, metric: failureStreak, atLeast: 5 }, { name: u, metric: latency, quantile: 0.5, above: 1s, measure: whole }, { name: v, metric: errorRate, above: 5%, confirm: comparison }] }"#,
    );
    let expected = [
        "6:11 routes[0].name: `Checkout` is not a name for a route | use `a` to `z`, `0` to `9` and `-`, 1 to 63 of them",
        "7:11 routes[1].name: `other` is reserved | it is what no route matches, choose another",
        "7:26 routes[1].paths[0]: `checkout` is not a path | a path begins with `/`, like `/checkout` or `/users/{id}/*`",
        "7:36 routes[1].paths[1]: `/a?b` is more than a path | queries are not compared, write the path alone",
        "7:44 routes[1].paths[2]: `/a*b` has a `*` before its end | a `*` stands for any ending; write `{name}` for any one segment",
        "7:52 routes[1].paths[3]: `/{}/a` has braces that are not a whole segment | write `{name}` between two `/`, in letters, digits and `_`, like `/users/{id}/orders`",
        "7:61 routes[1].paths[4]: `/a{b}` has braces that are not a whole segment | write `{name}` between two `/`, in letters, digits and `_`, like `/users/{id}/orders`",
        "8:3 routes[2]: matches every request | name `paths`, `hosts` or `methods`, like `paths: [/checkout, /checkout/*]`",
        "8:29 unknown key `routes[2].timeouts.keepAlive` | not a key here",
        "9:41 routes[3].exclude: means nothing beside `pin` | remove it: what is pinned to blue is no evidence anyway",
        "10:25 routes[4].paths: is empty | write at least one, or leave it out for all",
        "10:37 routes[4].hosts[0]: `a:80` has a port | a host is compared without its port, write the name alone",
        "10:45 routes[4].hosts[1]: `*.*` has a `*` in its middle | a `*.` at its beginning stands for any name below, like `*.example.com`",
        "10:52 routes[4].hosts[2]: `a b` is not a host | write a name like `shop.example.com` or `*.example.com`",
        "10:70 routes[4].methods[0]: `get` is not a method | write `GET`",
        "10:75 routes[4].methods[1]: `TRACE` is refused anyway | remove it",
        "10:88 routes[4].pin: `green` is not what a route is pinned to | a rollback sends everything to blue",
        "11:43 routes[5].triggers: can never fire: what is on the route is no evidence | remove it",
        "12:30 routes[6].paths[1]: `/c` is in the list already | remove it",
    ];
    assert_eq!(faults(&text), expected);
    let of_a_route =
        |trigger: &str| faults(&with(&format!("routes: [{{ name: a, paths: [/a], triggers: [{trigger}] }}]")));
    for (trigger, fault) in [
        (
            "{ name: s, metric: failureStreak, atLeast: 5 }",
            "5:64 routes[0].triggers[0].metric: `failureStreak` is of a version as a whole, not of one route | write it among `gate.triggers`",
        ),
        (
            "{ name: u, metric: latency, quantile: 0.5, above: 1s, measure: whole }",
            "5:99 routes[0].triggers[0].measure: `whole` is not measured by route | remove it: of a route latencies are known to the response head",
        ),
        (
            "{ name: v, metric: errorRate, above: 5%, confirm: comparison }",
            "5:86 routes[0].triggers[0].confirm: the comparison confirms no trigger of a route | remove it: each route is compared by itself as well",
        ),
    ] {
        assert_eq!(of_a_route(trigger), [fault], "{trigger}");
    }
}

#[test]
fn a_route_that_another_hides_two_of_one_name_and_a_trigger_of_anothers_name_are_refused() {
    for (routes, fault) in [
        (
            "{ name: a, paths: [/a/*] }, { name: b, paths: [/a/b, /a/c/*] }",
            "5:38 routes[1]: never matches: whatever is on it is on `a` before | the first route that matches is the request's; write this one first",
        ),
        (
            "{ name: a, paths: [\"/{x}\"] }, { name: b, paths: [/b], methods: [GET] }",
            "5:40 routes[1]: never matches: whatever is on it is on `a` before | the first route that matches is the request's; write this one first",
        ),
        (
            "{ name: a, paths: [/a] }, { name: a, paths: [/b] }",
            "5:44 routes[1].name: `a` is in the list already | choose another name",
        ),
        (
            "{ name: a, paths: [/a], triggers: [{ name: x, metric: errorRate, above: 5% }] }, { name: b, paths: [/b], triggers: [{ name: x, metric: errorRate, above: 5% }] }",
            "5:134 routes[1].triggers[0].name: `x` is in the list already | choose another name",
        ),
    ] {
        assert_eq!(faults(&with(&format!("routes: [{routes}]"))), [fault], "{routes}");
    }
    for routes in [
        "{ name: a, paths: [/a/*], methods: [GET] }, { name: b, paths: [/a/b] }",
        "{ name: a, paths: [/a/*], hosts: [a] }, { name: b, paths: [/a/b], hosts: [b] }",
        "{ name: a, paths: [/a/b] }, { name: b, paths: [/a/*] }",
        "{ name: a, paths: [\"/{x}\"] }, { name: b, paths: [\"/b*\"] }",
    ] {
        assert_eq!(faults(&with(&format!("routes: [{routes}]"))), [""; 0], "{routes}");
    }
    let many: Vec<String> = (0..65).map(|number| format!("{{ name: r{number}, paths: [/r{number}] }}")).collect();
    assert_eq!(
        faults(&with(&format!("routes: [{}]", many.join(", ")))),
        ["5:9 routes: has 65 elements | at most 64 are allowed"]
    );
    assert_eq!(faults(&with(&format!("routes: [{}]", many[..64].join(", ")))), [""; 0]);
}

#[test]
fn so_many_routes_can_be_learnt_as_there_is_room_for() {
    assert_eq!(loaded(LEAST).learn_routes, 0);
    assert_eq!(loaded(&with("gate: { learnRoutes: 64 }")).learn_routes, 64);
    let text = with("routes: [{ name: a, paths: [/a] }]\ngate: { learnRoutes: 64 }");
    assert_eq!(
        faults(&text),
        ["6:22 gate.learnRoutes: `64` and those of `routes` are more than 64 | write at most `63`"]
    );
    let mut config = loaded(&with("routes: [{ name: a, paths: [/a] }]\ngate: { learnRoutes: 2 }"));
    config.learn(&["/x", "/y/{}", "/z"].map(str::to_owned));
    let learnt = ["/x", "/y/{}"].map(str::to_owned);
    assert_eq!((config.policy.routes.learnt(), config.policy.routes.places()), (learnt.to_vec(), 4));
}

#[test]
fn a_rollback_takes_the_version_back_or_the_route_alone_where_something_can_convict_that() {
    let rollback = |text: &str| {
        let config = loaded(&with(&format!("routes: [{{ name: a, paths: [/a]{text} }}]")));
        (config.routes[0].rollback, config.policy.routes.rollback_of("a"))
    };
    let (version, route) = (RollbackOf::Version, RollbackOf::Route);
    assert_eq!(rollback(""), (version, version));
    assert_eq!(rollback(", rollback: version"), (version, version));
    assert_eq!(rollback(", rollback: route"), (route, route));
    settings::check(
        "routes: [{ name: a, paths: [/a], rollback: routes }]",
        &["5:44 routes[0].rollback: `routes` is not what a rollback takes back | did you mean `route`?"],
    );
    for what in ["exclude: true", "pin: blue"] {
        settings::check(
            &format!("routes: [{{ rollback: route, name: a, paths: [/a], {what} }}]"),
            &["5:12 routes[0].rollback: can never come: what is on the route is no evidence | remove it"],
        );
    }
    let off = "gate: { compare: { enabled: false }, triggers: [{ name: all, metric: errorRate, above: 5% }] }";
    let fault = "5:44 routes[0].rollback: can never come: nothing convicts green on the route | let `gate.compare` be on, or \
                 give the route a trigger that rolls back";
    for (action, faults) in [("", vec![fault]), ("pause", vec![fault]), ("rollback", vec![])] {
        let own = format!(", triggers: [{{ name: t, metric: errorRate, above: 5%, action: {action} }}]");
        let own = if action.is_empty() { String::new() } else { own };
        settings::check(&format!("routes: [{{ name: a, paths: [/a], rollback: route{own} }}]\n{off}"), &faults);
    }
}

#[test]
fn a_route_shields_other_methods_or_none() {
    let shield = |text: &str| {
        let line = format!("routes: [{{ name: a, paths: [/a]{text} }}]");
        loaded(&with(&line)).routes.remove(0).shield
    };
    assert_eq!(shield(""), RouteShield::AsElsewhere);
    assert_eq!(shield(", shield: true"), RouteShield::AsElsewhere);
    assert_eq!(shield(", shield: off"), RouteShield::Off);
    let both = vec![http::Method::POST, http::Method::GET];
    assert_eq!(shield(", shield: { methods: [POST, GET] }"), RouteShield::Methods(both));
    settings::check(
        "routes: [{ name: a, paths: [/a], shield: {} }]",
        &[
            "5:42 routes[0].shield: names no methods | write `methods: [GET, HEAD, POST]`, each of which may be carried out twice",
        ],
    );
    settings::check(
        "routes: [{ name: a, paths: [/a], shield: { methods: [post] } }]",
        &["5:54 routes[0].shield.methods[0]: `post` is not a method | write `POST`"],
    );
    settings::check(
        "shield: off\nroutes: [{ name: a, paths: [/a], shield: { methods: [POST] } }]",
        &[
            "6:34 routes[0].shield: means nothing while `shield` is off | remove it, or let `shield` be on: its budget and its time hold on every route",
        ],
    );
    settings::check("shield: off\nroutes: [{ name: a, paths: [/a], shield: off }]", &[]);
}
