"""Expressions against an exposition: what they ask for that the proxy does not export."""

import re

import promql

# Prometheus adds these to every series that it scrapes, and makes `up` itself.
TARGET_LABELS = {"job", "instance"}
BUILT_IN = {"up"}
# The one label whose values depend on what has happened, so that a quiet proxy need not show them all.
OUTCOMES = {
    "success",
    "client_error",
    "server_error",
    "connect_error",
    "timeout",
    "reset",
    "truncated",
    "grpc_failure",
    "client_cancelled",
    "refused_by_us",
}
NEEDS_COUNTER = {"rate", "irate", "increase"}


def faults(sources, exposition):
    """One sentence for each thing that `sources` ask for and `exposition` has not."""
    recorded = {source.records for source in sources if source.records}
    found = []
    for source in sources:
        try:
            query = promql.parse(source.expression)
        except ValueError as problem:
            found.append(f"{source.place}: {problem}")
            continue
        found += [f"{source.place}: {fault}" for fault in of_query(query, source.reads, recorded, exposition)]
    return found


def of_query(query, reads, recorded, exposition):
    found, known = [], {}
    for selector in query.selectors:
        labels = labels_of(selector.metric, recorded, exposition)
        if labels is None:
            found.append(f"no metric {selector.metric}")
            continue
        known[selector.metric] = labels
        found += of_selector(selector, labels, exposition)
    for grouped, selectors in query.grouped:
        for selector in selectors:
            for label in sorted(grouped - known.get(selector.metric, grouped)):
                found.append(f"groups {selector.metric} by {label}, which it has not")
    if known:
        anywhere = set().union(*known.values())
        found += [f"no metric here has the label {label}" for label in sorted((query.matched | reads) - anywhere)]
    return found


def labels_of(metric, recorded, exposition):
    """The labels that a series of `metric` has once scraped, or None when nobody exports it."""
    if metric in BUILT_IN:
        return TARGET_LABELS
    if ":" in metric:
        # A recorded name says its labels before the first colon, as Prometheus' naming advice has it.
        return set(metric.split(":")[0].split("_")) if metric in recorded else None
    if metric in exposition.samples:
        return exposition.labels(metric) | TARGET_LABELS
    return None


def of_selector(selector, labels, exposition):
    exported = selector.metric in exposition.samples
    if exported and selector.function in NEEDS_COUNTER:
        kind = exposition.type_of(selector.metric)
        if kind not in ("counter", "histogram"):
            yield f"{selector.function}() of {selector.metric}, which is a {kind}"
    for matcher in selector.matchers:
        if matcher.label not in labels:
            yield f"{selector.metric} has no label {matcher.label}"
        elif exported and matcher.label not in TARGET_LABELS:
            values = OUTCOMES if matcher.label == "outcome" else exposition.values(selector.metric, matcher.label)
            for wanted in literals(matcher):
                if wanted not in values:
                    yield f"{selector.metric} has no series with {matcher.label}=\"{wanted}\""


def literals(matcher):
    alternatives = matcher.value.split("|") if "~" in matcher.operator else [matcher.value]
    return [value for value in alternatives if re.fullmatch(r"\w+", value)]
