#!/usr/bin/env python3
"""Checks what needs no proxy: that Grafana can lay the dashboards out, and that Prometheus can parse each query of theirs and of docs/."""

import itertools
import json
import re
import subprocess
import sys
import tempfile

import sources

# Grafana's own variables begin so.
BUILT_IN = "__"


def layout_faults(dashboard):
    panels = dashboard["panels"]
    for key in ("id", "title"):
        seen = [panel[key] for panel in panels if panel["type"] != "row" or key == "id"]
        for twice in sorted({value for value in seen if seen.count(value) > 1}, key=str):
            yield f"two panels with the {key} {twice!r}"
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            yield f"panel {panel['title']!r} is wider than the grid"
    for one, other in itertools.combinations(panels, 2):
        if overlap(one["gridPos"], other["gridPos"]):
            yield f"panels {one['title']!r} and {other['title']!r} overlap"


def overlap(a, b):
    apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"] or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
    return not apart


def variable_faults(dashboard):
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    if variables.get("datasource", {}).get("type") != "datasource":
        yield "no variable `datasource` to choose the data source by"
    for used in sorted(set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard)))):
        if used not in variables and not used.startswith(BUILT_IN):
            yield f"uses ${used}, which is no variable"
    askers = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    askers += [target for panel in askers for target in panel["targets"]]
    askers += [variable for variable in variables.values() if variable["type"] == "query"]
    askers += [annotation for annotation in dashboard["annotations"]["list"] if not annotation.get("builtIn")]
    for asker in askers:
        if asker["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
            yield f"{asker.get('title') or asker.get('name') or asker.get('expr')!r} does not ask the chosen data source"


def syntax_faults(asked):
    """What promtool says against the queries, put to it as recording rules."""
    rules = [{"record": f"query:{number}", "expr": source.expression} for number, source in enumerate(asked)]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump({"groups": [{"name": "queries", "rules": rules}]}, file)
        file.flush()
        checked = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True)
    if checked.returncode == 0:
        return []
    said = checked.stderr.replace(file.name, "")
    for number, source in reversed(list(enumerate(asked))):
        said = re.sub(rf'"?query:{number}\b"?', source.place, said)
    return [said.strip()]


def alert_faults():
    """On-call engineers look an alert up by its name."""
    alerts = {name for path in sources.RULES for name in re.findall(r"- alert: (\w+)", path.read_text())}
    told = set(re.findall(r"`(Portcullis[A-Z]\w*)`", (sources.ROOT / "docs/troubleshoot.md").read_text()))
    yield from (f"docs/troubleshoot.md does not have the alert {name}" for name in sorted(alerts - told))
    yield from (f"docs/troubleshoot.md has {name}, which is no alert" for name in sorted(told - alerts))


def main():
    found, queries = list(alert_faults()), 0
    for path in sources.DASHBOARDS:
        dashboard, asked = json.loads(path.read_text()), sources.of_dashboard(path)
        queries += len(asked)
        faults = [*layout_faults(dashboard), *variable_faults(dashboard), *syntax_faults(asked)]
        found += [f"{path.name}: {fault}" for fault in faults]
    pages = [source for path in sorted((sources.ROOT / "docs").glob("*.md")) for source in sources.of_page(path)]
    found += syntax_faults(pages)
    queries += len(pages)
    print("\n".join([*found, f"{len(sources.DASHBOARDS)} dashboard, {queries} queries, {len(found)} faults"]))
    return 1 if found or not queries else 0


if __name__ == "__main__":
    sys.exit(main())
