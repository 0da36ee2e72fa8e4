"""Checks that a proxy does its job, before anything is measured of it."""

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import subprocess
import time
from statistics import median

CHECK_REQUESTS = 1000
# Envoy draws at random: five standard deviations of 1,000 draws at 10 % are 47.
GREEN_EXPECTED = range(50, 151)
START_DEADLINE_S = 20


class Unfit(Exception):
    """The proxy did not do what a figure of it would claim."""


def await_ready(service, port, way="clear"):
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if service.has_exited():
            raise Unfit(f"ended at its start: {service.last_words()}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            if answers(port, way):
                return
        time.sleep(0.02)
    raise Unfit(f"did not answer within {START_DEADLINE_S} s: {service.last_words()}")


def answers(port, way):
    if way in ("h2c", "grpc"):
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return True
    with contextlib.closing(client(port, way, timeout=2)) as connection:
        connection.request("GET", "/")
        return connection.getresponse().status == 200


def client(port, way, timeout=5):
    if way == "clear":
        return http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout, context=unverified())


def unverified():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def check(port, way="clear", folder=None):
    """Refuse a proxy that does not split 10 to 90, add X-Forwarded-For and keep connections on both sides."""
    if way in ("h2c", "grpc"):
        green, seen = seen_by_http2(port, way, folder)
    else:
        green, seen = seen_by_http1(port, way)
    if green not in GREEN_EXPECTED:
        raise Unfit(f"sent {green} of {CHECK_REQUESTS} requests to green")
    forwarded_for = seen[0].rpartition(" ")[0]
    if not is_address(forwarded_for):
        raise Unfit(f"X-Forwarded-For is not an address: {forwarded_for!r}")
    # The backend says the how manieth request of its connection each was.
    if median(int(answer.split()[-1]) for answer in seen) <= 1:
        raise Unfit("does not keep its connections to the backend")


def seen_by_http1(port, way):
    """How many requests green got, and what the backend says of some."""
    try:
        with contextlib.closing(client(port, way)) as connection:
            connection.connect()
            kept_socket = connection.sock
            if way == "tls" and kept_socket.version() != "TLSv1.3":
                raise Unfit(f"speaks {kept_socket.version()}")
            green = sum(get(connection, "/").startswith(b"green") for _ in range(CHECK_REQUESTS))
            seen = [get(connection, "/seen").decode() for _ in range(20)]
            if connection.sock is not kept_socket:
                raise Unfit("closes the client's connection")
            return green, seen
    except (OSError, http.client.HTTPException) as error:
        raise Unfit(f"failed a check: {error!r}") from error


def seen_by_http2(port, way, folder):
    """The same by nghttp, whose requests share a connection. A call of gRPC has to end with its trailers, and to come by HTTP/2."""
    address = f"http://127.0.0.1:{port}"
    if way == "h2c":
        green = nghttp(f"-m{CHECK_REQUESTS}", f"{address}/").count("green ")
        return green, re.findall(r"[0-9.]+ [0-9]+", nghttp("-m20", f"{address}/seen"))
    said = nghttp(f"-m{CHECK_REQUESTS}", "-v", *grpc_request(folder / "bodies" / "question"), f"{address}/bench.Bench/Ask")
    backends = re.findall(r"backend: (blue|green) +(\S+) (\d+) (\S+)", said)
    spoken = {protocol for _, protocol, _, _ in backends}
    if len(backends) != CHECK_REQUESTS or spoken != {"HTTP/2.0"}:
        raise Unfit(f"passed {len(backends)} of {CHECK_REQUESTS} calls to the backend, by {spoken}")
    if said.count("grpc-status: 0") != CHECK_REQUESTS:
        raise Unfit(f"passed {said.count('grpc-status: 0')} of {CHECK_REQUESTS} trailers on")
    seen = [f"{forwarded_for} {number}" for _, _, number, forwarded_for in backends[-20:]]
    return sum(version == "green" for version, *_ in backends), seen


def nghttp(*arguments):
    try:
        done = subprocess.run(["nghttp", *map(str, arguments)], capture_output=True, text=True, timeout=30)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise Unfit(f"nghttp: {error}") from error
    return done.stdout


def grpc_request(message):
    return ["-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers"]


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
