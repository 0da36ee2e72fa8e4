//! What may be shielded.

use std::time::Duration;

use http::Method;

use super::settings::check;
use super::{LEAST, loaded};

#[test]
fn get_and_head_are_shielded_unless_something_else_is_said() {
    for line in ["", "shield: true", "shield: on", "shield: {}"] {
        let shield = loaded(&format!("{LEAST}{line}\n")).shield.expect("it is on");
        assert_eq!((shield.methods, shield.grpc.len()), (vec![Method::GET, Method::HEAD], 0));
        assert_eq!((shield.budget.fraction(), shield.after), (0.2, Duration::from_secs(3)));
        assert_eq!(shield.body_bytes, 64 * 1024);
    }
    for line in ["shield: false", "shield: off"] {
        assert_eq!(loaded(&format!("{LEAST}{line}\n")).shield, None);
    }
}

#[test]
fn the_shield_has_idempotent_methods_and_calls_a_budget_and_a_time() {
    const SHAPE: &str = "expected `true`, `false` or a mapping";
    check("shield: yes", &[&format!("5:9 shield: {SHAPE}, found the text `yes` | {SHAPE}")]);
    check("shield: { budgte: 5% }", &["5:11 unknown key `shield.budgte` | did you mean `budget`?"]);
    check("shield: { methods: [GET, PUT], budget: 100%, after: 29s, bodyBytes: 1MiB }", &[]);
    check(
        "shield: { methods: [GET, POST, get, GET] }",
        &[
            "5:26 shield.methods[1]: `POST` is not idempotent | it could be carried out twice, by green and by blue",
            "5:32 shield.methods[2]: `get` is not an idempotent method | did you mean `GET`?",
        ],
    );
    check("shield: { methods: [GET, GET] }", &["5:26 shield.methods[1]: `GET` is in the list already | remove it"]);
    check("shield: { budget: 20 }", &["5:19 shield.budget: `20` has no percent sign | write `20%`"]);
    check("shield: { budget: 0% }", &["5:19 shield.budget: `0%` shields nothing | write `shield: false` for that"]);
    check(
        "shield: { after: 30s }",
        &["5:18 shield.after: `30s` is not before `timeouts.responseHead` | write less than `30s`, or leave it out"],
    );
    check("shield: { after: 0s }", &["5:18 shield.after: `0s` is below 1ms | from 1ms to 24h"]);
    check("shield: { bodyBytes: 2MiB }", &["5:22 shield.bodyBytes: `2MiB` is above 1MiB | from 0 bytes to 1MiB"]);
    check("timeouts: { responseHead: 1s }", &[]);
    check(r#"shield: { grpc: ["/shop.Catalog/Get", "/shop.Cart/*"] }"#, &[]);
    for wrong in ["shop.Catalog/Get", "/Get", "/*", "/shop.Cart/", "/shop.Cart/Get*", "/shop.Cart/Get?a"] {
        let label = "write `/package.Service/Method`, or `/package.Service/*` for all of a service";
        check(
            &format!("shield: {{ grpc: [\"{wrong}\"] }}"),
            &[&format!("5:18 shield.grpc[0]: `{wrong}` is no call of gRPC | {label}")],
        );
    }
}
