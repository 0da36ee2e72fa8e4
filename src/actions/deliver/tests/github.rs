use serde_json::json;

use super::*;

const ENTRY: &str = "{ github: { token: env:SECRET, repository: shop/checkout } }";
const HEADERS: &str =
    "; authorization: Bearer s3cr3t; accept: application/vnd.github+json; x-github-api-version: 2022-11-28";
const SHA: &str = "7638417db6d59f3c431d3e1f261cc637155684cd";

#[test]
fn the_deployment_of_greens_version_gets_a_status() {
    let action = action(Moment::RolledBack, ENTRY);
    let context = context(facts(Moment::RolledBack), vec![]);
    let listed = sent(&action, &context, &[]);
    let path = "https://api.github.com/repos/shop/checkout/deployments";
    assert_eq!(line(&listed), format!("GET {path}?ref=v2&environment=production&per_page=1{HEADERS}"));
    let found = answer(200, r#"[{"id":42,"ref":"v2"}]"#);
    let status = sent(&action, &context, std::slice::from_ref(&found));
    assert_eq!(line(&status), format!("POST {path}/42/statuses{HEADERS}"));
    assert_eq!(
        body(&status),
        json!({
            "state": "failure",
            "environment": "production",
            "description": "checkout: v2 was rolled back to v1: errorRate of green is 12.50 %",
            "log_url": REPORT,
        })
    );
    let remembered = delivered(&action, &context, &[found, answer(201, "{}")]);
    assert_eq!(remembered["deployment"], "42");
}

#[test]
fn where_there_is_no_deployment_one_is_made_and_kept_to() {
    let started = action(Moment::Started, ENTRY);
    let before = context(facts(Moment::Started), vec![]);
    let make = sent(&started, &before, &[answer(200, "[]")]);
    assert_eq!(line(&make), format!("POST https://api.github.com/repos/shop/checkout/deployments{HEADERS}"));
    let expected = json!({
        "ref": "v2",
        "environment": "production",
        "description": "checkout: the release of v2 over v1 has started",
        "auto_merge": false,
        "required_contexts": [],
    });
    assert_eq!(body(&make), expected);
    let answers = [answer(200, "[]"), answer(201, r#"{"id":43}"#), answer(201, "{}")];
    assert_eq!(body(&sent(&started, &before, &answers[..2]))["state"], "in_progress");
    let values = delivered(&started, &before, &answers);

    let promoted = action(Moment::Promoted, ENTRY);
    let after = context(facts(Moment::Promoted), vec![Remembered { values, ..earlier("github", &[]) }]);
    let status = sent(&promoted, &after, &[]);
    assert_eq!(
        line(&status),
        format!("POST https://api.github.com/repos/shop/checkout/deployments/43/statuses{HEADERS}")
    );
    assert_eq!(body(&status)["state"], "success");
}

#[test]
fn a_commit_is_looked_up_unless_it_is_named() {
    let entry = "{ github: { api: https://github.example/api/v3, token: env:SECRET, repository: shop/checkout, status: commit, \
                 ref: \"release/{{ green }}\" } }";
    let by_name = action(Moment::Paused, entry);
    let context_of = |facts| context(facts, vec![]);
    let looked_up = line(&sent(&by_name, &context_of(facts(Moment::Paused)), &[]));
    let path = "https://github.example/api/v3/repos/shop/checkout";
    assert!(looked_up.starts_with(&format!("GET {path}/commits/release%2Fv2; ")), "{looked_up}");
    assert!(looked_up.contains("accept: application/vnd.github.sha"), "{looked_up}");
    let status = sent(&by_name, &context_of(facts(Moment::Paused)), &[answer(200, SHA)]);
    assert_eq!(line(&status), format!("POST {path}/statuses/{SHA}{HEADERS}"));
    assert_eq!(
        body(&status),
        json!({
            "state": "pending",
            "context": "portcullis/checkout",
            "description": "checkout: the release of v2 is paused: errorRate of green is 12.50 %",
            "target_url": REPORT,
        })
    );
    assert!(failed(&by_name, &context_of(facts(Moment::Paused)), &[answer(200, "<html>")]).contains("names no commit"));

    let entry = "{ github: { token: env:SECRET, repository: shop/checkout, status: commit, context: gate } }";
    let by_sha = action(Moment::Promoted, entry);
    let named = Facts { green: SHA.to_owned(), ..facts(Moment::Promoted) };
    let status = sent(&by_sha, &context_of(named), &[]);
    assert_eq!(line(&status), format!("POST https://api.github.com/repos/shop/checkout/statuses/{SHA}{HEADERS}"));
    assert_eq!((&body(&status)["state"], &body(&status)["context"]), (&json!("success"), &json!("gate")));
}

#[test]
fn a_description_is_no_longer_than_github_takes() {
    let context = context(Facts { reason: "so\nbad ".repeat(99), ..facts(Moment::RolledBack) }, vec![]);
    let status = body(&sent(&action(Moment::RolledBack, ENTRY), &context, &[answer(200, r#"[{"id":42}]"#)]));
    let description = status["description"].as_str().expect("text");
    assert_eq!((description.chars().count(), description.contains('\n')), (140, false));
}

#[test]
fn a_limit_on_requests_is_told_with_403() {
    let action = action(Moment::RolledBack, ENTRY);
    let context = context(facts(Moment::RolledBack), vec![]);
    let secondary =
        answer_with(403, &[("retry-after", "60")], r#"{"message":"You have exceeded a secondary rate limit"}"#);
    assert_eq!(retried(&action, &context, &[secondary]), Some(Duration::from_secs(60)));
    let passed = answer_with(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1372700873")], "");
    assert_eq!(retried(&action, &context, &[passed]), Some(Duration::ZERO));
    let refused = answer_with(403, &[("x-ratelimit-remaining", "4999")], r#"{"message":"Resource not accessible"}"#);
    assert!(failed(&action, &context, &[refused]).contains("Resource not accessible"));
}

#[test]
fn a_status_is_of_a_deployment_or_a_commit() {
    for (entry, expected) in [
        ("{ github: { token: env:SECRET } }", "missing key `runbook.rolledBack[0].github.repository`"),
        ("{ github: { token: env:SECRET, repository: checkout } }", "write `owner/name`"),
        ("{ github: { token: env:SECRET, repository: ../x } }", "write `owner/name`"),
        ("{ github: { token: env:SECRET, repository: a/b, status: check } }", "use one of `deployment`, `commit`"),
        ("{ github: { token: env:SECRET, repository: a/b, context: c } }", "is for the status of a commit"),
        (
            "{ github: { token: env:SECRET, repository: a/b, status: commit, environment: c } }",
            "is for the status of a deployment",
        ),
    ] {
        let faults = parsed(Moment::RolledBack, entry).expect_err("a fault");
        assert!(faults.contains(expected), "{faults}");
    }
}

#[test]
fn a_deployment_to_another_environment_or_of_another_repository_is_not_this_one() {
    let action = action(Moment::Promoted, ENTRY);
    let own = [("deployment", "43"), ("repository", "shop/checkout"), ("environment", "production")];
    for (other, value) in [("environment", "staging"), ("repository", "shop/cart")] {
        let known = own.map(|(name, known)| (name, if name == other { value } else { known }));
        let context = context(facts(Moment::Promoted), vec![earlier("github", &known)]);
        let looked_up = line(&sent(&action, &context, &[]));
        assert!(
            looked_up.starts_with("GET https://api.github.com/repos/shop/checkout/deployments?ref="),
            "{looked_up}"
        );
    }
}
