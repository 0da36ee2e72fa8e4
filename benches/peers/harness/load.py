"""What is sent to a proxy: load generators, and connections that idle."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from harness.checks import Unfit, grpc_request, unverified
from harness.handshakes import THREADS
from harness.machine import pinned

HERE = Path(__file__).resolve().parent
CONF_DIR = HERE.parent / "conf"
CLIENTS = 64
# How long a load generator that ends by itself goes on after the measurement.
AFTERWARDS_S = 0.3
# So large a part of a fixed load may be left out, and it is still that load.
LATE = 0.03
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def closed_loop(port, core, seconds, *fields):
    """wrk: every client sends its next request when the last is answered. Returns requests and requests per second."""
    sent = [argument for field in fields for argument in ("-H", field)]
    output = run_tool(core, ["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", *sent, f"http://127.0.0.1:{port}/"], seconds)
    trouble = re.search(r"(Socket errors|Non-2xx).*", output)
    if trouble:
        raise Unfit(trouble[0])
    requests = int(re.search(r"(\d+) requests in", output)[1])
    return requests, float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])


def open_loop(oha, port, core, seconds, rate):
    """oha at a fixed rate; latency runs from the time a request was due.

    Returns requests, p50 and p99 in ms, and the rate that was reached.
    """
    requests = rate * seconds
    output = run_tool(core, [
        oha, "--no-tui", "--output-format", "json", "--latency-correction",
        "-q", rate, "-n", requests, "-c", CLIENTS, f"http://127.0.0.1:{port}/",
    ], seconds)
    result = json.loads(output)
    if result["statusCodeDistribution"] != {"200": requests}:
        raise Unfit(f"at {rate}/s: {result['statusCodeDistribution']} {result['errorDistribution']}")
    latency = result["latencyPercentiles"]
    return requests, latency["p50"] * 1e3, latency["p99"] * 1e3, result["summary"]["requestsPerSec"]


class Load:
    """A load generator that runs."""

    def __init__(self, core, command, environment=None):
        self.process = subprocess.Popen(
            pinned(core, command), text=True, env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def await_ready(self, within_s):
        timer = threading.Timer(within_s, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if line != "ready\n":
            raise Unfit(f"the load was not ready within {within_s} s: {self.process.communicate()[1].strip()[-300:]}")

    def end(self, number=None):
        """What it has to say in the end, to which the end of its input or a signal brings it."""
        if number:
            self.process.send_signal(number)
        try:
            said, complaint = self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired as error:
            raise Unfit("the load generator did not end") from error
        if self.process.returncode != 0:
            raise Unfit(f"{self.process.args[6]} exited {self.process.returncode}: {complaint.strip()[-300:]}")
        return said


# What clients offer by TLS, and so what all peers agree to. h2load has an option instead.
CIPHER = "TLS_AES_128_GCM_SHA256"
OFFERED = {"OPENSSL_CONF": str(CONF_DIR / "openssl.cnf")}


def wrk(path, clients=CLIENTS, scheme="http", script=None):
    @contextlib.contextmanager
    def running(port, core, seconds, _folder):
        scripted = ["-s", CONF_DIR / script] if script else []
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds + 10}s", *scripted, f"{scheme}://127.0.0.1:{port}{path}"]
        with Load(core, command, OFFERED) as tool:
            yield tool
            trouble = re.search(r"(Socket errors|Non-2xx).*", tool.end(signal.SIGINT))
            if trouble:
                raise Unfit(trouble[0])

    return running


def h2load(clients, streams, scheme="http", message=None):
    @contextlib.contextmanager
    def running(port, core, seconds, folder):
        sent = grpc_request(folder / "bodies" / message) if message else []
        path = "/bench.Bench/Ask" if message else "/"
        command = [
            "h2load", "-t1", f"-c{clients}", f"-m{streams}", f"-D{int((seconds + AFTERWARDS_S) * 1000)}ms",
            f"--tls13-ciphers={CIPHER}", *sent,
            f"{scheme}://127.0.0.1:{port}{path}",
        ]
        with Load(core, command, OFFERED) as tool:
            yield tool
            said = tool.end()
            spoken = re.search(r"Application protocol: (\S+)", said)
            if not spoken or spoken[1] != ("h2" if scheme == "https" else "h2c"):
                raise Unfit(f"h2load spoke {spoken and spoken[1]}")
            if scheme == "https" and f"Cipher: {CIPHER}\n" not in said:
                raise Unfit(f"did not agree on {CIPHER}")
            trouble = re.search(r"[1-9]\d* (failed|errored|timeout|3xx|4xx|5xx)", said)
            if trouble:
                raise Unfit(f"h2load: {trouble[0]}")

    return running


def handshakes(how):
    @contextlib.contextmanager
    def running(port, core, _seconds, _folder):
        with Load(core, [sys.executable, HERE / "handshakes.py", port, how], OFFERED) as tool:
            yield tool
            counts = json.loads(tool.end())
            connections, resumed = counts.pop("connections", 0), counts.pop("resumed", 0)
            if counts != {f"TLSv1.3 {CIPHER}": connections}:
                raise Unfit(f"{connections} connections: {counts}")
            # The first of each thread has nothing to resume.
            expected = 0 if how == "full" else connections - THREADS
            if resumed != expected:
                raise Unfit(f"resumed {resumed} of {connections} sessions instead of {expected}")

    return running


def spread(count, rate):
    @contextlib.contextmanager
    def running(port, core, _seconds, _folder):
        with Load(core, [sys.executable, HERE / "spread.py", port, count, rate]) as tool:
            tool.await_ready(30)
            yield tool
            said = json.loads(tool.end())
            if said["late"] > LATE * said["due"]:
                raise Unfit(f"left {said['late']} of {said['due']} requests waiting for the last of their connection")

    return running


def answered(port):
    """How many requests the backend has answered so far."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", "/")
        return int(connection.getresponse().read().split()[9])


def run_tool(core, command, seconds):
    try:
        done = subprocess.run(pinned(core, command), capture_output=True, text=True, timeout=seconds * 3 + 30)
    except subprocess.TimeoutExpired as error:
        raise Unfit("the load generator did not end") from error
    if done.returncode != 0:
        raise Unfit(f"{command[0]} exited {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


@contextlib.contextmanager
def idle_connections(port, count, way="clear"):
    """Connections that have each made one request. On leaving, all of them must still be open."""
    context = unverified()
    connections = []
    try:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), timeout=5)
            if way == "tls":
                connection = context.wrap_socket(connection)
            connections.append(connection)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
            answer = b""
            while b"0123456789012\n" not in answer:
                received = connection.recv(4096)
                if not received:
                    raise Unfit(f"closed the connection of idle client {len(connections)}")
                answer += received
        yield
        closed = sum(has_closed(connection) for connection in connections)
        if closed:
            raise Unfit(f"closed {closed} of {count} idle connections")
    except OSError as error:
        raise Unfit(f"idle connection {len(connections)} of {count}: {error!r}") from error
    finally:
        for connection in connections:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            connection.close()


def has_closed(connection):
    connection.setblocking(False)
    try:
        connection.recv(1)
        return True
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
