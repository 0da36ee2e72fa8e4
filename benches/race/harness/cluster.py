"""A real API server without nodes: etcd, kube-apiserver and kube-controller-manager on the loopback."""

import functools
import json
import secrets
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from harness.machine import NETWORK, Service, await_true

SERVER = "https://127.0.0.1:6443"
ETCD = "http://127.0.0.1:2379"


class Cluster:
    def __init__(self, programs, folder):
        self.programs, self.folder = Path(programs), Path(folder)
        self.token = secrets.token_hex(16)
        self.url, self.services = SERVER, []
        self.folder.mkdir(parents=True)
        key = self.folder / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        tokens = self.folder / "tokens.csv"
        tokens.write_text(f'{self.token},race,race,"system:masters"\n')
        tokens.chmod(0o600)
        self.start("etcd", "etcd", "--data-dir", self.folder / "etcd", "--listen-client-urls", ETCD, "--advertise-client-urls", ETCD,
                   "--listen-peer-urls", "http://127.0.0.1:2380").await_answer(f"{ETCD}/health")
        self.start("kube-apiserver", self.programs / "kube-apiserver",
                   "--etcd-servers", ETCD, "--bind-address=127.0.0.1", "--secure-port=6443",
                   "--advertise-address", f"{NETWORK}.1", "--cert-dir", self.folder / "certs",
                   "--service-account-issuer", SERVER, "--service-account-key-file", key,
                   "--service-account-signing-key-file", key, "--authorization-mode=RBAC", "--token-auth-file", tokens,
                   "--service-cluster-ip-range=10.96.0.0/16")
        self.certificate = self.folder / "certs/apiserver.crt"
        self.await_ready()
        self.kubeconfig = self.folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "race",
            "clusters": [{"name": "race", "cluster": {"server": SERVER, "certificate-authority": str(self.certificate)}}],
            "users": [{"name": "race", "user": {"token": self.token}}],
            "contexts": [{"name": "race", "context": {"cluster": "race", "user": "race"}}],
        }))
        self.kubeconfig.chmod(0o600)
        self.start("kube-controller-manager", self.programs / "kube-controller-manager",
                   "--kubeconfig", self.kubeconfig, "--leader-elect=false", "--secure-port=10257", "--bind-address=127.0.0.1",
                   # The node has nobody who would say that it is alive.
                   "--controllers=*,-node-lifecycle-controller,-taint-eviction-controller",
                   "--cert-dir", self.folder / "manager-certs", "--service-account-private-key-file", key)

    def start(self, name, *command, **environment):
        service = Service(self.folder / f"{name}.log", command, KUBE_SERVER=SERVER, KUBE_TOKEN=self.token,
                          KUBE_CA=self.folder / "certs/apiserver.crt", **environment)
        self.services.append(service)
        return service

    def stop(self):
        for service in reversed(self.services):
            service.stop()

    def await_ready(self):
        await_true(lambda: self.certificate.exists() and self.get("/readyz", text=True), "the API server is ready", 60)

    @functools.cache
    def trusted(self):
        return ssl.create_default_context(cafile=self.certificate)

    def get(self, path, text=False):
        """The object, or None where there is none."""
        request = urllib.request.Request(SERVER + path, headers={"Authorization": f"Bearer {self.token}"})
        try:
            with urllib.request.urlopen(request, timeout=10, context=self.trusted()) as answer:
                return answer.read().decode() if text else json.load(answer)
        except (urllib.error.URLError, ssl.SSLError, ConnectionError):
            return None

    def kubectl(self, *arguments, stdin=None):
        return subprocess.run([self.programs / "kubectl", "--kubeconfig", self.kubeconfig, *map(str, arguments)],
                              input=stdin, text=True, check=True, stdout=subprocess.PIPE).stdout

    def apply(self, manifest):
        self.kubectl("apply", "--server-side", "-f", "-", stdin=manifest)
