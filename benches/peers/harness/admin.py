"""What a Portcullis is told by its admin API, and asked whether it has judged and recorded what it was measured with."""

import json
import time
import urllib.request

from harness.checks import Unfit

TICKS_PER_SECOND = 10
# On a core that is in full use a tick comes late, and is not made up for.
TICKS_KEPT = 0.8
# The last requests are counted a tick or two after their end.
RECORDED_WITHIN_S = 3


def call(ports, method, path, body=None):
    request = urllib.request.Request(
        f"http://127.0.0.1:{ports['admin']}{path}", method=method,
        data=None if body is None else json.dumps(body).encode(), headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()
    except OSError as error:
        raise Unfit(f"{method} {path}: {error}") from error


def set_weight(ports):
    call(ports, "PUT", "/v1/weight", {"weight": 10, "reason": "benches/peers"})


def check_recorded(ports, requests, seconds):
    """Refuse a proxy that does not compare the versions, or has not recorded so many requests in ticks of so many seconds."""
    if not json.loads(call(ports, "GET", "/v1/evidence"))["comparison"]:
        raise Unfit("does not compare the versions")
    deadline = time.monotonic() + RECORDED_WITHIN_S
    while sum(ticks := recorded(ports)) < requests:
        if time.monotonic() > deadline:
            raise Unfit(f"recorded {sum(ticks)} of {requests} requests in its journal")
        time.sleep(1 / TICKS_PER_SECOND)
    busy = sum(count > 0 for count in ticks)
    if busy < TICKS_KEPT * TICKS_PER_SECOND * seconds:
        raise Unfit(f"recorded {busy} busy ticks in {seconds} s")


def recorded(ports):
    """Requests in each tick of the newest release, as the journal has them."""
    # What is decided takes the evidence up to its moment to the disk, and is answered when it is there.
    set_weight(ports)
    release = json.loads(call(ports, "GET", "/v1/releases"))[0]
    slots = map(json.loads, call(ports, "GET", f"/v1/releases/{release['id']}/evidence").splitlines())
    ticks = [slot["input"]["tick"] for slot in slots if "tick" in slot["input"]]
    return [sum(counted["requests"] for counted in counts(tick)) for tick in ticks]


def counts(tick):
    """What is counted of both versions, also of requests that were routed before the weight last changed."""
    yield from (tick[version] for version in ("blue", "green"))
    if "beside" in tick:
        yield from (tick["beside"][late] for late in ("lateBlue", "lateGreen"))
