"""The Markdown tables of what was raced."""

from statistics import median

from harness.lane import FAULTS

CELLS = {
    ("portcullis", "documented"): "Portcullis, the README's configuration",
    ("resource", "documented"): "the same, run by its resource",
    ("portcullis", "unshielded"): "the same file without the shield",
    ("portcullis", "fastest"): "Portcullis, fastest",
    ("argo", "fastest"): "Argo Rollouts, fastest: every 1 s, 1 failure, scraped every 1 s",
    ("flagger", "fastest"): "Flagger, fastest: every 10 s, 1 failure, scraped every 1 s",
    ("flagger", "documented"): "Flagger, documented: every 10 s, 10 failures, scraped every 5 s",
    ("argo", "documented"): "Argo Rollouts, documented: every 5 min, 4 failures, scraped every 15 s",
}


def spread(values, unit="", scale=1, digits=0):
    """Median (least–most)."""
    def show(value):
        return f"{value / scale:.{digits}f}"
    least, middle, most = show(min(values)), show(median(values)), show(max(values))
    return f"{middle}{unit}" if least == most else f"{middle}{unit} ({least}–{most})"


def durations(values):
    if median(values) < 1_000:
        return spread(values, " ms")
    return spread(values, " s", 1e3, 1) if median(values) < 600_000 else spread(values, " min", 60e3, 1)


def cell(runs):
    """Time to be back, and what clients had of it; a run that came back never, or before the fault, is said."""
    if not runs:
        return "not run"
    early = sum(run["green_share_before"] == 0 for run in runs)
    every, runs = len(runs), [run for run in runs if run["green_share_before"] > 0]
    if not runs:
        return f"rolled back before the fault in {every} of {every}"
    back = [run["back_ms"] for run in runs if run["back_ms"] is not None]
    never = len(runs) - len(back)
    harmed = "slow" if runs[0]["fault"] == "slow" else "failed"
    text = f"{durations(back)}; " if back else ""
    text += f"{spread([run[harmed] + run['lost'] for run in runs])} {harmed}"
    text += f"; {never} of {every} not rolled back" if never else ""
    return text + (f"; {early} of {every} rolled back before the fault" if early else "")


def markdown(results):
    weights = sorted({result["weight"] for result in results})
    lines = []
    for weight in weights:
        lines += [f"Green at {weight} %:", "", "| | " + " | ".join(FAULTS[fault][2] for fault in FAULTS) + " | runs |",
                  "|---" * (len(FAULTS) + 2) + "|"]
        for (contender, configuration), name in CELLS.items():
            mine = [one for one in results if (one["weight"], one["contender"], one["configuration"]) == (weight, contender, configuration)]
            if mine:
                cells = [cell([one for one in mine if one["fault"] == fault]) for fault in FAULTS]
                runs = max(sum(one["fault"] == fault for one in mine) for fault in FAULTS)
                lines.append(f"| {name} | " + " | ".join(cells) + f" | {runs} |")
        lines.append("")
    return "\n".join(lines)
