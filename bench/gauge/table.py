"""What was measured, as a table for people and as flat JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gauge.figures import MOST_GROWTH, added, growth, medians, ratio, spread
from gauge.gateways import Gateway
from gauge.rounds import CONNECTIONS, Measured

_ROUNDED = 4


def figures(measured: Measured) -> dict[str, dict[str, float]]:
    """Flat: measure -> gateway -> figure."""
    found = {
        "rps": medians(measured.rps),
        "streams": medians(measured.streams),
        "added_p50_ms": added(measured.one_p50_ms, "direct"),
        "added_p99_ms": added(measured.one_p99_ms, "direct"),
        "rss_mb": measured.rss_mb,
        "half_load_added_p99_ms": medians(measured.half_p99_ms),
        "streams_17": medians(measured.streams_17),
        "cpu_us": medians(measured.cpu_us),
        "stream_cpu_us": medians(measured.stream_cpu_us),
    }
    if measured.streams_paced:
        found["streams_paced"] = medians(measured.streams_paced)
    return {m: {name: round(value, _ROUNDED) for name, value in by.items()} for m, by in found.items()}


def write(measured: Measured, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures(measured), indent=2) + "\n")


def show(measured: Measured, gateways: Sequence[Gateway], console: Console, machine: str) -> None:
    console.print(f"\n{machine}\n", highlight=False)
    for table in (_speed(measured, gateways), _cost(measured, gateways), _ratios(measured)):
        console.print(table)
    for line in [*notes(gateways, measured.left_out), *verdicts(measured)]:
        console.print(line, highlight=False, markup=False)


def _speed(measured: Measured, gateways: Sequence[Gateway]) -> Table:
    paced = ("streams/s\npaced 2 ms",) if measured.streams_paced else ()
    table = _table(
        f"How fast, on one core: {CONNECTIONS} connections, 1 KB asked, 1 KB answered",
        "calls/s", "streams/s\n31 events", "streams/s\n17 events", *paced,
        "1 connection:\nadded p50 ms", "added\np99 ms", "half load:\nadded p99 ms",
    )  # fmt: skip
    p50, p99 = added(measured.one_p50_ms, "direct"), added(measured.one_p99_ms, "direct")
    half = medians(measured.half_p99_ms)
    for gateway in gateways:
        name = gateway.name
        direct = name == "direct"
        cells = [_with_spread(series[name]) for series in (measured.rps, measured.streams, measured.streams_17)]
        if paced:
            cells.append(_with_spread(measured.streams_paced[name]))
        cells.append(f"({medians(measured.one_p50_ms)[name]:.3f})" if direct else f"{p50[name]:.3f}")
        cells.append(f"({medians(measured.one_p99_ms)[name]:.3f})" if direct else f"{p99[name]:.3f}")
        _row(table, name, [*cells, f"{half[name]:.2f}" if name in half else "–"])
    return table


def _cost(measured: Measured, gateways: Sequence[Gateway]) -> Table:
    table = _table(
        "What it takes", "CPU µs\nper call", "CPU µs per\n31-event stream", "core\nbusy", "RSS\nMB", "wrong\nanswers"
    )
    cpu_us, stream_us, busy = (medians(s) for s in (measured.cpu_us, measured.stream_cpu_us, measured.busy))
    for gateway in gateways:
        name = gateway.name
        wrong = str(measured.wrong.get(name, 0))
        cells = [f"{cpu_us[name]:,.0f}", f"{stream_us[name]:,.0f}", f"{busy[name]:.0%}"]
        _row(table, name, [*cells, f"{measured.rss_mb[name]:.0f}", wrong])
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    table.add_column("gateway", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _row(table: Table, name: str, cells: Sequence[str]) -> None:
    ours = name == "comporta"
    table.add_row("Comporta" if ours else name, *cells, style="bold" if ours else "")


def _with_spread(values: Sequence[float]) -> str:
    return f"{medians({'': values})['']:,.0f} ±{spread(values):.0%}"


def _ratios(measured: Measured) -> Table:
    titles: Mapping[str, Mapping[str, Sequence[float]]] = {
        "calls/s": measured.rps, "streams/s, 31 events": measured.streams, "streams/s, 17 events": measured.streams_17,
    }  # fmt: skip
    table = _table("Comporta is so many times the other one (median of the rounds' own ratios)", *titles)
    for name in measured.rps:
        if name != "comporta" and "comporta" in measured.rps:
            _row(table, name, [_times(ratio(series, "comporta", name)) for series in titles.values()])
    return table


def _times(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} ×"


def notes(gateways: Sequence[Gateway], left_out: Mapping[str, str]) -> list[str]:
    """What has to be said beside the figures."""
    lines = [
        "Gateways run on core 0, one under load at a time; mock, load and PostgreSQL run on core 1. ± is half the "
        "range over the rounds.",
        "Core busy: what of its core a gateway had while calls/s were counted. Well below 100 %, core 1 or somebody "
        "else on the machine was the limit.",
        "direct: the mock itself; its own latencies stand in brackets, the others' are added to them.",
    ]
    lines += [f"{g.name}: {g.note}." for g in gateways if g.note]
    return lines + [f"Left out: {name}, since {reason}." for name, reason in left_out.items()]


def verdicts(measured: Measured) -> list[str]:
    """Memory, records and wrong answers, each in a sentence."""
    lines = []
    if measured.memory:
        share = growth(measured.memory)
        word = "and grows" if share > MOST_GROWTH else "and does not grow"
        lines.append(
            f"Memory of Comporta's worker after {measured.memory_calls:,} further calls: {measured.memory[-1]:.0f} MB, "
            f"{word} (last third {share:+.1%} against the middle third; {MOST_GROWTH:.0%} is allowed)."
        )
    if measured.answered:
        lines.append(
            f"Comporta answered {measured.answered:,} calls under load, and {measured.recorded:,} records reached "
            "PostgreSQL."
        )
    for name, text in measured.first_wrong.items():
        lines.append(f"{name} gave {measured.wrong[name]} wrong answers, the first: {text!r}")
    return lines
