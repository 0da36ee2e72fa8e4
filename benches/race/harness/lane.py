"""One blue and one green, their clients, and what the two saw of a fault."""

import json
import os
import signal
import time
from dataclasses import asdict, dataclass

from harness.machine import NETWORK, Service, await_true, http

CONTROL = "127.0.0.1:9900"
PORT = 9898
# A client calls an answer slow that takes longer than this: the bound of Flagger's tutorial.
SLOW_MS = 500
# Green is free of traffic when nothing has reached it for so long.
QUIET_S = 5
JUST_BEFORE_S = 2

FAULTS = {
    "all": ("errors", 1.0, "100 % of green's answers are 500"),
    "tenth": ("errors", 0.1, "10 % of green's answers are 500"),
    "slow": ("slow", 1.0, "every answer of green takes 800 ms longer"),
}


def start_servers(arena, lanes, folder):
    named = [f"{name}={address}:{PORT}" for lane in lanes for name, address in (lane.blue, lane.green)]
    service = Service(folder / "servers.log", [arena, "servers", CONTROL, *named], GOMAXPROCS=1)
    service.await_answer(f"http://{CONTROL}/{lanes[0].blue[0]}")
    return service


@dataclass
class Result:
    contender: str
    configuration: str
    fault: str
    weight: int
    run: int
    phase: float
    # Of the last moments before the fault; 0 when the contender had rolled back a green that was well.
    green_share_before: float
    back_ms: float | None
    failed: int
    slow: int
    lost: int
    green_since_fault: int
    failed_before: int
    slow_before: int
    requests: int
    load_average: float
    said: str


class Lane:
    """A fault of its own for each lane, so that the faults of one contender are raced at the same time."""

    def __init__(self, number, fault):
        self.fault = fault
        self.blue = (f"blue-{fault}", f"{NETWORK}.{10 * number + 2}")
        self.green = (f"green-{fault}", f"{NETWORK}.{10 * number + 3}")

    def start_load(self, arena, target, host, rate, folder):
        self.records = folder / f"load-{self.fault}.csv"
        self.load = Service(folder / f"load-{self.fault}.log", [arena, "load", host, rate, self.records], TARGET=target, GOMAXPROCS=1)

    def begin(self):
        kind, share, _ = FAULTS[self.fault]
        http("POST", f"http://{CONTROL}/{self.green[0]}/fault?kind={kind}&share={share}")
        self.began = time.time()

    def heal(self):
        http("POST", f"http://{CONTROL}/{self.green[0]}/fault?kind=&share=0")

    def seen(self):
        return json.loads(http("GET", f"http://{CONTROL}/{self.green[0]}"))

    def await_back(self, limit_s):
        """Whether green is free of traffic within the limit."""
        def free():
            return time.time() - max(self.began, self.seen()["last"] / 1e6) > QUIET_S
        try:
            return await_true(free, f"traffic back on blue ({self.fault})", limit_s, every_s=0.5)
        except TimeoutError:
            return False

    def stop_load(self):
        """Each request as (due in µs, took in µs, status, version)."""
        self.load.process.send_signal(signal.SIGTERM)
        self.load.process.wait(timeout=30)
        for line in self.records.read_text().splitlines():
            due, took, status, version = line.split(",")
            yield int(due), int(took), int(status), version
        os.remove(self.records)

    def result(self, back, seen, **about):
        fault_at = seen["fault"]["at"]
        before, since = [], []
        for one in self.stop_load():
            (before if one[0] < fault_at else since).append(one)
        # What was under way at the fault belongs to it.
        caught = [one for one in before if one[2] != 200 and one[0] + one[1] >= fault_at]
        before = [one for one in before if one not in caught]
        since += caught
        recent = [one for one in before if one[0] > fault_at - JUST_BEFORE_S * 1e6]
        return asdict(Result(
            fault=self.fault,
            back_ms=round(max(0, seen["last"] - fault_at) / 1e3, 1) if back else None,
            failed=sum(1 for one in since if one[2] >= 500),
            slow=sum(1 for one in since if one[1] > SLOW_MS * 1e3),
            lost=sum(1 for one in since if one[2] == 0),
            green_since_fault=seen["sinceFault"],
            green_share_before=round(sum(1 for one in recent if one[3] == self.green[0]) / max(1, len(recent)), 3),
            failed_before=sum(1 for one in before if one[2] != 200),
            slow_before=sum(1 for one in before if one[1] > SLOW_MS * 1e3),
            requests=len(before) + len(since),
            **about,
        ))

