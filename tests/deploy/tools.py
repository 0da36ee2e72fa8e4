#!/usr/bin/env python3
"""Plays what deploy/ has for other tools against a running proxy: each request, path, query, condition and script line in it.

  tools.py [--argo PROGRAM] BINARY [TOOL…]

PROGRAM is tests/tools/argo, which has the engines of Argo Rollouts. A TOOL is `argo`, `flagger`, `alertmanager`, `pipelines`; all of
them without one. Needs ruamel.yaml, prometheus, alertmanager, jq, curl and bash; what is missing is said and left out.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from ruamel.yaml import YAML

import sources
import traffic

DEPLOY = sources.ROOT / "deploy"
TOKEN, DIGEST = "secret", "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"

CONFIGURATION = """\
service: shop
listen: {proxy}:0
workers: 1
admin: {{ listen: {admin}:0, tokens: tokens.yaml }}
blue:  {{ version: v1, endpoints: ["{backend}:{blue}"] }}
green: {{ version: v2, endpoints: ["{backend}:{green}"] }}
drain: {{ wait: 0s, deadline: 5s }}
shield: off
release:
  steps: [{{ weight: 50%, bake: 1s }}, {{ weight: 51%, bake: 1s, approval: {{ within: 24h, otherwise: rollback }} }}]
  monitoring: 1h
gate:
  minimumRequests: 20
  warmUp: {{ time: 0s, requests: 0 }}
  compare: {{ enabled: false }}
  triggers:
  - {{ name: patient, metric: failureStreak, atLeast: 1000 }}
  - {{ name: half, metric: errorRate, above: 99%, window: 1m }}
  - {{ name: checkout-probe, metric: external }}
"""


def documents(path):
    return list(YAML(typ="safe").load_all(path.read_text()))


@contextmanager
def proxy(binary):
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "tokens.yaml").write_text(f"tokens:\n- {{ name: pipeline, role: operator, sha256: {DIGEST} }}\n")
        (folder / "token").write_text(TOKEN)
        arguments = ["--data", str(folder / "data")]
        with traffic.Portcullis(binary, folder, CONFIGURATION, arguments, TOKEN) as running:
            running.folder = folder
            running.admin = f"http://{traffic.ADMIN}:{running.ports[traffic.ADMIN]}"
            yield running


def status(running):
    return json.loads(running.ask(traffic.ADMIN, "GET", "/v1/status")[1])


def until(sentence, found, *, quickly=traffic.DEADLINE):
    """What `found` gives, once it gives something. A proxy, Prometheus and Alertmanager each have their own pace."""
    deadline = time.monotonic() + quickly
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.05)
    raise SystemExit(f"after {quickly} s still not true: {sentence}")


def asks_for_approval(running):
    """Requests for both versions until the first step has passed and the second one asks."""
    until("the step asks for its approval", lambda: running.send("/", 8) or (status(running)["approval"] or {}).get("by"))


def check(place, found, expected):
    if found != expected:
        raise SystemExit(f"{place}: {found!r}, and not {expected!r}")
    print(f"{place}: {found}")


@contextmanager
def prometheus(running):
    """A real one that scrapes the proxy as the job `portcullis`; its address."""
    folder = running.folder / "prometheus"
    folder.mkdir()
    (folder / "prometheus.yml").write_text(
        "global: { scrape_interval: 200ms, scrape_timeout: 200ms }\n"
        f"scrape_configs: [{{ job_name: portcullis, static_configs: [{{ targets: ['{running.admin[7:]}'] }}] }}]\n"
    )
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
               "--web.listen-address=127.0.0.1:0"]
    with child(command, r'msg="Listening on" address=(\S+)') as address:
        yield f"http://{address}"


@contextmanager
def child(command, address):
    """A program that says in its log where it listens."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found, log = threading.Event(), []

    def read():
        for line in process.stdout:
            log.append(line)
            if not found.is_set() and (told := re.search(address, line)):
                found.address = told[1]
                found.set()

    threading.Thread(target=read, daemon=True).start()
    try:
        if not found.wait(traffic.DEADLINE):
            raise SystemExit("".join([f"{command[0]} does not say where it listens:\n", *log]))
        yield found.address
    finally:
        process.kill()
        process.wait()


def ask_prometheus(address, query):
    with urllib.request.urlopen(f"{address}/api/v1/query?query={urllib.parse.quote(query)}", timeout=traffic.DEADLINE) as answer:
        return json.load(answer)["data"]


def argo(binary, program):
    """Every metric of every template, in each state that its conditions tell apart."""
    templates = DEPLOY / "argo-rollouts/analysis-templates.yaml"
    metrics = {(template["metadata"]["name"], metric["name"])
               for template in documents(templates) for metric in template["spec"]["metrics"]}
    [rollout] = [found for found in documents(DEPLOY / "argo-rollouts/rollout.yaml") if found["kind"] == "Rollout"]
    strategy = rollout["spec"]["strategy"]["blueGreen"]
    for analysis in ("prePromotionAnalysis", "postPromotionAnalysis"):
        for used in strategy[analysis]["templates"]:
            check(f"{analysis} has a template", any(name == used["templateName"] for name, _ in metrics), True)
    measured = set()
    with proxy(binary) as running, prometheus(running) as address, tempfile.TemporaryDirectory() as folder:
        # Undecided is told only when the wait is over, and is told many times here.
        impatient = Path(folder) / "templates.yaml"
        impatient.write_text(templates.read_text().replace("wait=30s", "wait=1s"))
        endpoint = {name: f"{traffic.BACKEND}:{server.server_port}" for name, server in zip(("blue", "green"), running.backends)}

        def measure(template, metric, expected, file=impatient, **args):
            given = {"admin": running.admin, "token": TOKEN, "prometheus": address, "endpoint": endpoint["green"],
                     "version": "7f9c", **args}
            said = subprocess.run([program, file, template, metric, *(f"{name}={value}" for name, value in given.items())],
                                  capture_output=True, text=True).stdout.strip()
            measured.add((template, metric))
            check(f"argo {template} {metric}", said.split(" ")[0], expected) if expected else None
            return said

        measure("portcullis-release", "outcome", "Inconclusive")
        measure("portcullis-release", "start", "Successful")
        check("the version that Argo names", status(running)["green"]["version"], "7f9c")
        measure("portcullis-release", "outcome", "Inconclusive")
        measure("portcullis-verdict", "verdict", "Successful")
        measure("portcullis-metrics", "error-rate-beyond-blue", "Successful")
        measure("portcullis-metrics", "p99", "Successful")
        asks_for_approval(running)
        until("the error rate is too large for Argo", lambda: running.send("/green-fails", 8) or
              measure("portcullis-metrics", "error-rate-beyond-blue", None).startswith("Failed"))
        measure("portcullis-metrics", "p99", "Successful")
        # The answer comes as soon as the release has ended, well before the half minute is over.
        waiting = []
        waiter = threading.Thread(target=lambda: waiting.append(measure("portcullis-release", "outcome", None, templates)))
        waiter.start()
        while status(running)["state"] != "completed":
            running.operate("POST", "/v1/release/promote", {"reason": "a test"})
        waiter.join(traffic.DEADLINE)
        check("argo portcullis-release outcome, while it is waited for", waiting, ['Successful "promoted"'])
        measure("portcullis-blue", "blue", "Successful")
        check("the blue that Argo names", status(running)["blue"]["version"], "7f9c")
        running.operate("POST", "/v1/release", {"green": {"version": "8a0d", "endpoints": [endpoint["blue"]]}})
        running.operate("POST", "/v1/release/rollback", {"reason": "a test"})
        measure("portcullis-release", "outcome", "Failed")
        measure("portcullis-verdict", "verdict", "Failed")
        # Argo's `retry` starts what has just been rolled back.
        measure("portcullis-release", "start", "Successful", version="8a0d")
        wrong = measure("portcullis-verdict", "verdict", "Error", token="wrong")
        check("the token is in its place", "401" in wrong, True)
    check("metrics of Argo that were not measured", metrics - measured, set())


def flagger(binary):
    templates = {found["metadata"]["name"]: found["spec"]["query"] for found in documents(DEPLOY / "flagger/metric-templates.yaml")}
    [canary] = documents(DEPLOY / "flagger/canary.yaml")
    analysis = canary["spec"]["analysis"]
    hooks = {hook["type"]: hook["metadata"]["cmd"] for hook in analysis["webhooks"]}
    check("metric templates that the canary does not use",
          set(templates) - {metric["templateRef"]["name"] for metric in analysis["metrics"]}, set())

    with proxy(binary) as running, prometheus(running) as address:
        green = f"{traffic.BACKEND}:{running.backends[1].server_port}"

        def hook(kind):
            """Whether the load tester says yes, which runs `bash -c`."""
            command = hooks[kind].replace("http://portcullis:9090", running.admin)
            command = command.replace("/etc/portcullis/token", str(running.folder / "token")).replace("shop-canary:80", green)
            if "shop-" in command or "/etc" in command or "portcullis:" in command:
                raise SystemExit(f"{kind} has an address that the test does not place:\n{command}")
            return subprocess.run(["bash", "-c", command], capture_output=True, text=True).returncode == 0

        def checked():
            """Which of the metrics are in their range, as Flagger asks for them."""
            return {metric["name"]: within(metric, value(address, templates[metric["templateRef"]["name"]], metric))
                    for metric in analysis["metrics"]}

        for kind in ("rollback", "confirm-promotion"):
            check(f"flagger {kind}, before", hook(kind), False)
        check("flagger pre-rollout", hook("pre-rollout"), True)
        check("the version that Flagger names", status(running)["green"]["version"], "canary")
        until("Prometheus has scraped", lambda: ask_prometheus(address, "portcullis_verdict")["result"])
        check("flagger metrics without traffic", checked(), {"error-rate-beyond-blue": True, "p99": True, "verdict": True})
        check("flagger confirm-promotion, under way", hook("confirm-promotion"), False)
        asks_for_approval(running)
        check("flagger confirm-promotion, at the approval", hook("confirm-promotion"), True)
        check("flagger rollback, at the approval", hook("rollback"), False)
        until("the error rate is out of its range", lambda: running.send("/green-fails", 8) or not checked()["error-rate-beyond-blue"])
        check("flagger metrics, green failing", checked(), {"error-rate-beyond-blue": False, "p99": True, "verdict": True})
        check("flagger post-rollout", hook("post-rollout"), True)
        check("the state after Flagger", status(running)["state"], "rolledBack")
        check("flagger rollback, after a rollback", hook("rollback"), True)
        check("flagger post-rollout, once more", hook("post-rollout"), True)
        until("Prometheus has the verdict", lambda: not checked()["verdict"])
        check("flagger pre-rollout of the same canary", hook("pre-rollout"), True)


def value(address, query, metric):
    """What Flagger takes for the value: exactly one sample of an instant vector. Its templates are Go's with functions for names."""
    variables = {"interval": metric["interval"], **{f"variables.{name}": text for name, text in metric["templateVariables"].items()}}
    rendered = re.sub(r"\{\{\s*([\w.]+)\s*\}\}", lambda found: variables[found[1]], query)
    data = ask_prometheus(address, re.sub(r"\s+", " ", rendered))
    if data["resultType"] != "vector" or len(data["result"]) != 1:
        raise SystemExit(f"{metric['name']}: one sample is wanted, and not {data}")
    return float(data["result"][0]["value"][1])


def within(metric, number):
    allowed = metric["thresholdRange"]
    return allowed.get("min", number) <= number <= allowed.get("max", number)


def alertmanager(binary):
    """A real one posts an alert that fires, and its end."""
    with proxy(binary) as running:
        running.operate("POST", "/v1/release", {"reason": "a test"})
        text = (DEPLOY / "alertmanager/alertmanager.yml").read_text()
        text = text.replace("http://portcullis:9090", running.admin)
        text = text.replace("/etc/alertmanager/portcullis-token", str(running.folder / "token"))
        file = running.folder / "alertmanager.yml"
        file.write_text(text)
        if shutil.which("amtool"):
            checked = subprocess.run(["amtool", "check-config", file], capture_output=True, text=True)
            check("amtool check-config", (checked.returncode, checked.stderr), (0, ""))
        command = [shutil.which("alertmanager") or "prometheus-alertmanager", f"--config.file={file}",
                   f"--storage.path={running.folder}/alerts", "--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]
        with child(command, r'msg="?Listening on"? address=(\S+)') as address:
            def alert(ends):
                body = [{"labels": {"alertname": "CheckoutDown", "portcullis": "checkout-probe"},
                         "annotations": {"summary": "the synthetic checkout fails"}, "endsAt": ends}]
                request = urllib.request.Request(f"http://{address}/api/v2/alerts", json.dumps(body).encode(),
                                                 {"content-type": "application/json"})
                urllib.request.urlopen(request, timeout=traffic.DEADLINE).close()

            alert(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600)))
            fired = until("the signal rolls back", lambda: (found := status(running))["rollback"] and found)
            told = fired["rollback"]["reason"]
            check("signals that fire", fired["signals"], ["checkout-probe"])
            check("the reason says what the alert says", "the synthetic checkout fails" in told, True)
            alert(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1)))
            until("the signal is over", lambda: not status(running)["signals"])
            print("alertmanager: fired, and resolved")


def pipelines(binary):
    [workflow] = documents(DEPLOY / "pipelines/github-actions.yml")
    [job] = documents(DEPLOY / "pipelines/gitlab-ci.yml")
    steps = {step["name"]: step["run"] for step in workflow["jobs"]["release"]["steps"]}
    job = job["release"]
    for end, code in (("promoted", 0), ("rolledBack", 1)):
        with proxy(binary) as running:
            environment = dict(os.environ, PORTCULLIS_ADMIN=running.admin, PORTCULLIS_TOKEN=TOKEN, VERSION="v3", RUN="a run",
                               PATH=f"{Path(binary).parent}:{os.environ['PATH']}", CI_PIPELINE_URL="a pipeline",
                               ENDPOINT=f"{traffic.BACKEND}:{running.backends[1].server_port}",
                               GITHUB_STEP_SUMMARY=str(running.folder / "summary.md"))

            def script(text):
                # As both run a script: it ends with the first command that fails.
                return subprocess.Popen(["bash", "-e", "-o", "pipefail", "-c", text], env=environment, cwd=running.folder,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

            def ended(process):
                said, _ = process.communicate(timeout=traffic.DEADLINE)
                return process.returncode, said

            def finish():
                if end == "rolledBack":
                    return running.operate("POST", "/v1/release/rollback", {"reason": "a test"})
                while status(running)["state"] != "completed":
                    running.operate("POST", "/v1/release/promote", {"reason": "a test"})

            check("github Start", ended(script(steps["Start"]))[0], 0)
            waiting = script(steps["Wait for what comes of it"])
            finish()
            status_code, said = ended(waiting)
            check(f"github Wait, {end}", (status_code, "::error::it was rolled back" in said), (code, code == 1))
            check("github Report", ended(script(steps["Report"]))[0], 0)
            check("the summary is the report", "v3" in (running.folder / "summary.md").read_text(), True)
            if end == "promoted":
                environment["VERSION"] = "v4"
                check("github Start, the next one", ended(script(steps["Start"]))[0], 0)
                check("github Roll back", ended(script(steps["Roll back"]))[0], 0)
            environment["VERSION"] = "v5"
            start, wait = job["script"]
            check("gitlab start", ended(script(start))[0], 0)
            waiting = script(wait)
            finish()
            check(f"gitlab wait, {end}", ended(waiting)[0], code)
            check("gitlab report", ended(script("\n".join(job["after_script"])))[0], 0)
            check("the artifact is the report", "v5" in (running.folder / job["artifacts"]["paths"][0]).read_text(), True)


NEEDS = {"argo": ["prometheus"], "flagger": ["prometheus", "jq", "curl"], "alertmanager": ["alertmanager|prometheus-alertmanager"],
         "pipelines": ["jq"]}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("binary")
    arguments.add_argument("--argo", metavar="PROGRAM")
    arguments.add_argument("tools", nargs="*", metavar="TOOL")
    given = arguments.parse_args()
    binary = str(Path(given.binary).resolve(strict=True))
    for tool in given.tools or NEEDS:
        missing = [need for need in NEEDS[tool] if not any(shutil.which(name) for name in need.split("|"))]
        if tool == "argo" and not given.argo:
            missing.append("its engines (Go)")
        if missing:
            print(f"skipped: {tool}, for want of {' and '.join(missing)}")
        elif tool == "argo":
            argo(binary, given.argo)
        else:
            globals()[tool](binary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
