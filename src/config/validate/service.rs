//! What of Kubernetes a version is: the Service whose pods are its endpoints, the Deployment whose pod template is its version.

use std::collections::BTreeMap;

use crate::config::quantity::quoted;
use crate::config::raw::{Mapping, Quantity, RawService};
use crate::config::report::{Scope, Wrong};
use crate::config::{Deployment, Endpoint, Service, ServicePort};

/// Whether there is an API server that knows of Services and Deployments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Cluster {
    Watched,
    Absent,
}

/// What was written is wrong, and has been told.
pub(super) struct Faulty;

/// RFC 1123, section 2.1.
const LONGEST_NAME: usize = 253;
/// Of a name of a port, RFC 6335, section 5.1.
const LONGEST_PORT: usize = 15;
/// Of a label's value and of its name without the prefix.
const LONGEST_LABEL: usize = 63;
const MOST_LABELS: usize = 16;

const ABSENT: &str = "is for a proxy that runs by a resource of Kubernetes";
const INSTEAD: &str = "write `endpoints`, or start the proxy with `portcullis run --resource NAME`";

/// The one endpoint that stands for all pods of the Service. `scope` is the version.
pub(super) fn endpoints(
    scope: &mut Scope<'_, '_>,
    Mapping(raw): Mapping<RawService>,
    cluster: Cluster,
) -> Option<Vec<Endpoint>> {
    if cluster == Cluster::Absent {
        scope.misplaced("service", Wrong::new(ABSENT, INSTEAD));
        return None;
    }
    let mut scope = scope.key("service");
    let name = scope.required("name", raw.name, object_name);
    let port = scope.optional("port", raw.port, None, |port| self::port(port).map(Some));
    let labels = labels(&mut scope, raw.labels.unwrap_or_default().0);
    Some(vec![Endpoint::Service(Service::new(name?, port?, labels?))])
}

/// `scope` is the version.
pub(super) fn deployment(
    scope: &mut Scope<'_, '_>,
    name: Option<String>,
    version_label: Option<String>,
    cluster: Cluster,
) -> Result<Option<Deployment>, Faulty> {
    if name.is_some() && cluster == Cluster::Absent {
        let label = "write `version`, or start the proxy with `portcullis run --resource NAME`";
        scope.misplaced("deployment", Wrong::new(ABSENT, label));
        return Err(Faulty);
    }
    if version_label.is_some() && name.is_none() && !scope.report.is_spoiled(&scope.at.key("deployment")) {
        let label = "add `deployment`, the name of the Deployment that has it";
        scope.misplaced("versionLabel", Wrong::new("is the label of no Deployment", label));
    }
    let name = scope.optional("deployment", name, None, |name| object_name(name).map(Some));
    let version_label = scope.optional("versionLabel", version_label, None, |key| label_key(key).map(Some));
    let (Some(name), Some(version_label)) = (name, version_label) else { return Err(Faulty) };
    Ok(name.map(|name| Deployment { name, version_label }))
}

fn object_name(text: String) -> Result<String, Wrong> {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        part.bytes().all(|byte| is_inner(byte) || byte == b'-')
            && part.bytes().next().is_some_and(is_inner)
            && part.bytes().last().is_some_and(is_inner)
    };
    if text.len() <= LONGEST_NAME && text.split('.').all(is_part) {
        return Ok(text);
    }
    let label = "lower-case letters, digits and `-`, like `shop-green`";
    Err(Wrong::new(format!("{} is no name of an object of Kubernetes", quoted(&text)), label))
}

fn port(Quantity(text): Quantity) -> Result<ServicePort, Wrong> {
    let is_name = || {
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        text.len() <= LONGEST_PORT
            && text.bytes().all(is_inner)
            && text.bytes().any(|byte| byte.is_ascii_lowercase())
            && !text.starts_with('-')
            && !text.ends_with('-')
    };
    match ServicePort::from(text.as_str()) {
        ServicePort::Number(0) => Err(Wrong::new("`0` is no port", "a port is from 1 to 65535")),
        port @ ServicePort::Number(_) => Ok(port),
        port @ ServicePort::Named(_) if is_name() => Ok(port),
        ServicePort::Named(_) => {
            let label = "write the name of a port of the Service, like `http`, or the port of its pods, like `8080`";
            Err(Wrong::new(format!("{} is no port", quoted(&text)), label))
        }
    }
}

fn labels(scope: &mut Scope<'_, '_>, raw: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    super::too_many(scope, "labels", raw.len(), MOST_LABELS)?;
    let mut scope = scope.key("labels");
    let mut labels = BTreeMap::new();
    let mut is_right = true;
    for (key, value) in raw {
        if let Err(wrong) = label_key(key.clone()) {
            scope.misplaced(&key, wrong);
            is_right = false;
        } else if !value.is_empty() && !is_label(&value) {
            let wrong = Wrong::new(format!("{} is no value of a label", quoted(&value)), LABEL);
            scope.wrong(&key, wrong);
            is_right = false;
        }
        labels.insert(key, value);
    }
    is_right.then_some(labels)
}

const LABEL: &str = "at most 63 letters, digits, `-`, `_` and `.`, a letter or digit first and last";

fn label_key(text: String) -> Result<String, Wrong> {
    let (prefix, name) = text.split_once('/').map_or((None, text.as_str()), |(prefix, name)| (Some(prefix), name));
    if prefix.is_none_or(|prefix| object_name(prefix.to_owned()).is_ok()) && is_label(name) {
        return Ok(text);
    }
    let label = "write the key of a label, like `version` or `app.kubernetes.io/version`";
    Err(Wrong::new(format!("{} is no key of a label", quoted(&text)), label))
}

fn is_label(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric();
    text.len() <= LONGEST_LABEL
        && text.bytes().all(|byte| is_inner(byte) || b"-_.".contains(&byte))
        && text.bytes().next().is_some_and(is_inner)
        && text.bytes().last().is_some_and(is_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::config::{Config, Deployment, Environment, Faults, of_resource};

    fn read(blue: &Value, green: &Value) -> Result<Config, Faults> {
        let spec = json!({
            "listen": "127.0.0.1:8080", "admin": { "listen": "127.0.0.1:9090" }, "blue": blue, "green": green,
        });
        of_resource(&spec, "gatedrollout shop", &Environment::default())
    }

    #[test]
    fn a_service_is_one_endpoint_and_a_deployment_a_version() {
        let blue =
            json!({ "version": "v1", "service": { "name": "shop", "port": "http", "labels": { "track": "blue" } } });
        let green = json!({
            "version": "v2", "service": { "name": "shop", "port": 8080 },
            "deployment": "shop-green", "versionLabel": "app.kubernetes.io/version",
        });
        let versions = read(&blue, &green).expect("both are right").versions;
        let shown =
            |endpoints: &[crate::config::Endpoint]| endpoints.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&versions.blue.endpoints), ["service:shop:http?track=blue"]);
        assert_eq!(shown(&versions.green.endpoints), ["service:shop:8080"]);
        let version_label = Some("app.kubernetes.io/version".to_owned());
        assert_eq!(versions.green.deployment, Some(Deployment { name: "shop-green".to_owned(), version_label }));
    }

    #[test]
    fn what_is_wrong_with_a_service_is_told_by_the_path_of_its_key_all_at_once() {
        let blue = json!({
            "version": "v1", "endpoints": ["127.0.0.1:1"],
            "service": { "name": "Shop", "port": "a_name", "labels": { "a b": "x", "c": "y z" } },
        });
        let green = json!({ "version": "v2", "service": { "port": 0 }, "versionLabel": "version" });
        let faults = read(&blue, &green).expect_err("all of it is wrong");
        let told: Vec<String> = faults.iter().map(|fault| fault.message().to_owned()).collect();
        let expected = [
            "blue.service: is written beside `endpoints`",
            "missing key `green.service.name`",
            "green.service.port: `0` is no port",
            "green.versionLabel: is the label of no Deployment",
        ];
        for part in expected {
            assert!(told.iter().any(|message| message == part), "{part}: {told:#?}");
        }
        let blue = json!({ "version": "v1", "service": blue["service"] });
        let faults = read(&blue, &json!({ "version": "v2", "endpoints": [] })).expect_err("all of it is wrong");
        let told: Vec<String> = faults.iter().map(|fault| fault.message().to_owned()).collect();
        let expected = [
            "blue.service.name: `Shop` is no name of an object of Kubernetes",
            "blue.service.port: `a_name` is no port",
            "blue.service.labels.a b: `a b` is no key of a label",
            "blue.service.labels.c: `y z` is no value of a label",
        ];
        for part in expected {
            assert!(told.iter().any(|message| message == part), "{part}: {told:#?}");
        }
    }
}
