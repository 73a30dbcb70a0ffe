"""`comporta simulate`: what recorded calls would have cost under another policy; no model is asked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from comporta.app.backup import reachable
from comporta.app.folder import Folder
from comporta.app.simulating.recorded_traffic import policy_over, simulate_beside, window_of
from comporta.app.simulating.report import Group, Lever, Report
from comporta.app.simulating.sample import CALLS, SEED, sample_policy, simulate_sample
from comporta.cli.place import CONFIG, config_path
from comporta.cli.shown import AS_JSON, DATA, note, say, say_json, table, usd
from comporta.errors import BadRequest

POLICY = typer.Option(None, "--policy", "-p", dir_okay=False, help="What to simulate: cache, model_routing, optimize, "
                      "prompt_caching, batches, routes, as in comporta.yaml. Default: the configuration.")  # fmt: skip
ROUTE = typer.Option([], "--route", help="Only calls of this route; several times.")
#: A bar of so many characters is the whole of what its scale shows.
_BAR_CHARS = 20
_SCALE = 0.6
_HIT_SCALE = 1.0
_NAMES = {
    "routing": "routing", "tokens": "fewer tokens", "cache": "cache", "prompt_caching": "prompt caching",
    "batching": "batching",
}  # fmt: skip


def add(app: typer.Typer, name: str, summary: str) -> None:
    app.command(name, help=summary)(_simulate)


def _simulate(
    policy: Path | None = POLICY,
    begin: str = typer.Option("7d", "--from", help="So far back (7d, 24h), or from this day or time (UTC)."),
    end: str | None = typer.Option(None, "--to", help="Up to this time, which is not in it; default: now."),
    route: list[str] = ROUTE,
    sample: bool = typer.Option(False, "--sample", help="Four made-up workloads in place of recorded calls."),
    calls: int = typer.Option(CALLS, "--calls", min=1, max=100_000, help="Calls of each workload of the sample."),
    seed: int = typer.Option(SEED, "--seed", help="Another seed makes another sample."),
    config: Path | None = CONFIG,
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:  # fmt: skip
    """Replay recorded calls through today's cache, routing and token code, and show what each would have saved.

    Each lever is applied alone, and all of them together. What can't be known from records is said beside it.
    """
    if sample:
        if route:
            raise BadRequest("--route is for recorded calls: the sample has faq, code, documents and creative.")
        found = _of_sample(policy, data, calls, seed)
    else:
        found = _of_records(policy, begin, end, route, config, data)
    if as_json:
        say_json(msgspec.to_builtins(found))
        return
    show(found)


def _of_sample(file: Path | None, data: Path, calls: int, seed: int) -> Report:
    policy = sample_policy(file, {})
    with shown(4 * calls) as progress:
        return asyncio.run(
            simulate_sample(policy, data / "cache", calls=calls, seed=seed, progress=lambda done: progress(done, 0))
        )


def _of_records(
    file: Path | None, begin: str, end: str | None, routes: list[str], config: Path | None, data: Path
) -> Report:
    if os.environ.get("COMPORTA_URL") and config_path(config) is None and not data.exists():
        raise BadRequest(
            "A simulation reads the database itself. Run it where the gate's configuration (`database.url`) or its "
            "data folder is, or use --sample."
        )
    window = window_of(begin, end, routes)
    policy, folder = policy_over(file, config_path(config)), Folder(data)
    if not policy.levers:
        raise BadRequest(
            "The configuration turns on nothing to simulate: name a file by --policy, or look at --sample first."
        )
    nothing = "nothing to replay; --sample needs no traffic"
    with reachable(folder, policy.settings, note, nothing) as (dsn, _), shown(None) as progress:
        return asyncio.run(simulate_beside(dsn, folder, policy, window, progress))


@contextmanager
def shown(total: int | None) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, in a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, whole: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Replaying", total=total)
        yield lambda done, whole: progress.update(task, completed=done, total=whole or total)


def show(report: Report) -> None:
    """All of a report, for people."""
    say(f"{report.since} to {report.until} · {report.policy}")
    say(_read(report))
    if not report.read:
        note("Nothing could be replayed: there is no saving to tell of.")
        _tell(report)
        return
    say("")
    table(("lever", "calls", "hit rate", "saved", "%", f"0 – {_SCALE:.0%}", "people quote", "beside the others"),
          [*map(_lever, report.levers), _together(report)], "The policy turns on nothing.")  # fmt: skip
    if report.overlap_microusd > 0:
        say(f"\nTogether they save {usd(report.overlap_microusd)} less than the sum of each alone: a call that is "
            "answered from memory saves nothing else.")  # fmt: skip
    say("")
    made_up = any(group.quoted_hits for group in report.groups)
    columns = ["route", "calls", "hits", "exact", "alike", "hit rate", "0 – 100%", "cost", "saved", "%"]
    more = ["wrong", "people quote"] if made_up else []
    table([*columns, *more], [_group(group, made_up) for group in report.groups], "")
    _tell(report)


def _read(report: Report) -> str:
    share = report.read / report.calls if report.calls else 0.0
    text = (
        f"{report.calls:,} calls; {report.read:,} of them ({share:.1%}) can be replayed, which cost "
        f"{usd(report.read_microusd)} without any cache"
    )
    if report.extrapolated_microusd is None:
        return text
    return text + (
        f".\nAll of them cost {usd(report.cost_microusd)}. If the others were like those (nobody knows), all levers "
        f"together would have saved about {usd(report.extrapolated_microusd)}"
    )


def _lever(one: Lever) -> tuple[object, ...]:
    return (
        _NAMES[one.name], one.calls, _percent(one.hit_rate), usd(one.saved_microusd), f"{one.saved_share:.1%}",
        bar(one.saved_share, one.quoted, _SCALE), _range(one.quoted), usd(one.together_microusd),
    )  # fmt: skip


def _together(report: Report) -> tuple[object, ...]:
    return ("all together", report.read, None, usd(report.together_microusd), f"{report.together_share:.1%}",
            bar(report.together_share, None, _SCALE), None, usd(report.together_microusd))  # fmt: skip


def _group(one: Group, made_up: bool) -> list[object]:
    return [
        one.name, one.calls, one.hits, one.exact, one.semantic, _percent(one.hit_rate),
        bar(one.hit_rate or 0.0, one.quoted_hits, _HIT_SCALE), usd(one.cost_microusd), usd(one.saved_microusd),
        f"{one.saved_share:.1%}", *([one.wrong, _range(one.quoted_hits)] if made_up else []),
    ]  # fmt: skip


def bar(share: float, quoted: tuple[float, float] | None, scale: float) -> str:
    """A share as a bar, with the range that people quote drawn behind it: `█████░░░`."""
    full = round(min(max(share, 0.0), scale) / scale * _BAR_CHARS)
    low, high = (0.0, 0.0) if quoted is None else quoted
    cells = []
    for cell in range(_BAR_CHARS):
        inside = quoted is not None and low <= (cell + 0.5) / _BAR_CHARS * scale <= high
        cells.append(("▓" if inside else "█") if cell < full else ("░" if inside else " "))
    return "".join(cells)


def _tell(report: Report) -> None:
    say("")
    for one in report.levers:
        for text in (*_found(one), *one.unknown):
            say(f"{_NAMES[one.name]}: {text}")
    for text in report.notes:
        say(f"Note: {text}.")
    if any(one.quoted for one in report.levers):
        say("What people quote (░, ▓ where it is reached) is from vendors' pages and talks, not measured here.")
    say(
        f"{report.calls:,} calls replayed in {report.took_s:.1f} s, {report.embedded:,} texts embedded; no model asked."
    )


def _found(one: Lever) -> list[str]:
    details = one.details
    if one.name == "cache":
        told = [
            f"{details['exact']} hits of the very same question ({usd(int(details['exact_microusd']))}), "
            f"{details['semantic']} of one that means the same ({usd(int(details['semantic_microusd']))})"
        ]
        if "shadow_checks_microusd" in details:
            told.append(f"shadow checks of hits would cost about {usd(int(details['shadow_checks_microusd']))} of that")
        return told
    if one.name == "routing" and details:
        return [", ".join(f"{count} calls to {model}" for model, count in details.items())]
    if one.name == "tokens":
        return [f"{details['tokens']:,} tokens fewer"]
    if one.name == "prompt_caching":
        return [f"{details['read_tokens']:,} tokens read from providers' caches, {details['written_tokens']:,} written"]
    return []


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"


def _range(quoted: tuple[float, float] | None) -> str | None:
    return None if quoted is None else f"{quoted[0]:.0%}–{quoted[1]:.0%}"
