"""Processes that end with this script, in a network of their own."""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

# An address of a pod must not be 127.0.0.0/8; these are for documentation (RFC 5737), and here they all lie on `lo`.
NETWORK = "198.51.100"
START_DEADLINE_S = 60


def into_own_network():
    """Starts this script again where there is no network but the loopback, which nobody else uses."""
    if os.environ.get("RACE_NETWORK") != "own":
        os.environ["RACE_NETWORK"] = "own"
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        os.execvp("unshare", ["unshare", "--net", *user, "--", sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "address", "add", f"{NETWORK}.1/24", "dev", "lo"], check=True)


class Service:
    """A process whose output goes to a file. Dies with this script however this script dies."""

    def __init__(self, log, command, **environment):
        self.log = Path(log)
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *map(str, command)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, **{name: str(value) for name, value in environment.items()}},
            )

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def await_answer(self, url):
        """Until it answers 2xx."""
        def answers():
            if self.process.poll() is not None:
                raise SystemExit(f"{self.log}: ended: {self.log.read_text(errors='replace')[-800:]}")
            return http("GET", url) is not None
        await_true(answers, f"{url} answers ({self.log})", START_DEADLINE_S)


def http(method, url, body=None, headers=None, timeout=5):
    """The body of a 2xx answer; None for everything else."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read()
    except OSError:
        return None


def await_true(condition, what, deadline_s, every_s=0.2):
    """The first value of the condition that is true."""
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(every_s)
    raise TimeoutError(f"not within {deadline_s} s: {what}")


def load_average():
    return os.getloadavg()[0]
