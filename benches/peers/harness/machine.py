"""Processes on a core of their own, and what the kernel says they used."""

import contextlib
import os
import platform
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

# Nothing is served any more when a server is stopped; a long drain would only make the run longer.
STOP_DEADLINE_S = 1
# Of one core. An idle machine with this script's servers up stays under 2 %.
QUIET_BOUND = 0.05
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def two_cores():
    """The proxy's core and the core of backend and load."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("benches/peers/run needs two cores: one for the proxy, one for backend and load")
    return cores[0], cores[1]


def free_ports(count):
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def pinned(core, command):
    """Dies with this script however this script dies: setpriv asks the kernel for that."""
    return ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), *map(str, command)]


class Service:
    """A pinned server in a session of its own, so that its workers are found, and ended, with it."""

    def __init__(self, command, core, log_path):
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.process = subprocess.Popen(
                pinned(core, command),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Asks first, so that nginx reaps its worker; then ends whatever is left of the session."""
        self.process.terminate()
        try:
            self.process.wait(timeout=STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def has_exited(self):
        return self.process.poll() is not None

    def last_words(self):
        return self.log_path.read_text(errors="replace")[-400:].strip()

    def pids(self):
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if session_of(pid) == self.process.pid]

    def cpu(self):
        reading = CpuReading({}, 0)
        for pid in self.pids():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                fields = stat_fields(pid)
                reading.ticks += int(fields[11]) + int(fields[12])
                for task in os.listdir(f"/proc/{pid}/task"):
                    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                        schedstat = Path(f"/proc/{pid}/task/{task}/schedstat").read_text()
                        reading.task_ns[int(task)] = int(schedstat.split()[0])
        return reading

    def resident_bytes(self):
        total = 0
        for pid in self.pids():
            status = Path(f"/proc/{pid}/status").read_text()
            total += int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M)[1]) * 1024
        return total


@dataclass
class CpuReading:
    task_ns: dict
    ticks: int

    def micros_since(self, earlier):
        """Nanosecond accounting, unless a thread has ended and taken its count with it: then ticks, which keep it."""
        if earlier.task_ns.keys() <= self.task_ns.keys() and self.task_ns:
            return (sum(self.task_ns.values()) - sum(earlier.task_ns.values())) / 1e3
        return (self.ticks - earlier.ticks) * 1e6 / TICKS_PER_SECOND


def stat_fields(pid):
    """The fields of /proc/PID/stat from the third (state) on; the second may itself hold spaces and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def ticks_of(pid):
    """CPU time of a process that runs, in ticks; of those that have ended it is with whoever has waited for them."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        fields = stat_fields(pid)
        return int(fields[11]) + int(fields[12])
    return 0


def session_of(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return int(stat_fields(pid)[3])
    return None


def busy_micros():
    """CPU time of the whole machine that was not idle, time stolen by the hypervisor included."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) * 1e6 / TICKS_PER_SECOND


def await_quiet(deadline):
    """Waits until the machine has been all but idle for a second, or the deadline is over."""
    while time.monotonic() < deadline:
        busy, started = busy_micros(), time.monotonic()
        time.sleep(1)
        if (busy_micros() - busy) / 1e6 < QUIET_BOUND * (time.monotonic() - started):
            return


def own_micros(running=None):
    """CPU time of this script and of its children that have ended, the load generators, and of one that is still running."""
    times = os.times()
    own = (times.user + times.system + times.children_user + times.children_system) * 1e6
    return own + (ticks_of(running) * 1e6 / TICKS_PER_SECOND if running else 0)


def describe():
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.M)
    memory_kib = int(re.search(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.M)[1])
    virtual = ", virtual" if re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.M) else ""
    return {
        "machine": f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, {memory_kib / 2**20:.0f} GiB{virtual}",
        "kernel": f"{platform.system()} {platform.release()}",
    }
