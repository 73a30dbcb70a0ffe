"""`python -m gauge.markdown [FILE]`: the README's tables of speed, made from the JSON of a run (`make bench-table`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gauge.demands import verdicts
from gauge.installing import BENCH
from gauge.measured import OURS, Figures
from gauge.table import PLACES, TITLES, About, disturbed, ours, read

_COLUMNS = (
    ("rps", "calls/s", 0), ("streams", "streams/s, 31 events", 0), ("streams_17", "17 events", 0),
    ("added_p50_ms", "added p50, ms", 2), ("added_p99_ms", "added p99, ms", 2),
    ("half_load_added_p99_ms", "at half load: added p99, ms", 1), ("cpu_us", "CPU per call, µs", 0),
    ("rss_mb", "RSS, MB", 0),
)  # fmt: skip
_RATIOS = (
    ("rps_ratio", "calls/s"), ("rps_one_core_ratio", "calls/s, PostgreSQL on the same core"),
    ("rps_finish_ratio", "calls/s, `on_client_gone: finish`"), ("streams_ratio", "streams/s, 31 events"),
    ("streams_17_ratio", "17 events"),
)  # fmt: skip


def markdown(figures: Figures, about: About) -> str:
    """Four tables, and what was measured, where, and on which day."""
    parts = (_gateways(figures), _times(figures), _further(figures), _demands(figures), _said(figures, about))
    return "\n".join(line for part in parts for line in (*part, ""))


def _gateways(figures: Figures) -> Iterator[str]:
    columns = [column for column in _COLUMNS if figures.get(column[0])]
    yield from _head(["on one core", *(title for _, title, _ in columns)])
    for name in (name for name in TITLES if name in figures["rps"]):
        yield _row(name, [_cell(figures[measure].get(name), digits) for measure, _, digits in columns])


def _times(figures: Figures) -> Iterator[str]:
    columns = [column for column in _RATIOS if figures.get(column[0])]
    if not columns:
        return
    yield from _head(["Comporta is so many times", *(title for _, title in columns)])
    for name in figures["rps_ratio"]:
        yield _row(name, [_cell(figures[measure].get(name), 2) for measure, _ in columns])


def _further(figures: Figures) -> Iterator[str]:
    rows = ours(figures)
    if rows:
        yield from _head(["Comporta, further", ""])
        yield from (f"| {title} | {figure} |" for title, figure in rows)


def _demands(figures: Figures) -> Iterator[str]:
    yield from _head(["demanded of Comporta", "wanted", "found", ""])
    for verdict in verdicts(figures):
        yield f"| {verdict.what} | {verdict.wanted} | {verdict.shown} | {verdict.word} |"


def _said(figures: Figures, about: About) -> Iterator[str]:
    yield f"Measured on {about.date}: {about.machine}; {about.run} of `make bench`. {PLACES}"
    yield from disturbed(figures)
    yield ""
    for name, note in about.notes.items():
        yield f"- {TITLES.get(name, name)}: {note}."
    for name, reason in about.left_out.items():
        yield f"- Left out: {name}, since {reason}."


def _head(titles: Sequence[str]) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield "|---|" + "---:|" * (len(titles) - 1)


def _row(name: str, cells: Sequence[str]) -> str:
    ours = name == OURS
    shown = [f"**{cell}**" if ours and cell != "–" else cell for cell in (TITLES[name], *cells)]
    return f"| {' | '.join(shown)} |"


def _cell(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def main(argv: Sequence[str]) -> int:
    path = Path(argv[0]) if argv else BENCH / "out" / "gate.json"
    try:
        said = markdown(*read(path))
    except FileNotFoundError:
        sys.stderr.write(f"{path} is not there: run `make bench` first.\n")
        return 1
    except ValueError as error:
        sys.stderr.write(f"{error}; run `make bench` again.\n")
        return 1
    sys.stdout.write(said)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
