"""What a PromQL expression asks for: metrics, matchers, grouping labels. No evaluation; promtool owns the grammar."""

import re
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"""\s+|\#[^\n]*
    |(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
    |(?P<number>\d[\w.]*)
    |(?P<name>[A-Za-z_:][\w:]*)
    |(?P<operator>=~|!~|!=|==|<=|>=|[-+*/%^<>=(){}\[\],@:])""",
    re.VERBOSE,
)
GROUPING = {"by", "without"}
MATCHING = {"on", "ignoring", "group_left", "group_right"}
WORDS = {"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"}


@dataclass(frozen=True)
class Matcher:
    label: str
    operator: str
    value: str


@dataclass
class Selector:
    metric: str
    matchers: list = field(default_factory=list)
    # The function that takes this selector as its argument, if one does: `rate` in `rate(m[5m])`.
    function: str | None = None


@dataclass
class Query:
    selectors: list = field(default_factory=list)
    # Label names of `by` and `without`, each with the selectors that the aggregation covers.
    grouped: list = field(default_factory=list)
    # Label names of `on` and its kin.
    matched: set = field(default_factory=set)


def tokens(expression):
    found, at = [], 0
    while at < len(expression):
        token = TOKEN.match(expression, at)
        if token is None:
            raise ValueError(f"cannot read {expression[at:at + 20]!r}")
        at = token.end()
        if token.lastgroup:
            found.append((token.lastgroup, token.group(token.lastgroup)))
    return found


def parse(expression):
    """The metrics and labels of `expression`. Raises ValueError on forms that the project does not use."""
    stream, query = tokens(expression), Query()
    open_groups, pending, at, range_depth = [], None, 0, 0
    while at < len(stream):
        kind, text = stream[at]
        following = stream[at + 1][1] if at + 1 < len(stream) else ""
        if text == "[":
            range_depth += 1
        elif text == "]":
            range_depth -= 1
        elif text == "(":
            open_groups.append((pending, len(query.selectors)))
            pending = None
        elif text == ")":
            labels, first = open_groups.pop()
            if labels is not None:
                query.grouped.append((labels, query.selectors[first:]))
        elif text == "{":
            raise ValueError("a selector without a metric name")
        elif kind == "name" and text in GROUPING | MATCHING:
            labels, at = label_list(stream, at + 1)
            if text in MATCHING:
                query.matched |= labels
            elif at + 1 < len(stream) and stream[at + 1][1] == "(":
                pending = labels
            else:
                raise ValueError(f"write `{text}` before what it groups")
        elif kind == "name" and not range_depth and text.lower() not in WORDS and following not in GROUPING | {"("}:
            function = stream[at - 2][1] if at > 1 and stream[at - 1][1] == "(" and stream[at - 2][0] == "name" else None
            matchers, at = matcher_list(stream, at + 1) if following == "{" else ([], at)
            query.selectors.append(Selector(text, matchers, function))
        at += 1
    return query


def label_list(stream, at):
    """The names of a `(a, b)` that opens at `at`, and where it closes. `group_left` may stand without one."""
    if at >= len(stream) or stream[at][1] != "(":
        return set(), at - 1
    close = stream.index(("operator", ")"), at)
    return {text for kind, text in stream[at:close] if kind == "name"}, close


def matcher_list(stream, at):
    """The matchers of a `{a="x", b=~"y"}` that opens at `at`, and where it closes."""
    close = stream.index(("operator", "}"), at)
    inside = [token for token in stream[at + 1 : close] if token[1] != ","]
    matchers = []
    for label, operator, value in zip(*[iter(inside)] * 3, strict=True):
        matchers.append(Matcher(label[1], operator[1], value[1][1:-1]))
    return matchers, close
