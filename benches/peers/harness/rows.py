"""What is measured: each row is one kind of load, with the bounds that Portcullis is held to."""

from dataclasses import dataclass, field
from typing import Callable

from harness import load

CLIENTS = load.CLIENTS
# These two are measured in these rows only.
FIRST_ROWS_ONLY = ("portcullis-bare", "pingora")
FIRST_ROWS = ("plain", "connect", "pace", "idle")


@dataclass(frozen=True)
class Row:
    """`way` is what the listener speaks (see peers.py). `load` takes a port, a core and seconds, and is a context with a load.

    `bounds` are the most of each other peer's figure, at the median of the rounds' ratios, and `at_most` is of the figure
    itself. `answers` is how many answers of the backend's there are for one request.
    """

    name: str
    title: str
    key: str
    way: str = "clear"
    load: Callable | None = None
    answers: int = 1
    bounds: dict = field(default_factory=dict)
    at_most: float | None = None


def loaded(name, title, way, generator, **more):
    return Row(name, title, f"{name}_cpu_micros", way, generator, **more)


ROWS = {row.name: row for row in (
    Row("plain", f"HTTP/1.1, {CLIENTS} kept connections, 50 bytes", "cpu_micros", bounds={"haproxy": 0.97, "nginx": 0.95}),
    Row("connect", "the same, a connection for each request", "connect_cpu_micros"),
    Row("pace", "the same as the first, at a fixed rate", "paced_cpu_micros"),
    loaded("16k", "answers of 16 KiB", "clear", load.wrk("/16k")),
    loaded("1m", "answers of 1 MiB, 16 connections", "clear", load.wrk("/1m", clients=16), bounds={"haproxy": 1.3}),
    loaded("upload", "uploads of 1 MiB, 16 connections", "clear", load.wrk("/upload", clients=16, script="upload.lua"), answers=2),
    loaded("open-1k", "1,000 open connections, 5,000 requests/s", "clear", load.spread(1_000, 5_000)),
    loaded("open-10k", "10,000 open connections, 5,000 requests/s", "clear", load.spread(10_000, 5_000)),
    loaded("tls", f"TLS, {CLIENTS} kept connections, 50 bytes", "tls", load.wrk("/", scheme="https"), bounds={"nginx": 1.0}),
    loaded("tls-full", "TLS, a full handshake for each request", "tls", load.handshakes("full")),
    loaded("tls-resumed", "TLS, a resumed session for each request", "tls", load.handshakes("resumed")),
    loaded("h2", f"HTTP/2, {CLIENTS} connections, 1 stream each", "h2c", load.h2load(CLIENTS, 1),
           bounds={"envoy": 0.6, "haproxy": 1.2}),
    loaded("h2-100", "HTTP/2, 2 connections, 100 streams each", "h2c", load.h2load(2, 100), bounds={"envoy": 0.6, "haproxy": 1.2}),
    loaded("h2-tls", f"HTTP/2 over TLS, {CLIENTS} connections, 1 stream each", "tls", load.h2load(CLIENTS, 1, scheme="https"),
           bounds={"envoy": 0.6, "haproxy": 1.2}),
    loaded("h2-tls-100", "HTTP/2 over TLS, 2 connections, 100 streams each", "tls", load.h2load(2, 100, scheme="https"),
           bounds={"envoy": 0.6, "haproxy": 1.2}),
    loaded("grpc", "gRPC unary, 8 connections, 8 streams each", "grpc", load.h2load(8, 8, message="question"), answers=2),
    Row("idle", "KiB of an idle connection", "idle_kib", at_most=4),
    Row("idle-tls", "KiB of an idle TLS connection", "idle_tls_kib", "tls", bounds={"nginx": 1.0}),
)}
