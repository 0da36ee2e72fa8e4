"""Figures of all rounds to a Markdown table."""

from statistics import median

BASELINE = "haproxy"
OURS = "portcullis"
BARE = "portcullis-bare"
# Of one core, over a round: a build beside the benchmark, or a neighbour of the virtual machine, shows here.
NOISE_BOUND = 0.10
# The last answers of a round come in after its last request was due, so the full rate is never reached.
KEPT_UP = 0.97


def ratios(results, name, key="cpu_micros"):
    """CPU per request against the baseline's, round by round, so that a slow drift of the machine cancels out."""
    return [each / baseline for each, baseline in in_each_round(results, name, BASELINE, key=key)]


def extras(results):
    """What judging and recording cost a request, in parts of the baseline's CPU per request, round by round."""
    return [(ours - bare) / baseline for ours, bare, baseline in in_each_round(results, OURS, BARE, BASELINE)]


def in_each_round(results, *names, key="cpu_micros"):
    """CPU per request of these peers, for each round that has it of all of them."""
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


COLUMNS = [
    ("CPU µs/request", "cpu_micros", ".2f"),
    ("requests/s", "requests_per_second", ",.0f"),
    ("core busy", "core_busy", ".0%"),
    ("CPU µs/connection with a request", "connect_cpu_micros", ".2f"),
    ("CPU µs/request at {rate}/s", "paced_cpu_micros", ".2f"),
    ("p50 ms at {rate}/s", "p50_ms", ".2f"),
    ("p99 ms at {rate}/s", "p99_ms", ".2f"),
    ("KiB/idle connection", "idle_kib", ".1f"),
]


def markdown(report):
    results = report["results"]
    rate = f"{report['settings']['rate']:,}"
    titles = [title.format(rate=rate) for title, _, _ in COLUMNS]
    titles.insert(1, "of HAProxy's")
    titles.insert(titles.index("CPU µs/connection with a request") + 1, "of HAProxy's")
    lines = [
        f"{report['date']}; {report['machine']}; {report['kernel']}; "
        + f"{report['settings']['rounds']} rounds of {report['settings']['seconds']} s; median (least–most)",
        "",
        row(["proxy", *titles]),
        row(["---", *["---:"] * len(titles)]),
    ]
    for name, rounds in results.items():
        cells = [cell(figures(rounds, key), form) for _, key, form in COLUMNS]
        cells.insert(1, cell(ratios(results, name), ".3f"))
        connect = titles.index("CPU µs/connection with a request")
        cells.insert(connect + 1, cell(ratios(results, name, "connect_cpu_micros"), ".3f"))
        lines.append(row([f"{name} {report['versions'][name]}", *cells]))
    direct = report["direct"]
    if direct:
        paced = f", p50 {direct['p50_ms']:.2f} ms and p99 {direct['p99_ms']:.2f} ms at {rate}/s" if "p50_ms" in direct else ""
        lines += ["", f"Without a proxy, on the load's core alone: {direct['requests_per_second']:,.0f} requests/s{paced}."]
    lines += ["", *notes(report)]
    return "\n".join(lines).rstrip() + "\n"


def row(cells):
    return f"| {' | '.join(cells)} |"


def notes(report):
    for word in ("skipped", "failed"):
        for name, why in report[word].items():
            yield f"{word}: {name} ({why})"
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
        for key in ("foreign_busy", "connect_foreign_busy", "paced_foreign_busy") for share in figures(rounds, key)
    ]
    noisy = sum(share > NOISE_BOUND for share in foreign)
    if noisy:
        yield (
            f"doubtful: other work took more than {NOISE_BOUND:.0%} of a core in {noisy} of {len(foreign)} measurements "
            f"(at most {max(foreign):.0%})"
        )
    if report["settings"]["quick"]:
        yield "doubtful: a quick run shows that everything works and measures little"
