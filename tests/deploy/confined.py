#!/usr/bin/env python3
"""Runs the program as the manifests of deploy/kubernetes have it run, in runc, with what the Dockerfile says of the image: nobody's user, no
capability, a root that is read-only and holds the program and its libraries, the volumes of the pod and nothing else, and the calls that the
default profile of container engines leaves. It serves, is operated, rolls back, ends in time, and knows the rollback when it is back.

  confined.py BINARY [--kustomize PROGRAM --kubectl PROGRAM]

With these it runs by its resource, at the API server of KUBECONFIG and with the rights of its service account. Needs root, runc, ruamel.yaml, and
seccomp.json of containers-common.
"""

import argparse
import base64
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import manifests
import traffic
from sources import ROOT

PROFILE = Path("/usr/share/containers/seccomp.json")
ARCHITECTURES = {"x86_64": ("amd64", ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]), "aarch64": ("arm64", ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"])}
CONFIGURATION = traffic.CONFIGURATION.replace("listen: {admin}:0", "listen: {admin}:0, tokens: tokens.yaml")
TOKEN, DIGEST = "secret", "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
# What engines hide behind /dev/null, and with the two below what they mount into every container.
MASKED = ["/proc/kcore", "/proc/keys", "/proc/timer_list"]
ENGINE = {"/proc", "/dev", *MASKED}


class Image:
    """What the Dockerfile's last stage says."""

    def __init__(self):
        words = dict(re.findall(r"^(USER|WORKDIR|ENTRYPOINT|VOLUME) (.*)$", (ROOT / "Dockerfile").read_text().split("FROM ")[-1], re.M))
        self.user, self.folder, self.volume = words["USER"], words["WORKDIR"], words["VOLUME"]
        [self.program] = json.loads(words["ENTRYPOINT"])


class Manifest:
    """A container, with what its pod says for all of them."""

    def __init__(self, path, group):
        spec = manifests.read(path.read_text())["spec"]["template"]["spec"]
        [self.container] = spec[group]
        [self.mode] = [each["secret"]["defaultMode"] for each in spec["volumes"] if "secret" in each]
        self.security = spec.get("securityContext", {}) | self.container["securityContext"]
        self.grace = spec["terminationGracePeriodSeconds"]

    def arguments(self, cluster):
        """As they are; without a cluster a file is in the place of the resource."""
        if cluster:
            return [each.replace("$(ROLLOUT)", manifests.ROLLOUT) for each in self.container["args"]]
        return ["--config=/etc/portcullis/portcullis.yaml" if each.startswith("--resource=") else each
                for each in self.container["args"] if not each.startswith("--peer-token=")]

    def environment(self, cluster):
        fields = {"POD_NAME": "replica-0", "POD_IP": traffic.ADMIN}
        found = {each["name"]: each.get("value") or fields[each["name"]] for each in self.container["env"]}
        return [f"{name}={value}" for name, value in (found | (cluster.environment if cluster else {})).items()]


class Confined(traffic.Portcullis):
    """The process in its container."""

    def __init__(self, binary, pod):
        self.pod = pod
        super().__init__(binary, pod.configuration, CONFIGURATION, (), TOKEN)

    def command(self, binary, file, arguments):
        return self.pod.command(self.pod.manifest.arguments(self.pod.cluster))

    def __exit__(self, *_):
        super().__exit__()
        # runc ends without what it runs when it is killed.
        subprocess.run(["runc", "--root", self.pod.folder / "runc", "delete", "--force", self.pod.name], capture_output=True)

    def pid(self):
        return json.loads(run(["runc", "--root", self.pod.folder / "runc", "state", self.pod.name]))["pid"]

    def execute(self, command):
        run(["runc", "--root", self.pod.folder / "runc", "exec", self.pod.name, *command])


class Pod:
    """What the kubelet makes for a container: its volumes in `folder`, and what runc is to do."""

    def __init__(self, folder, binary, manifest, image, cluster=None):
        self.folder, self.binary, self.manifest, self.image, self.cluster = folder, binary, manifest, image, cluster
        self.configuration, self.journal, self.bundle = folder / "etc", folder / "journal", folder / "bundle"
        self.name = f"portcullis-{os.getpid()}-{time.monotonic_ns()}"
        for path in (self.configuration, self.journal, self.bundle / "rootfs"):
            path.mkdir(parents=True)
        (self.configuration / "tokens.yaml").write_text(f"tokens:\n- {{ name: operator, role: operator, sha256: {DIGEST} }}\n")
        (self.configuration / "peer-token").write_text(TOKEN)

    def command(self, arguments):
        security, program = self.manifest.security, self.image.program
        # The pod's group owns its volumes; without one nobody does, and everybody may write to one that begins empty.
        group = security.get("fsGroup", 0)
        files = [(each, self.manifest.mode) for each in self.configuration.iterdir()]
        for path, mode in [(self.journal, 0o2770 if group else 0o777), (self.configuration, 0o755), *files]:
            os.chown(path, 0, group)
            path.chmod(mode)
        capabilities = [] if security["capabilities"] == {"drop": ["ALL"]} else ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"]
        specification = {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": security["runAsUser"], "gid": security["runAsGroup"], "additionalGids": [group] if group else []},
                "args": [program, *arguments],
                "env": ["PATH=/usr/local/bin:/usr/bin:/bin", *self.manifest.environment(self.cluster)],
                "cwd": self.image.folder,
                "noNewPrivileges": not security["allowPrivilegeEscalation"],
                "capabilities": {kind: capabilities for kind in ("bounding", "effective", "inheritable", "permitted")},
            },
            "root": {"path": "rootfs", "readonly": security["readOnlyRootFilesystem"]},
            "mounts": self.mounts(),
            # The network is this machine's, where the test is.
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
                      "seccomp": calls() if security["seccompProfile"] == {"type": "RuntimeDefault"} else None,
                      "maskedPaths": MASKED, "readonlyPaths": ["/proc/sys", "/proc/bus", "/proc/fs", "/proc/irq"]},
        }
        (self.bundle / "config.json").write_text(json.dumps(specification))
        return ["runc", "--root", self.folder / "runc", "run", "--bundle", self.bundle, self.name]

    def mounts(self):
        volumes = {"/etc/portcullis": self.configuration, "/var/lib/portcullis": self.journal}
        account = [bind(self.cluster.account, "/var/run/secrets/kubernetes.io/serviceaccount", "ro")] if self.cluster else []
        made = [{"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]}]
        made += [bind(path, path, "ro") for path in [*libraries(self.binary), "/etc/hosts", "/etc/resolv.conf"]]
        made.append(bind(self.binary, self.image.program, "ro"))
        for each in self.manifest.container["volumeMounts"]:
            if each["mountPath"] in volumes:
                made.append(bind(volumes[each["mountPath"]], each["mountPath"], "ro" if each.get("readOnly") else "rw"))
        return made + account


def bind(source, destination, how):
    return {"destination": str(destination), "source": str(source), "type": "bind", "options": ["bind", how, "nosuid", "nodev"]}


def libraries(binary):
    """What the dynamic loader brings, and the loader."""
    return sorted(set(re.findall(r"(/\S+) \(0x", run(["ldd", binary]))))


def calls():
    """The profile for a container without capabilities, as runc takes it."""
    profile = json.loads(PROFILE.read_text())
    name, architectures = ARCHITECTURES[platform.machine()]
    rules = []
    for each in profile["syscalls"]:
        asked = each.get("includes") or {}
        if not asked.get("caps") and name in asked.get("arches", [name]):
            rules.append({key: each[key] for key in ("names", "action", "args", "errnoRet") if each.get(key)})
    return {"defaultAction": profile["defaultAction"], "defaultErrnoRet": profile["defaultErrnoRet"], "architectures": architectures, "syscalls": rules}


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


def is_confined(pid, image):
    """What the kernel says of the process, whatever was asked for."""
    said = dict(re.findall(r"^(\w+):\t(.*)$", Path(f"/proc/{pid}/status").read_text(), re.M))
    user, group = image.user.split(":")
    assert set(said["Uid"].split()) == {user} and set(said["Gid"].split()) == {group}, said["Uid"]
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(said[kind], 16) == 0, f"{kind}: {said[kind]}"
    for key, value in (("NoNewPrivs", "1"), ("Seccomp", "2")):
        assert said[key] == value, f"{key}: {said[key]}"
    mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    writable = {fields[4] for fields in mounts if "rw" in fields[5].split(",")} - ENGINE
    assert writable == {image.volume}, f"{sorted(writable)} can be written"


def left(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.stat().st_size)


def until(sentence, true):
    deadline = time.monotonic() + traffic.DEADLINE
    while not true():
        assert time.monotonic() < deadline, f"it does not come to be that {sentence}"
        time.sleep(0.1)


def foretold(proxy):
    """By `preStop` it hears that it will be told to end: it is not ready, and asks clients to leave, and serves."""
    proxy.execute(proxy.pod.manifest.container["lifecycle"]["preStop"]["exec"]["command"])
    until("it is not ready", lambda: proxy.ask(traffic.ADMIN, "GET", "/readyz")[0].status == 503)
    answer, _ = proxy.ask(traffic.PROXY, "GET", "/")
    assert (answer.status, answer.headers["connection"]) == (200, "close"), answer.headers


def play(folder, binary, manifest, image):
    pod = Pod(folder, binary, manifest, image)
    with Confined(binary, pod) as proxy:
        is_confined(proxy.pid(), image)
        for path in ("/healthz", "/readyz"):
            assert proxy.ask(traffic.ADMIN, "GET", path)[0].status == 200, path
        traffic.drive(proxy)
        if "lifecycle" in manifest.container:
            foretold(proxy)
        began = time.monotonic()
        assert proxy.stop() == 0 and time.monotonic() - began < manifest.grace, "it did not end in its time"
    assert left(pod.bundle / "rootfs") == [] and left(pod.journal), "it wrote elsewhere, or nothing"
    with Confined(binary, pod) as proxy:
        state = json.loads(proxy.ask(traffic.ADMIN, "GET", "/v1/status")[1])["state"]
        assert state == "rolledBack" and proxy.stop() == 0, state


class Cluster:
    """The namespace of an overlay, with its service account in `folder` as the kubelet would mount it."""

    def __init__(self, folder, kustomize, kubectl):
        self.kubectl, self.account = kubectl, folder / "account"
        self.objects = manifests.objects(run([kustomize, "build", manifests.KUSTOMIZE / "overlays/standalone"]))
        manifests.install(kubectl, manifests.KUSTOMIZE / "crd/gatedrollouts.yaml")
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": manifests.ROLLOUT}})
        for kind in ("ServiceAccount", "Role", "RoleBinding"):
            self.apply(manifests.one(self.objects, kind))
        [cluster] = json.loads(self.tell("config", "view", "--raw", "--minify", "--flatten", "--output", "json"))["clusters"]
        host, port = re.fullmatch(r"https://(.*):(\d+)", cluster["cluster"]["server"]).groups()
        self.environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
        self.account.mkdir(parents=True)
        (self.account / "token").write_text(self.tell("create", "token", manifests.NAME).strip())
        (self.account / "ca.crt").write_bytes(base64.b64decode(cluster["cluster"]["certificate-authority-data"]))
        (self.account / "namespace").write_text(manifests.ROLLOUT)

    def tell(self, *words):
        return run([self.kubectl, "--namespace", manifests.ROLLOUT, *words])

    def apply(self, each):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(each, file)
            file.flush()
            self.tell("apply", "-f", file.name)

    def serve(self, blue, green):
        """The overlay's rollout in front of two ports of this machine, and at free ones itself."""
        rollout = manifests.one(self.objects, "GatedRollout")
        spec = dict(rollout["spec"], listen=f"{traffic.PROXY}:0", admin=dict(rollout["spec"]["admin"], listen=f"{traffic.ADMIN}:0"))
        for version, port in (("blue", blue), ("green", green)):
            spec[version] = {"version": spec[version]["version"], "endpoints": [f"{traffic.BACKEND}:{port}"]}
        self.apply(dict(rollout, spec=spec | {"drain": {"wait": "0s", "deadline": "5s"}}))

    def conditions(self):
        found = json.loads(self.tell("get", "gatedrollout", manifests.ROLLOUT, "--output", "json")).get("status", {})
        return {each["type"]: each["status"] for each in found.get("conditions", [])}

    def annotate(self, command):
        self.tell("annotate", "gatedrollout", manifests.ROLLOUT, f"portcullis.dev/{command}")


class Replica(Confined):
    """By the resource, which it waits for."""

    def command(self, binary, file, arguments):
        self.pod.cluster.serve(*(server.server_port for server in self.backends))
        return super().command(binary, file, arguments)


def play_in_a_cluster(folder, binary, manifest, image, cluster):
    """What is annotated is carried out, and what comes of it is written, by what the service account may."""
    pod = Pod(folder, binary, manifest, image, cluster)
    with Replica(binary, pod) as proxy:
        is_confined(proxy.pid(), image)
        status = lambda: json.loads(proxy.ask(traffic.ADMIN, "GET", "/v1/status")[1])
        until("the spec is accepted", lambda: cluster.conditions().get("Accepted") == "True")
        cluster.annotate("weight=50")
        until("green has half", lambda: status()["weight"] == 50)
        cluster.annotate("rollback=to see one")
        until("green is rolled back", lambda: status()["state"] == "rolledBack" and cluster.conditions()["Healthy"] == "False")
        assert proxy.stop() == 0
    forbidden = [line for line in proxy.log if "forbidden" in line.lower()]
    assert not forbidden, forbidden
    assert left(pod.bundle / "rootfs") == []
    cluster.tell("delete", "gatedrollout", manifests.ROLLOUT)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=Path)
    parser.add_argument("--kustomize")
    parser.add_argument("--kubectl")
    arguments = parser.parse_args()
    binary, image = arguments.binary.resolve(strict=True), Image()
    kubernetes = ROOT / "deploy/kubernetes"
    for path, group in ((kubernetes / "base/deployment.yaml", "containers"), (kubernetes / "components/sidecar/sidecar.yaml", "initContainers")):
        manifest = Manifest(path, group)
        said = f"{manifest.security['runAsUser']}:{manifest.security['runAsGroup']}"
        assert said == image.user, f"{path.name} has user {said}, the image {image.user}"
        with tempfile.TemporaryDirectory() as directory:
            tried = subprocess.run(Pod(Path(directory), binary, manifest, image).command(["--version"]), capture_output=True, text=True)
            if "runc run failed" in tried.stderr and "no such file" not in tried.stderr:
                print(f"skipped: confined ({tried.stderr.strip().splitlines()[-1]})")
                return 77
        with tempfile.TemporaryDirectory() as directory:
            folder = Path(directory)
            if arguments.kubectl:
                play_in_a_cluster(folder, binary, manifest, image, Cluster(folder, arguments.kustomize, arguments.kubectl))
            else:
                play(folder, binary, manifest, image)
        print(f"{path.relative_to(ROOT)}: it serves and rolls back, without a right and with a root that it cannot write")
    return 0


if __name__ == "__main__":
    sys.exit(main())
