"""What each contender needs, how it is brought to the weight, and how it is asked what it did."""

import json
import textwrap
import time
from pathlib import Path
from statistics import median
from string import Template

from harness.lane import PORT
from harness.machine import Service, await_true, http

MANIFESTS = Path(__file__).parent.parent / "manifests"
PROMETHEUS = "http://127.0.0.1:9091"
TRAEFIK = "http://127.0.0.1:8000"
# Green serves so long before the fault where nothing else sets the time: our latencies count from 30 s on (`gate.warmUp`).
SETTLE_S = 45


def manifest(name, **values):
    return Template((MANIFESTS / name).read_text()).substitute(values)


def indented(name, spaces, **values):
    return "\n" + textwrap.indent(manifest(name, **values), " " * spaces)


class Steered:
    """A controller that steers Traefik by what Prometheus has scraped of it."""

    def __init__(self, bench, configuration, folder):
        self.bench, self.configuration, self.folder = bench, configuration, folder
        cluster, self.services = bench.cluster, []
        # A change that is alone is carried out at once; by default those of the 2 s after it wait, and here all faults share a Traefik.
        self.start("traefik", bench.program("traefik"), "--providers.kubernetescrd", "--providers.providersThrottleDuration=1ms",
                   "--entryPoints.web.address=127.0.0.1:8000", "--entryPoints.metrics.address=127.0.0.1:9100",
                   "--metrics.prometheus", "--metrics.prometheus.entryPoint=metrics", "--ping", "--ping.entryPoint=metrics",
                   KUBECONFIG=cluster.kubeconfig).await_answer("http://127.0.0.1:9100/ping")
        (folder / "prometheus.yml").write_text(manifest("prometheus.yml", interval=self.scraped[configuration]))
        self.start("prometheus", "prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
                   "--web.listen-address=127.0.0.1:9091").await_answer(f"{PROMETHEUS}/-/ready")
        self.start_controller()

    def start(self, name, *command, **environment):
        service = Service(self.folder / f"{name}.log", command, **environment)
        self.services.append(service)
        return service

    def stop(self):
        for service in reversed(self.services):
            service.stop()

    def namespace(self, lane, run):
        return f"{self.name}-{self.configuration}-{lane.fault}-{run}"

    def place(self, lane, run):
        namespace = self.namespace(lane, run)
        self.bench.cluster.kubectl("create", "namespace", namespace)
        self.bench.cluster.apply(self.objects(namespace, lane))
        self.await_stable(namespace)
        return TRAEFIK, f"{namespace}.race.example"

    def release(self, lane, run):
        change = {"spec": {"template": {
            "metadata": {"annotations": {"race.example/address": lane.green[1]}},
            "spec": {"containers": [{"name": self.container, "image": "race.example/app:green"}]},
        }}}
        self.bench.cluster.kubectl("patch", self.target, "-n", self.namespace(lane, run), "--type", self.patch, "-p", json.dumps(change))

    def remove(self, lane, run):
        self.bench.cluster.kubectl("delete", "namespace", self.namespace(lane, run), "--wait=false")


class Flagger(Steered):
    name = "flagger"
    # 5 s are the chart's (prometheus.install=true).
    scraped = {"documented": "5s", "fastest": "1s"}
    limit_s = {"documented": 300, "fastest": 120}
    container, target, patch = "podinfod", "deployment/podinfo", "strategic"
    interval_s = 10

    def start_controller(self):
        self.start("twin", self.bench.arena, "twin", KUBE_SERVER=self.bench.cluster.url, KUBE_TOKEN=self.bench.cluster.token,
                   KUBE_CA=self.bench.cluster.certificate)
        self.start("flagger", self.bench.program("flagger"), "-kubeconfig", self.bench.cluster.kubeconfig, "-mesh-provider=traefik",
                   f"-metrics-server={PROMETHEUS}", "-port=8081", "-log-level=info").await_answer("http://127.0.0.1:8081/healthz")

    def objects(self, namespace, lane):
        analysis = indented(f"flagger-{self.configuration}.yaml", 4)
        return manifest("flagger.yaml", namespace=namespace, blue=lane.blue[1], analysis=analysis)

    def canary(self, namespace):
        found = self.bench.cluster.get(f"/apis/flagger.app/v1beta1/namespaces/{namespace}/canaries/podinfo") or {}
        return found.get("status", {})

    def await_stable(self, namespace):
        await_true(lambda: self.canary(namespace).get("phase") == "Initialized", f"{namespace}: initialized", 120)

    def await_fault(self, lane, run, phase):
        """So far into the interval that began with the weight."""
        await_true(lambda: self.canary(self.namespace(lane, run)).get("canaryWeight", 0) >= self.bench.weight, "the weight", 180)
        time.sleep(phase * self.interval_s)

    def said(self, lane, run):
        status = self.canary(self.namespace(lane, run))
        return f"{status.get('phase')}, {status.get('failedChecks')} failed checks, weights copied in {self.twin_ms():.1f} ms"

    def twin_ms(self):
        lines = (self.folder / "twin.log").read_text().splitlines()
        return median(int(line.split(",")[1]) for line in lines) / 1e3


class Argo(Steered):
    name = "argo"
    # Its pages name no interval; 15 s are those of Prometheus' own example.
    scraped = {"documented": "15s", "fastest": "1s"}
    limit_s = {"documented": 1800, "fastest": 120}
    container, target, patch = "app", "rollout/rollouts-demo", "merge"
    interval_s = 300

    def start_controller(self):
        self.start("rollouts", self.bench.program("rollouts-controller"), "--kubeconfig", self.bench.cluster.kubeconfig,
                   "--leader-elect=false", "--metricsPort=8090", "--healthzPort=8082").await_answer("http://127.0.0.1:8082/healthz")

    def objects(self, namespace, lane):
        metrics = indented(f"argo-{self.configuration}.yaml", 2, prometheus=PROMETHEUS)
        return manifest("argo.yaml", namespace=namespace, blue=lane.blue[1], weight=self.bench.weight, metrics=metrics)

    def rollout(self, namespace):
        found = self.bench.cluster.get(f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts/rollouts-demo") or {}
        return found.get("status", {})

    def analysis(self, namespace):
        found = self.bench.cluster.get(f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/analysisruns") or {}
        return found["items"][0].get("status", {}) if found.get("items") else {}

    def await_stable(self, namespace):
        await_true(lambda: self.rollout(namespace).get("phase") == "Healthy", f"{namespace}: healthy", 120)

    def await_fault(self, lane, run, phase):
        """So far into the interval that began with the first measurement that found figures."""
        namespace = self.namespace(lane, run)
        await_true(lambda: self.rollout(namespace).get("currentStepIndex") == 1, "the weight", 120)

        def measured():
            results = self.analysis(namespace).get("metricResults", [])
            return len(results) == 2 and all(one.get("successful") for one in results)
        await_true(measured, f"{namespace}: measured", 120)
        time.sleep(phase * self.interval_s if self.configuration == "documented" else SETTLE_S + phase)

    def said(self, lane, run):
        status = self.analysis(self.namespace(lane, run))
        return f"{status.get('phase')}: {status.get('message', '')}"


class Portcullis:
    name = "portcullis"
    limit_s = {"documented": 300, "unshielded": 300, "fastest": 120}

    def __init__(self, bench, configuration, folder):
        self.bench, self.configuration, self.folder = bench, configuration, folder
        self.services = {}

    def listeners(self, lane):
        number = self.bench.faults.index(lane.fault)
        return {"listen": f"127.0.0.1:{8100 + number}", "admin": f"127.0.0.1:{8200 + number}"}

    def admin(self, lane):
        return f"http://{self.listeners(lane)['admin']}"

    def start(self, lane, run, *by, **environment):
        service = Service(self.folder / f"portcullis-{lane.fault}-{run}.log",
                          [self.bench.portcullis, "run", *by, "--data", self.folder / f"data-{lane.fault}-{run}"], **environment)
        self.services[lane.fault] = service
        service.await_answer(f"{self.admin(lane)}/readyz")
        return f"http://{self.listeners(lane)['listen']}", "race.example"

    def place(self, lane, run):
        file = self.folder / f"{lane.fault}-{run}.yaml"
        file.write_text(manifest(f"portcullis-{self.configuration}.yaml", **self.listeners(lane),
                                 blue=f"{lane.blue[1]}:{PORT}", green=f"{lane.green[1]}:{PORT}"))
        return self.start(lane, run, "--config", file)

    def release(self, lane, run):
        body = json.dumps({"weight": self.bench.weight, "reason": "race"}).encode()
        if http("PUT", f"{self.admin(lane)}/v1/weight", body, {"Content-Type": "application/json"}) is None:
            raise SystemExit("portcullis took no weight")

    def status(self, lane):
        return json.loads(http("GET", f"{self.admin(lane)}/v1/status"))

    def await_fault(self, lane, run, phase):
        await_true(lambda: self.status(lane)["weight"] == self.bench.weight, "the weight", 60)
        time.sleep(SETTLE_S + phase)

    def said(self, lane, run):
        status = self.status(lane)
        return status["rollback"]["reason"] if status.get("rollback") else f"{status['state']} at {status['weight']} %"

    def remove(self, lane, run):
        self.services.pop(lane.fault).stop()

    def stop(self):
        for service in self.services.values():
            service.stop()


class Resource(Portcullis):
    """A proxy that is run by its custom resource, on pods of the same API server."""

    name = "resource"
    limit_s = {"documented": 300}

    def namespace(self, lane, run):
        return f"resource-{lane.fault}-{run}"

    def place(self, lane, run):
        cluster, namespace = self.bench.cluster, self.namespace(lane, run)
        cluster.kubectl("create", "namespace", namespace)
        cluster.apply(manifest("portcullis-resource.yaml", namespace=namespace, weight=self.bench.weight, **self.listeners(lane),
                               blue=lane.blue[1], green=lane.green[1]))
        return self.start(lane, run, "--resource", f"{namespace}/checkout", KUBECONFIG=cluster.kubeconfig)

    def release(self, lane, run):
        """A resource releases what it names as green by itself."""

    def remove(self, lane, run):
        super().remove(lane, run)
        self.bench.cluster.kubectl("delete", "namespace", self.namespace(lane, run), "--wait=false")


CONTENDERS = {one.name: one for one in (Portcullis, Resource, Flagger, Argo)}
