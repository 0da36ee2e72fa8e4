"""The Prometheus text exposition format, as far as a comparison needs it."""

import re
from dataclasses import dataclass, field

SAMPLE = re.compile(r"(?P<name>[A-Za-z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?\d+)?$")
LABEL = re.compile(r'([A-Za-z_]\w*)="((?:\\.|[^"\\])*)",?')


@dataclass
class Exposition:
    # Family name → counter, gauge, histogram, …
    types: dict = field(default_factory=dict)
    # Sample name → list of (labels, value).
    samples: dict = field(default_factory=dict)

    def labels(self, name):
        return {label for labels, _ in self.samples[name] for label in labels}

    def values(self, name, label):
        return {labels[label] for labels, _ in self.samples[name] if label in labels}

    def total(self, name, **wanted):
        """The sum of all series of `name` that carry the labels `wanted`; None when there is no such series."""
        found = [value for labels, value in self.samples.get(name, []) if wanted.items() <= labels.items()]
        return sum(found) if found else None

    def type_of(self, name):
        for suffix in ("", "_bucket", "_sum", "_count"):
            family = name.removesuffix(suffix) if suffix else name
            if name.endswith(suffix) and family in self.types:
                return self.types[family]
        return "untyped"


def parse(text):
    exposition = Exposition()
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split()
            exposition.types[family] = kind
        elif line.strip() and not line.startswith("#"):
            sample = SAMPLE.match(line)
            if sample is None:
                raise ValueError(f"line {number} is no sample: {line!r}")
            labels = dict(LABEL.findall(sample["labels"] or ""))
            exposition.samples.setdefault(sample["name"], []).append((labels, float(sample["value"])))
    return exposition
