"""What was measured, as tables for people and as flat JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from gauge.demands import verdicts
from gauge.figures import spread
from gauge.measured import OURS, Figures, Measured, Series, figures
from gauge.rounds import CONNECTIONS

#: Gateways as they are shown.
TITLES = {
    "direct": "direct", "nginx": "nginx", "bare": "bare Python proxy", "comporta": "Comporta",
    "tensorzero": "TensorZero (wheel)", "litellm": "LiteLLM",
}  # fmt: skip


class About(Struct, frozen=True):
    """What a file of figures says of itself."""

    machine: str
    date: str
    #: "full", or why these figures are not those of a full run.
    run: str
    #: Gateway -> what has to be said of it.
    notes: dict[str, str]
    left_out: dict[str, str]


def write(measured: Measured, path: Path, about: About) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    said: dict[str, Any] = {
        **figures(measured),
        "about": {"machine": about.machine, "date": about.date, "run": about.run},
        "notes": about.notes,
        "left_out": about.left_out,
    }
    path.write_text(json.dumps(said, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read(path: Path) -> tuple[Figures, About]:
    """What `write` wrote. Raises ValueError for anything else."""
    try:
        said = json.loads(path.read_text())
        about = About(**said.pop("about"), notes=said.pop("notes"), left_out=said.pop("left_out"))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} holds no figures of this bench: {error}") from None
    return said, about


def show(measured: Measured, names: Sequence[str], console: Console, about: About) -> None:
    """`names`: the gateways asked for, those that failed too."""
    flat = figures(measured)
    console.print(f"\n{about.machine}, {about.date} ({about.run})\n", highlight=False)
    for table in (_speed(measured, flat, names), _cost(flat, names), _ours(flat), _ratios(flat), _demands(flat)):
        if table.row_count:
            console.print(table)
    for line in [*notes(about.notes, measured.left_out), *disturbed(flat), *_faults(measured)]:
        console.print(line, highlight=False, markup=False)


def _speed(measured: Measured, flat: Figures, names: Sequence[str]) -> Table:
    paced = "streams_paced" in flat
    table = _table(
        f"How fast, on one core: {CONNECTIONS} connections, 1 KB asked, 1 KB answered",
        "calls/s", "streams/s\n31 events", "streams/s\n17 events", *(["streams/s\npaced 2 ms"] if paced else []),
        "1 connection:\nadded p50 ms", "added\np99 ms", "half load:\nadded p99 ms",
    )  # fmt: skip
    series = [measured.rps, measured.streams, measured.streams_17, *([measured.streams_paced] if paced else [])]
    for name in names:
        if name not in measured.rps:
            table.add_row(TITLES[name], "did not run, see below", *[""] * (len(table.columns) - 2), style="dim")
            continue
        cells = [_with_spread(one, flat[measure], name) for one, measure in zip(series, _RATES, strict=False)]
        _row(table, name, [*cells, *_latencies(measured, flat, name)])
    return table


_RATES = ("rps", "streams", "streams_17", "streams_paced")


def _latencies(measured: Measured, flat: Figures, name: str) -> list[str]:
    if name == "direct":
        own = (measured.one_p50_ms[name], measured.one_p99_ms[name])
        return [*(f"({sorted(values)[len(values) // 2]:.3f})" for values in own), "–"]
    measures = (("added_p50_ms", 3), ("added_p99_ms", 3), ("half_load_added_p99_ms", 2))
    return [_cell(flat, measure, name, digits) for measure, digits in measures]


def _with_spread(series: Series, by: Mapping[str, float], name: str) -> str:
    return f"{by[name]:,.0f} ±{spread(series[name]):.0%}" if series.get(name) else "–"


def _cost(flat: Figures, names: Sequence[str]) -> Table:
    table = _table(
        "What it takes", "CPU µs\nper call", "PostgreSQL's\nµs per call", "CPU µs per\n31-event stream",
        "its core\nbusy", "load's core\nbusy", "taken by\nothers", "RSS\nMB", "wrong\nanswers",
    )  # fmt: skip
    for name in names:
        if name not in flat["rps"]:
            continue
        shares = [f"{flat[m][name]:.0%}" for m in ("core_busy", "load_core_busy", "others_busy")]
        cpu = [_cell(flat, m, name, 0) for m in ("cpu_us", "postgres_cpu_us", "stream_cpu_us")]
        _row(table, name, [*cpu, *shares, _cell(flat, "rss_mb", name, 0), _cell(flat, "wrong", name, 0)])
    return table


_OURS = (
    ("rps_one_core", "calls/s with PostgreSQL on the same core, too", 0),
    ("rps_finish", "calls/s with on_client_gone: finish", 0),
    ("finish_cpu_us", "… CPU µs per call", 0),
    ("exact_hits_per_s", "exact hits/s", 0),
    ("hit_cpu_us", "… CPU µs per hit", 0),
    ("memory_calls", "calls in a row, while memory was watched", 0),
    ("sustained_rps", "calls/s over all of these, until the last record was in PostgreSQL", 0),
    ("workers_cpu_ratio", "two workers with Redis: CPU per call, × one worker's", 2),
    ("many_keys_ratio", "10,000 keys, 1,000 routes, 200 budgets: calls/s, × those with few", 2),
    ("many_keys_cpu_ratio", "… CPU per call, × that with few", 2),
)


def ours(flat: Figures) -> list[tuple[str, str]]:
    """What was measured of Comporta alone, and the figure."""
    return [(title, _cell(flat, measure, OURS, digits)) for measure, title, digits in _OURS if flat.get(measure)]


def _ours(flat: Figures) -> Table:
    table = Table(title="Comporta, further")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for title, figure in ours(flat):
        table.add_row(title, figure)
    return table


def _ratios(flat: Figures) -> Table:
    titles = {
        "rps_ratio": "calls/s", "rps_one_core_ratio": "calls/s, PostgreSQL\non the same core",
        "rps_finish_ratio": "calls/s,\nfinish", "streams_ratio": "streams/s\n31 events",
        "streams_17_ratio": "streams/s\n17 events",
    }  # fmt: skip
    titles = {measure: title for measure, title in titles.items() if measure in flat}
    table = _table("Comporta is so many times the other one (median of the rounds' own ratios)", *titles.values())
    for name in flat.get("rps_ratio", {}):
        _row(table, name, [f"{flat[m][name]:.2f} ×" if name in flat[m] else "–" for m in titles])
    return table


def _demands(flat: Figures) -> Table:
    table = Table(title="Against what is demanded")
    for column in ("what", "wanted", "found", ""):
        table.add_column(column, justify="left" if column in ("what", "") else "right", no_wrap=True)
    styles = {"PASS": "green", "short": "red", "not measured": "dim"}
    for verdict in verdicts(flat):
        table.add_row(verdict.what, verdict.wanted, verdict.shown, verdict.word, style=styles[verdict.word])
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    table.add_column("gateway", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _row(table: Table, name: str, cells: Sequence[str]) -> None:
    table.add_row(TITLES[name], *cells, style="bold" if name == OURS else "")


def _cell(flat: Figures, measure: str, name: str, digits: int) -> str:
    value = flat.get(measure, {}).get(name)
    return "–" if value is None else f"{value:,.{digits}f}"


PLACES = (
    "Gateways run on core 0, one under load at a time; mock and load run on core 1. PostgreSQL, which only Comporta "
    "needs, runs on core 1 as well, as a database has a machine of its own and rivals that keep nothing have none to "
    "pay for; the figure with PostgreSQL on core 0, too, stands beside it."
)


def notes(said: Mapping[str, str], left_out: Mapping[str, str]) -> list[str]:
    """What has to be said beside the figures."""
    lines = [
        PLACES,
        "Every call asks something else, and the text of every answer is compared. ± is half the range over the "
        "rounds. CPU is counted until all that the calls left behind (records on their way) is done.",
        "A core's «busy» is what it worked, for whomever, while calls/s were counted. Below 100 % for the gateway's "
        "and near it for the load's, the load was the limit.",
        "direct: the mock itself; its own latencies stand in brackets, the others' are added to them.",
    ]
    lines += [f"{TITLES.get(name, name)}: {note}." for name, note in said.items() if note]
    return lines + [f"Left out: {name}, since {reason}." for name, reason in left_out.items()]


#: Cores that others may take without its being told.
_OTHERS = 0.1


def disturbed(flat: Figures) -> list[str]:
    """Whether the machine had other things to do."""
    others = max(flat.get("others_busy", {}).values(), default=0.0)
    if others <= _OTHERS:
        return []
    return [f"Something else took up to {others:.2f} of the two cores meanwhile: measure again on a quiet machine."]


def _faults(measured: Measured) -> list[str]:
    lines = []
    if measured.answered:
        lines.append(
            f"Comporta answered {measured.answered:,} calls, {measured.recorded:,} records are in PostgreSQL, and the "
            f"ledger holds {measured.cost_microusd:,} micro-dollars for them: "
            + ("the books are right." if not measured.faults else "the books are WRONG:")
        )
    lines += [f"  {fault}" for fault in measured.faults]
    for name, text in measured.first_wrong.items():
        lines.append(f"{name} gave {measured.wrong[name]} wrong answers, the first: {text!r}")
    return lines
