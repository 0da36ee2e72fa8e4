#!/usr/bin/env python3
"""Compares every query that deploy/ and docs/ have, and the tables of docs/metrics.md, with what the proxy really exports.

  metrics.py BINARY             starts it with two backends, drives it, scrapes it
  metrics.py --exposition FILE  compares with a saved /metrics
  metrics.py --url URL          compares with a running proxy's /metrics
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import compare
import exposition
import sources
import traffic

# What alerts read with increase(): a series that is born at 1 would hide its first event from them.
BORN_AT_ZERO = [
    ("portcullis_rollbacks_total", {"trigger": "operator"}),
    ("portcullis_rollbacks_total", {"trigger": "patient"}),
    ("portcullis_notifications_total", {"trigger": "noticed"}),
    ("portcullis_journal_errors_total", {}),
    ("portcullis_panics_total", {}),
    ("portcullis_shielded_total", {}),
    ("portcullis_unshielded_total", {"reason": "over_budget"}),
    ("portcullis_trace_spans_total", {"result": "dropped"}),
]


# What the proxy exports only once something has happened that does not happen here.
RARE = {"portcullis_grpc_requests_total", "portcullis_cohort_requests_total", "portcullis_action_total"}


def page_faults(scraped):
    """Where the tables of the page and the metrics differ: each has its row, with its labels, and no row has none."""
    rows = re.findall(r"^\| `(portcullis_\w+)` \| (.*?) \|", (sources.ROOT / "docs/metrics.md").read_text(), re.M)
    told = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    yield from (f"docs/metrics.md has no row for {name}" for name in sorted(set(scraped.types) - set(told)))
    for name, labels in told.items():
        if name not in scraped.types:
            if name not in RARE:
                yield f"docs/metrics.md has {name}, which is not exported"
            continue
        samples = name if name in scraped.samples else f"{name}_bucket"
        exported = scraped.labels(samples) - {"le"}
        if exported != labels:
            yield f"docs/metrics.md gives {name} the labels {sorted(labels)}, and it has {sorted(exported)}"


def of_binary(binary):
    """The exposition of a proxy that has seen some of everything, and the faults found on the way."""
    faults = []
    with tempfile.TemporaryDirectory() as directory, traffic.Portcullis(binary, Path(directory)) as proxy:
        content_type, first = proxy.scrape()
        if not (content_type or "").startswith("text/plain; version=0.0.4"):
            faults.append(f"/metrics has the content type {content_type!r}, which Prometheus 3 refuses")
        born = exposition.parse(first)
        for name, labels in BORN_AT_ZERO:
            if born.total(name, **labels) != 0:
                faults.append(f"{name}{labels or ''} is not exported as 0 before its first event")
        text = traffic.drive(proxy)
        code = proxy.stop()
        if code != 0:
            faults.append(f"the proxy exited {code} after SIGTERM")
    return text, faults


def lint(text):
    """What `promtool check metrics` has against the exposition."""
    if shutil.which("promtool") is None:
        print("promtool check metrics: skipped (no promtool)")
        return []
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    said = (checked.stdout + checked.stderr).strip()
    return [f"promtool check metrics: {line}" for line in said.splitlines()]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    one = arguments.add_mutually_exclusive_group(required=True)
    one.add_argument("binary", nargs="?", metavar="BINARY")
    one.add_argument("--exposition", metavar="FILE")
    one.add_argument("--url", metavar="URL")
    chosen = arguments.parse_args()
    found = []
    if chosen.binary:
        try:
            text, found = of_binary(chosen.binary)
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as problem:
            sys.exit(str(problem))
    elif chosen.exposition:
        text = Path(chosen.exposition).read_text()
    else:
        with urllib.request.urlopen(chosen.url, timeout=traffic.DEADLINE) as answer:
            text = answer.read().decode()
    asked, scraped = sources.everything(), exposition.parse(text)
    found += lint(text) + compare.faults(asked, scraped) + list(page_faults(scraped))
    print("\n".join([*found, f"{len(asked)} queries against {len(scraped.types)} metrics, {len(found)} faults"]))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
