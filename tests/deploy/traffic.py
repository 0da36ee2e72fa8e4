"""A running portcullis with two backends, and the traffic that brings every series of /metrics to life."""

import http.client
import json
import queue
import re
import signal
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import exposition

# Each listener has a loopback address of its own, so that a port in the log can be told by its address.
PROXY, ADMIN, BACKEND = "127.0.0.1", "127.0.0.2", "127.0.0.3"
DEADLINE = 15

CONFIGURATION = """\
listen: {proxy}:0
workers: 1
admin: {{ listen: {admin}:0 }}
blue:  {{ version: v1, endpoints: ["{backend}:{blue}"] }}
green: {{ version: v2, endpoints: ["{backend}:{green}"] }}
drain: {{ wait: 100ms, deadline: 5s }}
routes:
- name: checkout
  paths: [/checkout]
  rollback: route
  triggers: [{{ name: checkout-errors, metric: errorRate, above: 50% }}]
runbook:
  allow: [{backend}]
  rolledBack:
  - {{ name: refused, http: {{ url: "http://{backend}:{blue}/missing" }} }}
gate:
  minimumRequests: 20
  # Nothing but the operator ends this release.
  compare: {{ enabled: false }}
  triggers:
  - {{ name: noticed, metric: errorRate, above: 1%, window: 30s, action: notify }}
  - {{ name: patient, metric: failureStreak, atLeast: 1000 }}
"""


class Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        failing = self.path == "/green-fails" and self.server.version == "green"
        self.send_response(500 if failing else 404 if self.path == "/missing" else 200)
        self.send_header("content-length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *_):
        pass


def backend(version):
    server = ThreadingHTTPServer((BACKEND, 0), Backend)
    server.version = version
    # A proxy that ends resets the connections that it kept.
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Portcullis:
    """The process, from its first log line to its end; a context manager."""

    def __init__(self, binary, directory, configuration=CONFIGURATION, arguments=(), token=None):
        blue, green = backend("blue"), backend("green")
        file = directory / "portcullis.yaml"
        ports = {"blue": blue.server_port, "green": green.server_port}
        file.write_text(configuration.format(proxy=PROXY, admin=ADMIN, backend=BACKEND, **ports))
        self.backends, self.log, self.lines, self.token = [blue, green], [], queue.Queue(), token
        self.process = subprocess.Popen(
            self.command(binary, file, arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self.read_log, daemon=True).start()

    def command(self, binary, file, arguments):
        return [binary, "run", "--config", file, *arguments]

    def __enter__(self):
        self.ports = self.wait_for_ports()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for server in self.backends:
            server.shutdown()

    def read_log(self):
        for line in self.process.stdout:
            self.log.append(line)
            self.lines.put(line)
        self.lines.put(None)

    def wait_for_ports(self):
        """The proxy says in its log where it listens; port 0 is what the configuration asked for."""
        ports, deadline = {}, time.monotonic() + DEADLINE
        while len(ports) < 2:
            try:
                line = self.lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                missing = {PROXY, ADMIN} - set(ports)
                raise self.failure(f"the log names no port on {' and '.join(sorted(missing))}")
            for address, port in re.findall(r"(127\.0\.0\.[12]):([1-9]\d*)", line):
                ports[address] = int(port)
        return ports

    def failure(self, sentence):
        return RuntimeError("\n".join([sentence, "its log:", *map(str.rstrip, self.log[-20:])]))

    def ask(self, address, method, path, body=None):
        connection = http.client.HTTPConnection(address, self.ports[address], timeout=DEADLINE)
        headers = {"content-type": "application/json"} if body else {}
        if self.token and address == ADMIN:
            headers["authorization"] = f"Bearer {self.token}"
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            return answer, answer.read().decode()
        finally:
            connection.close()

    def operate(self, method, path, body):
        answer, text = self.ask(ADMIN, method, path, body)
        if answer.status >= 300:
            raise self.failure(f"{method} {path} was answered {answer.status}: {text}")

    def scrape(self):
        answer, text = self.ask(ADMIN, "GET", "/metrics")
        if answer.status != 200:
            raise self.failure(f"GET /metrics was answered {answer.status}")
        return answer.headers["content-type"], text

    def scrape_until(self, sentence, true_of):
        """The first scrape of which `true_of` holds. The control thread feeds the exporter tick by tick."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            _, text = self.scrape()
            if true_of(exposition.parse(text)):
                return text
        raise self.failure(f"after {DEADLINE} s of scraping still not true: {sentence}\n{text}")

    def send(self, path, times):
        for _ in range(times):
            self.ask(PROXY, "GET", path)

    def send_without_host(self):
        with socket.create_connection((PROXY, self.ports[PROXY]), timeout=DEADLINE) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            connection.recv(1024)

    def stop(self):
        """Drains; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=DEADLINE)


def drive(proxy):
    """Every metric once: both versions, a refusal, a trigger that notifies, an operator's rollback, an action. The last scrape."""
    proxy.operate("PUT", "/v1/weight", {"weight": 50, "reason": "to see both versions"})
    # 128 requests are one whole block of the weighted draw, so green gets half of each path.
    proxy.send("/", 128)
    proxy.send("/missing", 128)
    proxy.send("/green-fails", 128)
    proxy.send_without_host()
    proxy.scrape_until(
        "385 requests, and the trigger `noticed` has notified",
        lambda scraped: scraped.total("portcullis_requests_total") == 385
        and scraped.total("portcullis_notifications_total", trigger="noticed"),
    )
    proxy.operate("POST", "/v1/release/rollback", {"reason": "to see a rollback"})
    return proxy.scrape_until(
        "one rollback by an operator, and its action has failed",
        lambda scraped: scraped.total("portcullis_rollbacks_total", trigger="operator") == 1
        and scraped.total("portcullis_rollback_reaction_seconds_count") == 1
        and scraped.total("portcullis_action_total", action="refused", result="failed") == 1,
    )
