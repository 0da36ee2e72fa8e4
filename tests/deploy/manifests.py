#!/usr/bin/env python3
"""Checks what deploy/ has for Kubernetes: kustomize builds it, helm lints and renders it, kubeconform takes it by strict schemas, kustomize's
objects and helm's are the same ones, and the names, labels, ports and times in them fit each other.

  manifests.py --kustomize PROGRAM --helm PROGRAM [--kubeconform PROGRAM --swagger FILE] [--kubectl PROGRAM] [--definitions FILE…]

FILE of `--swagger` is api/openapi-spec/swagger.json of Kubernetes, those of `--definitions` are custom resources beside ours. With `--kubectl`
the API server of KUBECONFIG takes everything in a dry run as well, pods by the profile `restricted`. Needs ruamel.yaml.
"""

import argparse
import io
import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

import schemas
from sources import ROOT

DEPLOY = ROOT / "deploy"
KUSTOMIZE, CHART, APP = DEPLOY / "kubernetes", DEPLOY / "helm/portcullis", DEPLOY / "helm/shop"
OVERLAYS = sorted(path.name for path in (KUSTOMIZE / "overlays").iterdir())
# The name of each object in the overlays, and of the GatedRollout.
NAME, ROLLOUT = "portcullis", "shop"
# What each overlay's values are beside the spec.
RIGHTS = {"standalone": {}, "by-label": {"pods": True}, "by-deployment": {"deployments": ["shop-green"], "actions": ["shop-green"]}, "sidecar": {}}
# A Helm that `go install` has made thinks of a version long gone.
VERSION = ["--kube-version", "1.30.0"]
# What is known of a definition, as `"TYPE":"STATUS"`.
ESTABLISHED = 'jsonpath={range .status.conditions[*]}"{.type}":"{.status}"{end}'
# Labels of Helm's own.
CHART_LABELS = {"helm.sh/chart", "app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "portcullis.dev/sidecar"}
# Values that are refused, with words of what is said.
REFUSED = [
    ({"replica": 3}, ["replica"]),
    ({"mode": "gateway"}, ["mode", "standalone"]),
    ({"replicas": "three"}, ["replicas", "integer"]),
    ({"image": {"repository": ""}}, ["repository"]),
    ({"rollout": {"spec": {"listen": "0.0.0.0:8080"}}}, ["rollout", "admin"]),
    ({"rights": {"everything": True}}, ["rights", "everything"]),
    ({"rights": {"deployments": True}}, ["rights", "deployments", "array"]),
    ({"serviceAccount": {"create": False}}, ["serviceAccount"]),
    ({"ports": {"proxy": 8081}}, ["rollout.spec.listen: `0.0.0.0:8080` is not at port 8081"]),
    ({"ports": {"admin": 9091}}, ["rollout.spec.admin.listen: `0.0.0.0:9090` is not at port 9091"]),
    ({"terminationGracePeriodSeconds": 35}, ["terminationGracePeriodSeconds: 35 is not above drain.wait and drain.deadline together, 35 s"]),
]


class Tools:
    def __init__(self, arguments):
        self.kustomize, self.helm = arguments.kustomize, arguments.helm

    def built(self, folder):
        return said([self.kustomize, "build", folder])

    def rendered(self, chart, values):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(values, file)
            file.flush()
            return said([self.helm, "template", ROLLOUT, chart, "--namespace", ROLLOUT, *VERSION, "--values", file.name])


def said(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


def objects(text):
    """By kind and name."""
    found = [each for each in map(read, re.split(r"^---$", text, flags=re.M)) if each]
    named = {(each["kind"], each["metadata"]["name"]): each for each in found}
    assert len(named) == len(found), "two objects have one name"
    return named


def read(text):
    """A document of YAML 1.1, as Kubernetes reads it: a mode with a leading zero is octal."""
    yaml = YAML(typ="safe")
    yaml.version = (1, 1)
    return yaml.load(io.StringIO(text))


def one(found, kind):
    [(_, each)] = [(key, each) for key, each in found.items() if key[0] == kind]
    return each


def pod(found):
    return one(found, "Deployment")["spec"]["template"]


def proxy(found):
    """The container of the proxy, wherever it stands."""
    spec = pod(found)["spec"]
    [container] = [each for each in [*spec["containers"], *spec.get("initContainers", [])] if each["name"] == NAME]
    return container


def same(kustomize, helm):
    """Each object the same but for what Helm adds."""
    left, right = plain(kustomize), plain(helm)
    assert left.keys() == right.keys(), f"kustomize has {sorted(left)}, helm {sorted(right)}"
    for key, each in left.items():
        differences(" ".join(key), each, right[key])


def plain(found):
    """Without what Helm adds, and without labels of objects that nothing finds by them."""
    return {key: without(each if key[0] == "Service" else dict(each, metadata={"name": key[1]})) for key, each in found.items()}


def without(part):
    if isinstance(part, list):
        return [without(each) for each in part]
    if isinstance(part, dict):
        kept = {key: without(value) for key, value in part.items() if key not in CHART_LABELS and key != "namespace"}
        return {key: value for key, value in kept.items() if not (key == "labels" and not value)}
    return part


def differences(place, left, right):
    if isinstance(left, dict) and isinstance(right, dict):
        for key in left.keys() | right.keys():
            differences(f"{place}.{key}", left.get(key), right.get(key))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, (mine, other) in enumerate(zip(left, right)):
            differences(f"{place}[{number}]", mine, other)
    else:
        assert left == right, f"{place}: kustomize has {left!r}, helm {right!r}"


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h|d)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]


def fits(overlay, found):
    """The names, labels, ports and times of the objects fit each other."""
    rollout, template, container = one(found, "GatedRollout"), pod(found), proxy(found)
    name, labels, spec = rollout["metadata"]["name"], template["metadata"]["labels"], rollout["spec"]
    assert {"name": "ROLLOUT", "value": name} in container["env"] and "--resource=$(ROLLOUT)" in container["args"]
    named = {"gatedrollouts": name, "gatedrollouts/status": name}
    named |= dict.fromkeys(("deployments", "deployments/scale"), spec["green"].get("deployment"))
    account = one(found, "ServiceAccount")["metadata"]["name"]
    assert template["spec"]["serviceAccountName"] == account
    for (kind, role), each in found.items():
        for rule in each["rules"] if kind == "Role" else []:
            assert "*" not in str(rule), f"{overlay}: {rule} has a wildcard"
            [resource] = rule["resources"]
            assert rule.get("resourceNames") == ([named[resource]] if resource in named else None), f"{overlay}: {rule} is for others too"
        if kind == "RoleBinding":
            [subject] = each["subjects"]
            assert each["roleRef"]["name"] == role and ("Role", role) in found and subject["name"] == account
    selectors = [one(found, kind)["spec"] for kind in ("PodDisruptionBudget", "Deployment")]
    selectors = [each["selector"]["matchLabels"] for each in selectors] + [one(found, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]]
    selectors += [each["spec"]["selector"] for (kind, _), each in found.items() if kind == "Service"]
    for selector in selectors:
        assert selector.items() <= labels.items(), f"{overlay}: {selector} does not find pods with {labels}"
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for (kind, service), each in found.items():
        if kind == "Service":
            assert all(port["targetPort"] in ports for port in each["spec"]["ports"]), f"{overlay}: {service} leads nowhere"
    assert {"proxy": spec["listen"], "admin": spec["admin"]["listen"]} == {key: f"0.0.0.0:{port}" for key, port in ports.items()}
    let_in = [port["port"] for rule in one(found, "NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]]
    assert let_in == [ports["proxy"], ports["admin"]], f"{overlay}: the network lets {let_in} in"
    drain, grace = spec["drain"], template["spec"]["terminationGracePeriodSeconds"]
    sleeps = [each["lifecycle"]["preStop"]["sleep"]["seconds"] for each in template["spec"]["containers"] if "lifecycle" in each]
    needed = seconds(drain["wait"]) + seconds(drain["deadline"]) + sum(sleeps)
    assert needed < grace, f"{overlay}: a pod needs {needed} s to end, and has {grace}"
    confined(overlay, template["spec"], container)


def confined(overlay, spec, container):
    """As the profile `restricted` of the Pod Security Standards asks, and with a root that is read-only."""
    user = spec.get("securityContext", {}) | container["securityContext"]
    expected = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}
    assert user.pop("fsGroup", 65532) == 65532 and user == expected, f"{overlay}: {user}"
    writable = [each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")]
    assert writable == ["/var/lib/portcullis"], f"{overlay}: {writable} can be written"
    assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]["cpu"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == "admin"


def both_containers_are_one(alone, beside):
    """The sidecar is the stand-alone replica, but for what makes it a sidecar."""
    alone, beside = dict(proxy(alone)), dict(proxy(beside))
    assert beside.pop("restartPolicy") == "Always" and beside.pop("lifecycle")["preStop"]["exec"]["command"][1] == "leave"
    assert beside.pop("startupProbe")["httpGet"]["path"] == "/readyz" and alone.pop("startupProbe")
    mounts = {each["mountPath"]: each for each in beside["volumeMounts"]}
    assert mounts.pop("/var/run/secrets/kubernetes.io/serviceaccount")["readOnly"]
    assert mounts.keys() == {each["mountPath"] for each in alone["volumeMounts"]}
    for each in (alone, beside):
        del each["volumeMounts"], each["securityContext"]
    differences("the sidecar", alone, beside)


def values(overlay, found):
    """Those with which the chart has the objects of an overlay."""
    image, _, tag = proxy(found)["image"].rpartition(":")
    return {"fullnameOverride": NAME, "image": {"repository": image, "tag": tag}, "rights": RIGHTS[overlay],
            "rollout": {"name": ROLLOUT, "spec": one(found, "GatedRollout")["spec"]}}


def check_charts(tools, built):
    """Helm takes both charts, renders what kustomize builds, and refuses what cannot be meant. Returns all that it rendered."""
    everything = []
    for overlay in sorted(set(OVERLAYS) - {"sidecar"}):
        everything.append(tools.rendered(CHART, values(overlay, objects(built[overlay]))))
        same(objects(built[overlay]), without_tests(objects(everything[-1])))
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder) / "shop"
        shutil.copytree(APP, app)
        shutil.copytree(CHART, app / "charts/portcullis")
        everything.append(tools.rendered(app, {}))
        same(objects(built["sidecar"]), without_tests(objects(everything[-1])))
        said([tools.helm, "lint", "--strict", "--quiet", *VERSION, app])
    good = values("standalone", objects(built["standalone"]))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(good, file)
        file.flush()
        said([tools.helm, "lint", "--strict", "--quiet", *VERSION, CHART, "--values", file.name])
    page = re.search(r"^```yaml values.yaml\n(.*?)^```$", (ROOT / "docs/kubernetes-deploy.md").read_text(), re.M | re.S)
    everything.append(tools.rendered(CHART, read(page[1])))
    monitored = good | {"serviceMonitor": {"create": True, "interval": "15s"}}
    everything.append(tools.rendered(CHART, monitored))
    monitor = one(objects(everything[-1]), "ServiceMonitor")
    admin = objects(everything[-1])["Service", f"{NAME}-admin"]["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= admin.items()
    ours = objects((KUSTOMIZE / "components/service-monitor/service-monitor.yaml").read_text())
    differences("ServiceMonitor", without(one(ours, "ServiceMonitor")), without(monitor))
    for value, words in REFUSED:
        try:
            tools.rendered(CHART, good | value)
        except AssertionError as refusal:
            assert all(word in str(refusal) for word in words), f"{value} is refused by {refusal}"
        else:
            raise AssertionError(f"{value} is not refused")
    return everything


def without_tests(found):
    """Without what `helm test` runs."""
    return {key: each for key, each in found.items() if "helm.sh/hook" not in each["metadata"].get("annotations", {})}


def check_argo_cd(tools):
    """The component adds to the ConfigMap that is there, and keeps its name."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(DEPLOY / "argo-cd", Path(folder) / "portcullis")
        installation = Path(folder) / "installation"
        installation.mkdir()
        (installation / "argocd-cm.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: { name: argocd-cm }\ndata: { url: https://argo }\n")
        (installation / "kustomization.yaml").write_text("resources: [argocd-cm.yaml]\ncomponents: [../portcullis]\n")
        built = tools.built(installation)
    data = one(objects(built), "ConfigMap")["data"]
    assert one(objects(built), "ConfigMap")["metadata"]["name"] == "argocd-cm" and data.pop("url") == "https://argo"
    assert data == {"resource.customizations.health.portcullis.dev_GatedRollout": (DEPLOY / "argo-cd/health.lua").read_text(),
                    "resource.customizations.actions.portcullis.dev_GatedRollout": (DEPLOY / "argo-cd/actions.yaml").read_text()}
    return built


def conform(kubeconform, swagger, definitions, texts):
    """Every object of the texts by its schema."""
    with tempfile.TemporaryDirectory() as folder:
        kinds = {kind for text in texts for kind, _ in objects(text)}
        schemas.write(Path(folder) / "schemas", kinds, swagger, definitions)
        files = []
        for number, text in enumerate(texts):
            files.append(Path(folder) / f"{number}.yaml")
            files[-1].write_text(text)
        location = f"{folder}/schemas/{schemas.TEMPLATE}"
        # The operator's types say of it what there is to say: tests/tools/manifests.
        print(said([kubeconform, "-strict", "-summary", "-skip", "ServiceMonitor", "-schema-location", location, *files]).strip())


def install(kubectl, definition):
    """Until the API server serves the resource. `kubectl wait` gives up on one that has no conditions yet."""
    said([kubectl, "apply", "--server-side", "-f", definition])
    deadline = time.monotonic() + 60
    while '"Established":"True"' not in said([kubectl, "get", "-f", definition, "-o", ESTABLISHED]):
        assert time.monotonic() < deadline, f"{definition} does not come to be served"
        time.sleep(0.1)


def taken(kubectl, definitions, texts):
    """The API server takes every object, and would run every pod where only restricted ones are let in."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ROLLOUT, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    for path in definitions:
        install(kubectl, path)
    applied(kubectl, [namespace], [])
    count = 0
    for text in texts:
        found = {key: each for key, each in objects(text).items() if key[0] not in ("ServiceMonitor", "CustomResourceDefinition")}
        pods = [dict(each["spec"]["template"], apiVersion="v1", kind="Pod") for each in found.values() if each["kind"] == "Deployment"]
        for number, each in enumerate(pods):
            each["metadata"] = dict(each["metadata"], name=f"tried-{number}")
            # Which the API server looks up for a pod, and a dry run of it has not made.
            each["spec"] = dict(each["spec"], serviceAccountName="default")
        everything = [*found.values(), *pods]
        for each in everything:
            # Those of Flux and Argo CD have other namespaces, which are not here.
            each["metadata"].pop("namespace", None)
        if everything:
            applied(kubectl, everything, ["--namespace", ROLLOUT, "--dry-run=server"])
        count += len(everything)
    print(f"the API server takes {count} objects")


def applied(kubectl, found, how):
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": found})
    done = subprocess.run([kubectl, "apply", "--validate=strict", *how, "-f", "-"], input=text, capture_output=True, text=True)
    if done.returncode != 0 or "Warning" in done.stderr:
        raise AssertionError(f"the API server: {done.stdout}{done.stderr}")


def main():
    parser = argparse.ArgumentParser()
    for name in ("kustomize", "helm"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("kubeconform", "swagger"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--kubectl")
    parser.add_argument("--definitions", nargs="*", type=Path, default=[])
    arguments = parser.parse_args()
    tools = Tools(arguments)
    built = {overlay: tools.built(KUSTOMIZE / "overlays" / overlay) for overlay in OVERLAYS}
    found = {overlay: objects(text) for overlay, text in built.items()}
    for overlay, each in found.items():
        fits(overlay, each)
    both_containers_are_one(found["standalone"], found["sidecar"])
    ours = KUSTOMIZE / "crd/gatedrollouts.yaml"
    assert (CHART / "crds/gatedrollouts.yaml").samefile(ours), "the chart's definition is a copy of kustomize's"
    texts = [*built.values(), *check_charts(tools, built), check_argo_cd(tools), (DEPLOY / "flux/rollout.yaml").read_text(), tools.built(KUSTOMIZE / "crd")]
    if arguments.kubeconform:
        conform(arguments.kubeconform, arguments.swagger, [ours, *arguments.definitions], texts)
    if arguments.kubectl:
        taken(arguments.kubectl, [ours, *arguments.definitions], texts)
    print(f"{len(OVERLAYS)} overlays and two charts, {len(REFUSED)} values refused")


if __name__ == "__main__":
    main()
