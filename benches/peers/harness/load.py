"""What is sent to a proxy: checks that it does its job, wrk, oha, and connections that idle."""

import contextlib
import http.client
import ipaddress
import json
import re
import socket
import struct
import subprocess
import time

from harness.machine import pinned

CLIENTS = 64
CHECK_REQUESTS = 1000
# Envoy draws at random: five standard deviations of 1,000 draws at 10 % are 47.
GREEN_EXPECTED = range(50, 151)
START_DEADLINE_S = 20
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Unfit(Exception):
    """The proxy did not do what a figure of it would claim."""


def await_ready(service, port):
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if service.has_exited():
            raise Unfit(f"ended at its start: {service.last_words()}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            with contextlib.closing(connection):
                connection.request("GET", "/")
                if connection.getresponse().status == 200:
                    return
        time.sleep(0.02)
    raise Unfit(f"did not answer within {START_DEADLINE_S} s: {service.last_words()}")


def check(port):
    """Refuse a proxy that does not split 10 to 90, add X-Forwarded-For and keep connections on both sides."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        with contextlib.closing(connection):
            connection.connect()
            kept_socket = connection.sock
            green = sum(get(connection, "/").startswith(b"green") for _ in range(CHECK_REQUESTS))
            seen = [get(connection, "/seen").decode() for _ in range(20)]
            if connection.sock is not kept_socket:
                raise Unfit("closes the client's connection")
    except (OSError, http.client.HTTPException) as error:
        raise Unfit(f"failed a check: {error!r}") from error
    if green not in GREEN_EXPECTED:
        raise Unfit(f"sent {green} of {CHECK_REQUESTS} requests to green")
    forwarded_for = seen[0].rpartition(" ")[0]
    if not is_address(forwarded_for):
        raise Unfit(f"X-Forwarded-For is not an address: {forwarded_for!r}")
    if not any(int(answer.split()[-1]) > len(seen) for answer in seen):
        raise Unfit("does not keep its connections to the backend")


def is_address(text):
    """Any address will do: Envoy names the machine's own in the place of a client on loopback."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def get(connection, path):
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise Unfit(f"answered {answer.status} to a check")
    return body


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


def run_tool(core, command, seconds):
    try:
        done = subprocess.run(pinned(core, command), capture_output=True, text=True, timeout=seconds * 3 + 30)
    except subprocess.TimeoutExpired as error:
        raise Unfit("the load generator did not end") from error
    if done.returncode != 0:
        raise Unfit(f"{command[0]} exited {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


@contextlib.contextmanager
def idle_connections(port, count):
    """Connections that have each made one request. On leaving, all of them must still be open."""
    connections = []
    try:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), timeout=5)
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
    except BlockingIOError:
        return False
