"""Every PromQL expression that deploy/ and docs/ have, with the place it stands in."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = sorted((ROOT / "deploy/grafana").glob("*.json"))
RULES = sorted(path for path in (ROOT / "deploy/prometheus").glob("*.yml") if not path.name.endswith(".test.yml"))
LABEL_VALUES = re.compile(r"label_values\((?P<selector>.*),\s*(?P<label>\w+)\)$")


@dataclass
class Source:
    place: str
    expression: str
    # The recorded metric that the expression defines, if it is a recording rule.
    records: str | None = None
    # Labels that are read outside of the expression: a variable's label, a legend's fields.
    reads: frozenset = frozenset()


def everything():
    found = [source for path in DASHBOARDS for source in of_dashboard(path)]
    found += [source for path in RULES for source in of_rules(path)]
    return found + [source for path in sorted((ROOT / "docs").glob("*.md")) for source in of_page(path)]


def of_page(path):
    """The blocks of a page that say they are PromQL."""
    blocks = re.findall(r"^```promql\n(.*?)^```$", path.read_text(), re.M | re.S)
    return [Source(f"{path.name}: block {number}", text) for number, text in enumerate(blocks, 1)]


def of_dashboard(path):
    dashboard, found = json.loads(path.read_text()), []
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            place = f"{path.name}: panel {panel['title']!r} {target['refId']}"
            found.append(Source(place, plain(target["expr"]), reads=fields(target["legendFormat"])))
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            place = f"{path.name}: annotation {annotation['name']!r}"
            found.append(Source(place, plain(annotation["expr"]), reads=fields(annotation["textFormat"])))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            asked = LABEL_VALUES.match(variable["query"]["query"])
            if asked is None:
                raise ValueError(f"{path.name}: variable {variable['name']} is no label_values(…)")
            place = f"{path.name}: variable {variable['name']!r}"
            found.append(Source(place, plain(asked["selector"]), reads=frozenset([asked["label"]])))
    return found


def plain(expression):
    """`expression` with Grafana's variables replaced by something that Prometheus can parse."""
    return re.sub(r"\$\w+", ".+", re.sub(r"\$__(rate_interval|interval|range)", "5m", expression))


def fields(template):
    return frozenset(re.findall(r"\{\{\s*(\w+)\s*\}\}", template))


def of_rules(path):
    """The rules of a file in the layout that this project keeps: `expr` on one line, or a block scalar after `|`."""
    lines, found, name = path.read_text().splitlines(), [], None
    for at, line in enumerate(lines):
        if heading := re.match(r"\s*- (alert|record): (\S+)", line):
            name = heading
        elif written := re.match(r"(\s*)expr: (.*)", line):
            indent, expression = written.groups()
            if expression == "|":
                expression = block(lines[at + 1 :], len(indent))
            records = name[2] if name[1] == "record" else None
            found.append(Source(f"{path.name}: {name[2]}", expression, records))
    rules = sum(bool(re.match(r"\s*- (alert|record):", line)) for line in lines)
    if rules != len(found):
        raise ValueError(f"{path.name}: {rules} rules, but {len(found)} expressions could be read")
    return found


def block(lines, indent):
    taken = []
    for line in lines:
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            break
        taken.append(line)
    return "\n".join(taken)
