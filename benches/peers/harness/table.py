"""Figures of all rounds to Markdown tables."""

from statistics import median

from harness.rows import FIRST_ROWS, FIRST_ROWS_ONLY, ROWS

BASELINE = "haproxy"
OURS = "portcullis"
BARE = "portcullis-bare"
# Of one core, over a round: a build beside the benchmark, or a neighbour of the virtual machine, shows here.
NOISE_BOUND = 0.10
# The last answers of a round come in after its last request was due, so the full rate is never reached.
KEPT_UP = 0.97


def ratios(results, name, key="cpu_micros", baseline=BASELINE):
    """A figure against the baseline's, round by round, so that a slow drift of the machine cancels out."""
    return [each / other for each, other in in_each_round(results, name, baseline, key=key)]


def extras(results):
    """What judging and recording cost a request, in parts of the baseline's CPU per request, round by round."""
    return [(ours - bare) / baseline for ours, bare, baseline in in_each_round(results, OURS, BARE, BASELINE)]


def in_each_round(results, *names, key="cpu_micros"):
    """The figure of these peers, for each round that has it of all of them."""
    cpu = [{round["round"]: round[key] for round in results.get(name, []) if key in round} for name in names]
    return [[each[number] for each in cpu] for number in cpu[0] if all(number in each for each in cpu)]


def figures(rounds, key):
    return [round[key] for round in rounds if key in round]


def cell(values, form):
    """The median, and what the rounds ranged over."""
    if not values:
        return "–"
    middle, least, most = (format(value, form) for value in (median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({least}–{most})"


def of(key):
    return lambda results, name: figures(results[name], key)


def of_baseline(key):
    return lambda results, name: ratios(results, name, key)


COLUMNS = [
    ("CPU µs/request", of("cpu_micros"), ".2f"),
    ("of HAProxy's", of_baseline("cpu_micros"), ".3f"),
    ("requests/s", of("requests_per_second"), ",.0f"),
    ("core busy", of("core_busy"), ".0%"),
    ("CPU µs/connection with a request", of("connect_cpu_micros"), ".2f"),
    ("of HAProxy's", of_baseline("connect_cpu_micros"), ".3f"),
    ("CPU µs/request at {rate}/s", of("paced_cpu_micros"), ".2f"),
    ("p50 ms at {rate}/s", of("p50_ms"), ".2f"),
    ("p99 ms at {rate}/s", of("p99_ms"), ".2f"),
    ("KiB/idle connection", of("idle_kib"), ".1f"),
]


def markdown(report):
    """Two tables: the rows side by side, and more of the first ones."""
    chosen = [ROWS[name] for name in report["settings"]["asked"]]
    lines = [
        f"{report['date']}; {report['machine']}; {report['kernel']}; "
        + f"{report['settings']['rounds']} rounds of {report['settings']['seconds']} s; median (least–most)",
        "",
        *side_by_side(report, chosen),
    ]
    if any(row.name in FIRST_ROWS for row in chosen):
        lines += ["", *of_the_first_rows(report)]
    direct = report["direct"]
    if direct:
        rate = f"{report['settings']['rate']:,}"
        paced = f", p50 {direct['p50_ms']:.2f} ms and p99 {direct['p99_ms']:.2f} ms at {rate}/s" if "p50_ms" in direct else ""
        lines += ["", f"Without a proxy, on the load's core alone: {direct['requests_per_second']:,.0f} requests/s{paced}."]
    lines += ["", *notes(report)]
    return "\n".join(lines).rstrip() + "\n"


def side_by_side(report, rows):
    """CPU µs for each request, or what a row's title says, and Portcullis's as a multiple of each other's."""
    results = report["results"]
    names = [name for name in results if name not in FIRST_ROWS_ONLY]
    others = [name for name in names if name != OURS] if OURS in names else []
    yield row(["CPU µs/request", *(f"{name} {report['versions'][name]}" for name in names), *(f"of {name}'s" for name in others), "bound"])
    yield row(["---", *["---:"] * (len(names) + len(others)), "---"])
    for each in rows:
        figured = [cell(figures(results[name], each.key), ".1f") for name in names]
        compared = [cell(ratios(results, OURS, each.key, other), ".2f") for other in others]
        yield row([f"`{each.name}` {each.title}", *figured, *compared, "; ".join(verdicts(results, each))])


def verdicts(results, each):
    """What the row is held to, and whether it keeps it."""
    for held, values, bound in bounds_of(results, each):
        found = "not measured" if not values else "kept" if median(values) <= bound else "**missed**"
        yield f"{held}: {found}"


def bounds_of(results, each):
    if OURS not in results:
        return
    for other, bound in each.bounds.items():
        yield f"{bound:g} of {other}'s", ratios(results, OURS, each.key, other), bound
    if each.at_most is not None:
        yield f"{each.at_most:g}", figures(results[OURS], each.key), each.at_most


def keeps_bounds(results, names, say):
    """No figure is never a pass."""
    kept = True
    for each in (ROWS[name] for name in names):
        for held, values, bound in bounds_of(results, each):
            passed = bool(values) and median(values) <= bound
            found = f"{median(values):.3f}" if values else "not measured"
            say(f"{each.name}: {'pass' if passed else 'FAIL'}, {found}, bound {held}")
            kept &= passed
    return kept


def of_the_first_rows(report):
    """More of them, by the columns that were measured."""
    results = report["results"]
    rate = f"{report['settings']['rate']:,}"
    columns = [
        (title.format(rate=rate), [cell(values(results, name), form) for name in results])
        for title, values, form in COLUMNS if any(values(results, name) for name in results)
    ]
    yield row(["proxy", *(title for title, _ in columns)])
    yield row(["---", *["---:"] * len(columns)])
    for position, name in enumerate(results):
        yield row([f"{name} {report['versions'][name]}", *(cells[position] for _, cells in columns)])


def row(cells):
    return f"| {' | '.join(cells)} |"


def notes(report):
    for word in ("skipped", "failed"):
        for name, why in report[word].items():
            yield f"{word}: {name} ({why})"
    missing = [
        f"{name} in {each}" for name, rounds in report["results"].items() for each in report["settings"]["rows"]
        if not figures(rounds, ROWS[each].key) and f"{name} in {each}" not in report["failed"]
        and (name not in FIRST_ROWS_ONLY or each in FIRST_ROWS)
    ]
    if missing:
        yield f"not measured in time: {', '.join(missing)}"
    rate = report["settings"]["rate"]
    extra = extras(report["results"])
    if extra:
        yield (
            f"With three triggers, the comparison and the journal on, a request costs {cell(extra, '+.3f')} of HAProxy's CPU "
            f"per request more than with them off ({OURS} less {BARE})."
        )
    for name, rounds in report["results"].items():
        reached = figures(rounds, "paced_rate")
        short = [each for each in reached if each < KEPT_UP * rate]
        if short:
            yield f"short: {name} reached less than {rate:,}/s in {len(short)} of {len(reached)} rounds (at least {min(short):,.0f}/s)"
    foreign = [
        share for rounds in report["results"].values()
        for each in rounds for key, share in each.items() if key.endswith("foreign_busy")
    ]
    noisy = sum(share > NOISE_BOUND for share in foreign)
    if noisy:
        yield (
            f"doubtful: other work took more than {NOISE_BOUND:.0%} of a core in {noisy} of {len(foreign)} measurements "
            f"(at most {max(foreign):.0%})"
        )
    if report["settings"]["quick"]:
        yield "doubtful: a quick run shows that everything works and measures little"
